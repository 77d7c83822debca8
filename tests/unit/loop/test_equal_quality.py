"""How many keyframes interpolation needs to be as good: hand-computed where motion is straight, bent, or a zigzag."""

from typing import Any

import pytest

from training.data.annotations import Annotation, FrameLabels
from training.data.ontology import Ontology
from training.data.shards import SceneGrid, Shard
from training.loop.equal_quality import equal_quality
from training.loop.simulation import Truth

CARS = Ontology(name="cars", task="detection", classes=("car",))
VIDEO = Shard(shard_id="s", uri="/s.mp4", kind="video", num_frames=61, width=900, height=100, content_hash="sha256:0")


def moving(*xs: float, **changes: Any) -> Truth:
    """One box of 10 by 10 pixels on each frame, its left side at x."""
    boxes = (Annotation(class_name="car", bbox_xyxy=(x, 0.0, x + 10.0, 10.0), track_id="1") for x in xs)
    labels = tuple(FrameLabels(shard_id="s", frame_index=i, annotations=(one,)) for i, one in enumerate(boxes))
    return Truth(**{"shard": VIDEO, "ontology": CARS, "labels": labels, **changes})


def reached(tight_recall: float, *, human_seconds: float = 35.0, frames_scored: int = 56) -> dict[str, Any]:
    return {"tight_recall": tight_recall, "human_seconds": human_seconds, "frames_scored": frames_scored}


def test_straight_motion_needs_its_two_ends_and_no_micro_model() -> None:
    found = equal_quality(moving(*(2.0 * i for i in range(61))), reached(1.0), {})
    assert found is not None
    assert (found["interpolation_keyframes"], found["interpolation_seconds"]) == (2, 2 * 7.0)
    assert found["ratio"] == pytest.approx(35 / 14)
    assert found["ratio_with_looks"] == pytest.approx((35 + 56 * 1.7) / (14 + 59 * 1.7))
    assert (found["motion_not_linear"], found["interpolation_from_few"]) == (False, 1.0)


def test_a_bend_between_any_few_keyframes_costs_interpolation_more_of_them() -> None:
    """Every 12th frame it turns back: only keyframes at most 12 apart that hit every turn are right everywhere."""
    turns = [6.0 * abs((i + 12) % 24 - 12) for i in range(61)]
    found = equal_quality(moving(*turns), reached(1.0), {})
    assert found is not None
    assert found["interpolation_keyframes"] == 6, "0, 12, 24, 36, 48 and 60 are exact"
    assert found["interpolation_quality"] == 1.0
    assert found["motion_not_linear"]
    worse = equal_quality(moving(*turns), reached(0.05), {})
    assert worse is not None
    assert worse["interpolation_keyframes"] < 6
    assert 0.05 <= worse["interpolation_quality"] < 1.0


def test_a_quality_that_interpolation_never_has_costs_drawing_everything() -> None:
    found = equal_quality(moving(*(200.0 * (i % 2) for i in range(61))), reached(1.0, human_seconds=35.0), {})
    assert found is not None
    assert (found["interpolation_keyframes"], found["interpolation_seconds"]) == (61, 61 * 7.0)
    assert found["ratio"] == pytest.approx(35 / (61 * 7.0))
    assert found["ratio_with_looks"] == pytest.approx((35 + 56 * 1.7) / (61 * 7.0))


def test_the_better_of_micro_model_and_hybrid_is_what_must_be_equalled_and_it_is_named() -> None:
    truth, neighbours = moving(*(2.0 * i for i in range(61))), {"hybrid": reached(0.8), "interpolation": reached(1.0)}
    found, other = (equal_quality(truth, reached(mine), neighbours) for mine in (0.7, 0.9))
    assert found is not None
    assert other is not None
    assert (found["by"], found["quality"], other["by"], other["quality"]) == ("hybrid", 0.8, "micro-model", 0.9)


def test_timings_charge_the_drawing_and_the_looks() -> None:
    truth = moving(*(2.0 * i for i in range(61)), timings={"detection": {"draw": 3.0, "look": 0.5}})
    found = equal_quality(truth, reached(1.0), {})
    assert found is not None
    assert found["interpolation_seconds"] == 2 * 3.0
    assert found["ratio_with_looks"] == pytest.approx((35 + 56 * 0.5) / (6 + 59 * 0.5))


def test_tiles_of_a_scene_have_no_order_to_interpolate_in() -> None:
    grid = SceneGrid(width=256, height=128, tile=128, stride=128, bands=(1, 2, 3), dtype="uint8")
    scene = Shard(
        shard_id="s", uri="/s.png", kind="scene", num_frames=2, width=128, height=128, content_hash="sha256:0", scene=grid
    )
    assert equal_quality(moving(0.0, 0.0, shard=scene), reached(1.0), {}) is None
