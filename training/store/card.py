"""The card of one published generation: what it is, what it was fitted on, and how good it was."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from training.data.identifiers import check_identifier
from training.data.known_fields import known_fields
from training.data.ontology import TaskName
from training.errors import BadInput, StoreUnusable

__all__ = ["Card"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """Everything known about one generation of one micro-model except its weights.

    generation: 1, 2, 3, …; 0 asks the registry for the next free one.
    parent: the generation that was live when it was fitted, None for the first.
    started_from: 'shard@3', the micro-model whose weights the fit went on from; None where it started from the backbone.
    network, recipe, backbone: JSON objects that the store keeps and does not read.
    base: the trunk it started from and keeps in part, by its name in the store; None where its own tensors are all there is.
    fit_key: equal for equal labels, recipe, backbone and seed: the same work; '' is never the same as anything.
    device, threads: what it was fitted on: 'cpu' or the name of a GPU; threads of the process that fitted it.
    created_at: ISO 8601, UTC.
    weights_sha256, num_bytes: of its own tensors, not of the base; filled by the registry.
    Raises:
        BadShardId: a shard id or ontology name that cannot be part of a path.
        BadInput: a negative generation, or a metric that is NaN or infinite.
    """

    shard_id: str
    ontology: str
    task: TaskName
    classes: tuple[str, ...]
    generation: int = 0
    parent: int | None = None
    started_from: str | None = None
    network: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)
    backbone: dict[str, Any] = field(default_factory=dict)
    base: str | None = None
    labels_hash: str = ""
    source_hash: str = ""
    fit_key: str = ""
    num_labelled: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    fit_seconds: float = 0.0
    device: str = ""
    threads: int = 0
    seed: int = 0
    created_at: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    git_sha: str | None = None
    weights_sha256: str = ""
    num_bytes: int = 0

    def __post_init__(self) -> None:
        check_identifier(self.shard_id, "shard id")
        check_identifier(self.ontology, "ontology name")
        if self.base is not None:
            check_identifier(self.base, "backbone")
        if self.generation < 0:
            raise BadInput(f"{self.ref}: generation {self.generation}, needed 0 (next free) or more")
        for name, value in {**self.metrics, "fit_seconds": self.fit_seconds}.items():
            if not math.isfinite(value):
                raise BadInput(f"{self.ref}: {name} is {value}, needed a finite number")

    @property
    def ref(self) -> str:
        """How people name it: 'shard@3'."""
        return f"{self.shard_id}@{self.generation}"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "classes": list(self.classes)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Card":
        """Keys that a newer version added are ignored.

        Raises:
            StoreUnusable: a key is missing.
        """
        known = known_fields(cls, document)
        try:
            return cls(**{**known, "classes": tuple(known["classes"])})
        except (KeyError, TypeError) as error:
            raise StoreUnusable(f"card of {document.get('shard_id')!r}: {error}, needed every key a card has") from error
