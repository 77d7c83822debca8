"""Maps that objects are painted into: h x w cells each, one plane for all objects of a view, of a class or of a point.

O objects, V views.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.models.placements import Placements

__all__ = ["bumps", "centres", "highest", "inside", "known"]

Size = tuple[int, int]  # rows and columns


def centres(size: Size, device: torch.device) -> tuple[Tensor, Tensor]:
    """y of the rows, (h,), and x of the columns, (w,), of cells."""
    rows, columns = (torch.arange(count, device=device, dtype=torch.float32) + 0.5 for count in size)
    return rows, columns


def bumps(at_O2: NDArray[np.float64], spread_O2: NDArray[np.float64], size: Size, device: torch.device) -> Tensor:
    """(O, h, w): a Gaussian each, 1 in the cell it is centred in; a product of two profiles.

    at_O2: x, y in cells, within the map. spread_O2: standard deviations in x and y, cells.
    """
    (x, y), (spread_x, spread_y) = (torch.from_numpy(of_both.T).float().to(device)[..., None] for of_both in (at_O2, spread_O2))
    y_h, x_w = centres(size, device)
    across_Ow, down_Oh = (
        (-0.5 * ((along - at) / spread) ** 2).exp() for along, at, spread in ((x_w, x, spread_x), (y_h, y, spread_y))
    )
    bump_Ohw: Tensor = down_Oh[:, :, None] * across_Ow[:, None, :]
    column_O, row_O = torch.from_numpy(at_O2.astype(np.int64).T).to(device)
    bump_Ohw[torch.arange(len(at_O2), device=device), row_O, column_O] = 1
    return bump_Ohw


def inside(box_O4: NDArray[np.float64], size: Size, device: torch.device) -> Tensor:
    """(O, h, w): which cells have their centre in a box, xyxy in cells."""
    (y1, y2), (x1, x2) = (torch.from_numpy(box_O4[:, axis::2, None]).float().to(device).unbind(1) for axis in (1, 0))
    y, x = centres(size, device)
    in_box_Ohw: Tensor = ((y > y1) & (y < y2))[:, :, None] & ((x > x1) & (x < x2))[:, None, :]
    return in_box_Ohw


def highest(map_Ohw: Tensor, plane_O: NDArray[np.int64], num_planes: int) -> Tensor:
    """(num_planes, h, w): the largest of what is painted into each plane, 0 where nothing is."""
    index_Ohw = torch.from_numpy(plane_O).to(map_Ohw.device)[:, None, None].expand(map_Ohw.shape)
    return map_Ohw.new_zeros(num_planes, *map_Ohw.shape[1:]).scatter_reduce_(0, index_Ohw, map_Ohw, "amax")


def known(places: Placements, size: Size, device: torch.device) -> Tensor:
    """(V, h, w): 1 in cells about which people said something, 0 around a tile."""
    if places.bounded_V.all():
        return torch.ones(len(places), *size, device=device)
    inside_Vhw = places.inside(*size) | places.bounded_V[:, None, None]
    return torch.from_numpy(inside_Vhw.astype(np.float32)).to(device)
