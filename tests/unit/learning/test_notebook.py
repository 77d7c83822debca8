"""A micro-model as an object: fitted, asked, saved and loaded without a store and without Ray."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import training
from training import Annotation, Backbone, FittedModel, FrameLabels, fit, load
from training.data.frames import Frame
from training.data.rle import decode, encode
from training.errors import BadAnnotation, BadInput, CorruptModel, NothingToLearn, UnknownClass, WrongShape
from training.learning.recipes import smoke
from training.models.matching import match_boxes
from training.store.card import Card
from training.store.store import Store

LEARNS = replace(smoke(), parameters="head", cached_views=12, steps=150, neck_channels=24, mirror=0.0)
TINY = replace(smoke(), steps=2, batch_size=2, report_every=1)
SCRATCH = Backbone(name="resnet18", weights="none")


@pytest.fixture(scope="module")
def pictures(squares: Any) -> list[np.ndarray]:
    return [squares.frame(index)[0].image_HW3 for index in range(10)]


@pytest.fixture(scope="module")
def boxes(squares: Any) -> list[tuple[Annotation, ...]]:
    return [squares.frame(index)[1].annotations for index in range(10)]


@pytest.fixture(scope="module")
def model(pictures: list[np.ndarray], boxes: list[tuple[Annotation, ...]]) -> FittedModel:
    return fit(pictures[:5], boxes[:5], recipe=LEARNS, backbone=SCRATCH)


def test_five_pictures_and_boxes_make_a_function_that_finds_the_others(
    model: FittedModel, pictures: list[np.ndarray], boxes: list[tuple[Annotation, ...]]
) -> None:
    found = [model(picture) for picture in pictures[5:]]
    matches = [match_boxes(true, said, min_iou=0.5) for true, said in zip(boxes[5:], found, strict=True)]
    assert sum(len(match.pairs) for match in matches) >= 4
    assert (model.ontology.task, model.ontology.classes, model.card.num_labelled) == ("detection", ("square",), 5)
    assert {one.provenance for said in found for one in said} == {"model"}


def test_a_model_saved_and_loaded_says_exactly_the_same_and_can_be_saved_again(
    model: FittedModel, pictures: list[np.ndarray], tmp_path: Path
) -> None:
    model.save(tmp_path / "one.safetensors")
    again = load(tmp_path / "one.safetensors")
    again.save(tmp_path / "two.safetensors")
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()
    assert again(pictures[7]) == model(pictures[7])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.safetensors", "two.safetensors"]


def test_a_published_generation_of_a_store_can_be_loaded_too(squares: Any, tmp_path: Path, pictures: list[np.ndarray]) -> None:
    fitted = squares.fit(TINY)
    store = Store.create(str(tmp_path / "store"))
    values: dict[str, Any] = {"shard_id": "squares", "ontology": "squares", "task": "detection", "classes": ("square",)}
    store.registry.publish(Card(**values, network=fitted.to_json()), fitted.tensors())
    loaded = load(next(tmp_path.rglob("weights.safetensors")))
    assert loaded.card.ref == "squares@1"
    assert isinstance(loaded(pictures[0]), tuple)


def test_arrays_frames_and_paths_are_the_same_pictures(model: FittedModel, pictures: list[np.ndarray], tmp_path: Path) -> None:
    Image.fromarray(pictures[6]).save(tmp_path / "6.png")
    frame = Frame(shard_id="elsewhere", frame_index=6, image_HW3=pictures[6])
    assert model(pictures[6]) == model(frame) == model(tmp_path / "6.png") == model(str(tmp_path / "6.png"))


def test_the_loss_is_told_while_it_is_fitted(pictures: list[np.ndarray], boxes: list[Any]) -> None:
    told: list[int] = []
    fit(pictures[:2], boxes[:2], recipe=TINY, backbone=SCRATCH, report=lambda step, metrics: told.append(step))
    assert told == [1, 2]


def said_of(task: str, box: Annotation, picture: np.ndarray) -> list[Annotation]:
    """What the square is for each task."""
    x1, y1, x2, y2 = (int(value) for value in box.bbox_xyxy or ())
    mask_HW = np.zeros(picture.shape[:2], dtype=bool)
    mask_HW[y1:y2, x1:x2] = True
    points = (x1, y1, 2, x2, y2, 2)
    return {
        "classification": [Annotation(class_name="left" if x1 < 40 else "right", level="image")],
        "segmentation": [replace(box, rle_counts=encode(mask_HW))],
        "keypoints": [replace(box, keypoints_xyv=points)],
    }[task]


@pytest.mark.parametrize("task", ["classification", "segmentation", "keypoints"])
def test_the_task_follows_from_the_annotations(task: str, pictures: list[np.ndarray], boxes: list[Any], tmp_path: Path) -> None:
    said = [said_of(task, found, picture) for (found,), picture in zip(boxes[:4], pictures[:4], strict=True)]
    model = fit(pictures[:4], said, recipe=TINY, backbone=SCRATCH)
    assert model.ontology.task == task
    assert model.ontology.keypoints == (("p1", "p2") if task == "keypoints" else ())
    model.save(tmp_path / "model.safetensors")
    answers = load(tmp_path / "model.safetensors")(pictures[5])
    assert answers == model(pictures[5])
    for one in answers:
        assert one.class_name in model.ontology.classes
        assert (one.level == "image") == (task == "classification")
        assert len(one.keypoints_xyv or ()) == (6 if task == "keypoints" else 0)
        assert task != "segmentation" or decode(one.rle_counts or "", 64, 96).any()


def test_a_frame_with_nothing_on_it_is_a_label_too(pictures: list[np.ndarray], boxes: list[Any]) -> None:
    blank = np.zeros_like(pictures[0])
    model = fit([blank, pictures[0]], [[], boxes[0]], recipe=TINY, backbone=SCRATCH)
    assert model.card.num_labelled == 2
    assert model.card.network["decoding"]["fewest"] == [0]


BOX = Annotation(class_name="square", bbox_xyxy=(5.0, 5.0, 30.0, 30.0))
WHOLE = Annotation(class_name="left", level="image")


@pytest.mark.parametrize(
    ("said", "more", "error", "message"),
    [
        ([[BOX]], {}, WrongShape, "2 frames with annotations of 1"),
        ([[], []], {}, NothingToLearn, "2 labelled frames without any annotation"),
        ([[BOX], [WHOLE]], {}, BadInput, "classification and of detection, needed those of one task"),
        ([[BOX], [WHOLE]], {"task": "detection"}, BadAnnotation, "frame 1: left: level 'image'"),
        ([[BOX], []], {"classes": ["circle"]}, UnknownClass, "frame 0: 'square', needed one of circle"),
        ([[BOX], []], {"task": "segmentation"}, BadAnnotation, "frame 0: square: no mask"),
        ([[BOX], []], {"task": "keypoints", "keypoints": ["a"]}, BadAnnotation, "frame 0: square: 0 keypoints, needed 1"),
        ([[replace(BOX, bbox_xyxy=(5, 5, 30, 90))], []], {}, BadAnnotation, "leaves the 96x64 frame"),
        ([[replace(BOX, rle_counts=encode(np.ones((5, 5), bool)))], []], {}, BadAnnotation, "frame 0: square: mask runs"),
        ([[Annotation(class_name="p", keypoints_xyv=(5, 5, 2))], []], {}, BadAnnotation, "frame 0: p: no box"),
    ],
)
def test_what_cannot_be_learned_from_is_named(
    pictures: list[np.ndarray], said: list[Any], more: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        fit(pictures[:2], said, recipe=TINY, backbone=SCRATCH, **more)


def test_pictures_that_are_none_or_of_two_sizes_are_named(pictures: list[np.ndarray], tmp_path: Path) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    for bad, error, message in [
        (pictures[1][:40], BadInput, "frame 0 is 96x64 and frame 1 is 96x40"),
        (pictures[1][..., 0], WrongShape, r"needed uint8 \(H, W, 3\)"),
        (pictures[1] / 255, WrongShape, "float64"),
        (7, WrongShape, "frame 1 is a int"),
        (tmp_path / "none.png", BadInput, r"none\.png: No such file"),
        (tmp_path / "empty.png", BadInput, r"empty\.png: 0 bytes"),
    ]:
        with pytest.raises(error, match=message):
            fit([pictures[0], bad], [[BOX], [BOX]], recipe=TINY, backbone=SCRATCH)


def test_labels_of_another_frame_than_the_one_beside_them_are_refused(squares: Any) -> None:
    frame, labels = squares.frame(3)
    other = FrameLabels(shard_id="squares", frame_index=4, annotations=labels.annotations)
    with pytest.raises(WrongShape, match="position 0: squares frame 3 with labels of squares frame 4"):
        fit([frame], [other], recipe=TINY, backbone=SCRATCH)


def test_a_file_that_holds_no_model_is_named(model: FittedModel, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"gone: No such file"):
        load(tmp_path / "gone")
    (tmp_path / "text").write_text("hello, this is no model")
    with pytest.raises(CorruptModel, match=r"text: no card"):
        load(tmp_path / "text")
    model.save(tmp_path / "cut")
    (tmp_path / "cut").write_bytes((tmp_path / "cut").read_bytes()[:-100])
    with pytest.raises(CorruptModel):
        load(tmp_path / "cut")
    with pytest.raises(BadInput, match="cannot be written"):
        model.save(tmp_path / "nowhere" / "model")


def test_importing_training_imports_no_torch_and_no_ray() -> None:
    program = "import sys, training; assert not {'torch', 'ray', 'numpy'} & set(sys.modules); print(dir(training))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "'fit'" in done.stdout
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        training.nothing  # noqa: B018
