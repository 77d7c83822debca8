"""Dense networks over pictures too large for one pass: in overlapping pieces, whose cores are put together again.

Only output maps are put together, so that a task decodes the whole picture at once and no object is cut at a seam. How
near this comes to one pass over everything is in docs/experiments.md.

N pictures, C channels, H x W input pixels.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from math import ceil, isqrt

import torch
from torch import Tensor

from training.models.inputs import stack_inputs
from training.models.network import DEEPEST_STRIDE, coordinates
from training.models.together import Together

__all__ = ["forward_in_tiles"]

MARGIN = 192  # input pixels around a core that only serve to see what lies there
_Cut = tuple[slice, slice]


def forward_in_tiles(
    together: Together, images: Sequence[Tensor], device: torch.device, *, max_pixels: int, margin: int = MARGIN
) -> list[dict[str, Tensor]]:
    """What together(x_NCHW) says; activations grow with the piece, not with the picture.

    Args:
        together: networks that are not dense say something about the whole picture, and see it whole.
        images: N times (3, H, W) uint8, H and W multiples of 32.
        max_pixels: the largest piece of a picture; one of no more pixels is seen whole.
        margin: of a piece around its core, a multiple of 32.
    """
    height, width = images[0].shape[1:]
    if height * width <= max_pixels or not together.dense:
        return together(stack_inputs(images, device))
    stride = together.output_stride
    places_2hw = coordinates(height // stride, width // stride, device)
    stitched: list[dict[str, Tensor]] = []
    for (seen_y, core_y), (seen_x, core_x) in _pieces(height, width, max_pixels, margin):
        piece = stack_inputs([image[:, seen_y, seen_x] for image in images], device)
        outputs = together(piece, places_2hw[:, _cells(seen_y, stride), _cells(seen_x, stride)])
        stitched = stitched or [{name: _whole(said, places_2hw) for name, said in one.items()} for one in outputs]
        for whole, one in zip(stitched, outputs, strict=True):
            for name, map_NChw in one.items():
                inside = map_NChw[..., _cells(core_y, stride, seen_y.start), _cells(core_x, stride, seen_x.start)]
                whole[name][..., _cells(core_y, stride), _cells(core_x, stride)] = inside
    return stitched


def _whole(map_NChw: Tensor, places_2hw: Tensor) -> Tensor:
    """Room for a map of the whole picture."""
    return map_NChw.new_empty(*map_NChw.shape[:2], *places_2hw.shape[1:])


def _pieces(height: int, width: int, max_pixels: int, margin: int) -> Iterator[tuple[_Cut, _Cut]]:
    """What each piece sees and its core, in rows and in columns, as square as the picture allows."""
    rows = _cuts(height, max(isqrt(max_pixels), max_pixels // width), margin)
    tallest = max(seen.stop - seen.start for seen, _ in rows)
    return product(rows, _cuts(width, max_pixels // tallest, margin))


def _cuts(length: int, longest: int, margin: int) -> list[_Cut]:
    """Parts of `length`, none longer than `longest` (unless its margins alone are), and their cores, which do not overlap."""
    if length <= longest:
        return [(slice(0, length), slice(0, length))]
    most = max(1, (longest - 2 * margin) // DEEPEST_STRIDE) * DEEPEST_STRIDE
    core = ceil(length / ceil(length / most) / DEEPEST_STRIDE) * DEEPEST_STRIDE
    cores = [slice(start, min(length, start + core)) for start in range(0, length, core)]
    return [(slice(max(0, core.start - margin), min(length, core.stop + margin)), core) for core in cores]


def _cells(pixels: slice, stride: int, origin: int = 0) -> slice:
    """The same part of an output map that begins at `origin`."""
    return slice((pixels.start - origin) // stride, (pixels.stop - origin) // stride)
