"""What routes of both dialects share: their parameters (`Generation` of the path or of the query), and who computes."""

from collections.abc import Sequence
from typing import Annotated, Protocol

from fastapi import Path, Query
from pydantic import Field

from services.answering import Answer
from services.line_answering import LineAnswer
from services.looking import Asked, Looked
from services.payload import Picture
from training.lines.ready import ReadyLine
from training.store.card import Card

__all__ = ["Generation", "Hosts", "MinScore", "Ontology", "ShardId"]

ShardId = Annotated[str, Path(description="A shard id; also 'shard@live' or 'shard@3'", examples=["front_door", "front_door@3"])]
Ontology = Annotated[str | None, Query(description="Needed only if the shard has models of several ontologies")]
Generation = Annotated[str, Field(pattern=r"^(live|[1-9][0-9]{0,8})$", description="'live' or a number")]
MinScore = Annotated[float, Query(ge=0, le=1, description="Leave out labels scored lower; the model's own threshold stays")]


class Hosts(Protocol):
    """Who computes."""

    async def predict(self, card: Card, pictures: Sequence[Picture]) -> Answer:
        """Raises HostUnavailable, TimedOut, and what services.host.Host.predict raises."""
        ...

    async def run_line(self, line: ReadyLine, pictures: Sequence[Picture]) -> LineAnswer:
        """Raises HostUnavailable, TimedOut, and what services.host.Host.run_line raises."""
        ...

    async def predict_each(self, asked: Sequence[tuple[Card, Sequence[Picture]]]) -> list[Answer]:
        """By several micro-models in one call. Raises as predict."""
        ...

    async def look(self, asked: Sequence[Asked], ontology: str | None) -> Looked:
        """Which micro-models pictures are for. Raises HostUnavailable, TimedOut, and what services.host.Host.look raises."""
        ...

    async def check(self) -> None:
        """Raises HostUnavailable, TimedOut."""
        ...
