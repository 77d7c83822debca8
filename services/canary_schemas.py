"""What travels when a generation is put on trial, typed."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from training.loop.canary_figures import Sums
from training.store.canaries import Canary, CanaryLimits

__all__ = ["CanaryIn", "CanaryLimitsIO", "CanaryOut"]


class CanaryLimitsIO(BaseModel):
    """How much worse than the live generation it may be before it is rolled back."""

    model_config = ConfigDict(extra="forbid")

    min_requests: int = Field(default=200, ge=1, le=1_000_000, description="Of each generation, before they are compared")
    more_errors: float = Field(default=0.02, ge=0, le=1, description="Of the share of requests that fail")
    slower: float = Field(default=2.0, ge=1, le=1000, description="Ratio of the median seconds; up to 0.01 s more never count")
    other_empty: float = Field(default=0.3, ge=0, le=1, description="Of the share of pictures on which nothing is found")
    less_sure: float = Field(default=0.2, ge=0, le=1, description="Of the mean score")
    agreement: float = Field(default=0.5, ge=0, le=1, description="Share of what both say of a picture that has to be the same")


class CanaryIn(BaseModel):
    """A generation that is to be tried."""

    model_config = ConfigDict(extra="forbid")

    generation: int = Field(ge=1, le=999_999_999, description="Published, and not live")
    share: float = Field(default=0.1, gt=0, lt=1, description="Of the requests that ask for the live generation")
    limits: CanaryLimitsIO = Field(default_factory=CanaryLimitsIO)

    def to_limits(self) -> CanaryLimits:
        return CanaryLimits(**self.limits.model_dump())


class CanaryOut(BaseModel):
    """A trial that runs, or the last one."""

    shard_id: str
    ontology: str
    number: int = Field(description="Of the trial, under which it is in the store")
    generation: int
    against: int = Field(description="The live generation, which the others go to")
    share: float
    limits: CanaryLimitsIO
    state: Literal["running", "rolled-back", "promoted", "withdrawn", "superseded"] = Field(
        description="superseded: over, since `against` is not live any more"
    )
    reason: str | None = Field(default=None, description="Why it ended")
    started_at: str
    started_by: str | None = None
    ended_at: str | None = None
    ended_by: str | None = None
    figures: dict[str, Any] = Field(description="What both did, as far as ingresses have told the store")

    @classmethod
    def of(cls, canary: Canary, sums: Sums, live: int | None) -> "CanaryOut":
        """live: the generation that is."""
        same = ("shard_id", "ontology", "number", "generation", "against", "share")
        when = ("started_at", "started_by", "ended_at", "ended_by")
        limits = CanaryLimitsIO(**{name: getattr(canary.limits, name) for name in CanaryLimitsIO.model_fields})
        values: dict[str, Any] = {name: getattr(canary, name) for name in same + when}
        over = canary.running and live != canary.against
        state = "superseded" if over else canary.outcome or "running"
        reason = f"generation {live} is live, and not {canary.against} any more" if over else canary.reason
        return cls(**values, limits=limits, state=state, reason=reason, figures=sums.figures())
