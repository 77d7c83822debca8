"""Annotations to regions and back, for all four tasks; and the regions that are changed or refused."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from services.label_studio.answers import Said, said, unmoved
from services.label_studio.binding import Binding, bound
from services.label_studio.brush import pack
from services.label_studio.config import read_config
from services.label_studio.regions import proposal_of, region_id, regions
from services.label_studio.schemas import RegionIn
from training.data.annotations import Annotation
from training.data.ontology import Ontology
from training.data.rle import decode, encode
from training.errors import BadAnnotation

SIZE_WH = (80, 60)
MAX_PIXELS = 100_000
TAGS = {
    "classification": '<Choices name="a" toName="i"><Choice value="fly"/><Choice value="bee"/></Choices>',
    "detection": '<RectangleLabels name="a" toName="i"><Label value="fly"/><Label value="bee"/></RectangleLabels>',
    "segmentation": '<BrushLabels name="a" toName="i"><Label value="fly"/><Label value="bee"/></BrushLabels>',
    "keypoints": '<RectangleLabels name="b" toName="i"><Label value="fly"/><Label value="bee"/></RectangleLabels>'
    '<KeyPointLabels name="a" toName="i"><Label value="head"/><Label value="tail"/></KeyPointLabels>',
}
POINTS = '<KeyPointLabels name="a" toName="i"><Label value="head"/><Label value="tail"/></KeyPointLabels>'


def binding(task: Any, tags: str | None = None, classes: Sequence[str] = ("fly", "bee")) -> Binding:
    names = ("head", "tail") if task == "keypoints" else ()
    ontology = Ontology(name="some", task=task, classes=tuple(classes), keypoints=names)
    config = read_config(f'<View><Image name="i" value="$image"/>{tags or TAGS[task]}</View>')
    (found,) = bound(config, [ontology])
    return found


def back(about: Binding, shown: Sequence[dict[str, Any]], size_wh: tuple[int, int] = SIZE_WH) -> Said:
    found = said(about, [RegionIn.model_validate(one) for one in shown], size_wh, MAX_PIXELS)
    assert found is not None
    return found


def refused(about: Binding, *shown: dict[str, Any], match: str) -> None:
    with pytest.raises(BadAnnotation, match=match):
        back(about, shown)


def box(class_name: str, *xyxy: float, **values: Any) -> Annotation:
    return Annotation(class_name=class_name, bbox_xyxy=xyxy, **values)  # type: ignore[arg-type]


def mask(class_name: str, columns: slice) -> Annotation:
    mask_HW = np.zeros(SIZE_WH[::-1], bool)
    mask_HW[10:30, columns] = True
    return Annotation(class_name=class_name, rle_counts=encode(mask_HW))


def test_classes_are_one_region_of_choices_and_no_choice_says_nothing() -> None:
    about = binding("classification")
    some = [Annotation(class_name=name, level="image", score=score) for name, score in (("bee", 0.4), ("fly", 0.9))]
    (region,) = regions(about, some, SIZE_WH, 3)
    assert (region["type"], region["value"], region["score"]) == ("choices", {"choices": ["bee", "fly"]}, 0.9)
    assert [(one.class_name, one.level) for one in back(about, [region]).annotations] == [("bee", "image"), ("fly", "image")]
    assert regions(about, [], SIZE_WH, 3) == []
    assert said(about, [], SIZE_WH, MAX_PIXELS) is None


def test_boxes_are_percent_of_the_picture_and_come_back_as_pixels_of_the_frame() -> None:
    about = binding("detection")
    shown = regions(about, [box("fly", 8, 6, 40, 36, score=0.5), box("bee", -9, 45, 9, 70)], SIZE_WH, 3)
    assert [one["value"] for one in shown] == [
        {"x": 10.0, "y": 10.0, "width": 40.0, "height": 50.0, "rotation": 0, "rectanglelabels": ["fly"]},
        {"x": 0.0, "y": 75.0, "width": 11.25, "height": 25.0, "rotation": 0, "rectanglelabels": ["bee"]},
    ]
    assert {(one["original_width"], one["original_height"], one["image_rotation"]) for one in shown} == {(80, 60, 0)}
    found = back(about, shown, (160, 120))
    assert found.annotations[0].bbox_xyxy == pytest.approx((16, 12, 80, 72))
    assert (found.places, found.notes) == ({0: (3, 0), 1: (3, 1)}, [])
    assert back(about, []).annotations == []


def test_a_turned_box_is_kept_as_the_upright_one_around_it_and_said() -> None:
    value = {"x": 50, "y": 50, "width": 25, "height": 20, "rotation": 90, "rectanglelabels": ["fly"]}
    found = back(binding("detection"), [{"id": "r", "from_name": "a", "value": value}])
    assert found.annotations[0].bbox_xyxy == pytest.approx((28, 30, 40, 50))
    assert found.notes == ["region r: turned by 90°, kept as the upright box around it"]


def test_masks_come_back_pixel_for_pixel_and_all_strokes_of_a_class_are_one() -> None:
    about = binding("segmentation")
    masks = [mask("fly", slice(5, 20)), mask("bee", slice(40, 50))]
    shown = regions(about, masks, SIZE_WH, 3)
    assert [one["value"]["brushlabels"] for one in shown] == [["fly"], ["bee"]]
    found = back(about, shown)
    assert found.annotations == masks
    assert found.places == {0: (3, 0), 1: (3, 1)}
    stroke = regions(about, [mask("fly", slice(60, 70))], SIZE_WH, 3)[0] | {"id": "drawn"}
    both = back(about, [shown[0], stroke]).annotations[0]
    assert decode(str(both.rle_counts), 60, 80).sum() == 20 * 25


def test_a_brush_on_a_smaller_picture_of_the_same_shape_is_brought_to_the_frame_and_said() -> None:
    small = np.zeros((30, 40), bool)
    small[5:15, 10:20] = True
    value = {"format": "rle", "rle": pack(small), "brushlabels": ["fly"]}
    shown = {"id": "r", "from_name": "a", "original_width": 40, "original_height": 30, "value": value}
    found = back(binding("segmentation"), [shown])
    assert (decode(str(found.annotations[0].rle_counts), 60, 80) == small.repeat(2, 0).repeat(2, 1)).all()
    assert found.notes == ["region r: drawn at 40x30, kept at 80x60"]
    refused(binding("segmentation"), shown | {"original_height": 40}, match="a brush on a picture of 40x40, the frame has 80x60")
    refused(binding("segmentation"), shown | {"original_width": 40_000}, match="needed 1 to 100000 pixels")
    refused(binding("segmentation"), shown | {"original_width": 0}, match="needed 1 to 100000 pixels")
    turned = {"original_width": -40, "original_height": -30}
    refused(binding("segmentation"), shown | turned, match="needed 1 to 100000 pixels")
    empty = back(binding("segmentation"), [shown | {"value": value | {"rle": pack(small & False)}}])
    assert (empty.annotations, empty.notes[-1]) == ([], "fly: a brush without a pixel, left out")


def test_points_are_held_together_by_rectangles() -> None:
    about = binding("keypoints")
    objects = [
        box("fly", 8, 6, 40, 36, keypoints_xyv=(10.0, 9.0, 2.0, 30.0, 27.0, 1.0), score=0.9),
        box("bee", 40, 30, 60, 48, keypoints_xyv=(0.0, 0.0, 0.0, 50.0, 40.0, 2.0), score=0.8),
    ]
    shown = regions(about, objects, SIZE_WH, 3)
    assert [(one["type"], one.get("parentID") == shown[0]["id"]) for one in shown[:3]] == [
        ("rectanglelabels", False),
        ("keypointlabels", True),
        ("keypointlabels", True),
    ]
    assert [one.get("meta") for one in shown[1:3]] == [None, {"text": ["hidden"]}]
    found = back(about, shown)
    for one, was in zip(found.annotations, objects, strict=True):
        assert one.class_name == was.class_name
        assert one.bbox_xyxy == pytest.approx(was.bbox_xyxy)
        assert one.keypoints_xyv == pytest.approx(was.keypoints_xyv)
    assert found.places == {0: (3, 0), 1: (3, 1)}
    loose = [{name: value for name, value in one.items() if name != "parentID"} for one in shown]
    assert back(about, loose[:3]).annotations[0].keypoints_xyv == pytest.approx(objects[0].keypoints_xyv)
    refused(about, *loose, match="under none of 2 rectangles")
    refused(about, *shown[:3], shown[1] | {"id": "again"}, match="an object with one point twice")


def test_without_rectangles_the_points_are_those_of_one_object() -> None:
    about = binding("keypoints", POINTS, classes=("fly",))
    objects = [box("fly", 8, 6, 40, 36, keypoints_xyv=(10.0, 9.0, 2.0, x, 27.0, 2.0), score=x / 100) for x in (30.0, 50.0)]
    shown = regions(about, objects, SIZE_WH, 3)
    assert [one["value"]["keypointlabels"] for one in shown] == [["head"], ["tail"]]
    found = back(about, shown)
    assert found.annotations[0].keypoints_xyv == pytest.approx(objects[1].keypoints_xyv)
    assert found.places == {0: (3, 1)}
    assert back(about, []).annotations == []
    stranger = shown[0] | {"value": {"x": 1, "y": 1, "keypointlabels": ["wing"]}}
    refused(about, stranger, match="an object with 'wing', needed each of head, tail at most once")


def test_a_region_on_a_turned_picture_or_without_exactly_one_label_is_refused() -> None:
    about = binding("detection")
    shown = regions(about, [box("fly", 8, 6, 40, 36)], SIZE_WH, 3)[0]
    refused(about, shown | {"image_rotation": 90}, match="a picture turned by 90°")
    for labels in ([], ["fly", "bee"]):
        refused(about, shown | {"value": shown["value"] | {"rectanglelabels": labels}}, match=f"{len(labels)} labels, needed one")


def test_regions_of_other_controls_are_passed_over() -> None:
    other = {"id": "t", "from_name": "comment", "type": "textarea", "value": {"text": ["nice"]}}
    assert back(binding("detection"), [other, {"type": "relation", "from_id": "a", "to_id": "b"}]).annotations == []


def test_only_ids_that_were_made_for_the_ontology_name_proposals() -> None:
    about = binding("detection")
    assert proposal_of(about, regions(about, [box("fly", 8, 6, 40, 36)], SIZE_WH, 12)[0]["id"]) == (12, 0)
    digest = region_id(about, 1, 0).split("-")[1]
    for name in ("", "mm", "mm-1-2-3", "aB3_x", "mm-00000000-1-2", "mm---", f"mm-{digest}-{'9' * 5000}-0"):
        assert proposal_of(about, name) is None


def test_what_was_shown_without_what_is_beyond_the_picture_is_the_whole_proposal_unless_it_was_moved() -> None:
    about, proposal = binding("detection"), box("bee", -9, 45, 9, 70, score=0.5)
    (cut,) = back(about, regions(about, [proposal], SIZE_WH, 3)).annotations
    assert cut.bbox_xyxy == pytest.approx((0, 45, 9, 60))
    assert unmoved(about, cut, proposal, SIZE_WH).bbox_xyxy == proposal.bbox_xyxy
    moved = box("bee", 0, 44, 9, 60)
    assert unmoved(about, moved, proposal, SIZE_WH) == moved
    assert unmoved(about, box("fly", 0, 45, 9, 60), proposal, SIZE_WH).bbox_xyxy == (0, 45, 9, 60)
