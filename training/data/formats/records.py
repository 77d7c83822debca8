"""What readers and writers of formats hand to one another."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from training.data.annotations import Annotation, FrameLabels
from training.data.coco import ontology_name
from training.data.coco_repeats import Repeats
from training.data.keypoint_box import box_around
from training.data.ontology import Ontology, TaskName
from training.data.shards import Shard
from training.errors import BadAnnotation, BadInput, UnknownClass, UnknownFrame

__all__ = ["Box", "Found", "Part", "ReadLabels", "Source"]

_STICKS_OUT_PX = 1.0
_EXACT_PX = 1e-6
Box = tuple[float, float, float, float]


class Part(NamedTuple):
    """The labels of one shard, to be written: by frame, each frame once; may be gone through several times."""

    shard: Shard
    ontology: Ontology
    labels: Iterable[FrameLabels]


class Source(NamedTuple):
    """Labels of one shard, to be read.

    root: what the user named. place: the file or folder in it that is about this shard.
    vocabulary: the ontology that the names in it belong to; None if only the file itself can say.
    """

    root: Path
    place: Path
    shard: Shard
    vocabulary: Ontology | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLabels:
    """What a source says about one shard: the same shape as of COCO.

    labels: per task, its ontology and every frame somebody looked at, by frame.
    clipped: boxes and keypoints that stuck out of their picture by at most one pixel and were moved to its edge.
    repeated: annotations that say again what another one of the same frame says; dropped.
    unplaced: objects of a scene whose centre lies in no tile.
    boxed: objects with keypoints and without a box, which got the one around their points.
    unshaped: objects with a box alone, where others have a mask or keypoints: ambiguous to the tasks of those.
    """

    labels: Mapping[TaskName, tuple[Ontology, tuple[FrameLabels, ...]]]
    clipped: int = 0
    repeated: int = 0
    unplaced: int = 0
    boxed: int = 0
    unshaped: int = 0


@dataclass(slots=True)
class Found:
    """Gathers what a reader finds in one source and checks every number.

    classes: names in the source's own order, where it has a list; names that only occur in labels come after them.
    """

    source: Source
    classes: list[str] = field(default_factory=list)
    keypoints: list[str] = field(default_factory=list)
    skeleton: tuple[tuple[int, int], ...] = ()
    clipped: int = 0
    repeated: int = 0
    boxed: int = 0
    repeats: Repeats = field(default_factory=Repeats)
    frames: dict[int, list[Annotation]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.source.vocabulary is not None:
            self.classes = list(self.source.vocabulary.classes)
            self.keypoints = list(self.source.vocabulary.keypoints)
            self.skeleton = self.source.vocabulary.skeleton

    def size(self, width: object, height: object, where: str) -> None:
        """Compare the size that a source says its pictures have, in numbers or as text, with the shard's; None: it does not say.

        Raises:
            BadInput: another size.
        """
        shard = self.source.shard
        if (width, height) != (None, None) and (_number(width), _number(height)) != (shard.width, shard.height):
            said = "x".join(str(side).strip() for side in (width, height))
            raise BadInput(f"{where}: {said}, needed {shard.width}x{shard.height} like {shard.shard_id}")

    def look(self, frame_index: int, where: str) -> None:
        """Note that somebody looked at the frame.

        Raises:
            UnknownFrame: the shard has no such frame.
        """
        shard = self.source.shard
        if not 0 <= frame_index < shard.num_frames:
            raise UnknownFrame(f"{where}: frame {frame_index}, needed 0..{shard.num_frames - 1} of {shard.shard_id}")
        self.frames.setdefault(frame_index, [])

    def say(self, frame_index: int, annotation: Annotation, where: str) -> None:
        """Add one annotation, unless it says again what is there; keypoints without a box get the one around them.

        Raises:
            UnknownFrame, UnknownClass: not of the shard or of the vocabulary.
            BadAnnotation: a second, other label of one track on one frame, neither a box nor a placed keypoint, or a class
                that is no text.
        """
        self.look(frame_index, where)
        if not isinstance(annotation.class_name, str):
            raise BadAnnotation(f"{where}: label {annotation.class_name!r}, needed a text")
        if annotation.class_name not in self.classes:
            if self.source.vocabulary is not None:
                known = ", ".join(self.classes)
                raise UnknownClass(f"{where}: class {annotation.class_name!r}, needed one of {known}")
            self.classes.append(annotation.class_name)
        try:
            annotation = self._boxed(annotation)
            new = self.repeats.is_new(_task(annotation), frame_index, annotation)
        except BadAnnotation as error:
            raise BadAnnotation(f"{where}: {error}") from error
        if new:
            self.frames[frame_index].append(annotation)
        self.repeated += not new

    def _boxed(self, annotation: Annotation) -> Annotation:
        if annotation.keypoints_xyv is None or annotation.bbox_xyxy is not None:
            return annotation
        size = float(self.source.shard.width), float(self.source.shard.height)
        self.boxed += 1
        return replace(annotation, bbox_xyxy=box_around(annotation.keypoints_xyv, size, size))

    def box(self, x1: float, y1: float, x2: float, y2: float, where: str) -> Box:
        """The box inside its picture; one that sticks out by up to a pixel is cut and counted.

        Raises:
            BadAnnotation: it sticks out further, has no area, or a number is NaN.
        """
        width, height = self.source.shard.width, self.source.shard.height
        beyond = max(-x1, -y1, x2 - width, y2 - height)
        if math.isnan(x1 + y1 + x2 + y2) or beyond > _STICKS_OUT_PX:
            raise BadAnnotation(f"{where}: box {(x1, y1, x2, y2)} leaves its {width}x{height} picture, needed at most 1 pixel")
        self.clipped += beyond > _EXACT_PX
        inside = max(0.0, x1), max(0.0, y1), min(float(width), x2), min(float(height), y2)
        if not (inside[2] > inside[0] and inside[3] > inside[1]):
            raise BadAnnotation(f"{where}: box {(x1, y1, x2, y2)} has no area, needed x2 > x1 and y2 > y1")
        return inside

    def points(self, triples: Iterable[tuple[float, float, float]], where: str) -> tuple[float, ...]:
        """Keypoints x, y, v; what sticks out by up to a pixel is moved and counted, a missing one becomes 0, 0, 0."""
        width, height = float(self.source.shard.width), float(self.source.shard.height)
        flat: list[float] = []
        for x, y, v in triples:
            if v not in (0, 1, 2):
                raise BadAnnotation(f"{where}: keypoint visibility {v:g}, needed 0, 1 or 2")
            if not v:
                flat.extend((0.0, 0.0, 0.0))
                continue
            inside = min(max(x, 0.0), width), min(max(y, 0.0), height)
            beyond = max(abs(x - inside[0]), abs(y - inside[1]))
            if math.isnan(x + y) or beyond > _STICKS_OUT_PX:
                raise BadAnnotation(f"{where}: keypoint ({x:g}, {y:g}) outside its {width:g}x{height:g} picture")
            self.clipped += beyond > _EXACT_PX
            flat.extend((*inside, float(v)))
        return tuple(flat)

    def result(self) -> ReadLabels:
        """Labels by task; frames with nothing in them are frames of the vocabulary's task, or of every task found.

        Raises:
            UnknownFrame: the source says nothing about any frame.
            BadInput: a class or keypoint is no text.
        """
        for what, names in (("class", self.classes), ("keypoint", self.keypoints)):
            for name in (name for name in names if not isinstance(name, str)):
                raise BadInput(f"{self.source.place}: {what} {name!r}, needed a text")
        if not self.frames:
            raise UnknownFrame(
                f"{self.source.place}: nothing about any frame of {self.source.shard.shard_id}, needed at least one"
            )
        tasks = {_task(annotation) for said in self.frames.values() for annotation in said}
        given = self.source.vocabulary
        if given is not None and tasks <= {given.task}:
            tasks = {given.task}
        classes = tuple(self.classes) or ("object",)
        labels = {}
        for task in sorted(tasks) or (("keypoints" if self.keypoints else "detection"),):
            labels[task] = (self._ontology(task, classes), self._of(task))
        return ReadLabels(labels=labels, clipped=self.clipped, repeated=self.repeated, boxed=self.boxed)

    def _ontology(self, task: TaskName, classes: tuple[str, ...]) -> Ontology:
        given = self.source.vocabulary
        if given is not None and given.task == task:
            return given
        keypoints, skeleton = (tuple(self.keypoints), self.skeleton) if task == "keypoints" else ((), ())
        name = ontology_name(task, classes)
        return Ontology(name=name, task=task, classes=classes, keypoints=keypoints, skeleton=skeleton)

    def _of(self, task: TaskName) -> tuple[FrameLabels, ...]:
        return tuple(
            FrameLabels(
                shard_id=self.source.shard.shard_id,
                frame_index=index,
                annotations=tuple(annotation for annotation in said if _task(annotation) == task),
            )
            for index, said in sorted(self.frames.items())
        )


def _number(side: object) -> float:
    try:
        return float(str(side))
    except ValueError:
        return math.nan


def _task(annotation: Annotation) -> TaskName:
    if annotation.level == "image":
        return "classification"
    if annotation.keypoints_xyv is not None:
        return "keypoints"
    return "detection" if annotation.rle_counts is None else "segmentation"
