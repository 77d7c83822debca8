"""What is being labelled: a task with its classes, keypoint names and skeleton."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from training.data.identifiers import check_identifier
from training.errors import BadInput

__all__ = ["Ontology", "TaskName"]

TaskName = Literal["classification", "detection", "segmentation", "keypoints"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ontology:
    """A task and the vocabulary of its labels.

    classes: unique names, their order is the order of the model's outputs.
    keypoints, skeleton: names, and pairs of 0-based indices into them; empty unless the task is keypoints.
    Raises:
        BadInput: an unknown task, no classes, repeated names, or a bone between keypoints that do not exist.
    """

    name: str
    task: TaskName
    classes: tuple[str, ...]
    keypoints: tuple[str, ...] = ()
    skeleton: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        check_identifier(self.name, "ontology name")
        if self.task not in get_args(TaskName):
            raise BadInput(f"ontology {self.name}: task {self.task!r}, needed one of {', '.join(get_args(TaskName))}")
        if not self.classes:
            raise BadInput(f"ontology {self.name}: no classes, needed at least one")
        for what, names in (("class", self.classes), ("keypoint", self.keypoints)):
            repeated = sorted({name for name in names if names.count(name) > 1})
            if repeated:
                raise BadInput(f"ontology {self.name}: {what} {repeated[0]!r} appears twice")
        for bone in self.skeleton:
            if not all(0 <= end < len(self.keypoints) for end in bone):
                raise BadInput(f"ontology {self.name}: bone {bone} with {len(self.keypoints)} keypoints")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Ontology":
        return cls(
            name=document["name"],
            task=document["task"],
            classes=tuple(document["classes"]),
            keypoints=tuple(document.get("keypoints", ())),
            skeleton=tuple((int(a), int(b)) for a, b in document.get("skeleton", ())),
        )
