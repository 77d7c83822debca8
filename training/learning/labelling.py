"""Machine labels for whole shards, a clip at a time: what is still to be labelled, and what came of it."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from training.store.ahead import ahead
from training.store.card import Card
from training.store.store import Store

__all__ = ["FRAMES_PER_CLIP", "Clip", "ClipPlan", "ClipReceipt", "missing_clips", "plan_clips"]

FRAMES_PER_CLIP = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """Frames start..stop-1 of a shard, to be labelled by one generation."""

    shard_id: str
    ontology: str
    generation: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipPlan:
    """clips: to do. skipped: how many are in the store already. failures: shard -> why it cannot be labelled."""

    clips: list[Clip]
    skipped: int
    failures: dict[str, str]


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


def plan_clips(
    store: Store, shard_ids: Sequence[str] | None, ontology: str | None, *, frames_per_clip: int = FRAMES_PER_CLIP
) -> ClipPlan:
    """Clips of all frames of the shards asked for that their live generations have not labelled yet.

    A frame is labelled once, however long earlier clips were: only the stretches between them are cut into new ones.

    Args:
        shard_ids: None for every shard that has a live micro-model.
    Raises:
        UnknownShard: named explicitly and not in the store.
    """
    cards = [card for card in store.registry.live_cards() if ontology in (None, card.ontology)]
    if shard_ids is not None:
        wanted = {shard_id: store.shard(shard_id) for shard_id in shard_ids}
        cards = [card for card in cards if card.shard_id in wanted]
        modelled = {card.shard_id for card in cards}
        failures = {name: f"{name}: no live micro-model, needed a fit first" for name in wanted if name not in modelled}
    else:
        failures = {}

    def look(card: Card) -> tuple[list[tuple[int, int]], int]:
        done = store.predictions.done(card.shard_id, card.ontology, card.generation)
        return done, store.shard(card.shard_id).num_frames

    clips: list[Clip] = []
    skipped = 0
    for card, (done, num_frames) in zip(cards, ahead(look, cards), strict=True):
        skipped += len(done)
        clips += missing_clips(
            done,
            num_frames,
            shard_id=card.shard_id,
            ontology=card.ontology,
            generation=card.generation,
            frames_per_clip=frames_per_clip,
        )
    return ClipPlan(clips=clips, skipped=skipped, failures=failures)


def missing_clips(
    done: Sequence[tuple[int, int]],
    num_frames: int,
    *,
    shard_id: str,
    ontology: str,
    generation: int,
    frames_per_clip: int = FRAMES_PER_CLIP,
) -> Iterator[Clip]:
    """Clips of the frames 0..num_frames that nothing in `done` covers, which is in order and may overlap."""
    reached = 0
    for start, stop in [*done, (num_frames, num_frames)]:
        for first in range(reached, start, frames_per_clip):
            last = min(first + frames_per_clip, start)
            yield Clip(shard_id=shard_id, ontology=ontology, generation=generation, start=first, stop=last)
        reached = max(reached, stop)
