"""A scene that is on a map lies somewhere on Earth; nothing else does."""

from dataclasses import replace

import numpy as np
import pytest

from training.data.shards import SceneGrid, Shard
from training.domain.footprint import footprint, inside
from training.errors import BadInput

pytest.importorskip("rasterio")

GRID = SceneGrid(width=1000, height=500, tile=100, stride=100, bands=(1, 2, 3), dtype="uint8")


def scene(shard: Shard, crs: str, *transform: float) -> Shard:
    grid = replace(GRID, crs=crs, transform=tuple(transform))
    return replace(shard, kind="scene", num_frames=50, width=100, height=100, scene=grid)


def test_a_scene_in_degrees_lies_between_its_edges(shards: dict[str, Shard]) -> None:
    ring_P2 = footprint(scene(shards["pond"], "EPSG:4326", 0.001, 0, 9, 0, -0.001, 54))
    assert ring_P2.min(axis=0) == pytest.approx([9, 53.5])
    assert ring_P2.max(axis=0) == pytest.approx([10, 54])
    points = {(9.5, 53.75): True, (9.001, 53.501): True, (8.999, 53.75): False, (9.5, 54.001): False, (9.5 - 360, 53.75): True}
    assert {point: inside(ring_P2, *point) for point in points} == points


def test_a_scene_in_metres_is_found_by_degrees(shards: dict[str, Shard]) -> None:
    """UTM zone 32 north: its middle is at 9 degrees east, where x is 500,000 m."""
    ring_P2 = footprint(scene(shards["pond"], "EPSG:32632", 10, 0, 495_000, 0, -10, 5_930_000))
    assert inside(ring_P2, 9.0, 53.5)
    assert not inside(ring_P2, 9.2, 53.5)


def test_a_turned_scene_does_not_have_the_corners_of_its_bounds(shards: dict[str, Shard]) -> None:
    turned = footprint(scene(shards["pond"], "EPSG:4326", 0.001, 0.001, 9, 0.001, -0.001, 53))
    assert inside(turned, 9.75, 53.25)
    assert not inside(turned, float(turned[:, 0].min()) + 0.01, float(turned[:, 1].min()) + 0.01)


def test_a_scene_over_the_date_line_is_in_one_piece(shards: dict[str, Shard]) -> None:
    ring_P2 = footprint(scene(shards["pond"], "EPSG:32760", 100, 0, 750_000, 0, -100, 8_000_000))
    assert np.ptp(ring_P2[:, 0]) < 2
    assert inside(ring_P2, 179.9, -18.2)
    assert inside(ring_P2, -179.9, -18.2)
    assert not inside(ring_P2, 0, -18.2)


def test_what_is_on_no_map_is_nowhere(shards: dict[str, Shard]) -> None:
    plain = replace(shards["pond"], kind="scene", num_frames=50, width=100, height=100, scene=GRID)
    for shard in (shards["pond"], plain):
        assert footprint(shard).shape == (0, 2)
    assert not inside(footprint(plain), 9.5, 53.5)


def test_a_reference_system_that_nobody_knows_is_named(shards: dict[str, Shard]) -> None:
    with pytest.raises(BadInput, match="EPSG:1"):
        footprint(scene(shards["pond"], "EPSG:1", 1, 0, 0, 0, -1, 0))
