"""A piece of labelling work and what came of it, as they travel between processes; importing this does not import torch."""

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Clip", "ClipReceipt"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """Frames start..stop-1 of a shard, to be labelled by one generation."""

    shard_id: str
    ontology: str
    generation: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipReceipt:
    """What came of one clip. num_errors: frames that could not be read, each a row in the Parquet object that says why.

    key: of that object; None when the clip as a whole failed, with `error` saying why.
    decode_seconds, model_seconds: of the worker: its frames' share of waiting for decoded frames (decoding that is hidden
        behind a model is not in it), and of models at work.
    """

    shard_id: str
    ontology: str
    generation: int
    start: int
    stop: int
    num_frames: int = 0
    num_objects: int = 0
    num_errors: int = 0
    decode_seconds: float = 0.0
    model_seconds: float = 0.0
    key: str | None = None
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
