"""One object that a file says in several parts: polygons, masks and a box of one group are one annotation."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from training.data.annotations import Annotation
from training.data.formats.reading import find_source, read_labels
from training.data.formats.records import ReadLabels
from training.data.rle import decode, encode
from training.data.shards import Shard
from training.errors import BadAnnotation

WIDTH, HEIGHT = 96, 64
SHARD = Shard(shard_id="pond", uri="/v/pond.mp4", kind="video", num_frames=9, width=WIDTH, height=HEIGHT, content_hash="sha256:0")
LEFT, RIGHT, FAR = (10, 20, 20, 40), (30, 20, 45, 40), (60, 5, 70, 15)
BOX = (8.5, 18.0, 46.25, 41.0)
Box = tuple[float, float, float, float]


def pixels(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    mask_HW = np.zeros((HEIGHT, WIDTH), np.bool_)
    for x1, y1, x2, y2 in boxes:
        mask_HW[y1:y2, x1:x2] = True
    return mask_HW


def assert_masks(found: list[Annotation], wanted: list[tuple[str, Box, np.ndarray]]) -> None:
    assert [(one.class_name, one.bbox_xyxy) for one in found] == [(name, box) for name, box, _ in wanted]
    for one, (_, _, mask_HW) in zip(found, wanted, strict=True):
        assert one.rle_counts is not None
        assert (decode(one.rle_counts, HEIGHT, WIDTH) == mask_HW).all()


def said(read: ReadLabels, task: str) -> list[Annotation]:
    return [one for name, (_, frames) in read.labels.items() if name == task for frame in frames for one in frame.annotations]


class LabelMe:
    """Shapes of frame 3 as LabelMe writes them."""

    @staticmethod
    def polygon(box: Box, group: int | None, label: str = "duck", **more: Any) -> dict[str, Any]:
        x1, y1, x2, y2 = box
        corners = [[x1, y1], [x2, y1], [x2, y2], [x1, y2]]
        return {"label": label, "shape_type": "polygon", "points": corners, "group_id": group, "flags": {}, **more}

    @staticmethod
    def mask(box: Box, group: int | None, label: str = "duck") -> dict[str, Any]:
        x1, y1, x2, y2 = map(int, box)
        buffer = io.BytesIO()
        Image.new("L", (x2 - x1, y2 - y1), 255).save(buffer, "PNG")
        corners, png = [[x1, y1], [x2 - 1, y2 - 1]], base64.b64encode(buffer.getvalue()).decode()
        return {"label": label, "shape_type": "mask", "points": corners, "group_id": group, "flags": {}, "mask": png}

    @staticmethod
    def box(box: Box, group: int | None, label: str = "duck") -> dict[str, Any]:
        corners = [list(box[:2]), list(box[2:])]
        return {"label": label, "shape_type": "rectangle", "points": corners, "group_id": group, "flags": {}}

    @staticmethod
    def read(folder: Path, shapes: list[dict[str, Any]]) -> ReadLabels:
        folder.joinpath("frame_000003.json").write_text(json.dumps({"shapes": shapes}))
        source = find_source("labelme", folder, SHARD, alone=True)
        assert source is not None
        return read_labels("labelme", source)


class Datumaro:
    """Annotations of one item as datumaro writes them."""

    CLASSES = ("duck", "reed")

    @classmethod
    def _head(cls, kind: str, group: int | None, label: str, track: str | None = None) -> dict[str, Any]:
        attributes = {} if track is None else {"track_id": track}
        return {"type": kind, "group": group or 0, "label_id": cls.CLASSES.index(label), "attributes": attributes}

    @classmethod
    def polygon(cls, box: Box, group: int | None, label: str = "duck", track_id: str | None = None) -> dict[str, Any]:
        x1, y1, x2, y2 = box
        return {**cls._head("polygon", group, label, track_id), "points": [x1, y1, x2, y1, x2, y2, x1, y2]}

    @classmethod
    def mask(cls, box: Box, group: int | None, label: str = "duck") -> dict[str, Any]:
        x1, y1, x2, y2 = map(int, box)
        counts = encode(pixels((x1, y1, x2, y2)))
        return {**cls._head("mask", group, label), "rle": {"counts": counts, "size": [HEIGHT, WIDTH]}}

    @classmethod
    def box(cls, box: Box, group: int | None, label: str = "duck") -> dict[str, Any]:
        x1, y1, x2, y2 = box
        return {**cls._head("bbox", group, label), "bbox": [x1, y1, x2 - x1, y2 - y1]}

    @classmethod
    def read(cls, folder: Path, rows: list[dict[str, Any]]) -> ReadLabels:
        labels = [{"name": name, "parent": "", "attributes": []} for name in cls.CLASSES]
        items = [{"id": "frame_000003", "annotations": rows}]
        points = {"items": [{"label_id": 0, "labels": ["beak", "tail"], "joints": []}]}
        document = {"categories": {"label": {"labels": labels}, "points": points}, "items": items}
        folder.joinpath("annotations").mkdir()
        folder.joinpath("annotations", "pond.json").write_text(json.dumps(document))
        source = find_source("datumaro", folder, SHARD, alone=True)
        assert source is not None
        return read_labels("datumaro", source)


both = pytest.mark.parametrize("form", [LabelMe, Datumaro])
Form = type[LabelMe] | type[Datumaro]


@both
def test_polygons_of_one_group_are_one_object_and_their_box_is_its_box(form: Form, tmp_path: Path) -> None:
    read = form.read(tmp_path, [form.polygon(LEFT, 1), form.box(BOX, 1), form.polygon(RIGHT, 1)])
    assert list(read.labels) == ["segmentation"]
    assert_masks(said(read, "segmentation"), [("duck", BOX, pixels(LEFT, RIGHT))])


@both
def test_a_polygon_and_a_mask_of_one_group_without_a_box_get_the_box_around_both(form: Form, tmp_path: Path) -> None:
    read = form.read(tmp_path, [form.mask(LEFT, 1), form.polygon((15, 20, 45, 40), 1)])
    assert_masks(said(read, "segmentation"), [("duck", (10, 20, 45, 40), pixels((10, 20, 45, 40)))])


@both
def test_polygons_without_a_group_and_of_another_label_are_objects_of_their_own(form: Form, tmp_path: Path) -> None:
    shapes = [form.polygon(LEFT, 1), form.polygon(RIGHT, 1, "reed"), form.polygon(FAR, None), form.polygon(LEFT, None, "reed")]
    boxes = [("duck", LEFT), ("reed", RIGHT), ("duck", FAR), ("reed", LEFT)]
    read = form.read(tmp_path, shapes)
    assert_masks(said(read, "segmentation"), [(name, box, pixels(box)) for name, box in boxes])


@both
def test_a_box_of_another_label_in_the_group_is_an_object_of_its_own(form: Form, tmp_path: Path) -> None:
    read = form.read(tmp_path, [form.polygon(LEFT, 1), form.box(FAR, 1, "reed")])
    assert_masks(said(read, "segmentation"), [("duck", LEFT, pixels(LEFT))])
    assert [(one.class_name, one.bbox_xyxy) for one in said(read, "detection")] == [("reed", FAR)]


@both
def test_polygons_of_different_tracks_in_one_group_are_different_objects(form: Form, tmp_path: Path) -> None:
    read = form.read(tmp_path, [form.polygon(LEFT, 1, track_id="4"), form.polygon(RIGHT, 1, track_id="5")])
    assert [(one.track_id, one.bbox_xyxy) for one in said(read, "segmentation")] == [("4", LEFT), ("5", RIGHT)]


@both
def test_the_track_of_one_part_is_the_track_of_the_object(form: Form, tmp_path: Path) -> None:
    read = form.read(tmp_path, [form.polygon(LEFT, 1), form.polygon(RIGHT, 1, track_id="5")])
    assert [(one.track_id, one.bbox_xyxy) for one in said(read, "segmentation")] == [("5", (10, 20, 45, 40))]


@both
def test_two_boxes_for_the_polygons_of_one_group_are_refused(form: Form, tmp_path: Path) -> None:
    with pytest.raises(BadAnnotation, match=r"frame_000003.*2 boxes of one label in one group with masks, needed one at most"):
        form.read(tmp_path, [form.polygon(LEFT, 1), form.box(BOX, 1), form.box(FAR, 1)])


@both
def test_boxes_that_share_a_group_and_nothing_else_stay_boxes(form: Form, tmp_path: Path) -> None:
    read = form.read(tmp_path, [form.box(BOX, 1), form.box(FAR, 1)])
    assert [one.bbox_xyxy for one in said(read, "detection")] == [BOX, FAR]


def test_a_labelme_group_of_points_rectangle_and_polygons_is_keypoints_and_one_mask_in_one_box(tmp_path: Path) -> None:
    point = {"label": "beak", "shape_type": "point", "points": [[12, 22]], "group_id": 1, "flags": {}}
    folder = tmp_path / "out"
    folder.mkdir()
    ontology = {"name": "pose", "task": "keypoints", "classes": ["duck"], "keypoints": ["beak"], "skeleton": []}
    folder.joinpath("ontology.json").write_text(json.dumps(ontology))
    folder.joinpath("pond").mkdir()
    shapes = [LabelMe.polygon(LEFT, 1), point, LabelMe.box(BOX, 1), LabelMe.polygon(RIGHT, 1)]
    folder.joinpath("pond", "frame_000003.json").write_text(json.dumps({"shapes": shapes}))
    source = find_source("labelme", folder, SHARD, alone=True)
    assert source is not None
    read = read_labels("labelme", source)
    assert list(read.labels) == ["keypoints", "segmentation"]
    assert [(one.bbox_xyxy, one.keypoints_xyv) for one in said(read, "keypoints")] == [(BOX, (12, 22, 2))]
    assert_masks(said(read, "segmentation"), [("duck", BOX, pixels(LEFT, RIGHT))])


def test_a_datumaro_group_of_points_box_and_polygons_is_keypoints_and_one_mask_in_one_box(tmp_path: Path) -> None:
    points = {**Datumaro._head("points", 1, "duck"), "points": [12, 22, 40, 30], "visibility": [2, 1]}
    rows = [Datumaro.polygon(LEFT, 1), points, Datumaro.box(BOX, 1), Datumaro.polygon(RIGHT, 1)]
    read = Datumaro.read(tmp_path, rows)
    assert list(read.labels) == ["keypoints", "segmentation"]
    assert [(one.bbox_xyxy, one.keypoints_xyv) for one in said(read, "keypoints")] == [(BOX, (12, 22, 2, 40, 30, 1))]
    assert_masks(said(read, "segmentation"), [("duck", BOX, pixels(LEFT, RIGHT))])


def test_an_ambiguous_part_makes_a_labelme_object_ambiguous(tmp_path: Path) -> None:
    doubtful = {**LabelMe.polygon(RIGHT, 1), "flags": {"ambiguous": True}}
    read = LabelMe.read(tmp_path, [LabelMe.polygon(LEFT, 1), doubtful])
    assert [one.ambiguous for one in said(read, "segmentation")] == [True]
