"""What travels when the service is to find the micro-model, typed."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.answering import Answer
from services.looking import Looked
from services.rules_schemas import Lat, Lon, Moment, Name
from services.schemas import AnnotationOut, ImagesIn, ModelUsed
from training.domain.candidates import Chosen
from training.domain.metadata import Metadata
from training.domain.nearest import Abstention, Near

__all__ = [
    "AbstentionOut",
    "DomainsOut",
    "MetadataIn",
    "NearOut",
    "RouteOut",
    "RoutedImage",
    "RoutedIn",
    "RoutedPrediction",
    "RoutedTimings",
]


class MetadataIn(BaseModel):
    """What the client knows of a picture; all of it may be left out."""

    model_config = ConfigDict(extra="forbid")

    video: Name | None = Field(default=None, description="What the picture is of, by any name that rules know")
    sensor: Name | None = Field(default=None, description="What took it")
    lon: Lon | None = Field(default=None, description="Degrees, WGS 84; with `lat`")
    lat: Lat | None = None
    time: Moment | None = Field(default=None, description="When it was taken: ISO 8601 with an offset")

    def over(self, other: "MetadataIn") -> Metadata:
        """With what `other` says where this says nothing; the place is one thing. Raises BadMetadata."""
        said = self.model_dump(exclude_none=True)
        if "lon" in said or "lat" in said:
            said = {"lon": None, "lat": None, **said}
        return Metadata(**{**other.model_dump(exclude_none=True), **said})


class RoutedIn(ImagesIn):
    """The JSON form of a request that names no micro-model."""

    metadata: MetadataIn | list[MetadataIn] = Field(
        default_factory=MetadataIn, description="Of all pictures, or a list with one for each"
    )


class NearOut(BaseModel):
    """A domain beside a picture."""

    shard_id: str
    distance: float = Field(description="0 is a frame of it that was looked at, 1 where the domain ends")

    @classmethod
    def of(cls, near: Near) -> "NearOut":
        return cls(shard_id=near.shard_id, distance=near.distance)


class RouteOut(BaseModel):
    """What led a picture to its micro-model."""

    by: Literal["rule", "footprint", "domain"] = Field(description="A saved rule, the place of a scene, or the picture's looks")
    rule: str | None = Field(default=None, description="Its name")
    distance: float | None = Field(default=None, description="From the domain; at most 1")
    margin: float | None = Field(default=None, description="How much farther the next domain is")
    next: NearOut | None = Field(default=None, description="The next domain")

    @classmethod
    def of(cls, chosen: Chosen) -> "RouteOut":
        if chosen.distance is None:
            return cls(by="footprint")
        if chosen.next is None:
            return cls(by="domain", distance=chosen.distance)
        margin = chosen.next.distance - chosen.distance
        return cls(by="domain", distance=chosen.distance, margin=margin, next=NearOut.of(chosen.next))


class AbstentionOut(BaseModel):
    """Why no micro-model answered."""

    reason: Literal["outside", "undecided", "no-domains", "several-models", "no-model"] = Field(
        description="outside of every domain; undecided between several; no domain to compare with; a shard with models of"
        " several ontologies of which none was named; a rule or domain whose micro-model is not there"
    )
    nearest: list[NearOut] = Field(default_factory=list, description="Up to two domains, the nearest first")
    ontologies: list[str] | None = Field(default=None, description="To choose from, where there are several models")
    rule: str | None = Field(default=None, description="The rule that holds and leads nowhere")
    detail: str | None = None

    @classmethod
    def of(cls, said: Abstention) -> "AbstentionOut":
        return cls(
            reason=said.reason, nearest=[NearOut.of(near) for near in said.nearest], ontologies=list(said.ontologies) or None
        )


class RoutedImage(BaseModel):
    """One picture: either `model`, `route` and `annotations`, or `abstention`."""

    width: int | None = Field(default=None, description="Pixels of the upright picture, if it was decoded")
    height: int | None = None
    model: ModelUsed | None = None
    route: RouteOut | None = None
    annotations: list[AnnotationOut] | None = None
    abstention: AbstentionOut | None = None


class DomainsOut(BaseModel):
    """What pictures were compared with."""

    eye: str = Field(description="The network that looked")
    shards: int = Field(description="Live shards with a domain")
    undescribed: int = Field(description="Live shards without one for this network, which cannot be found by looks")

    @classmethod
    def of(cls, looked: Looked) -> "DomainsOut":
        return cls(eye=looked.eye, shards=looked.num_domains, undescribed=looked.num_undescribed)


class RoutedTimings(BaseModel):
    """Seconds; of several micro-models the longest."""

    look_s: float = Field(description="Looking at pictures that no rule decided on")
    prepare_s: float
    wait_s: float
    model_s: float
    total_s: float
    batch_images: int = Field(description="Pictures, of any models and requests, in the largest bank pass")

    @classmethod
    def of(cls, looked: Looked | None, answers: Sequence[Answer], *, total_s: float) -> "RoutedTimings":
        parts = ("prepare_s", "wait_s", "model_s", "batch_images")
        longest: dict[str, Any] = {name: max((getattr(one, name) for one in answers), default=0) for name in parts}
        return cls(look_s=0.0 if looked is None else looked.seconds, total_s=total_s, **longest)


class RoutedPrediction(BaseModel):
    """The answer to a request that names no micro-model; pictures in the order they were sent."""

    images: list[RoutedImage]
    domains: DomainsOut | None = Field(default=None, description="Left out where rules decided on every picture")
    timings: RoutedTimings
