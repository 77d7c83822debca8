"""GeoTIFF and COG scenes through rasterio (extra `geo`): only the window asked for is read.

Pixels become three uint8 channels: bands 1, 2, 3 (or 1, 1, 1 if there are fewer than three) unless others are named;
uint8 passes as it is, anything else is stretched from the 2nd to the 98th percentile of each band, measured once
on a picture of at most 1024 pixels (an overview where there is one). What is nodata, masked or NaN becomes 0.
"""

import contextlib
import importlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.shards import Affine, SceneGrid, Window
from training.errors import BadInput, BadPicture, MissingExtra

__all__ = ["GEO_SUFFIXES", "GeoTiff", "chosen_bands", "probe_geotiff"]

GEO_SUFFIXES = frozenset({".jp2", ".tif", ".tiff"})

_CACHE_BYTES = 64_000_000
_MEASURED_PIXELS = 1024


class GeoTiff:
    """One open scene; `read` returns a window of it as RGB.

    Raises:
        MissingExtra: rasterio is not installed.
        BadPicture: not a raster, or truncated.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._rasterio = _import_rasterio(path)
        self._stack = contextlib.ExitStack()
        with _translated(path, self._rasterio):
            self._stack.enter_context(self._rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES))
            self.dataset: Any = self._stack.enter_context(self._rasterio.open(path))

    def close(self) -> None:
        self._stack.close()

    def read(self, window: Window, grid: SceneGrid) -> NDArray[np.uint8]:
        """(window.height, window.width, 3) uint8."""
        area = self._rasterio.windows.Window(window.column, window.row, window.width, window.height)
        with _translated(self.path, self._rasterio):
            pixels = self.dataset.read(list(grid.bands), window=area, masked=True)
        return _to_rgb(pixels, grid.scale)

    def measure(self, bands: tuple[int, ...]) -> tuple[tuple[float, float], ...] | None:
        """The 2nd and 98th percentile of each band, None if they all are uint8."""
        if all(self.dataset.dtypes[band - 1] == "uint8" for band in bands):
            return None
        shrink = max(1.0, max(self.dataset.shape) / _MEASURED_PIXELS)
        shape = tuple(max(1, round(size / shrink)) for size in self.dataset.shape)
        with _translated(self.path, self._rasterio):
            pixels = self.dataset.read(list(bands), out_shape=(len(bands), *shape), masked=True)
        return tuple(_percentiles(band) for band in pixels)

    def refuse_missing_blocks(self) -> None:
        """Every block that a TIFF's directory lists must end before the file does; nothing is decoded for this."""
        if self.dataset.driver not in ("GTiff", "COG"):
            return
        size = Path(self.path).stat().st_size
        rows, columns = self.dataset.block_shapes[0]
        for band in {1, self.dataset.count}:
            for y in range(-(-self.dataset.height // rows)):
                for x in range(-(-self.dataset.width // columns)):
                    self._refuse_missing_block(f"{x}_{y}", band, size)

    def _refuse_missing_block(self, place: str, band: int, size: int) -> None:
        offset = self.dataset.get_tag_item(f"BLOCK_OFFSET_{place}", "TIFF", bidx=band)
        length = self.dataset.get_tag_item(f"BLOCK_SIZE_{place}", "TIFF", bidx=band)
        if offset and length and int(offset) + int(length) > size:
            raise BadPicture(f"{self.path}: cut off, {size} bytes found, needed {int(offset) + int(length)} for block {place}")


def probe_geotiff(path: str, *, tile: int, stride: int, bands: tuple[int, ...] | None) -> SceneGrid:
    """The grid of a scene with its CRS, transform and, unless it is uint8, the scale of its bands."""
    with contextlib.closing(GeoTiff(path)) as scene:
        dataset = scene.dataset
        scene.refuse_missing_blocks()
        chosen = chosen_bands(path, bands, dataset.count)
        dtypes = {str(dataset.dtypes[band - 1]) for band in chosen}
        if any(dtype.startswith("complex") for dtype in dtypes):
            raise BadInput(f"{path}: {', '.join(sorted(dtypes))} pixels, needed integers or floats")
        return SceneGrid(
            width=dataset.width,
            height=dataset.height,
            tile=tile,
            stride=stride,
            bands=chosen,
            dtype=str(np.result_type(*sorted(dtypes))),
            crs=_crs_name(dataset.crs),
            transform=_affine(dataset.transform) if dataset.crs else None,
            scale=scene.measure(chosen),
        )


def chosen_bands(path: str, bands: tuple[int, ...] | None, count: int) -> tuple[int, ...]:
    """Three band numbers from 1 on; one named band is repeated.

    Raises:
        BadInput: not one or three bands, or one that the scene does not have.
    """
    if bands is None:
        return (1, 2, 3) if count >= 3 else (1, 1, 1)
    if len(bands) not in (1, 3) or not all(1 <= band <= count for band in bands):
        named = ", ".join(map(str, bands)) or "none"
        raise BadInput(f"{path}: bands {named} of {count}, needed one or three of 1 to {count}")
    return bands * 3 if len(bands) == 1 else bands


def _import_rasterio(path: str) -> Any:
    try:
        rasterio = importlib.import_module("rasterio")
        importlib.import_module("rasterio.windows")
    except ImportError as error:
        raise MissingExtra(f"{path}: rasterio is not installed, needed for GeoTIFF; pip install 'micromodels[geo]'") from error
    return rasterio


@contextlib.contextmanager
def _translated(path: str, rasterio: Any) -> Iterator[None]:
    """A plain TIFF without coordinates is welcome (no warning); what GDAL raises becomes BadPicture."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        try:
            yield
        except rasterio.errors.RasterioError as error:
            reason = " ".join(str(error.__cause__ or error).split())
            raise BadPicture(f"{path}: {reason}; needed a whole GeoTIFF") from error


def _to_rgb(pixels_3HW: Any, scale: tuple[tuple[float, float], ...] | None) -> NDArray[np.uint8]:
    hidden_3HW = np.ma.getmaskarray(pixels_3HW)
    values_3HW = np.ma.getdata(pixels_3HW)
    if scale is not None:
        low, high = (np.array(ends, np.float64)[:, None, None] for ends in zip(*scale))
        hidden_3HW = hidden_3HW | ~np.isfinite(values_3HW)
        stretched_3HW = (np.where(hidden_3HW, 0, values_3HW) - low) * (255.0 / (high - low))
        values_3HW = np.clip(np.rint(stretched_3HW), 0, 255).astype(np.uint8)
    shown_3HW = np.where(hidden_3HW, 0, values_3HW).astype(np.uint8)
    return np.ascontiguousarray(shown_3HW.transpose(1, 2, 0))


def _percentiles(band_HW: Any) -> tuple[float, float]:
    seen = np.ma.compressed(band_HW).astype(np.float64)
    seen = seen[np.isfinite(seen)]
    if not len(seen):
        return (0.0, 1.0)
    low, high = (float(value) for value in np.percentile(seen, (2, 98)))
    return (low, high if high > low else low + 1.0)


def _affine(transform: Any) -> Affine:
    a, b, c, d, e, f = (float(value) for value in transform[:6])
    return (a, b, c, d, e, f)


def _crs_name(crs: Any) -> str | None:
    if not crs:
        return None
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else str(crs.to_wkt())
