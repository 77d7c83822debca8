"""Classification by hand-computed cases."""

import pytest
import torch

from training.data.annotations import Annotation, FrameLabels
from training.data.ontology import Ontology
from training.models.actions import Actions
from training.models.classification import Classification
from training.models.geometry import Placement
from training.models.network import NetworkConfig

ONTOLOGY = Ontology(name="weather", task="classification", classes=("sun", "rain", "snow"))
CONFIG = NetworkConfig(backbone="mobilenet_v2", scale=1.0, output_stride=16, neck_channels=8, branches={"vote": 3, "weight": 3})
PLACE = Placement(frame_width=64, frame_height=32, width=64, height=32, scale_x=1, scale_y=1)
HW = (32, 64)


def frame(*names: str, ambiguous: bool = False) -> FrameLabels:
    said = tuple(Annotation(class_name=name, level="image", ambiguous=ambiguous) for name in names)
    return FrameLabels(shard_id="s", frame_index=0, annotations=said)


def outputs(*logits: float) -> dict[str, torch.Tensor]:
    vote = torch.tensor(logits).view(1, 3, 1, 1).expand(1, 3, 2, 4)
    return {"vote": vote, "weight": torch.zeros(1, 3, 2, 4)}


def decoded(limits: dict[str, object], *logits: float) -> list[str]:
    return [a.class_name for a in Classification(ONTOLOGY).decode(outputs(*logits), [PLACE], CONFIG, limits)[0]]


def test_where_every_labelled_frame_has_one_class_the_strongest_is_the_answer() -> None:
    limits = Classification(ONTOLOGY).learned_limits([frame("sun"), frame("rain")], HW)
    assert decoded(limits, -3.0, -1.0, -2.0) == ["rain"]


def test_where_labelled_frames_have_several_classes_or_none_each_class_is_a_question_of_its_own() -> None:
    limits = Classification(ONTOLOGY).learned_limits([frame("sun", "rain"), frame()], HW)
    assert decoded(limits, 2.0, 1.0, -2.0) == ["sun", "rain"]
    assert decoded(limits, -3.0, -1.0, -2.0) == []


def test_a_place_that_looks_important_outvotes_the_rest() -> None:
    said = outputs(-1.0, 1.0, -1.0)
    vote, weight = said["vote"].clone(), said["weight"].clone()
    vote[0, 2, 0, 3] = 8.0
    weight[0, 2, 0, 3] = 9.0
    limits = {"one_class": True, "min_score": 0.5}
    (answer,) = Classification(ONTOLOGY).decode({"vote": vote, "weight": weight}, [PLACE], CONFIG, limits)[0]
    assert answer.class_name == "snow"
    assert answer.level == "image"


def test_frames_called_ambiguous_are_learned_with_less_weight_and_not_judged() -> None:
    task = Classification(ONTOLOGY)
    sure, unsure = (task.targets([frame("sun", ambiguous=a)], [PLACE], CONFIG, {}) for a in (False, True))
    wrong = outputs(-9.0, 9.0, 9.0)
    assert task.loss(wrong, unsure).item() == pytest.approx(task.loss(wrong, sure).item() / 2)
    measured = task.measure([frame("sun"), frame("rain", ambiguous=True)], [frame("sun"), frame("sun")], HW)
    assert measured == {"macro_f1": 1.0, "accuracy": 1.0, "num_ambiguous": 1.0}


def test_macro_f1_of_a_case_computed_by_hand() -> None:
    truth = [frame("sun"), frame("sun"), frame("rain"), frame("rain")]
    said = [frame("sun"), frame("rain"), frame("rain"), frame("rain")]
    measured = Classification(ONTOLOGY).measure(truth, said, HW)
    assert measured["macro_f1"] == pytest.approx((2 / 3 + 4 / 5) / 2), "snow is nowhere and does not count"
    assert measured["accuracy"] == 0.75


def test_actions_of_a_case_computed_by_hand() -> None:
    task = Classification(ONTOLOGY)
    assert task.actions(frame("sun"), frame("rain"), HW) == Actions(adjust=1)
    assert task.actions(frame("sun", "rain"), frame("rain"), HW) == Actions(draw=1, confirm=1)
    assert task.actions(frame("sun"), frame("sun", "snow"), HW) == Actions(delete=1, confirm=1)
