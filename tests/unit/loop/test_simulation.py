"""The yardstick by hand-computed cases: what counts, who pays, and that nobody peeks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training.data import rle
from training.data.annotations import Annotation, FrameLabels
from training.data.ontology import Ontology
from training.data.shards import SceneGrid, Shard
from training.loop.annotator import draw_labels
from training.loop.efficiency import e_count, e_time, human_seconds
from training.loop.simulation import Truth, baselines, drawn_by_hand, judge, medians, regret
from training.models.actions import BOX_SECONDS, Actions
from training.store.store import Store

ONTOLOGY = Ontology(name="cars", task="detection", classes=("car",))
VIDEO = Shard(shard_id="s", uri="/s.mp4", kind="video", num_frames=60, width=400, height=100, content_hash="sha256:0")
GRID = SceneGrid(width=256, height=128, tile=128, stride=128, bands=(1, 2, 3), dtype="uint8")
SCENE = Shard(shard_id="s", uri="/s.png", kind="scene", num_frames=2, width=128, height=128, content_hash="sha256:0", scene=GRID)


def box(x: float, width: float = 10.0, score: float | None = None) -> Annotation:
    kind = "human" if score is None else "model"
    return Annotation(class_name="car", bbox_xyxy=(x, 0.0, x + width, 10.0), score=score, provenance=kind)


def frames(shard: Shard, *per_frame: tuple[Annotation, ...]) -> tuple[FrameLabels, ...]:
    return tuple(FrameLabels(shard_id=shard.shard_id, frame_index=i, annotations=a) for i, a in enumerate(per_frame))


def straight() -> Truth:
    return Truth(shard=VIDEO, ontology=ONTOLOGY, labels=frames(VIDEO, *((box(2.0 * i),) for i in range(60))))


def test_the_numbers_of_the_design_page_come_out() -> None:
    """60 objects, 5 drawn, 9 adjusted, 46 confirmed, 55 frames looked at: 0.77 and 0.54."""
    due = Actions(adjust=9, confirm=46)
    assert e_count(drawn=5, corrected=Actions(), due=due, objects=60) == pytest.approx(46 / 60)
    spent = human_seconds(Actions(draw=5, adjust=9, confirm=46), looks=55, seconds=BOX_SECONDS)
    assert spent == pytest.approx(5 * 7 + 9 * 7 + 55 * 1.7)
    assert e_time(spent_seconds=spent, objects=60, seconds=BOX_SECONDS) == pytest.approx(0.544, abs=0.001)


def test_perfect_labels_reach_the_ceiling_and_silence_costs_every_object() -> None:
    truth, touched = straight(), [6, 18, 30, 42, 54]
    spent = drawn_by_hand(truth, touched)
    perfect, silent = judge(truth, truth.labels, spent), judge(truth, [], spent)
    assert perfect["e_count"] == pytest.approx(1 - 5 / 60)
    assert (perfect["precision"], perfect["recall"], perfect["frames_scored"]) == (1.0, 1.0, 55)
    assert perfect["actions"] == {"draw": 5, "delete": 0, "adjust": 0, "confirm": 55}
    assert silent["e_count"] == pytest.approx(0.0)
    assert silent["recall"] == 0.0


def test_frames_a_person_touched_are_not_scored() -> None:
    truth, touched = straight(), [6, 18, 30, 42, 54]
    wrong_there = [replace(frame, annotations=()) if frame.frame_index in touched else frame for frame in truth.labels]
    assert judge(truth, wrong_there, drawn_by_hand(truth, touched))["recall"] == 1.0


def test_only_the_chosen_frames_reach_the_store_and_as_a_persons(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path / "store"))
    store.add_shard(VIDEO)
    store.add_ontology(ONTOLOGY)
    draw_labels(store, straight(), [6, 18, 54])
    stored = store.labels("s", "cars")
    assert [frame.frame_index for frame in stored] == [6, 18, 54]
    assert {annotation.provenance for frame in stored for annotation in frame.annotations} == {"human"}


def test_interpolation_is_the_better_of_both_spreads_and_perfect_on_straight_motion() -> None:
    found = baselines(straight(), [6, 18, 30, 42, 54])["interpolation"]
    assert (found["recall"], found["tight_recall"], found["e_count"]) == (1.0, 1.0, pytest.approx(1 - 5 / 60))


def test_interpolation_is_a_neighbour_for_masks_too() -> None:
    masks = []
    for index in range(60):
        mask_HW = np.zeros((100, 400), np.bool_)
        mask_HW[40:60, 4 * index : 4 * index + 30] = True
        counts = rle.encode(mask_HW)
        masks.append((Annotation(class_name="car", bbox_xyxy=rle.mask_box(counts, 100, 400), rle_counts=counts),))
    ontology = replace(ONTOLOGY, task="segmentation")
    found = baselines(Truth(shard=VIDEO, ontology=ontology, labels=frames(VIDEO, *masks)), [0, 15, 30, 44, 59])
    assert (found["interpolation"]["j"], found["interpolation"]["miou"]) == (1.0, 1.0)


def test_a_scene_is_scored_merged_over_objects_centred_in_untouched_tiles() -> None:
    labels = frames(SCENE, (box(20),), (box(-3.0), box(60)))  # in pixels of their tiles; one reaches over the seam
    truth = Truth(shard=SCENE, ontology=ONTOLOGY, labels=labels)
    doubled = frames(SCENE, (box(20, score=0.9), box(125, score=0.4)), (box(-3.0, score=0.8), box(60, score=0.9)))
    judged = judge(truth, doubled, drawn_by_hand(truth, [0]))
    assert (judged["precision"], judged["recall"]) == (1.0, 1.0)
    both = judge(truth, doubled, drawn_by_hand(truth, []))
    assert (both["precision"], both["recall"]) == (1.0, 1.0), "what two tiles found is one object"
    assert baselines(truth, [0]) == {}


def test_regret_is_against_the_better_of_the_two() -> None:
    neighbours = {"interpolation": {"tight_recall": 0.9}, "hybrid": {"tight_recall": 0.85}}
    assert regret({"tight_recall": 0.7}, neighbours) == pytest.approx(0.05)
    assert regret({"tight_recall": 0.7}, {"interpolation": neighbours["interpolation"], "hybrid": {"tight_recall": 0.95}}) < 0
    assert regret({"tight_recall": 0.7}, {}) is None


def test_timings_change_the_seconds_and_not_the_counts() -> None:
    truth, touched = straight(), [6, 18, 30, 42, 54]
    table, quick = truth, replace(truth, timings={"detection": {"draw": 3.5, "look": 1.0}})
    said = [replace(frame, annotations=()) if frame.frame_index == 0 else frame for frame in truth.labels]
    usual, own = (judge(one, said, drawn_by_hand(one, touched)) for one in (table, quick))
    assert (usual["human_seconds"], usual["human_seconds_due"]) == (5 * 7.0, pytest.approx(7.0 + 55 * 1.7))
    assert (own["human_seconds"], own["human_seconds_due"]) == (5 * 3.5, pytest.approx(3.5 + 55 * 1.0))
    assert own["e_time"] == pytest.approx(1 - (6 * 3.5 + 55) / (60 * 3.5))
    assert usual["e_count"] == own["e_count"]


def test_ratios_to_interpolation_are_over_shards_whose_motion_is_not_linear() -> None:
    entries = [
        {
            "generations": [{"generation": 1}],
            "baselines": {},
            "equal_quality": {"ratio": ratio, "ratio_with_looks": None, "motion_not_linear": bent},
        }
        for ratio, bent in ((0.2, True), (0.4, True), (9.0, False))
    ]
    assert medians([*entries, {**entries[0], "equal_quality": None}]) == {"equal_quality.ratio": pytest.approx(0.3)}


def test_medians_are_over_shards_and_name_their_neighbour() -> None:
    entries = [
        {"generations": [{"generation": 1, "recall": r, "actions": {}}], "baselines": {"interpolation": {"recall": r / 2}}}
        for r in (0.2, 0.4, 1.0)
    ]
    assert medians(entries) == {"recall": 0.4, "interpolation.recall": 0.2}
