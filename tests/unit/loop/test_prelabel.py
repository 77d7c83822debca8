"""COCO's words in an ontology's, and what a detector returned as annotations; no network is run."""

import pytest
import torch

from training.data import rle
from training.data.ontology import Ontology
from training.errors import BadBackbone, BadInput, UnknownClass
from training.loop.detections import said_by
from training.loop.detectors import Detector, detector_for, knows, pretrained_state
from training.loop.vocabulary import Vocabulary, translate

STREET = Ontology(name="street", task="detection", classes=("Car", "Traffic_Light", "Pole"))
CATEGORIES = ("", "person", "car", "truck", "traffic light")


def test_names_match_whatever_the_case_and_spaces_and_the_rest_is_named() -> None:
    found = translate(STREET, CATEGORIES, (), {})
    assert (found.classes, found.unknown) == ({2: "Car", 4: "Traffic_Light"}, ("Pole",))


def test_several_categories_may_mean_one_class_and_a_renamed_one_loses_its_own() -> None:
    assert translate(STREET, CATEGORIES, (), {"truck": "Car"}).classes == {2: "Car", 3: "Car", 4: "Traffic_Light"}
    assert translate(STREET, CATEGORIES, (), {"car": "Pole"}).classes == {2: "Pole", 4: "Traffic_Light"}


def test_a_detector_that_knows_nothing_of_it_is_refused_with_what_it_knows() -> None:
    flies = Ontology(name="flies", task="detection", classes=("fly",))
    with pytest.raises(UnknownClass, match="flies: the detector knows none of fly; it knows person, car, truck, traffic light"):
        translate(flies, CATEGORIES, (), {})


def test_keypoints_are_matched_too() -> None:
    people = Ontology(name="people", task="keypoints", classes=("person",), keypoints=("LeftEye", "tail", "snout"))
    found = translate(people, ("", "person"), ("nose", "left_eye"), {"nose": "snout"})
    assert (found.keypoints, found.unknown) == ((1, None, 0), ("tail",))


def test_what_coco_leaves_out_is_no_class() -> None:
    names, points = knows(Detector(name="keypointrcnn_resnet50_fpn"))
    assert (names, len(points)) == (("", "person"), 17)
    names, points = knows(Detector(name="maskrcnn_resnet50_fpn_v2"))
    assert (names[:4], names[12], len(names), points) == (("", "person", "bicycle", "car"), "", 91, ())


def test_every_task_has_its_detector_and_others_are_refused() -> None:
    assert detector_for("segmentation", "auto", "auto") == Detector(name="maskrcnn_resnet50_fpn_v2")
    with pytest.raises(BadInput, match="--model fasterrcnn_resnet50_fpn: cannot do segmentation, needed one of maskrcnn"):
        detector_for("segmentation", "fasterrcnn_resnet50_fpn", "auto")
    with pytest.raises(BadInput, match="classification: there is no pre-trained detector"):
        detector_for("classification", "auto", "auto")


def test_weights_that_cannot_be_had_say_what_to_give(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(member: object, name: str) -> None:
        raise BadBackbone(f"weights {member} of {name}: not cached")

    monkeypatch.setattr("training.loop.detectors.download", refuse)
    with pytest.raises(BadBackbone, match="not cached; pre-labels need weights: give --weights a path or URL of maskrcnn"):
        pretrained_state(Detector(name="maskrcnn_resnet50_fpn"))


def test_two_categories_that_found_one_object_say_it_once_and_unknown_ones_are_left_out() -> None:
    seen = {
        "boxes": torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9.5], [50, 0, 60, 10], [0, 0, 10, 10]]),
        "labels": torch.tensor([3, 2, 2, 1]),
        "scores": torch.tensor([0.6, 0.9, 0.7, 0.99]),
    }
    vocabulary = Vocabulary(classes={2: "Car", 3: "Car"}, keypoints=(), unknown=())
    said = said_by(seen, vocabulary, task="detection", author="it", generation=0)
    assert [(a.class_name, a.bbox_xyxy) for a in said] == [("Car", (0, 0, 10, 9.5)), ("Car", (50, 0, 60, 10))]
    assert {(a.provenance, a.author, a.generation) for a in said} == {("model", "it", 0)}


def test_masks_of_one_class_become_one() -> None:
    masks = torch.zeros(3, 1, 8, 12)
    masks[0, 0, :4, :4], masks[1, 0, 4:, 8:], masks[2, 0, :2, :2] = 0.9, 0.6, 0.4
    seen = {
        "boxes": torch.tensor([[0.0, 0, 4, 4], [8, 4, 12, 8], [0, 6, 2, 8]]),
        "labels": torch.tensor([1, 1, 2]),
        "scores": torch.tensor([0.9, 0.7, 0.9]),
        "masks": masks,
    }
    vocabulary = Vocabulary(classes={1: "car", 2: "bus"}, keypoints=(), unknown=())
    (said,) = said_by(seen, vocabulary, task="segmentation", author="it", generation=0)
    assert (said.class_name, said.bbox_xyxy, said.score) == ("car", (0, 0, 12, 8), pytest.approx(0.8))
    assert rle.decode(str(said.rle_counts), 8, 12).sum() == 32


def test_points_the_detector_does_not_know_are_not_labelled() -> None:
    seen = {
        "boxes": torch.tensor([[0.0, 0, 10, 10]]),
        "labels": torch.tensor([1]),
        "scores": torch.tensor([0.9]),
        "keypoints": torch.tensor([[[1.0, 2, 1], [3, 4, 1]]]),
    }
    vocabulary = Vocabulary(classes={1: "person"}, keypoints=(1, None, 0), unknown=("tail",))
    (said,) = said_by(seen, vocabulary, task="keypoints", author="it", generation=0)
    assert said.keypoints_xyv == (3, 4, 2, 0, 0, 0, 1, 2, 2)
