"""What travels between a line and its clients, typed."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.line_answering import LineAnswer
from services.schemas import AnnotationOut, ModelUsed
from training.data.line import MAX_STAGES, PICTURE, Line, Stage
from training.data.line_labels import LineLabels
from training.lines.ready import ReadyLine

__all__ = ["LineAnnotation", "LineIn", "LineOut", "LinePage", "LinePicture", "LinePrediction", "StageIn"]

Name = Annotated[str, Field(min_length=1, max_length=200)]


class StageIn(BaseModel):
    """One micro-model of a line, and what it is asked about."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    model: str = Field(max_length=220, description="'shard', 'shard@live' or 'shard@3'")
    ontology: str | None = Field(default=None, max_length=200, description="Needed only if the shard has models of several")
    input: Name = Field(default=PICTURE, description="'picture', or the stage whose answers are cropped")
    classes: list[Name] = Field(
        default=[], max_length=1000, description="Of those answers, the ones that are cropped; all if empty"
    )
    min_score: float = Field(default=0.0, description="What the stage is less sure of is left out, and nothing cropped from it")
    padding: float = Field(default=0.0, description="Of a crop on every side, in shares of the box's width and height")
    crop_size: Literal["frame", "pixels"] = Field(
        default="frame", description="Resized to a frame of the model's shard, or as it is in the picture"
    )

    def stage(self) -> Stage:
        """Raises BadLine."""
        return Stage(**{**self.model_dump(), "classes": tuple(self.classes)})

    @classmethod
    def of(cls, stage: Stage) -> "StageIn":
        return cls(**stage.to_json())


class LineIn(BaseModel):
    """A line to be saved under the name in the path."""

    model_config = ConfigDict(extra="forbid")

    stages: list[StageIn] = Field(min_length=1, max_length=MAX_STAGES)

    def line(self, name: str) -> Line:
        """Raises BadLine."""
        return Line(name=name, stages=tuple(one.stage() for one in self.stages))


class LineOut(BaseModel):
    """A line as it is saved."""

    name: str
    version: int
    saved_at: str = Field(description="ISO 8601, UTC")
    stages: list[StageIn]

    @classmethod
    def of(cls, line: Line) -> "LineOut":
        stages = [StageIn.of(one) for one in line.stages]
        return cls(name=line.name, version=line.version, saved_at=line.saved_at, stages=stages)


class LinePage(BaseModel):
    """Lines in their current versions, ordered by name."""

    lines: list[LineOut]
    next_after: str | None = Field(description="Give this as `after` to get the next page; null on the last")


class StageUsed(BaseModel):
    """Which micro-model answered in a stage."""

    name: str
    input: str
    model: ModelUsed


class LineUsed(BaseModel):
    """Which line answered, and what it is made of."""

    name: str
    version: int
    stages: list[StageUsed]

    @classmethod
    def of(cls, line: ReadyLine) -> "LineUsed":
        stages = [StageUsed(name=one.stage.name, input=one.stage.input, model=ModelUsed.of(one.card)) for one in line.stages]
        return cls(name=line.line.name, version=line.line.version, stages=stages)


class LineAnnotation(AnnotationOut):
    """An annotation in pixels of the whole picture, and what was found on the crop of it."""

    stage: str
    model: str = Field(description="The micro-model and its generation", examples=["front_door@3"])
    children: list["LineAnnotation"]


class LinePicture(BaseModel):
    """What the line says of one picture, in the order the pictures were sent."""

    width: int
    height: int
    annotations: list[LineAnnotation]


class LineTimings(BaseModel):
    """Seconds, and how many crops were looked at."""

    prepare_s: float = Field(description="Decoding the pictures and, where they were not cached, loading models")
    crop_s: float = Field(description="Cutting crops, and placing what is said of them")
    model_s: float = Field(description="Bank passes, with the waiting for them")
    total_s: float = Field(description="From the first byte read to the answer shaped")
    crops: int


class LinePrediction(BaseModel):
    """The answer of a line."""

    line: LineUsed
    images: list[LinePicture]
    timings: LineTimings

    @classmethod
    def of(cls, line: ReadyLine, answer: LineAnswer, total_s: float) -> "LinePrediction":
        made_by = {one.stage.name: one.card.ref for one in line.stages}
        images = [
            LinePicture(width=wh[0], height=wh[1], annotations=_tree(labels, wh, answer, made_by))
            for labels, wh in zip(answer.labels, answer.sizes_wh, strict=True)
        ]
        took = {"prepare_s": answer.prepare_s, "crop_s": answer.crop_s, "model_s": answer.model_s, "total_s": total_s}
        return cls(line=LineUsed.of(line), images=images, timings=LineTimings(**took, crops=answer.num_crops))


def _tree(labels: LineLabels, size_wh: tuple[int, int], answer: LineAnswer, made_by: dict[str, str]) -> list[LineAnnotation]:
    placed: list[LineAnnotation] = []
    for one, stage in zip(labels.annotations, labels.stages, strict=True):
        plain = AnnotationOut.of(one, size_wh, answer.keypoint_names.get(stage, ()))
        placed.append(LineAnnotation(**dict(plain), stage=stage, model=made_by[stage], children=[]))
    return _nested(placed, labels.parents)


def _nested(placed: Sequence[LineAnnotation], parents: Sequence[int | None]) -> list[LineAnnotation]:
    roots: list[LineAnnotation] = []
    for one, parent in zip(placed, parents, strict=True):
        (roots if parent is None else placed[parent].children).append(one)
    return roots
