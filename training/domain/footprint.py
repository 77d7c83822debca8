"""Where on Earth a scene lies: a ring of longitudes and latitudes, and whether a point is in it."""

import numpy as np
from numpy.typing import NDArray

from training.data.geojson import to_lonlat
from training.data.shards import Shard

__all__ = ["footprint", "inside"]

STEPS = 16  # of each side: what is straight in the scene's own coordinates is not in degrees


def footprint(shard: Shard) -> NDArray[np.float64]:
    """(P, 2) longitude and latitude (WGS 84) around a scene that is on a map, (0, 2) of everything else.

    Longitudes go on beyond 180 where a scene lies across the date line.

    Raises:
        BadInput: its coordinate reference system is not understood.
        MissingExtra: rasterio is not installed.
    """
    grid = shard.scene
    if grid is None or grid.crs is None or grid.transform is None:
        return np.empty((0, 2))
    a, b, c, d, e, f = grid.transform
    there_P = np.linspace(0, 1, STEPS, endpoint=False)
    along_P = np.concatenate([there_P, np.ones(STEPS), 1 - there_P, np.zeros(STEPS)]) * grid.width
    down_P = np.concatenate([np.zeros(STEPS), there_P, np.ones(STEPS), 1 - there_P]) * grid.height
    ring = np.stack([a * along_P + b * down_P + c, d * along_P + e * down_P + f], axis=1)
    geometry = to_lonlat(shard, grid)({"type": "MultiPoint", "coordinates": ring.tolist()})
    ring_P2 = np.array(geometry["coordinates"], np.float64)
    ring_P2[:, 0] = ring_P2[0, 0] + _turn(ring_P2[:, 0] - ring_P2[0, 0])
    return ring_P2


def inside(ring_P2: NDArray[np.float64], lon: float, lat: float) -> bool:
    """Whether a ray from the point crosses the ring an odd number of times; in none of (0, 2)."""
    if not len(ring_P2):
        return False
    east_P, north_P = ring_P2[:, 0] - (ring_P2[0, 0] + _turn(lon - ring_P2[0, 0])), ring_P2[:, 1] - lat
    rise_P, run_P = np.roll(north_P, -1) - north_P, np.roll(east_P, -1) - east_P
    crosses_P = (north_P < 0) != (north_P + rise_P < 0)
    meets_P = east_P - north_P * run_P / np.where(crosses_P, rise_P, 1.0)
    return bool(np.count_nonzero(crosses_P & (meets_P > 0)) % 2)


def _turn(degrees: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """The same turn between -180 and 180."""
    return np.asarray((np.asarray(degrees) + 180) % 360 - 180)
