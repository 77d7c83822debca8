"""Any common picture becomes upright RGB; anything else is refused by name."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from training.data.pictures import decode_picture, encode_jpeg, read_picture_file
from training.errors import BadPicture, WrongShape


def _bytes(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


_RGB_HW3 = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_rgb_comes_back_as_it_was(kind: str) -> None:
    np.testing.assert_array_equal(decode_picture(_bytes(Image.fromarray(_RGB_HW3), kind), name="a"), _RGB_HW3)


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (Image.new("L", (4, 3), 77), (77, 77, 77)),
        (Image.new("1", (4, 3), 1), (255, 255, 255)),
        (Image.new("RGBA", (4, 3), (200, 100, 50, 255)), (200, 100, 50)),
        (Image.new("RGBA", (4, 3), (200, 100, 50, 0)), (0, 0, 0)),
        (Image.new("LA", (4, 3), (200, 0)), (0, 0, 0)),
        (Image.new("RGB", (4, 3), (9, 200, 30)).convert("P", palette=Image.Palette.ADAPTIVE), (9, 200, 30)),
        (Image.fromarray(np.full((3, 4), 40_000, np.uint16)), (156, 156, 156)),
    ],
    ids=["grey", "bits", "opaque", "transparent", "transparent grey", "palette", "16-bit grey"],
)
def test_other_modes_become_rgb_as_documented(picture: Image.Image, expected: tuple[int, int, int]) -> None:
    image_HW3 = decode_picture(_bytes(picture), name="a")
    assert (image_HW3.shape, image_HW3.dtype) == ((3, 4, 3), np.uint8)
    assert tuple(image_HW3[1, 1].tolist()) == expected


def test_cmyk_becomes_rgb() -> None:
    image_HW3 = decode_picture(_bytes(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"), name="a")
    np.testing.assert_allclose(image_HW3[4, 4], (255, 0, 0), atol=4)


def test_exif_rotation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image_HW3 = decode_picture(_bytes(Image.fromarray(_RGB_HW3), exif=exif), name="a")
    np.testing.assert_array_equal(image_HW3, np.rot90(_RGB_HW3, -1))


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_a_truncated_picture_is_refused(kind: str, share: float) -> None:
    data = _bytes(Image.fromarray(np.random.default_rng(1).integers(0, 256, (200, 300, 3), np.uint8)), kind)
    with pytest.raises(BadPicture, match=r"^cut: [^\n]*needed"):
        decode_picture(data[: int(len(data) * share)], name="cut")


@pytest.mark.parametrize("data", [b"", b"hello", b"%PDF-1.4 not a picture"])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(BadPicture, match=f"^thing: {len(data)} bytes"):
        decode_picture(data, name="thing")


def test_too_many_pixels_are_refused_before_decoding() -> None:
    data = _bytes(Image.new("L", (300, 200)))
    with pytest.raises(BadPicture, match="a: 300x200, needed at most 59999 pixels"):
        decode_picture(data, name="a", max_pixels=59_999)
    assert decode_picture(data, name="a", max_pixels=60_000).shape == (200, 300, 3)


def test_a_decompression_bomb_is_refused() -> None:
    data = bytearray(_bytes(Image.new("1", (8, 8))))
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    import zlib

    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    with pytest.raises(BadPicture, match=r"^bomb: "):
        decode_picture(bytes(data), name="bomb", max_pixels=10**12)


def test_float_pixels_are_refused() -> None:
    with pytest.raises(BadPicture, match="floating-point"):
        decode_picture(_bytes(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF"), name="a")


def test_jpeg_comes_back_nearly_as_it_was() -> None:
    smooth_HW3 = np.full((16, 16, 3), (180, 90, 40), np.uint8)
    np.testing.assert_allclose(decode_picture(encode_jpeg(smooth_HW3), name="a"), smooth_HW3, atol=3)


def test_only_rgb_bytes_become_jpeg() -> None:
    with pytest.raises(WrongShape):
        encode_jpeg(np.zeros((4, 4), np.uint8))
    with pytest.raises(WrongShape):
        encode_jpeg(np.zeros((4, 4, 3), np.float32))  # type: ignore[arg-type]


def test_a_file_that_is_away_is_a_bad_picture_of_the_name_given(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"abc")
    assert read_picture_file(tmp_path / "a.png", name="a") == b"abc"
    with pytest.raises(BadPicture, match=r"^frame 7: No such file or directory, needed a picture that can be read$"):
        read_picture_file(tmp_path / "b.png", name="frame 7")
    with pytest.raises(BadPicture, match=r"^frame 8: Is a directory, needed"):
        read_picture_file(tmp_path, name="frame 8")
