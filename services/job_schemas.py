"""What travels between the service and whoever wants a job done, typed."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.schemas import ImageLabels
from services.submitting import JobState
from training.store.jobs import Verb

__all__ = ["FrameLine", "JobFailure", "JobIn", "JobOut", "JobProgress", "JobShard", "ResultFormat", "StateOut"]

JobName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", examples=["nightly-2026-01-02"])]
StateOut = JobState | Literal["lost"]
ResultFormat = Literal["coco", "ndjson"]


class JobIn(BaseModel):
    """A verb of the command line over shards of the store; what is left out is as the settings or the verb have it."""

    model_config = ConfigDict(extra="forbid")

    job_id: JobName | None = Field(default=None, description="Chosen by the client: the same job under the same id is one job")
    verb: Verb
    shard_ids: list[str] = Field(min_length=1, max_length=1000, description="Shards of the store; never a path or URL")
    ontology: str | None = Field(default=None, description="Only this one; by default all that the shards have")
    recipe: str | None = Field(default=None, description="Name of a recipe; of a fit")
    weights: Literal["auto", "none", "IMAGENET1K_V1"] | None = Field(default=None, description="Where a fit starts")
    seed: int | None = Field(default=None, ge=0, lt=2**31, description="Of a fit")
    frames_per_clip: int | None = Field(default=None, ge=1, le=100_000, description="Of a label")
    workers: int | None = Field(default=None, ge=1, le=10_000, description="Processes")


class JobProgress(BaseModel):
    """How far all of it is, by what is in the store."""

    unit: Literal["frames", "micro-models"]
    done: int
    total: int


class JobShard(BaseModel):
    """How far one micro-model is: frames that are labelled, or whether it is fitted."""

    shard_id: str
    ontology: str
    generation: int | None = Field(default=None, description="That labels, or was fitted; none as long as it is not")
    done: int
    total: int


class JobFailure(BaseModel):
    """A row of the verb's failures table."""

    shard_id: str
    error: str


class JobOut(BaseModel):
    """A job and how far it is."""

    job_id: str
    verb: Verb
    state: StateOut = Field(description="failed: at least one shard did; lost: the cluster forgot it and it left nothing")
    ontology: str | None = None
    submitted_at: str
    submitted_by: str | None = Field(default=None, description="Name of the key")
    started_at: str | None = None
    ended_at: str | None = None
    progress: JobProgress
    shards: list[JobShard]
    failures: list[JobFailure]
    error: str | None = Field(default=None, description="Why the verb as a whole failed")
    result: str | None = Field(default=None, description="Where the labels are, once the job is at its end and has some")


class FrameLine(ImageLabels):
    """A line of a result as NDJSON."""

    shard_id: str
    ontology: str
    generation: int
    frame_index: int
    error: str | None = Field(default=None, description="Why the frame could not be read; it has no labels then")
