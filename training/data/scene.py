"""Frames of one large picture cut into tiles, read by window; a tile carries where it lies.

A GeoTIFF or COG is never read whole. A plain picture (PNG, JPEG, …) can only be decoded whole: that happens once for
each opened source, and its memory is bounded by the decoded picture (3 bytes a pixel, pictures.MAX_PIXELS at most).
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from training.data.frames import Frame
from training.data.geotiff import GEO_SUFFIXES, GeoTiff, chosen_bands, probe_geotiff
from training.data.pictures import decode_picture, read_picture_file
from training.data.shards import SceneGrid, Shard, Window
from training.data.wanted import wanted_frames
from training.errors import BadInput, BadPicture

__all__ = ["SceneFrames", "probe_scene"]

_ReadWindow = Callable[[Window], NDArray[np.uint8]]

MIN_MARGIN = 32  # pixels that a tile sees of its neighbours on each side,
MARGIN_SHARE = 8  # or this part of a large tile's side


class SceneFrames:
    """The tiles of one scene, row by row; the file stays open until the source is left."""

    def __init__(self, shard: Shard) -> None:
        if shard.scene is None:
            raise BadInput(f"{shard.shard_id}: kind {shard.kind!r} has no grid, needed a scene")
        self.shard = shard
        self._grid = shard.scene
        self._stack = contextlib.ExitStack()
        self._opened: _ReadWindow | None = None
        self._unreadable: BadPicture | None = None  # decoding a large picture again would end likewise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._opened = None
        self._stack.close()

    def read(self, frame_indices: Iterable[int] | None = None) -> Iterator[Frame]:
        """Yield the tiles asked for (all by default) in increasing order, each once, with their windows.

        Raises:
            UnknownFrame: an index outside 0..num_frames-1; raised at once.
            BadPicture: the scene cannot be read or has another size; names the file.
        """
        return self._read(wanted_frames(self.shard, frame_indices))

    def _read(self, wanted: Sequence[int]) -> Iterator[Frame]:
        for index in wanted:
            if self._unreadable is not None:
                raise self._unreadable
            try:
                self._opened = self._opened or self._open()
            except BadPicture as error:
                self._unreadable = error
                raise
            yield self._tile(index, self._opened)

    def _tile(self, index: int, read: _ReadWindow) -> Frame:
        window = self._grid.window(self.shard.first_frame + index)
        if self._grid.columns * self._grid.rows == 1:
            return Frame(shard_id=self.shard.shard_id, frame_index=index, image_HW3=read(window), window=window)
        margin = max(MIN_MARGIN, self._grid.tile // MARGIN_SHARE)
        around_HW3 = _with_margin(read, window, self._grid, margin)
        return Frame(
            shard_id=self.shard.shard_id,
            frame_index=index,
            image_HW3=around_HW3[margin : margin + window.height, margin : margin + window.width].copy(),
            window=window,
            around_HW3=around_HW3,
            origin_xy=(margin, margin),
        )

    def _open(self) -> _ReadWindow:
        path, grid = self.shard.uri, self._grid
        if Path(path).suffix.lower() not in GEO_SUFFIXES:
            picture_HW3 = _decoded(path)
            _refuse_other_size(path, picture_HW3.shape[1], picture_HW3.shape[0], grid)
            return lambda window: _cut(picture_HW3, window, grid)
        scene = GeoTiff(path)
        self._stack.callback(scene.close)
        _refuse_other_size(path, scene.dataset.width, scene.dataset.height, grid)
        return lambda window: scene.read(window, grid)


def probe_scene(
    path: str,
    *,
    shard_id: str,
    content_hash: str,
    tile: int = 512,
    stride: int | None = None,
    bands: tuple[int, ...] | None = None,
) -> Shard:
    """Describe one large picture as a shard of tiles of `tile` pixels, `stride` (default: tile) pixels apart.

    Raises:
        BadInput: tile or stride without pixels, a stride that leaves gaps, or bands that the scene does not have.
        BadPicture: not a picture, truncated, or a file that cannot be read.
        MissingExtra: a GeoTIFF, and rasterio is not installed.
    """
    stride = tile if stride is None else stride
    if not 1 <= stride <= tile:
        raise BadInput(f"{path}: tiles of {tile} pixels every {stride}, needed 1 <= stride <= tile")
    if Path(path).suffix.lower() in GEO_SUFFIXES:
        grid = probe_geotiff(path, tile=tile, stride=stride, bands=bands)
    else:
        height, width = _decoded(path).shape[:2]
        rgb = chosen_bands(path, bands, 3)
        grid = SceneGrid(width=width, height=height, tile=tile, stride=stride, bands=rgb, dtype="uint8")
    return Shard(
        shard_id=shard_id,
        uri=path,
        kind="scene",
        num_frames=grid.columns * grid.rows,
        width=min(tile, grid.width),
        height=min(tile, grid.height),
        content_hash=content_hash,
        scene=grid,
    )


def _with_margin(read: _ReadWindow, window: Window, grid: SceneGrid, margin: int) -> NDArray[np.uint8]:
    """(tile + 2 margin, tile + 2 margin, 3) with the window's left top at (margin, margin); black beyond the scene."""
    side = grid.tile + 2 * margin
    left, top = window.column - margin, window.row - margin
    x1, y1, x2, y2 = max(0, left), max(0, top), min(grid.width, left + side), min(grid.height, top + side)
    around_HW3 = np.zeros((side, side, 3), np.uint8)
    around_HW3[y1 - top : y2 - top, x1 - left : x2 - left] = read(Window(column=x1, row=y1, width=x2 - x1, height=y2 - y1))
    return around_HW3


def _decoded(path: str) -> NDArray[np.uint8]:
    return decode_picture(read_picture_file(path, name=path), name=path)


def _cut(picture_HW3: NDArray[np.uint8], window: Window, grid: SceneGrid) -> NDArray[np.uint8]:
    rows, columns = slice(window.row, window.row + window.height), slice(window.column, window.column + window.width)
    return np.ascontiguousarray(picture_HW3[rows, columns][..., [band - 1 for band in grid.bands]])


def _refuse_other_size(path: str, width: int, height: int, grid: SceneGrid) -> None:
    if (width, height) != (grid.width, grid.height):
        raise BadPicture(f"{path}: {width}x{height}, needed the {grid.width}x{grid.height} of the scene that was added")
