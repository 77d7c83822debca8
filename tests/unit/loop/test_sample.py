"""Which frames are labelled first: spread in time, and standing for everything that a shard shows."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.data.sources import probe
from training.loop.sample import evenly_spaced, representative, representative_frames, varied
from training.models.backbones import Backbone

SCRATCH = Backbone(name="mobilenet_v2", weights="none")


@pytest.mark.parametrize(("count", "ends", "expected"), [(5, False, [6, 18, 30, 42, 54]), (5, True, [0, 15, 30, 44, 59])])
def test_frames_are_spread_evenly(count: int, ends: bool, expected: list[int]) -> None:
    assert evenly_spaced(60, count, with_ends=ends) == expected
    assert evenly_spaced(3, 5) == [0, 1, 2]


def groups(*sizes: int, seed: int = 0) -> np.ndarray:
    """Rows in clusters around far apart centres, one cluster after the other."""
    random = np.random.default_rng(seed)
    centres = np.eye(len(sizes), 16, dtype=np.float32) * 10
    return np.concatenate([centre + random.normal(0, 0.1, (size, 16)) for centre, size in zip(centres, sizes, strict=True)])


def test_every_kind_of_frame_is_represented_before_any_twice() -> None:
    chosen = representative(groups(30, 4, 20).astype(np.float32), 3)
    assert [sum(low <= i < high for i in chosen) for low, high in ((0, 30), (30, 34), (34, 54))] == [1, 1, 1]


def test_frames_that_all_look_alike_are_spread_in_time() -> None:
    chosen = representative(np.ones((100, 4), np.float32), 4, times=np.arange(100.0))
    assert all(abs(found - wanted) <= 6 for found, wanted in zip(chosen, (12, 37, 62, 87), strict=True)), chosen


def test_rare_kinds_of_ground_are_shown_as_well_as_common_ones() -> None:
    forest, water, road = np.eye(3)
    rows = np.stack([forest] * 20 + [0.5 * forest + 0.5 * water] * 5 + [0.9 * forest + 0.1 * road])
    chosen = varied(rows, 2)
    assert 25 in chosen
    assert any(20 <= row < 25 for row in chosen)


def test_no_more_rows_than_there_are() -> None:
    assert representative(groups(2, 1).astype(np.float32), 5) == [0, 1, 2]


def test_slivers_at_the_edge_of_a_scene_are_not_labelled_first(tmp_path: Path) -> None:
    noise_HW3 = np.random.default_rng(0).integers(0, 256, (136, 136, 3), np.uint8)
    Image.fromarray(noise_HW3).save(tmp_path / "scene.png")
    shard = probe(tmp_path / "scene.png", tile=64, stride=64)
    assert shard.num_frames == 9
    assert set(representative_frames(shard, range(9), 3, backbone=SCRATCH)) <= {0, 1, 3, 4}
