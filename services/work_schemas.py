"""What travels between the service and whoever shows frames to people, typed."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.schemas import AnnotationOut, MaskOut
from training.data.annotations import Annotation
from training.data.human_actions import RoundKind
from training.errors import BadAnnotation

__all__ = [
    "ActionsDone",
    "AnnotationIn",
    "AnswerIn",
    "AnswerKept",
    "AnswersIn",
    "FrameToDo",
    "KeypointIn",
    "Proposal",
    "Receipt",
    "WorkQueue",
]

Line = Annotated[str, Field(min_length=1, max_length=150)]


class Proposal(AnnotationOut):
    """An annotation of a micro-model, with its name."""

    annotation_id: str = Field(description="Goes back with what became of this annotation")


class FrameToDo(BaseModel):
    """One frame that waits for a person."""

    shard_id: str
    ontology: str | None = Field(default=None, description="None: nobody labelled this shard yet, and the store has several")
    frame_index: int
    kind: RoundKind = Field(description="labels and audit are drawn before anything is proposed; review corrects proposals")
    generation: int | None = Field(default=None, description="That proposes; in a review only")
    why: str
    expected_seconds: float
    width: int = Field(description="Pixels of the upright picture")
    height: int
    picture: str = Field(description="Where the picture is")
    proposals: list[Proposal]


class WorkQueue(BaseModel):
    """What `next` answered last, without what was labelled since; the most worth first."""

    queue: int = Field(description="Number of that answer; 0 before the first")
    made_at: str | None = None
    frames: list[FrameToDo]


class KeypointIn(BaseModel):
    """One named point; a name that is left out is not there."""

    model_config = ConfigDict(extra="forbid")

    name: str
    x: float
    y: float
    visibility: Literal[0, 1, 2]


class AnnotationIn(BaseModel):
    """One annotation as the person left it; a proposal may come back as it is."""

    model_config = ConfigDict(extra="forbid")

    class_name: str
    annotation_id: str | None = Field(default=None, description="Of the proposal that this was")
    bbox_xyxy: tuple[float, float, float, float] | None = None
    mask: MaskOut | None = None
    keypoints: Annotated[list[KeypointIn], Field(fail_fast=True)] | None = None
    track_id: str | None = Field(default=None, max_length=150)
    ambiguous: bool = Field(default=False, description="Nobody can tell: nothing is learned from it, nothing judged on it")
    level: Literal["object", "image"] | None = Field(default=None, description="Not needed: the ontology's task says it")
    score: float | None = Field(default=None, description="Not needed: what a person says has none")

    def annotation(self, names: Sequence[str], size_hw: tuple[int, int]) -> Annotation:
        """names: keypoints of the ontology. size_hw: height and width of the picture. Raises BadAnnotation."""
        if self.mask is not None and self.mask.size != size_hw:
            raise BadAnnotation(f"{self.class_name}: mask of size {list(self.mask.size)}, needed {list(size_hw)}")
        return Annotation(
            class_name=self.class_name,
            level="object" if self.level is None else self.level,
            bbox_xyxy=self.bbox_xyxy,
            rle_counts=None if self.mask is None else self.mask.counts,
            keypoints_xyv=None if self.keypoints is None else _flat(self.keypoints, names) or None,
            track_id=self.track_id,
            ambiguous=self.ambiguous,
        )


class AnswerIn(BaseModel):
    """All that one person says about one frame; no annotations: they looked, and nothing is there."""

    model_config = ConfigDict(extra="forbid")

    answer_id: Line = Field(description="Chosen by the client, unique within shard and ontology")
    shard_id: str
    ontology: str
    frame_index: int
    kind: RoundKind
    generation: int | None = Field(default=None, ge=0, description="Whose proposals were shown: in a review only")
    who: Line
    when: str = Field(description="ISO 8601 in UTC, by the client's clock", examples=["2026-01-02T03:04:05+00:00"])
    seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False, description="Measured, for the whole frame")
    annotations: list[AnnotationIn] = Field(max_length=2000, fail_fast=True)


class AnswersIn(BaseModel):
    """Answers that are kept together; each frame once."""

    model_config = ConfigDict(extra="forbid")

    answers: list[AnswerIn] = Field(min_length=1, max_length=1000, fail_fast=True)


class ActionsDone(BaseModel):
    """What the ledger has of an answer, beside the look."""

    draw: int
    delete: int
    adjust: int
    confirm: int


class AnswerKept(BaseModel):
    """recorded: now; false if it was known already."""

    answer_id: str
    shard_id: str
    ontology: str
    frame_index: int
    recorded: bool
    actions: ActionsDone


class Receipt(BaseModel):
    """Every answer is durable, as labels and in the ledger."""

    recorded: int
    known: int
    answers: list[AnswerKept]


def _flat(points: Sequence[KeypointIn], names: Sequence[str]) -> tuple[float, ...]:
    given = {point.name: point for point in points}
    strangers = sorted(set(given) - set(names))
    if strangers or len(given) < len(points):
        found = f"{strangers[0]!r}" if strangers else "one name twice"
        raise BadAnnotation(f"keypoint {found}, needed {', '.join(names) or 'none'}, each at most once")
    placed = (given.get(name) for name in names)
    return tuple(n for one in placed for n in ((one.x, one.y, float(one.visibility)) if one else (0.0, 0.0, 0.0)))
