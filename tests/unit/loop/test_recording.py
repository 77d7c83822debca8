"""Answers become labels and ledger once, also while a generation is being fitted and when a writer dies in between."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from training.data import rle
from training.data.annotations import Annotation, FrameLabels, labels_hash
from training.data.ontology import Ontology
from training.data.pictures import encode_jpeg
from training.data.shards import SceneGrid, Shard
from training.data.sources import probe
from training.errors import BadAnnotation, ConflictingAction, CorruptLedger, StoreFull
from training.learning.generation import fit_jobs, plan_fits
from training.learning.recipes import smoke
from training.loop.answers import FrameAnswer
from training.loop.plausible import plausible
from training.loop.recording import record
from training.loop.review import Vocabulary, differences
from training.models.backbones import Backbone
from training.store.store import Store

CARS = Ontology(name="cars", task="detection", classes=("car", "bus"))
WHEN = "2026-01-02T03:04:05+00:00"
RECIPE = replace(smoke(), steps=2, report_every=1)
BACKBONE = Backbone(weights="none")


def car(x: float, score: float | None = None) -> Annotation:
    kind: Literal["human", "model"] = "human" if score is None else "model"
    return Annotation(class_name="car", bbox_xyxy=(x, 2.0, x + 16.0, 22.0), provenance=kind, score=score)


def frame(index: int, *said: Annotation) -> FrameLabels:
    return FrameLabels(shard_id="road", frame_index=index, annotations=said)


def answer(index: int, *said: Annotation, **values: Any) -> FrameAnswer:
    given = {"answer_id": f"ann-{index}", "kind": "review", "generation": 1, "who": "ann", "when": WHEN, "ontology": "cars"}
    return FrameAnswer(labels=frame(index, *said), **{**given, **values})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Eight dark pictures with one bright square each, two of them labelled, all of them predicted by generation 1."""
    source = tmp_path / "road"
    source.mkdir()
    for index in range(8):
        picture_HW3 = np.random.default_rng(index).integers(0, 80, (48, 96, 3), np.uint8)
        picture_HW3[2:22, 5 * index : 5 * index + 16] = 240
        (source / f"{index}.jpg").write_bytes(encode_jpeg(picture_HW3))
    made = Store.create(str(tmp_path / "store"))
    made.add_shard(probe(str(source), shard_id="road"))
    made.add_ontology(CARS)
    made.annotate("road", "cars", [frame(0, car(0)), frame(6, car(30))])
    made.predictions.write("road", "cars", 1, 0, 8, [frame(n, car(5 * n, 0.9), car(70, 0.4)) for n in range(8)])
    return made


def test_a_correction_that_comes_while_a_generation_is_fitted_goes_into_the_next_one(store: Store) -> None:
    def plan() -> Any:
        return plan_fits(store, ["road"], None, recipe=RECIPE, backbone=BACKBONE, seed=0)

    before = labels_hash(store.labels_to_fit("road", "cars"))
    corrected: list[bool] = []

    def correct(shard_id: str, step: int, metrics: Any) -> None:
        if not corrected:
            corrected.extend(new for _, new in record(store, [answer(3, car(15))]))

    (receipt,) = fit_jobs(store, plan().jobs, recipe=RECIPE, backbone=BACKBONE, seed=0, report=correct)
    assert (corrected, receipt.error) == ([True], None)
    card = store.registry.card("road", "cars", 1)
    assert (card.labels_hash, card.num_labelled) == (before, 2)
    (job,) = plan().jobs
    (receipt,) = fit_jobs(store, [job], recipe=RECIPE, backbone=BACKBONE, seed=0)
    card = store.registry.card("road", "cars", 2)
    assert (card.labels_hash, card.num_labelled) == (labels_hash(store.labels_to_fit("road", "cars")), 3)
    assert [action.generation for action in store.ledger.read()] == [1, 1, 1]


def test_an_answer_whose_writer_died_between_labels_and_ledger_is_completed_when_it_comes_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: Any) -> Any:
        raise StoreFull("no room")

    with monkeypatch.context() as broken:
        broken.setattr(store.ledger, "append", lambda actions: die() if actions else None)
        with pytest.raises(StoreFull):
            record(store, [answer(3, car(15))])
    assert list(store.ledger.read()) == []
    assert [new for _, new in record(store, [answer(3, car(15))])] == [True]
    assert Counter(action.action for action in store.ledger.read()) == {"look": 1, "confirm": 1, "delete": 1}
    assert [one.frame_index for one in store.labels("road", "cars")] == [0, 3, 6]


def test_another_process_knows_what_was_answered(store: Store) -> None:
    record(store, [answer(3, car(15))])
    elsewhere = Store.open(store.url)
    assert [new for _, new in record(elsewhere, [answer(3, car(15))])] == [False]
    with pytest.raises(ConflictingAction, match="'ann-3' comes again"):
        record(elsewhere, [answer(3, car(15), car(40))])
    with pytest.raises(ConflictingAction):
        record(elsewhere, [answer(3, car(15), who="bob")])
    assert [len(one.annotations) for one in store.labels("road", "cars")] == [1, 1, 1]


def test_a_ledger_cut_off_in_a_record_takes_new_answers_and_what_it_lost_of_an_old_one(store: Store) -> None:
    record(store, [answer(3, car(15))])
    whole = list(store.ledger.read())
    key = "ledger/road/cars/0001.jsonl"
    store.objects.put(key, store.objects.read(key)[:-30])
    damaged = Store.open(store.url)
    with pytest.raises(CorruptLedger):
        list(damaged.ledger.read())
    assert [new for _, new in record(damaged, [answer(4, car(20))])] == [True]
    assert [new for _, new in record(damaged, [answer(3, car(15))])] == [False]
    with pytest.raises(ConflictingAction):
        record(damaged, [answer(3, car(40))])
    found = [action for action in damaged.ledger.read(damaged=print) if action.frame_index == 3]
    assert Counter(action.digest for action in found) == Counter(action.digest for action in whole)


def test_what_the_person_says_was_a_proposal_is_adjusted_however_far_it_was_moved(store: Store) -> None:
    ((work, _),) = record(store, [answer(3, car(60), same={0: "0"})])
    assert work.actions_done.to_json() == {"draw": 0, "delete": 1, "adjust": 1, "confirm": 0}
    adjusted = next(action for action in store.ledger.read() if action.action == "adjust")
    assert (adjusted.annotation_id, adjusted.before and adjusted.before.bbox_xyxy) == ("0", (15, 2, 31, 22))


def test_without_names_the_nearest_proposal_was_adjusted_and_a_shift_that_a_file_makes_is_none(store: Store) -> None:
    ((work, _),) = record(store, [answer(3, car(15.4), car(73))])
    assert work.actions_done.to_json() == {"draw": 0, "delete": 0, "adjust": 1, "confirm": 1}
    first, second = store.labels("road", "cars")[1].annotations
    assert (first.bbox_xyxy, first.provenance) == ((15, 2, 31, 22), "model")
    assert (second.bbox_xyxy, second.provenance) == ((73, 2, 89, 22), "human")


def test_labels_of_a_detector_are_reviewed_as_nobodys_generation(store: Store) -> None:
    store.predictions.write("road", "cars", 0, 3, 4, [frame(3, car(15, 0.9))])
    ((work, _),) = record(store, [answer(3, car(15), generation=0)])
    assert {(action.round_kind, action.generation) for action in work.actions} == {("review", None)}


def test_masks_get_their_box_and_points_theirs() -> None:
    mask_HW = np.zeros((48, 96), np.bool_)
    mask_HW[10:20, 30:50] = True
    shard = Shard(shard_id="s", uri="/s", kind="images", num_frames=1, width=96, height=48, content_hash="")
    masks = Vocabulary(shard, replace(CARS, task="segmentation"))
    drawn = Annotation(class_name="car", rle_counts=rle.encode(mask_HW))
    assert plausible(masks, 0, drawn).bbox_xyxy == (30, 10, 50, 20)
    with pytest.raises(BadAnnotation, match="no mask"):
        plausible(masks, 0, car(3))
    points = Vocabulary(shard, replace(CARS, task="keypoints", keypoints=("front", "back")))
    named = Annotation(class_name="car", keypoints_xyv=(20, 20, 2, 40, 20, 1))
    assert plausible(points, 0, named).bbox_xyxy == pytest.approx((17, 17, 43, 23))
    for flat in ((20, 20, 2), (20, 20, 2, 99, 20, 2), (20, 20, 2, 40, 20, 3)):
        with pytest.raises(BadAnnotation):
            plausible(points, 0, replace(named, keypoints_xyv=flat))


def test_an_object_of_a_tile_may_stick_out_of_it_but_not_of_the_scene() -> None:
    grid = SceneGrid(width=256, height=128, tile=128, stride=128, bands=(1, 2, 3), dtype="uint8")
    shard = Shard(shard_id="s", uri="/s", kind="scene", num_frames=2, width=128, height=128, content_hash="", scene=grid)
    about = Vocabulary(shard, CARS)
    assert plausible(about, 0, car(118)).bbox_xyxy == (118, 2, 134, 22)
    assert plausible(about, 1, car(-6)).bbox_xyxy == (-6, 2, 10, 22)
    for index, x in ((0, 125), (0, -6), (1, 118)):
        with pytest.raises(BadAnnotation):
            plausible(about, index, car(x))


def test_classes_of_a_frame_and_masks_of_one_class_are_compared_as_the_task_counts_them() -> None:
    shard = Shard(shard_id="road", uri="/s", kind="images", num_frames=1, width=96, height=48, content_hash="")
    day = Annotation(class_name="car", level="image")
    night = replace(day, class_name="bus")
    whole = Vocabulary(shard, replace(CARS, task="classification"))
    for proposed, corrected, done in (
        (frame(0, day), frame(0, day), ["look", "confirm"]),
        (frame(0, day), frame(0, night), ["look", "adjust"]),
        (frame(0, day), frame(0), ["look", "delete"]),
        (frame(0), frame(0, night), ["look", "draw"]),
    ):
        assert [deed.action for deed in differences(whole, proposed, corrected)] == done
