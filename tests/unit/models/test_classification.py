"""Classification by hand-computed cases."""

import math

import pytest
import torch

from training.data.annotations import Annotation, FrameLabels
from training.data.ontology import Ontology
from training.models.actions import Actions
from training.models.classification import Classification
from training.models.geometry import Placement
from training.models.grid import GridConfig

ONTOLOGY = Ontology(name="weather", task="classification", classes=("sun", "rain", "snow"))
CONFIG = GridConfig(backbone="mobilenet_v2", scale=1.0, output_stride=16, branches={"logit": 3}, cells=8, typical_hw=(2, 4))
PLACE = Placement(frame_width=64, frame_height=32, width=64, height=32, scale_x=1, scale_y=1)
HW = (32, 64)


def frame(*names: str, ambiguous: bool = False) -> FrameLabels:
    said = tuple(Annotation(class_name=name, level="image", ambiguous=ambiguous) for name in names)
    return FrameLabels(shard_id="s", frame_index=0, annotations=said)


def decoded(limits: dict[str, object], *logits: float) -> list[str]:
    return [a.class_name for a in Classification(ONTOLOGY).decode({"logit": torch.tensor([logits])}, [PLACE], CONFIG, limits)[0]]


def test_where_every_labelled_frame_has_one_class_the_strongest_is_the_answer() -> None:
    limits = Classification(ONTOLOGY).learned_limits([frame("sun"), frame("rain")], [HW] * 2)
    assert decoded(limits, -3.0, -1.0, -2.0) == ["rain"]


def test_where_labelled_frames_have_several_classes_or_none_each_class_is_a_question_of_its_own() -> None:
    limits = Classification(ONTOLOGY).learned_limits([frame("sun", "rain"), frame()], [HW] * 2)
    assert decoded(limits, 2.0, 1.0, -2.0) == ["sun", "rain"]
    assert decoded(limits, -3.0, -1.0, -2.0) == []


def test_scores_are_the_softmax_of_one_class_and_the_sigmoid_of_several() -> None:
    logits = {"logit": torch.tensor([[0.0, math.log(2.0), 0.0]])}
    one, several = ({"one_class": one_class, "min_score": 0.5} for one_class in (True, False))
    assert [a.score for a in Classification(ONTOLOGY).decode(logits, [PLACE], CONFIG, one)[0]] == pytest.approx([0.5])
    assert [a.score for a in Classification(ONTOLOGY).decode(logits, [PLACE], CONFIG, several)[0]] == pytest.approx(
        [0.5, 2 / 3, 0.5]
    )


def test_frames_called_ambiguous_are_not_judged() -> None:
    measured = Classification(ONTOLOGY).measure(
        [frame("sun"), frame("rain", ambiguous=True)], [frame("sun"), frame("sun")], [HW] * 2
    )
    assert measured == {"macro_f1": 1.0, "accuracy": 1.0, "num_ambiguous": 1.0}


def test_macro_f1_of_a_case_computed_by_hand() -> None:
    truth = [frame("sun"), frame("sun"), frame("rain"), frame("rain")]
    said = [frame("sun"), frame("rain"), frame("rain"), frame("rain")]
    measured = Classification(ONTOLOGY).measure(truth, said, [HW] * len(truth))
    assert measured["macro_f1"] == pytest.approx((2 / 3 + 4 / 5) / 2), "snow is nowhere and does not count"
    assert measured["accuracy"] == 0.75


def test_actions_of_a_case_computed_by_hand() -> None:
    task = Classification(ONTOLOGY)
    assert task.actions(frame("sun"), frame("rain"), HW) == Actions(adjust=1)
    assert task.actions(frame("sun", "rain"), frame("rain"), HW) == Actions(draw=1, confirm=1)
    assert task.actions(frame("sun"), frame("sun", "snow"), HW) == Actions(delete=1, confirm=1)
