"""Draws a town seen from above, and its ground truth in COCO beside it: small vehicles among sheds that look like them."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.data.world.canvas import Canvas, Pose, Thing
from training.data.world.ground import Picture, draw_ground
from training.data.world.looks import Colour, Look
from training.data.world.truth import Truth, write_truth

__all__ = ["METRES_PER_PIXEL", "SCENE_CRS", "draw_scene", "draw_town"]

SCENE_CRS = "EPSG:32631"  # UTM zone 31 north
METRES_PER_PIXEL = 0.3
_CORNER = (448_000.0, 5_411_000.0)  # easting and northing of the upper left corner, metres
_BLOCK = 128  # pixels from one street to the next
_ROAD = 34  # pixels across

_PAINTS: tuple[Colour, ...] = ((232, 232, 228), (186, 44, 38), (48, 84, 168), (206, 208, 90))
_SHEDS: tuple[tuple[Colour, Colour], ...] = (((150, 92, 70), (120, 70, 54)), ((128, 128, 122), (160, 158, 150)))


def draw_scene(path: str | Path, *, seed: int, width: int = 512, height: int = 512) -> dict[str, Any]:
    """Write `path` and NAME.coco.json beside it; return the COCO document, whose one image is the whole scene.

    '.tif' becomes a tiled GeoTIFF in SCENE_CRS (needs rasterio), any other suffix a plain picture.
    width, height: pixels of METRES_PER_PIXEL. The same arguments draw the same pixels and the same labels.
    """
    path = Path(path)
    picture_HW3, canvas = draw_town(seed=seed, width=width, height=height)
    if path.suffix == ".tif":
        _write_geotiff(path, picture_HW3)
    else:
        Image.fromarray(picture_HW3).save(path)
    truth = Truth(path.name, description=f"synthetic town from above, seed {seed}")
    truth.add_frame(0, width, height, canvas.labels())
    return write_truth(path, truth)


def draw_town(*, seed: int, width: int, height: int) -> tuple[NDArray[np.uint8], Canvas]:
    """The picture, uint8 (height, width, 3), and the canvas that knows what is where in it."""
    rng = np.random.default_rng([seed, width, height])
    ground_HW3 = draw_ground(rng, height, width, ((70, 92, 52), (112, 124, 76), (158, 150, 116)), (3, 12, 50))
    canvas = Canvas(_lay_roads(ground_HW3))
    places = [*_on_the_roads(rng, width, height), *_in_the_yards(rng, width, height)]
    for number, (look, pose) in enumerate(places):
        canvas.paint(Thing(number=number, look=look, pose=pose))
    noisy = canvas.picture_HW3 + rng.normal(0, 3, (height, width, 1))
    return np.clip(noisy, 0, 255).astype(np.uint8), canvas


def _lay_roads(ground_HW3: Picture) -> Picture:
    """Streets in a grid, one every _BLOCK pixels, with a dashed line along the middle of each."""
    for axis in (0, 1):
        across = np.arange(ground_HW3.shape[axis]) % _BLOCK - _BLOCK // 2
        along = np.arange(ground_HW3.shape[1 - axis])
        road, line = np.abs(across) < _ROAD // 2, np.abs(across) < 1
        view = ground_HW3 if axis == 0 else ground_HW3.transpose(1, 0, 2)
        view[road] = 0.25 * view[road] + 0.75 * np.array([96.0, 96.0, 100.0])
        view[np.ix_(line, along % 16 < 8)] = 190.0
    return ground_HW3


def _on_the_roads(rng: np.random.Generator, width: int, height: int) -> list[tuple[Look, Pose]]:
    """Vehicles on both lanes of every street, at uneven distances and never on a junction."""
    found: list[tuple[Look, Pose]] = []
    for down, length, breadth in ((False, width, height), (True, height, width)):
        for middle in range(_BLOCK // 2, breadth, _BLOCK):
            for lane in (-1, 1):
                along = float(rng.uniform(4, 40))
                while along < length:
                    side = middle + lane * _ROAD / 4 + float(rng.normal(0, 0.8))
                    if abs(along % _BLOCK - _BLOCK / 2) > _ROAD / 2 + 12:
                        angle = (0.0 if lane > 0 else np.pi) + (np.pi / 2 if down else 0.0) + float(rng.normal(0, 0.06))
                        found.append((_vehicle(rng), _pose(rng, along, side, angle, down=down)))
                    along += float(rng.uniform(26, 80))
    return found


def _in_the_yards(rng: np.random.Generator, width: int, height: int) -> list[tuple[Look, Pose]]:
    """Sheds, of a vehicle's size and shape, and a parked vehicle here and there, in rows between the streets."""
    found: list[tuple[Look, Pose]] = []
    clear = _ROAD // 2 + 14
    for row in range(0, height, 30):
        for column in range(0, width, 30):
            off_street = all(abs(place % _BLOCK - _BLOCK / 2) > clear for place in (row, column))
            if off_street and rng.random() < 0.6:
                look = _vehicle(rng) if rng.random() < 0.3 else _shed(rng)
                x, y = column + float(rng.uniform(-3, 3)), row + float(rng.uniform(-3, 3))
                found.append((look, _pose(rng, x, y, float(rng.uniform(-np.pi, np.pi)), down=False)))
    return found


def _pose(rng: np.random.Generator, along: float, side: float, angle: float, *, down: bool) -> Pose:
    x, y = (side, along) if down else (along, side)
    return Pose(x=x, y=y, length=float(rng.uniform(18, 23)), angle=angle)


def _vehicle(rng: np.random.Generator) -> Look:
    paint = _PAINTS[int(rng.integers(len(_PAINTS)))]
    return Look(class_name="vehicle", outline="pill", pattern="cabin", colours=(paint, (34, 38, 46)), aspect=0.5)


def _shed(rng: np.random.Generator) -> Look:
    return Look(class_name=None, outline="box", pattern="ridge", colours=_SHEDS[int(rng.integers(len(_SHEDS)))], aspect=0.6)


def _write_geotiff(path: Path, picture_HW3: NDArray[np.uint8]) -> None:
    import rasterio  # the extra `geo`; plain pictures do without it

    height, width, _ = picture_HW3.shape
    easting, northing = _CORNER
    transform = rasterio.Affine(METRES_PER_PIXEL, 0, easting, 0, -METRES_PER_PIXEL, northing)
    profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "crs": SCENE_CRS, "transform": transform}
    blocks = {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate", "photometric": "rgb"}
    with rasterio.open(path, "w", width=width, height=height, **profile, **blocks) as scene:
        scene.write(picture_HW3.transpose(2, 0, 1))
