"""What Label Studio sends and expects, typed; of what it sends only what we use, for it sends more with every version."""

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, field_validator

__all__ = ["Done", "Event", "Health", "PredictIn", "PredictOut", "PredictionOut", "RegionIn", "SetupIn", "SetupOut", "TaskIn"]

Byte = Annotated[int, Field(ge=0, le=255)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class _Sent(BaseModel):
    """A number is a number, and not a text that looks like one."""

    model_config = ConfigDict(strict=True)


class Health(BaseModel):
    """That it is a machine learning backend, and alive."""

    status: Literal["UP"] = "UP"
    model_class: str = "micro-models"


class SetupIn(_Sent):
    """A project introduces itself. It also sends a token with all rights of a person: not read, not kept, not logged."""

    label_config: str = Field(validation_alias=AliasChoices("schema", "label_config"), serialization_alias="schema")


class SetupOut(BaseModel):
    """What predictions will be called, until a micro-model of the project's ontologies changes."""

    model_version: str


class ValueIn(_Sent):
    """Where a region is, in percent of the picture, and its label."""

    x: Number = 0.0
    y: Number = 0.0
    width: Number = 0.0
    height: Number = 0.0
    rotation: Number = 0.0
    rle: list[Byte] = Field(default_factory=list, fail_fast=True)
    choices: list[str] = Field(default_factory=list)
    rectanglelabels: list[str] = Field(default_factory=list)
    brushlabels: list[str] = Field(default_factory=list)
    keypointlabels: list[str] = Field(default_factory=list)

    @property
    def labels(self) -> list[str]:
        return self.rectanglelabels or self.brushlabels or self.keypointlabels


class NotesIn(_Sent):
    """What a person wrote beside a region."""

    text: list[str] | str = Field(default_factory=list)


class RegionIn(_Sent):
    """One entry of an annotation's result, of a control that labels in an ontology."""

    id: str = ""
    from_name: str = ""
    parent_id: str | None = Field(default=None, validation_alias="parentID")
    original_width: int = 0
    original_height: int = 0
    image_rotation: Number = 0.0
    value: ValueIn = Field(default_factory=ValueIn)
    meta: NotesIn = Field(default_factory=NotesIn)

    @property
    def notes(self) -> list[str]:
        return [self.meta.text] if isinstance(self.meta.text, str) else self.meta.text


class TaskIn(_Sent):
    """A task. data: what the person who imported it put in."""

    id: int | None = None
    data: dict[str, Any] = Field(default_factory=dict)


class ParamsIn(_Sent):
    """context: what a person is drawing just now, where the backend is used interactively."""

    context: dict[str, Any] | None = None


class PredictIn(_Sent):
    """Tasks that want predictions."""

    tasks: list[TaskIn] = Field(fail_fast=True)
    label_config: str
    params: ParamsIn = Field(default_factory=ParamsIn)


class PredictionOut(BaseModel):
    """Of one task. model_version: that of `/setup`, or why there is no prediction."""

    result: list[dict[str, Any]]
    score: float = 0.0
    model_version: str


class PredictOut(BaseModel):
    """One for each task, in order."""

    results: list[PredictionOut]


class AnnotationEvent(_Sent):
    """What a person submitted. result: see `read_result`. lead_time: seconds they had the task open, all times together."""

    id: int
    unique_id: str | None = None
    task: int | None = None
    result: list[dict[str, Any]] = Field(default_factory=list, description="Regions of our controls, and what others say")
    was_cancelled: bool = False
    lead_time: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    updated_at: str
    completed_by: int | None = None
    parent_prediction: int | None = None

    @field_validator("completed_by", mode="before")
    @classmethod
    def _by_id(cls, value: Any) -> Any:
        """Some versions send the whole person."""
        return value.get("id") if isinstance(value, dict) else value


class ProjectIn(_Sent):
    """Of an event."""

    id: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    label_config: str = ""


class Event(_Sent):
    """Something happened in a project; of most things only that, and of what people said what it was."""

    action: str
    annotation: AnnotationEvent | list[AnnotationEvent] = Field(default_factory=list)
    task: TaskIn | list[TaskIn] = Field(default_factory=list)
    project: ProjectIn = Field(default_factory=ProjectIn)

    @property
    def annotations(self) -> list[AnnotationEvent]:
        return self.annotation if isinstance(self.annotation, list) else [self.annotation]

    @property
    def tasks(self) -> list[TaskIn]:
        return self.task if isinstance(self.task, list) else [self.task]


class Done(BaseModel):
    """What came of an event. notes: what was not kept, or not as it was, and why."""

    recorded: int = Field(default=0, description="Answers that are in the store and the ledger now")
    known: int = Field(default=0, description="Answers that were there already")
    notes: list[str] = Field(default_factory=list)
    jobs: list[str] = Field(default_factory=list, description="Fits that were asked for")
