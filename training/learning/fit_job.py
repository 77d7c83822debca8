"""A piece of fitting work and what came of it, as they travel between processes; importing this does not import torch."""

from dataclasses import asdict, dataclass, field
from typing import Any

from training.store.card import Card

__all__ = ["FitJob", "FitReceipt"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FitJob:
    """One micro-model to fit; equal fit_key means equal labels, frames, recipe, backbone and seed."""

    shard_id: str
    ontology: str
    fit_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FitReceipt:
    """What came of one job; exactly one of generation and error is set.

    live: whether it answers now. status, reason: what the gate decided; None before it did.
    """

    shard_id: str
    ontology: str
    generation: int | None = None
    seconds: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    live: bool = False
    status: str | None = None
    reason: str | None = None
    error: str | None = None

    @classmethod
    def of(cls, card: Card) -> "FitReceipt":
        """Of a generation that was published before, and takes no time now."""
        return cls(shard_id=card.shard_id, ontology=card.ontology, generation=card.generation, metrics=dict(card.metrics))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
