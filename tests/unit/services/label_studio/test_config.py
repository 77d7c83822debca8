"""Labelling configurations: what is read of them, what they are bound to, and what is refused."""

from collections.abc import Sequence

import pytest

from services.label_studio.binding import bound
from services.label_studio.config import MAX_CHARACTERS, MAX_TAGS, read_config
from training.data.ontology import Ontology
from training.errors import BadLabelConfig

BOXES = '<RectangleLabels name="boxes" toName="image"><Label value="fly"/><Label value="bee"/></RectangleLabels>'
POINTS = '<KeyPointLabels name="points" toName="image"><Label value="head"/><Label value="tail"/></KeyPointLabels>'
FLIES = Ontology(name="flies", task="detection", classes=("bee", "fly"))
POSES = Ontology(name="poses", task="keypoints", classes=("fly", "bee"), keypoints=("tail", "head"))


def view(*tags: str) -> str:
    return f'<View><Image name="image" value="$picture"/>{"".join(tags)}</View>'


def controls(*tags: str, ontologies: Sequence[Ontology] = (FLIES, POSES)) -> dict[str, tuple[str, str | None]]:
    """Name of each control that is bound -> its ontology, and the control of its boxes."""
    found = bound(read_config(view(*tags)), ontologies)
    return {one.control.name: (one.ontology.name, one.boxes and one.boxes.name) for one in found}


def test_controls_of_the_four_kinds_are_read_with_their_labels_and_the_key_of_their_picture() -> None:
    config = read_config(
        view(
            '<Header value="say"/><Choices name="day" toName="image"><View><Choice alias="d" value="by day"/></View>'
            '<Choice value="night"/></Choices><BrushLabels name="brush" toName="image"><Label value="road"/></BrushLabels>',
            BOXES,
            POINTS,
            '<PolygonLabels name="poly" toName="image"><Label value="fly"/></PolygonLabels>',
            '<Choices name="tone" toName="text"><Choice value="glad"/></Choices>',
        )
    )
    assert [(one.kind, one.name, one.to_name, one.labels) for one in config.controls] == [
        ("choices", "day", "image", ("d", "night")),
        ("brushlabels", "brush", "image", ("road",)),
        ("rectanglelabels", "boxes", "image", ("fly", "bee")),
        ("keypointlabels", "points", "image", ("head", "tail")),
    ]
    assert config.images == {"image": "picture"}


@pytest.mark.parametrize(
    ("xml", "why"),
    [
        ("", "not XML"),
        ("<View><Image></View>", "not XML"),
        ('<!DOCTYPE v [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><View>&b;</View>', "a document type"),
        ('<!DOCTYPE v SYSTEM "file:///etc/passwd"><View/>', "a document type"),
        ("<View>&outside;</View>", "not XML"),
        ("<View>\udc80</View>", None),
        ("<v>" * (MAX_TAGS + 1), "more than"),
        ("<v/>" + " " * MAX_CHARACTERS, "needed at most"),
    ],
    ids=["empty", "unclosed", "entities", "external", "undefined", "surrogate", "tags", "characters"],
)
def test_what_is_not_plain_tags_is_refused(xml: str, why: str | None) -> None:
    if why is None:
        assert read_config(xml).controls == ()
    else:
        with pytest.raises(BadLabelConfig, match=why):
            read_config(xml)


def test_a_control_labels_in_the_ontology_that_has_its_labels() -> None:
    assert controls(BOXES) == {"boxes": ("flies", None)}
    assert controls(BOXES.replace("bee", "wasp"), POINTS.replace("head", "nose"), BOXES.replace("boxes", "more")) == {
        "more": ("flies", None)
    }


def test_rectangles_hold_the_points_of_objects_unless_they_are_boxes_of_their_own() -> None:
    assert controls(BOXES, POINTS, ontologies=[POSES]) == {"points": ("poses", "boxes")}
    held = BOXES.replace('toName="image"', 'toName="image" model_ontology="poses"')
    assert controls(held, POINTS) == {"points": ("poses", "boxes")}
    one_class = Ontology(name="fly", task="keypoints", classes=("fly",), keypoints=("head", "tail"))
    assert controls(BOXES, POINTS, ontologies=[FLIES, one_class]) == {"boxes": ("flies", None), "points": ("fly", None)}


def test_a_configuration_that_leaves_something_open_is_refused() -> None:
    twin = Ontology(name="twins", task="detection", classes=("fly", "bee"))
    with pytest.raises(BadLabelConfig, match="those of flies, twins, needed model_ontology"):
        controls(BOXES, ontologies=[FLIES, twin])
    named = BOXES.replace('toName="image"', 'toName="image" model_ontology="twins"')
    assert controls(named, ontologies=[FLIES, twin]) == {"boxes": ("twins", None)}
    with pytest.raises(BadLabelConfig, match="'twins', which the store does not have"):
        controls(named)
    with pytest.raises(BadLabelConfig, match="boxes: labels fly, wasp, needed those of twins: fly, bee"):
        controls(named.replace("bee", "wasp"), ontologies=[FLIES, twin])
    with pytest.raises(BadLabelConfig, match="boxes: labels fly, wasp, needed fly, bee"):
        controls(BOXES.replace('toName="image"', 'toName="image" model_ontology="poses"').replace("bee", "wasp"), POINTS)
    with pytest.raises(BadLabelConfig, match="keypoints of 2 classes, needed RectangleLabels"):
        controls(POINTS)
    with pytest.raises(BadLabelConfig, match=r"no control has the labels of an ontology, .*flies: detection of bee, fly"):
        controls('<Choices name="x" toName="image"><Choice value="fly"/></Choices>')
    with pytest.raises(BadLabelConfig, match="two controls label in flies"):
        controls(BOXES, BOXES.replace("boxes", "more"))
