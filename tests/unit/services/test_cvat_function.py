"""What micro-models say, as CVAT takes it: through cvat-sdk's own driver, which checks every label and shape."""

import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

pytest.importorskip("cvat_sdk")

from cvat_sdk import auto_annotation as cvat
from cvat_sdk import models
from cvat_sdk.auto_annotation import driver
from cvat_sdk.masks import decode_mask

from services import cvat_function
from services.cvat_function import MicroModels, Service

WIDTH, HEIGHT = 60, 40
Said = Sequence[Mapping[str, Any]]


class FakeService:
    """The far side of the network: says the same of every picture."""

    def __init__(self, image: Mapping[str, Any]) -> None:
        self.image = image
        self.asked: list[tuple[str, Mapping[str, str], Image.Image]] = []

    def predict(self, path: str, query: Mapping[str, str], jpeg: bytes) -> dict[str, Any]:
        self.asked.append((path, query, Image.open(io.BytesIO(jpeg))))
        return {"images": [self.image]}


@dataclass
class Frame:
    """A sample of a CVAT task, as far as the driver looks at it."""

    frame_index: int
    frame_name: str
    image: Image.Image

    @property
    def media(self) -> Any:
        return SimpleNamespace(load_image=lambda: self.image)


def annotated(
    monkeypatch: pytest.MonkeyPatch,
    task: str,
    image: Mapping[str, Any],
    *,
    classes: Sequence[str] = ("mouse",),
    keypoints: Sequence[str] = (),
    mode: str = "RGB",
    type_there: str | None = None,
    **options: Any,
) -> tuple[Any, FakeService]:
    """What cvat-sdk would send to the server about frame 7 of a task with the labels of the function."""
    service = FakeService(image)
    about = {"task": task, "classes": list(classes), "keypoints": list(keypoints)}
    function = MicroModels(service, path="/v1/predict", query={"ontology": "some"}, about=about)  # type: ignore[arg-type]
    sent: list[Any] = []
    api = SimpleNamespace(
        partial_update_annotations=lambda *_, patched_labeled_data_request: sent.append(patched_labeled_data_request)
    )
    client: Any = SimpleNamespace(logger=logging.getLogger("cvat"), tasks=SimpleNamespace(api=api))
    labels = [
        models.Label._from_openapi_data(
            id=100 + label.id, name=label.name, type=type_there or label.type, attributes=[], sublabels=_sublabels(label)
        )
        for label in function.spec.labels
    ]
    frame = Frame(7, "007.png", Image.new(mode, (WIDTH, HEIGHT)))
    monkeypatch.setattr(driver, "TaskDataset", lambda *_, **__: SimpleNamespace(labels=labels, samples=[frame]))
    cvat.annotate_task(client, 1, function, **options)
    return sent[0], service


def _sublabels(label: Any) -> list[Any]:
    found = getattr(label, "sublabels", [])
    return [models.Sublabel._from_openapi_data(id=200 + one.id, name=one.name, type="points", attributes=[]) for one in found]


def said(*annotations: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "annotations": [{"class_name": "mouse", "score": 0.5, **one} for one in annotations],
    }


def test_classes_of_a_picture_become_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    data, _ = annotated(monkeypatch, "classification", said({"level": "image"}))
    assert [(tag.frame, tag.label_id, tag.source) for tag in data.tags] == [(7, 100, "auto")]
    assert data.shapes == []


def test_boxes_become_rectangles_within_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = [(-3.0, 2.0, 10.0, 44.5), (5.0, 6.0, 7.0, 8.0), (70.0, 1.0, 80.0, 9.0)]
    data, _ = annotated(monkeypatch, "detection", said(*({"bbox_xyxy": box} for box in boxes)))
    assert [shape.points for shape in data.shapes] == [[0.0, 2.0, 10.0, 40.0], [5.0, 6.0, 7.0, 8.0]]
    assert {(shape.type.value, shape.label_id, shape.frame, shape.score) for shape in data.shapes} == {("rectangle", 100, 7, 0.5)}


def test_masks_come_through_pixel_for_pixel_with_their_holes(monkeypatch: pytest.MonkeyPatch) -> None:
    mask_HW = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask_HW[5:30, 8:50] = 1
    mask_HW[10:20, 20:30] = 0
    mask_HW[::7, ::3] ^= 1
    found = coco_mask.encode(np.asfortranarray(mask_HW))
    masks = [{"mask": {"size": found["size"], "counts": found["counts"].decode()}}]
    empty = coco_mask.encode(np.asfortranarray(np.zeros_like(mask_HW)))
    masks.append({"mask": {"size": empty["size"], "counts": empty["counts"].decode()}})
    data, _ = annotated(monkeypatch, "segmentation", said(*masks))
    (shape,) = data.shapes
    assert shape.type.value == "mask"
    assert (decode_mask(shape.points, image_width=WIDTH, image_height=HEIGHT) == mask_HW.astype(bool)).all()


def test_masks_are_not_made_into_polygons(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(cvat.BadFunctionError, match="leave out --conv-mask-to-poly"):
        annotated(monkeypatch, "segmentation", said(), type_there="any", conv_mask_to_poly=True)


def test_keypoints_become_skeletons_of_all_points(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [{"name": name, "x": 1.5 * n, "y": 2.0 * n, "visibility": n} for n, name in enumerate(("ear", "nose", "tail"))]
    data, _ = annotated(monkeypatch, "keypoints", said({"keypoints": points}), keypoints=("ear", "nose", "tail"))
    (shape,) = data.shapes
    assert (shape.type.value, shape.label_id) == ("skeleton", 100)
    assert [(one.label_id, one.points) for one in shape.elements] == [(200, [0.0, 0.0]), (201, [1.5, 2.0]), (202, [3.0, 4.0])]
    assert [getattr(one, "outside", False) for one in shape.elements] == [True, False, False]
    assert [getattr(one, "occluded", False) for one in shape.elements] == [False, True, False]


def test_an_abstention_leaves_the_frame_without_labels_and_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    data, _ = annotated(monkeypatch, "detection", {"abstention": {"reason": "outside", "nearest": []}})
    assert (data.tags, data.shapes) == ([], [])
    assert "007.png: no label, since no micro-model is for it: outside" in caplog.text


def test_a_class_that_the_function_did_not_declare_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    data, _ = annotated(monkeypatch, "detection", said({"class_name": "rat", "bbox_xyxy": (1.0, 2.0, 3.0, 4.0)}))
    assert data.shapes == []


def test_the_threshold_of_cvat_and_the_pixels_of_any_mode_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    _, service = annotated(monkeypatch, "detection", said(), mode="RGBA", conf_threshold=0.25)
    ((path, query, picture),) = service.asked
    assert (path, query) == ("/v1/predict", {"ontology": "some", "min_score": "0.25"})
    assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (WIDTH, HEIGHT))


def test_neither_shard_nor_ontology_is_refused() -> None:
    with pytest.raises(cvat.BadFunctionError, match="needed one of them"):
        cvat_function.create("http://127.0.0.1:8000")


def test_the_key_is_not_shown_with_the_service() -> None:
    assert "mm_secret" not in repr(Service("http://127.0.0.1:8000", "mm_secret"))
