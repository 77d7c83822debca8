"""Label Studio's brush: there and back, by the book of its own coder, and what is refused."""

import numpy as np
import pytest
from numpy.typing import NDArray

from services.label_studio.brush import pack, unpack
from training.errors import BadAnnotation


def noise(height: int, width: int, share: float) -> NDArray[np.bool_]:
    return np.random.default_rng(height).random((height, width)) < share


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (40, 60), (300, 500)])
def test_a_mask_comes_back_as_it_went(size: tuple[int, int], share: float) -> None:
    mask_HW = noise(*size, share)
    assert (unpack(pack(mask_HW), size[1], size[0]) == mask_HW).all()


def test_it_is_what_label_studio_itself_would_write() -> None:
    # label_studio_sdk.converter.brush.mask2rle of these two rows
    mask_HW = np.array([[0, 1, 1], [0, 0, 1]], bool)
    assert pack(mask_HW) == [0, 0, 0, 24, 57, 27, 252, 96, 19, 255, 206, 1, 31, 248]


def test_single_values_are_read_and_what_is_half_transparent_counts_from_the_middle_on() -> None:
    pixels = [(9, 9, 9, 127), (0, 0, 0, 128), (255, 255, 255, 0)]
    values = "".join(f"{value:08b}" for pixel in pixels for value in pixel)
    bits = (
        f"{12:032b}{7:05b}{2:04b}{3:04b}{7:04b}{15:04b}"
        + "0"
        + "00"
        + f"{4:03b}"
        + values[:40]
        + "0"
        + "01"
        + f"{6:04b}"
        + values[40:]
    )
    rle = list(int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8)))
    assert unpack(rle, 3, 1).tolist() == [[False, True, False]]


def test_a_brush_that_is_damaged_or_of_another_picture_is_refused() -> None:
    whole = pack(noise(20, 30, 0.5))
    for wrong in (whole[: len(whole) // 2], whole[:3], []):
        with pytest.raises(BadAnnotation, match="cut off"):
            unpack(wrong, 30, 20)
    with pytest.raises(BadAnnotation, match="2400 values, needed 4 for each pixel of 30x21"):
        unpack(whole, 30, 21)
    with pytest.raises(BadAnnotation, match="not bytes"):
        unpack([*whole[:-1], 256], 30, 20)


def test_runs_that_claim_more_than_the_picture_end_with_it() -> None:
    bits = f"{8:032b}{7:05b}{2:04b}{3:04b}{7:04b}{15:04b}" + "1" + "11" + f"{65535:016b}" + f"{255:08b}"
    rle = list(int(bits.ljust(96, "0"), 2).to_bytes(12))
    assert unpack(rle, 2, 1).tolist() == [[True, True]]
