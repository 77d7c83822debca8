"""What the simulated annotator does is what the ledger charges, by hand-computed cases."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training.data import rle
from training.data.annotations import Annotation, FrameLabels
from training.data.ontology import Ontology
from training.data.shards import SceneGrid, Shard
from training.loop.annotator import ANNOTATOR, draw_audit, draw_labels, review
from training.loop.efficiency import Spent
from training.loop.simulation import Truth, judge
from training.models.actions import BOX_SECONDS, Actions
from training.store.store import Store

CARS = Ontology(name="cars", task="detection", classes=("car", "bus"))
VIDEO = Shard(shard_id="s", uri="/s.mp4", kind="video", num_frames=10, width=400, height=100, content_hash="sha256:0")


def thing(x: float, width: float = 20.0, name: str = "car", score: float | None = None) -> Annotation:
    kind = "human" if score is None else "model"
    return Annotation(class_name=name, bbox_xyxy=(x, 0.0, x + width, 20.0), score=score, provenance=kind)


def frame(index: int, *annotations: Annotation) -> FrameLabels:
    return FrameLabels(shard_id="s", frame_index=index, annotations=annotations)


def opened(folder: Path, truth: Truth) -> Store:
    store = Store.create(str(folder / "store"))
    store.add_shard(truth.shard)
    store.add_ontology(truth.ontology)
    return store


def two_cars() -> Truth:
    return Truth(shard=VIDEO, ontology=CARS, labels=tuple(frame(i, thing(10), thing(100)) for i in range(10)))


def test_a_round_of_labels_an_audit_and_a_review_costs_what_the_table_says(tmp_path: Path) -> None:
    truth = two_cars()
    store = opened(tmp_path, truth)
    draw_labels(store, truth, [0, 5])  # 4 boxes drawn
    draw_audit(store, truth, 9)  # 2 boxes drawn, 1 look
    exact, loose, elsewhere = thing(100, score=0.9), thing(10, width=13.0, score=0.8), thing(300, score=0.5)
    review(store, truth, [7], [frame(7, elsewhere, loose, exact)], generation=1)  # 1 look, 1 adjusted, 1 deleted
    review(store, truth, [8], [frame(8, exact)], generation=1)  # 1 look, 1 drawn
    spent = Spent.from_ledger(store.ledger.read("s", "cars"), BOX_SECONDS)
    assert (spent.drawn, spent.looks) == (6, 3)
    assert spent.corrected == Actions(draw=1, delete=1, adjust=1, confirm=2)
    assert spent.seconds == pytest.approx((6 + 1 + 1) * 7.0 + 1.7 + 3 * 1.7)
    assert (spent.labelled, spent.audited, spent.reviewed) == ({0, 5}, {9}, {7, 8})

    judged = judge(truth, truth.labels, spent)
    assert (judged["frames_touched"], judged["frames_scored"]) == (5, 5)
    assert judged["e_count"] == judged["e_count_ceiling"] == pytest.approx(1 - (6 + 3) / 20)
    assert judged["actions"] == {"draw": 7, "delete": 1, "adjust": 1, "confirm": 2 + 10}
    assert judged["e_time"] == pytest.approx(1 - (spent.seconds + 5 * 1.7) / (20 * 7.0))
    silent = judge(truth, [], spent)
    assert silent["e_count"] == pytest.approx(1 - (6 + 3 + 10) / 20)


def test_what_was_confirmed_stays_as_the_machine_drew_it_and_the_rest_becomes_true(tmp_path: Path) -> None:
    truth = two_cars()
    store = opened(tmp_path, truth)
    near, loose = thing(101, score=0.9), thing(10, width=13.0, score=0.8)
    review(store, truth, [7], [frame(7, loose, near)], generation=3)
    (labels,) = store.labels_to_fit("s", "cars")
    boxes = {one.bbox_xyxy: one for one in labels.annotations}
    assert set(boxes) == {near.bbox_xyxy, thing(10).bbox_xyxy}
    assert boxes[near.bbox_xyxy].provenance == "model"
    assert boxes[near.bbox_xyxy].confirmed_at is not None
    assert boxes[thing(10).bbox_xyxy].provenance == "human"
    adjusted = next(action for action in store.ledger.read("s", "cars") if action.action == "adjust")
    assert (adjusted.before, adjusted.generation, adjusted.who) == (loose, 3, ANNOTATOR)
    assert adjusted.after is not None
    assert adjusted.after.bbox_xyxy == thing(10).bbox_xyxy


def test_a_wrong_class_is_adjusted_and_an_object_nobody_can_judge_costs_nothing(tmp_path: Path) -> None:
    blurred = replace(thing(200), ambiguous=True)
    truth = Truth(shard=VIDEO, ontology=CARS, labels=(frame(0, thing(10), blurred),))
    store = opened(tmp_path, truth)
    review(store, truth, [0], [frame(0, thing(10, name="bus", score=0.9), thing(200, score=0.4))], generation=1)
    assert Spent.from_ledger(store.ledger.read(), BOX_SECONDS).corrected == Actions(adjust=1)
    assert {(one.class_name, one.ambiguous) for one in store.labels("s", "cars")[0].annotations} == {
        ("car", False),
        ("car", True),
    }


def test_audit_frames_are_in_the_store_but_never_fitted_on(tmp_path: Path) -> None:
    truth = two_cars()
    store = opened(tmp_path, truth)
    draw_labels(store, truth, [0])
    draw_audit(store, truth, 4)
    assert [one.frame_index for one in store.labels_to_fit("s", "cars")] == [0]
    assert store.audit_frames("s", "cars") == {4}


def test_the_same_work_done_twice_is_charged_once(tmp_path: Path) -> None:
    truth = two_cars()
    store = opened(tmp_path, truth)
    for _ in range(2):
        draw_labels(store, truth, [0])
        review(store, truth, [1], [frame(1, thing(10, score=0.9))], generation=1)
    spent = Spent.from_ledger(store.ledger.read(), BOX_SECONDS)
    assert (spent.drawn, spent.corrected) == (2, Actions(draw=1, confirm=1))


def test_masks_of_one_class_are_one_thing_to_confirm(tmp_path: Path) -> None:
    def mask(x: int, score: float | None = None) -> Annotation:
        area_HW = np.zeros((100, 400), np.bool_)
        area_HW[20:60, x : x + 40] = True
        counts = rle.encode(area_HW)
        return replace(thing(0, score=score), bbox_xyxy=rle.mask_box(counts, 100, 400), rle_counts=counts)

    ontology = replace(CARS, task="segmentation")
    truth = Truth(shard=VIDEO, ontology=ontology, labels=(frame(0, mask(10), mask(100)), frame(1, mask(10))))
    store = opened(tmp_path, truth)
    review(store, truth, [0], [frame(0, mask(12, 0.9), mask(102, 0.8))], generation=1)
    assert Spent.from_ledger(store.ledger.read(), BOX_SECONDS).corrected == Actions(confirm=1)
    assert len(store.labels("s", "cars")[0].annotations) == 2


def test_a_tile_is_not_blamed_for_an_object_whose_centre_is_in_the_next_one(tmp_path: Path) -> None:
    grid = SceneGrid(width=256, height=128, tile=128, stride=128, bands=(1, 2, 3), dtype="uint8")
    scene = replace(VIDEO, kind="scene", num_frames=2, width=128, height=128, scene=grid)
    truth = Truth(shard=scene, ontology=CARS, labels=(frame(0, thing(10)), frame(1, thing(2))))
    store = opened(tmp_path, truth)
    review(store, truth, [0], [frame(0, thing(10, score=0.9), thing(125, score=0.7))], generation=1)
    assert Spent.from_ledger(store.ledger.read(), BOX_SECONDS).corrected == Actions(confirm=1)
