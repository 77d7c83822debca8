"""Which control of a project labels in which ontology of the store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from services.label_studio.config import Control, Kind, LabelConfig
from training.data.ontology import Ontology, TaskName
from training.errors import BadLabelConfig

__all__ = ["Binding", "bound"]

_TASK_OF: Final[Mapping[Kind, TaskName]] = {
    "choices": "classification",
    "rectanglelabels": "detection",
    "brushlabels": "segmentation",
    "keypointlabels": "keypoints",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """A control that labels in an ontology. boxes: for keypoints the control of rectangles, each of which is one object."""

    ontology: Ontology
    control: Control
    boxes: Control | None = None

    @property
    def controls(self) -> tuple[str, ...]:
        """Names of those whose regions it takes."""
        return tuple(one.name for one in (self.control, self.boxes) if one is not None)


def bound(config: LabelConfig, ontologies: Sequence[Ontology]) -> list[Binding]:
    """Every control whose labels are an ontology's, or that names one in `model_ontology`; at least one.

    Raises:
        BadLabelConfig: none is, one fits several ontologies, or keypoints of several classes have no rectangles.
    """
    found = {control.name: _ontology(control, ontologies) for control in config.controls}
    frames = {control.name: _boxes(control, found[control.name], config, found) for control in config.controls}
    taken = {boxes.name for boxes in frames.values() if boxes is not None}
    bindings = [
        Binding(ontology=ontology, control=control, boxes=frames[control.name])
        for control in config.controls
        if (ontology := found[control.name]) is not None and control.name not in taken
    ]
    names = [one.ontology.name for one in bindings]
    if twice := {name for name in names if names.count(name) > 1}:
        raise BadLabelConfig(f"two controls label in {min(twice)}, needed one")
    if not bindings:
        known = "; ".join(f"{one.name}: {one.task} of {', '.join(one.keypoints or one.classes)}" for one in ontologies)
        raise BadLabelConfig(
            f"no control has the labels of an ontology, needed one of those that the store has: {known or 'none'}"
        )
    return bindings


def _ontology(control: Control, ontologies: Sequence[Ontology]) -> Ontology | None:
    of_task = [one for one in ontologies if one.task == _TASK_OF[control.kind]]
    if control.ontology is not None:
        named = [one for one in ontologies if one.name == control.ontology]
        if not named:
            raise BadLabelConfig(f"{control.name}: model_ontology {control.ontology!r}, which the store does not have")
        of_task = [one for one in of_task if one in named]
    fitting = [one for one in of_task if set(one.keypoints or one.classes) == set(control.labels)]
    if of_task and not fitting and control.ontology is not None:
        needed = ", ".join(of_task[0].keypoints or of_task[0].classes)
        raise BadLabelConfig(
            f"{control.name}: labels {', '.join(control.labels) or 'of none'}, needed those of {control.ontology}: {needed}"
        )
    if len(fitting) > 1:
        names = ", ".join(one.name for one in fitting)
        raise BadLabelConfig(f"{control.name}: its labels are those of {names}, needed model_ontology to name one")
    return fitting[0] if fitting else None


def _boxes(
    control: Control, ontology: Ontology | None, config: LabelConfig, found: Mapping[str, Ontology | None]
) -> Control | None:
    if control.kind != "keypointlabels" or ontology is None:
        return None
    rectangles = [one for one in config.controls if one.kind == "rectanglelabels" and one.to_name == control.to_name]
    fitting = [one for one in rectangles if set(one.labels) == set(ontology.classes)]
    named = [one for one in rectangles if one.ontology == ontology.name]
    if named and named[0] not in fitting:
        raise BadLabelConfig(f"{named[0].name}: labels {', '.join(named[0].labels)}, needed {', '.join(ontology.classes)}")
    free = [one for one in fitting if found[one.name] is None and one.ontology is None]
    boxes = next(iter(named or free), None)
    if boxes is None and len(ontology.classes) > 1:
        needed = "RectangleLabels with the classes, one rectangle an object"
        raise BadLabelConfig(f"{control.name}: keypoints of {len(ontology.classes)} classes, needed {needed}")
    return boxes
