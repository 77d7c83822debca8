"""What travels when rules are saved and shown, typed."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from training.domain.rules import Rules

__all__ = ["AroundIO", "Lat", "Lon", "Moment", "Name", "RoutesIn", "RoutesOut", "RuleIO"]

Name = Annotated[str, Field(min_length=1, max_length=500)]
Lon = Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]
Lat = Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)]


def _dated(given: object) -> object:
    """pydantic itself takes numbers, also as text, for seconds since 1970."""
    if isinstance(given, str):
        return datetime.fromisoformat(given.upper())
    if isinstance(given, datetime):
        return given
    raise ValueError("needed ISO 8601 with an offset, such as 2026-01-02T03:04:05Z")


Moment = Annotated[AwareDatetime, BeforeValidator(_dated)]


class AroundIO(BaseModel):
    """Within `metres` of a point."""

    model_config = ConfigDict(extra="forbid")

    lon: Lon
    lat: Lat
    metres: float = Field(gt=0, allow_inf_nan=False)


class RuleIO(BaseModel):
    """Leads pictures for which all of its conditions hold to a micro-model."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=200)
    shard_id: str = Field(description="Also 'shard@3' or 'shard@live'")
    ontology: str | None = Field(default=None, description="Needed only if the shard has models of several")
    video: Name | None = Field(default=None, description="* ? [abc] as in file names")
    sensor: Name | None = Field(default=None, description="Likewise")
    bbox: tuple[Lon, Lat, Lon, Lat] | None = Field(default=None, description="West, south, east, north; degrees")
    near: AroundIO | None = None
    times: list[str] | None = Field(default=None, description="Any of these: START/STOP in ISO 8601, either may be '..'")
    daily: list[str] | None = Field(default=None, description="Any of these: HH:MM/HH:MM, also over midnight")
    zone: str | None = Field(default=None, description="Whose clocks `daily` means; UTC by default")

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(exclude_none=True)


class RoutesIn(BaseModel):
    """Rules that are to replace all others."""

    model_config = ConfigDict(extra="forbid")

    rules: list[RuleIO] = Field(description="Tried in this order; the first that holds counts")
    replaces: int | None = Field(
        default=None, ge=0, description="`number` of the rules that these were made from: if others are the newest by now, 409"
    )


class RoutesOut(BaseModel):
    """The rules that hold."""

    number: int = Field(description="Under which they are in the store; 0: nobody has saved any")
    saved_at: str | None = None
    rules: list[RuleIO]

    @classmethod
    def of(cls, rules: Rules) -> "RoutesOut":
        return cls(number=rules.number, saved_at=rules.saved_at, rules=[RuleIO(**one) for one in rules.to_json()])
