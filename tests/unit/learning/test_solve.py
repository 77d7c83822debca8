"""Classification of whole frames as it is fitted: a drawn video whose class depends on where an object is."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from training import fit
from training.data.annotations import Annotation, FrameLabels
from training.data.frames import Frame
from training.data.ontology import Ontology
from training.data.sources import probe
from training.errors import FitDiverged
from training.learning.fit import fit_bank
from training.learning.gather import gather
from training.learning.labelled import LabelledFrames
from training.learning.recipes import RECIPES, recipe, smoke
from training.models import classification
from training.models.backbones import Backbone
from training.models.bank import Bank
from training.models.classification import Classification
from training.models.micro_model import MicroModel
from training.models.ridge import Ridge, solve_ridge
from training.store.store import Store

SCRATCH = Backbone(name="resnet18", weights="none")
SIDES = Ontology(name="sides", task="classification", classes=("left", "right"))


def picture(index: int) -> np.ndarray:
    """A busy background that never changes, and a square: left in even frames, right in odd ones, anywhere in height."""
    image_HW3 = np.random.default_rng(0).integers(0, 120, (96, 128, 3)).astype(np.uint8).repeat(2, 0).repeat(2, 1)[:96, :128]
    x, y = (8 if index % 2 == 0 else 84) + index % 5 * 3, 6 + index * 17 % 56
    image_HW3[y : y + 28, x : x + 28] = (240, 220, 60)
    return image_HW3


def sides(index: int) -> tuple[str, ...]:
    return ("left",) if index % 2 == 0 else ("right",)


def labels(index: int, *names: str, ambiguous: bool = False) -> FrameLabels:
    said = tuple(Annotation(class_name=name, level="image", ambiguous=ambiguous) for name in names)
    return FrameLabels(shard_id="room", frame_index=index, annotations=said)


def frame(index: int, image_HW3: np.ndarray | None = None) -> Frame:
    return Frame(shard_id="room", frame_index=index, image_HW3=picture(index) if image_HW3 is None else image_HW3)


def fitted(*labelled: FrameLabels, ontology: Ontology = SIDES, num_others: int = 20) -> MicroModel:
    frames = tuple(frame(one.frame_index) for one in labelled)
    others = tuple(frame(index) for index in range(10, 10 + num_others))
    shard = LabelledFrames(shard_id="room", ontology=ontology, frames=frames, labels=labelled, others=others)
    return fit_bank([shard], recipe=smoke(), backbone=SCRATCH).models["room"]


def shown(model: MicroModel, *frames: Frame) -> list[tuple[str, ...]]:
    return [tuple(a.class_name for a in said.annotations) for said in Bank([model]).predict(frames, [0] * len(frames))]


@pytest.fixture(scope="module")
def model() -> MicroModel:
    return fitted(*(labels(index, *sides(index)) for index in range(5)))


def test_where_an_object_is_decides_on_frames_nobody_labelled(model: MicroModel) -> None:
    assert shown(model, *map(frame, range(30, 50))) == [sides(index) for index in range(30, 50)]


def test_scores_are_surer_on_frames_like_the_labelled_ones_than_on_one_that_shows_nothing(model: MicroModel) -> None:
    empty_HW3 = np.random.default_rng(0).integers(0, 120, (96, 128, 3)).astype(np.uint8).repeat(2, 0).repeat(2, 1)[:96, :128]
    *seen, empty = (
        said.annotations[0].score for said in Bank([model]).predict([*map(frame, range(5)), frame(9, empty_HW3)], [0] * 6)
    )
    assert min(score or 0 for score in seen) > (empty or 0)
    assert max(score or 0 for score in seen) < 1


def test_a_model_written_to_a_card_and_read_again_says_the_same(model: MicroModel) -> None:
    again = MicroModel.restore("room", 1, model.to_json(), model.tensors())
    before, after = (Bank([one]).predict([frame(31)], [0])[0].annotations[0] for one in (model, again))
    assert after.class_name == before.class_name
    assert after.score == pytest.approx(before.score, abs=1e-3)


def test_frames_of_another_size_are_answered_too(model: MicroModel) -> None:
    small = Frame(shard_id="room", frame_index=31, image_HW3=picture(31)[:64])
    assert len(shown(model, small)[0]) == 1


def test_where_frames_show_several_classes_or_none_each_is_a_question_of_its_own() -> None:
    ontology = replace(SIDES, classes=("left", "right", "indoors"))
    said = [labels(index, *sides(index), "indoors") for index in range(6)]
    model = fitted(*said, ontology=ontology)
    assert shown(model, frame(40), frame(41)) == [("left", "indoors"), ("right", "indoors")]
    one_class = replace(SIDES, classes=("right",))
    model = fitted(*(labels(index, *(["right"] if index % 2 else [])) for index in range(6)), ontology=one_class)
    assert shown(model, frame(40), frame(41)) == [(), ("right",)]


def test_a_label_that_is_ambiguous_counts_half(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[list[float]] = []

    def spy(features_ND: Tensor, targets_NK: Tensor, sure_N: Tensor, *, others_MD: Tensor) -> Ridge:
        counted.append(sure_N.tolist())
        return solve_ridge(features_ND, targets_NK, sure_N, others_MD=others_MD)

    monkeypatch.setattr(classification, "solve_ridge", spy)
    fitted(*(labels(index, *sides(index), ambiguous=index == 1) for index in range(4)), num_others=2)
    assert counted == [[1.0, 0.5, 1.0, 1.0]]


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_with_every_recipe_the_head_is_solved_in_one_step(name: str) -> None:
    shard = LabelledFrames(
        shard_id="room",
        ontology=SIDES,
        frames=tuple(map(frame, range(4))),
        labels=tuple(labels(index, *sides(index)) for index in range(4)),
    )
    said: list[tuple[str, int]] = []
    fit_bank([shard], recipe=recipe(name), backbone=SCRATCH, report=lambda shard_id, step, metrics: said.append((shard_id, step)))
    assert said == [("room", 1)]


def test_a_fit_without_a_finite_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Classification, "solve", lambda *_: float("nan"))
    shard = LabelledFrames(shard_id="room", ontology=SIDES, frames=(frame(0),), labels=(labels(0, "left"),))
    outcome = fit_bank([shard], recipe=smoke(), backbone=SCRATCH)
    assert isinstance(outcome.failures["room"], FitDiverged)
    assert "room: loss nan in closed form" in str(outcome.failures["room"])


def test_unlabelled_frames_of_a_shard_are_gathered_small_and_labelled_ones_whole(tmp_path: Path) -> None:
    (folder := tmp_path / "room").mkdir()
    for index in range(30):
        Image.fromarray(picture(index)).save(folder / f"{index}.png")
    store = Store.create(str(tmp_path / "store"))
    store.add_shard(probe(folder, shard_id="room"))
    store.add_ontology(SIDES)
    store.annotate("room", "sides", [labels(3, "right"), labels(8, "left")])
    found = gather(store, "room", "sides", replace(smoke(), min_long_side=64))
    assert [one.frame_index for one in found.frames] == [3, 8]
    assert [one.frame_index for one in found.others] == [index for index in range(30) if index not in (3, 8)]
    assert {one.image_HW3.shape for one in found.frames} == {(96, 128, 3)}
    assert {one.image_HW3.shape for one in found.others} == {(48, 64, 3)}
    assert found.others_scale == 0.5


def test_others_are_spread_over_the_shard_and_no_more_than_the_task_wants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Classification, "num_others", 4)
    (folder := tmp_path / "room").mkdir()
    for index in range(10):
        Image.fromarray(picture(index)).save(folder / f"{index}.png")
    store = Store.create(str(tmp_path / "store"))
    store.add_shard(probe(folder, shard_id="room"))
    store.add_ontology(SIDES)
    store.annotate("room", "sides", [labels(3, "right")])
    assert [one.frame_index for one in gather(store, "room", "sides", smoke()).others] == [0, 6, 9]


def test_pictures_of_a_notebook_without_others_are_enough() -> None:
    said = [labels(index, *sides(index)).annotations for index in range(4)]
    found = fit([picture(index) for index in range(4)], said, recipe="smoke", backbone=SCRATCH)
    assert [found(picture(index))[0].class_name for index in range(4)] == ["left", "right", "left", "right"]


def test_what_is_usual_is_learned_from_the_other_pictures_of_a_notebook() -> None:
    pictures, said = [picture(0), picture(1)], [labels(index, *sides(index)).annotations for index in (0, 1)]
    alone, among = (fit(pictures, said, others=others, recipe="smoke", backbone=SCRATCH) for others in ([], [picture(8)]))
    assert alone(picture(6)) != among(picture(6))
    assert [a.class_name for a in among(picture(6))] == ["left"]
