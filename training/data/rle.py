"""COCO run-length masks: made from whatever COCO allows, checked, cut out of a scene and put back into one.

Runs go down the columns, first the zeros. A compressed string is pycocotools' own coding of the same runs.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from training.data.shards import Window
from training.errors import BadAnnotation

__all__ = ["cut", "decode", "encode", "mask_box", "paste", "polygon_bounds", "polygons_to_rle", "rle_to_string"]

Runs = NDArray[np.int64]
Box = tuple[float, float, float, float]


def encode(mask_HW: NDArray[np.bool_]) -> str:
    """Compressed runs of a mask."""
    found = coco_mask.encode(np.asfortranarray(mask_HW.astype(np.uint8)))
    return str(found["counts"].decode())


def decode(counts: str, height: int, width: int) -> NDArray[np.bool_]:
    """The mask, bool (H, W).

    Raises:
        BadAnnotation: the runs do not add up to height * width.
    """
    runs = _checked(_runs(counts), height, width)
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return flat.reshape(width, height).T


def mask_box(counts: str, height: int, width: int) -> Box | None:
    """The xyxy pixels that the mask fills; None when it is empty."""
    x, y, w, h = (float(value) for value in coco_mask.toBbox({"size": [height, width], "counts": counts.encode()}))
    return (x, y, x + w, y + h) if w > 0 and h > 0 else None


def rle_to_string(segmentation: Mapping[str, Any], height: int, width: int) -> str:
    """Compressed runs from COCO's {"size", "counts"}, counts being a list of runs or a compressed string.

    Raises:
        BadAnnotation: the size is not height by width, or the runs do not fill it.
    """
    size, counts = segmentation.get("size"), segmentation.get("counts")
    if size != [height, width]:
        raise BadAnnotation(f"mask of size {size}, needed [{height}, {width}]")
    if isinstance(counts, str):
        _checked(_runs(counts), height, width)
        return counts
    if not isinstance(counts, list) or not all(isinstance(run, int) and not isinstance(run, bool) for run in counts):
        raise BadAnnotation("mask counts that are neither a string nor a list of whole numbers")
    return _compress(_checked(np.array(counts, dtype=np.int64), height, width), height, width)


def polygon_bounds(polygons: Sequence[Sequence[float]]) -> Box:
    """The xyxy rectangle around polygons (each flat x, y, …).

    Raises:
        BadAnnotation: none at all, fewer than three corners, an odd number of values, or NaN.
    """
    for polygon in polygons:
        numbers = isinstance(polygon, list) and all(isinstance(value, int | float) for value in polygon)
        if not numbers or len(polygon) < 6 or len(polygon) % 2 or not all(math.isfinite(value) for value in polygon):
            raise BadAnnotation(f"polygon {str(polygon)[:60]}, needed at least three corners x, y of finite numbers")
    if not polygons:
        raise BadAnnotation("no polygon, needed at least one")
    x, y = ([value for polygon in polygons for value in polygon[start::2]] for start in (0, 1))
    return float(min(x)), float(min(y)), float(max(x)), float(max(y))


def polygons_to_rle(polygons: Sequence[Sequence[float]], window: Window) -> str:
    """Compressed runs of the part of the polygons (flat x, y, … in picture pixels) that lies in the window.

    Raises:
        BadAnnotation: see polygon_bounds.
    """
    x1, y1, _, _ = polygon_bounds(polygons)
    # pycocotools rounds negative coordinates the other way: start where none is negative, then cut
    left, top = min(math.floor(x1), window.column), min(math.floor(y1), window.row)
    width, height = window.column + window.width - left, window.row + window.height - top
    origin = np.array([left, top])
    shifted = [(np.array(polygon, dtype=np.float64).reshape(-1, 2) - origin).ravel().tolist() for polygon in polygons]
    counts = str(coco_mask.merge(coco_mask.frPyObjects(shifted, height, width))["counts"].decode())
    inside = Window(column=window.column - left, row=window.row - top, width=window.width, height=window.height)
    return counts if (width, height) == (window.width, window.height) else cut(counts, height, width, inside)


def cut(counts: str, height: int, width: int, window: Window) -> str:
    """The part of a scene's mask inside the window, as a mask of the window; memory grows with the window only."""
    ends = np.cumsum(_checked(_runs(counts), height, width))
    mask_HW = np.zeros((window.height, window.width), dtype=np.bool_)
    first = np.arange(window.column, window.column + window.width, dtype=np.int64) * height + window.row
    for x, start in enumerate(first):
        stop = start + window.height
        low, high = np.searchsorted(ends, [start, stop - 1], side="right")
        bounds = np.clip(ends[low : high + 1], start, stop) - start
        lengths = np.diff(bounds, prepend=0)
        mask_HW[:, x] = np.repeat(np.arange(low, high + 1) % 2 == 1, lengths)
    return encode(mask_HW)


def paste(counts: str, window: Window, height: int, width: int) -> str:
    """The inverse of `cut`: a window's mask as a mask of the whole scene."""
    mask_HW = decode(counts, window.height, window.width)
    padded = np.zeros((window.height + 2, window.width), dtype=np.int8)
    padded[1:-1] = mask_HW
    edges = np.diff(padded, axis=0).T  # one row a column of the mask: +1 where a run starts, -1 where it has ended
    column, row = np.nonzero(edges)
    flat = (column + window.column) * height + row + window.row
    starts, stops = flat[0::2], flat[1::2]
    joined = np.flatnonzero(starts[1:] == stops[:-1])  # a run that goes on at the top of the next column
    starts, stops = np.delete(starts, joined + 1), np.delete(stops, joined)
    bounds = np.concatenate([[0], np.stack([starts, stops], axis=1).ravel()])
    if bounds[-1] < height * width:
        bounds = np.append(bounds, height * width)
    return _compress(np.diff(bounds), height, width)


def _compress(runs: Runs, height: int, width: int) -> str:
    found = coco_mask.frPyObjects({"size": [height, width], "counts": runs.tolist()}, height, width)
    return str(found["counts"].decode())


def _runs(counts: str) -> Runs:
    """Runs of a compressed string: 5 bits a character, least significant first; from the fourth on, differences to two before."""
    codes = np.frombuffer(counts.encode(), dtype=np.uint8).astype(np.int64) - 48
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        raise BadAnnotation(f"mask counts {counts[:20]!r} that are no compressed runs")
    last = np.flatnonzero((codes & 32) == 0)
    first = np.concatenate([[0], last[:-1] + 1])
    place = np.arange(len(codes)) - np.repeat(first, last - first + 1)
    if place.max() > 11:
        raise BadAnnotation(f"mask counts {counts[:20]!r} that are no compressed runs")
    values = np.add.reduceat((codes & 31) << (5 * place), first)
    values -= np.where(codes[last] & 16, np.int64(1) << (5 * (last - first + 1)), 0)
    runs = values.copy()
    runs[1::2] = np.cumsum(values[1::2])
    runs[2::2] = np.cumsum(values[2::2])
    return runs


def _checked(runs: Runs, height: int, width: int) -> Runs:
    if not len(runs) or runs.min() < 0 or int(runs.sum()) != height * width:
        least = f", the smallest {runs.min()}" if len(runs) and runs.min() < 0 else ""
        raise BadAnnotation(f"mask runs that add up to {int(runs.sum())} pixels{least}; needed {height * width}, none negative")
    return runs
