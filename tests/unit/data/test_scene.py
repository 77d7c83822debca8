"""Scenes by window: tiles know where they lie, other numbers than uint8 are stretched, nothing is read whole."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.data import geotiff
from training.data.pictures import decode_picture
from training.data.shards import Shard, Window
from training.data.sources import open_frames, probe
from training.errors import BadInput, BadPicture, MissingExtra, UnknownFrame

_PICTURE_HW3 = np.random.default_rng(0).integers(0, 256, (70, 100, 3), np.uint8)


def _write_geotiff(path: Path, bands_NHW: Any, **profile: Any) -> Path:
    rasterio = pytest.importorskip("rasterio")
    bands_NHW = np.asarray(bands_NHW)
    count, height, width = bands_NHW.shape
    georeference = {"crs": "EPSG:32633", "transform": rasterio.Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000)}
    shape = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": bands_NHW.dtype}
    with rasterio.open(path, "w", **shape | georeference | profile) as dataset:
        dataset.write(bands_NHW)
    return path


def _mosaic(shard: Shard) -> Any:
    assert shard.scene is not None
    whole_HW3 = np.zeros((shard.scene.height, shard.scene.width, 3), np.uint8)
    with open_frames(shard) as frames:
        for frame in frames.read():
            at = frame.window
            assert at is not None
            assert at == shard.scene.window(frame.frame_index)
            assert frame.image_HW3.shape == (at.height, at.width, 3)
            whole_HW3[at.row : at.row + at.height, at.column : at.column + at.width] = frame.image_HW3
    return whole_HW3


def test_the_tiles_of_a_plain_picture_make_up_the_picture(write_picture: Any) -> None:
    shard = probe(write_picture("scene.png", _PICTURE_HW3), tile=32)
    assert (shard.kind, shard.num_frames, shard.width, shard.height) == ("scene", 12, 32, 32)
    assert shard.scene is not None
    assert (shard.scene.crs, shard.scene.transform, shard.scene.scale) == (None, None, None)
    np.testing.assert_array_equal(_mosaic(shard), _PICTURE_HW3)
    (last,) = open_frames(shard).read([11])
    assert last.window == Window(column=96, row=64, width=4, height=6)
    with pytest.raises(UnknownFrame):
        open_frames(shard).read([12])


def test_the_tiles_of_a_geotiff_make_up_the_scene_and_keep_its_place(tmp_path: Path) -> None:
    path = _write_geotiff(tmp_path / "scene.tif", _PICTURE_HW3.transpose(2, 0, 1))
    shard = probe(path, tile=32, stride=20)
    assert shard.scene is not None
    assert shard.scene.crs == "EPSG:32633"
    assert shard.scene.transform == (0.5, 0.0, 500_000.0, 0.0, -0.5, 5_000_000.0)
    assert (shard.scene.bands, shard.scene.dtype, shard.scene.scale) == ((1, 2, 3), "uint8", None)
    np.testing.assert_array_equal(_mosaic(shard), _PICTURE_HW3)
    assert Shard.from_json(shard.to_json()) == shard


def test_a_tiff_without_coordinates_is_a_plain_scene(write_picture: Any) -> None:
    pytest.importorskip("rasterio")
    shard = probe(write_picture("scene.tif", _PICTURE_HW3))
    assert shard.scene is not None
    assert (shard.scene.crs, shard.scene.transform) == (None, None)
    np.testing.assert_array_equal(_mosaic(shard), _PICTURE_HW3)


def test_bands_are_chosen_and_a_single_one_repeated(tmp_path: Path) -> None:
    path = _write_geotiff(tmp_path / "four.tif", np.stack([np.full((10, 10), level, np.uint8) for level in (10, 20, 30, 40)]))
    for bands, expected in ((None, [10, 20, 30]), ((4, 3, 2), [40, 30, 20]), ((4,), [40, 40, 40])):
        (frame,) = open_frames(probe(path, bands=bands)).read()
        assert frame.image_HW3[0, 0].tolist() == expected
    single = _write_geotiff(tmp_path / "one.tif", np.full((1, 10, 10), 7, np.uint8))
    assert _mosaic(probe(single))[0, 0].tolist() == [7, 7, 7]
    for wrong in ((1, 2), (5,), (0, 1, 2)):
        with pytest.raises(BadInput, match="needed one or three of 1 to 4"):
            probe(path, bands=wrong)


def test_16_bits_are_stretched_between_percentiles_alike_in_every_tile(tmp_path: Path) -> None:
    ramp_HW = np.tile(np.arange(1000, 11_000, 10, np.uint16), (40, 1))
    shard = probe(_write_geotiff(tmp_path / "deep.tif", np.stack([ramp_HW, ramp_HW, ramp_HW // 2])), tile=64)
    assert shard.scene is not None
    assert shard.scene.dtype == "uint16"
    assert shard.scene.scale is not None
    np.testing.assert_allclose(shard.scene.scale, [(1200, 10_790), (1200, 10_790), (600, 5395)], rtol=0.01)
    grey = _mosaic(shard)[0]
    assert (grey[0].max(), grey[-1].min()) == (0, 255)
    assert np.all(np.diff(grey[:, 0].astype(int)) >= 0)
    np.testing.assert_allclose(grey[500], 127.5, atol=2)


def test_nodata_and_nan_become_zero_and_do_not_move_the_scale(tmp_path: Path) -> None:
    values = np.random.default_rng(2).uniform(100, 200, (1, 40, 40)).astype(np.float32)
    values[0, :10] = -9999
    values[0, 30:] = np.nan
    shard = probe(_write_geotiff(tmp_path / "height.tif", values, nodata=-9999))
    assert shard.scene is not None
    assert shard.scene.scale is not None
    low, high = shard.scene.scale[0]
    assert 100 <= low < 110
    assert 190 < high <= 200
    whole = _mosaic(shard)
    assert whole[:10].max() == whole[30:].max() == 0
    assert whole[10:30].mean() == pytest.approx(127, abs=12)


@pytest.mark.parametrize(("tile", "stride"), [(0, None), (32, 0), (32, 33)])
def test_a_grid_with_gaps_or_without_pixels_is_refused(write_picture: Any, tile: int, stride: int | None) -> None:
    with pytest.raises(BadInput, match="needed 1 <= stride <= tile"):
        probe(write_picture("scene.png", _PICTURE_HW3), tile=tile, stride=stride)


@pytest.mark.parametrize("name", ["scene.png", "scene.jpg"])
def test_a_truncated_plain_scene_is_refused(write_picture: Any, name: str) -> None:
    path = write_picture(name, _PICTURE_HW3)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(BadPicture, match=f"{name}: "):
        probe(path)


def test_a_plain_scene_that_broke_since_is_decoded_once_whatever_is_asked(
    write_picture: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_picture("scene.png", _PICTURE_HW3)
    shard = probe(path, tile=32)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    decoded: list[str] = []

    def counted(data: bytes, *, name: str) -> Any:
        decoded.append(name)
        return decode_picture(data, name=name)

    monkeypatch.setattr("training.data.scene.decode_picture", counted)
    with open_frames(shard) as frames:
        for index in (0, 1):
            with pytest.raises(BadPicture, match=r"scene\.png: "):
                list(frames.read([index]))
    assert decoded == [str(path)]


@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.9])
def test_a_truncated_geotiff_is_refused(tmp_path: Path, share: float) -> None:
    path = _write_geotiff(tmp_path / "scene.tif", np.random.default_rng(1).integers(0, 256, (3, 300, 300), np.uint8))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(BadPicture, match=r"^[^\n]*scene.tif: [^\n]*needed[^\n]*$"):
        probe(path)


def test_without_rasterio_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scene.tif").write_bytes(b"II*\0")
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(MissingExtra, match=r"scene.tif: rasterio .*micromodels\[geo\]"):
        probe(tmp_path / "scene.tif")


def test_plain_pictures_need_no_rasterio(write_picture: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rasterio", None)
    shard = probe(write_picture("scene.png", _PICTURE_HW3))
    np.testing.assert_array_equal(_mosaic(shard), _PICTURE_HW3)


def test_only_the_windows_asked_for_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shard = probe(_write_geotiff(tmp_path / "scene.tif", _PICTURE_HW3.transpose(2, 0, 1)), tile=32)
    read: list[Window] = []
    original = geotiff.GeoTiff.read

    def noted(self: Any, window: Window, grid: Any) -> Any:
        read.append(window)
        return original(self, window, grid)

    monkeypatch.setattr(geotiff.GeoTiff, "read", noted)
    list(open_frames(shard).read([5]))
    assert read == [Window(column=0, row=0, width=96, height=70)], "the tile and its surroundings"


_READ_ALL = """
import sys
from training.data.sources import open_frames, probe
shard = probe(sys.argv[1])
with open_frames(shard) as frames:
    for frame in frames.read():
        pass
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def test_memory_does_not_grow_with_the_size_of_the_scene(tmp_path: Path) -> None:
    """A scene of 192 MB as pixels costs less than half of itself more than one of 0.8 MB."""
    rasterio = pytest.importorskip("rasterio")
    peaks_kib = []
    for size in (512, 8000):
        path = tmp_path / f"{size}.tif"
        shape = {
            "driver": "GTiff",
            "count": 3,
            "height": size,
            "width": size,
            "dtype": "uint8",
            "tiled": True,
            "compress": "deflate",
        }
        with rasterio.open(path, "w", crs="EPSG:32633", transform=rasterio.Affine(1, 0, 500_000, 0, -1, 0), **shape) as dataset:
            for row in range(0, size, 512):
                rows = min(512, size - row)
                window = rasterio.windows.Window(0, row, size, rows)
                dataset.write(np.full((3, rows, size), row % 251, np.uint8), window=window)
        done = subprocess.run([sys.executable, "-c", _READ_ALL, str(path)], check=True, capture_output=True, text=True)
        peaks_kib.append(int(done.stdout))
    assert peaks_kib[1] - peaks_kib[0] < 100_000


def test_a_tile_sees_its_neighbours_and_black_beyond_the_scene(write_picture: Any) -> None:
    shard = probe(write_picture("scene.png", _PICTURE_HW3), tile=64, stride=64)
    first, last = open_frames(shard).read([0, 3])
    assert first.seen_HW3.shape == last.seen_HW3.shape == (128, 128, 3)
    assert last.image_HW3.shape == (6, 36, 3)
    assert last.seen_xyxy == (-32, -32, 96, 96)
    np.testing.assert_array_equal(first.seen_HW3[32:102, 32:128], _PICTURE_HW3[:70, :96])
    np.testing.assert_array_equal(last.seen_HW3[:38, :68], _PICTURE_HW3[32:70, 32:100])
    assert not first.seen_HW3[:32].any()
    assert not last.seen_HW3[38:].any()


def test_a_scene_of_one_tile_has_no_surroundings(write_picture: Any) -> None:
    (only,) = open_frames(probe(write_picture("scene.png", _PICTURE_HW3), tile=128)).read()
    assert only.around_HW3 is None
    assert only.seen_xyxy == (0, 0, 100, 70)


@pytest.mark.parametrize("name", ["scene.png", "scene.tif"])
def test_a_scene_that_went_away_is_named(write_picture: Any, name: str) -> None:
    path = write_picture(name, _PICTURE_HW3)
    shard = probe(path, tile=32)
    path.unlink()
    with open_frames(shard) as frames, pytest.raises(BadPicture, match=rf"{name}: .*No such file or directory"):
        list(frames.read([0]))
