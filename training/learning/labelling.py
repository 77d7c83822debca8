"""Machine labels for whole shards, a clip at a time: what is still to be labelled, and labelling it."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import torch

from training.data.annotations import FrameLabels
from training.data.frames import Frame
from training.data.sources import open_frames
from training.errors import MicroModelError
from training.models.bank import Bank
from training.models.cache import ModelCache
from training.store.ahead import ahead
from training.store.card import Card
from training.store.store import Store

__all__ = ["FRAMES_PER_CLIP", "Clip", "ClipPlan", "ClipReceipt", "Labeller", "label_clip", "missing_clips", "plan_clips"]

FRAMES_PER_CLIP = 64
FRAMES_IN_MEMORY = 8
Labels = TypeVar("Labels", bound=FrameLabels)


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


class Labeller:
    """Decodes clips, runs their micro-models and writes predictions; keeps models ready between clips.

    cache_mib: memory for weights.
    """

    def __init__(self, store: Store, *, cache_mib: int = 512, device: torch.device | str = "cpu") -> None:
        self._store = store
        self._device = torch.device(device)
        self._models = ModelCache(store.registry, cache_mib * 2**20)

    def label(self, clip: Clip) -> ClipReceipt:
        """Label one clip and write it; never raises for a bad shard, the receipt says what happened."""
        what = asdict(clip)
        try:
            card = self._store.registry.card(clip.shard_id, clip.ontology, clip.generation)
            bank = Bank([self._models.get(card)], self._device)
            return label_clip(self._store, clip, lambda frames: bank.predict(frames, [0] * len(frames)))
        except MicroModelError as error:
            return ClipReceipt(**what, error=f"{type(error).__name__}: {error}")


def label_clip(
    store: Store,
    clip: Clip,
    predict: Callable[[list[Frame]], list[Labels]],
    write: Callable[[Clip, Sequence[Labels], Mapping[int, str], Mapping[str, float]], str] | None = None,
) -> ClipReceipt:
    """Decode a clip, a few frames at a time, predict, and write what was said; frames that cannot be read become errors.

    Args:
        write: keeps labels, errors by frame and seconds by stage, and returns the key; among the predictions by default.
    Raises:
        MicroModelError: the shard is unknown, or the store is full.
    """
    labels: list[Labels] = []
    errors: dict[int, str] = {}
    seconds = {"decode": 0.0, "model": 0.0}
    clock = time.monotonic()
    for frames in _read(store, clip, errors):
        seconds["decode"] += time.monotonic() - clock
        clock = time.monotonic()
        labels.extend(predict(frames))
        seconds["model"] += time.monotonic() - clock
        clock = time.monotonic()
    where = clip.shard_id, clip.ontology, clip.generation, clip.start, clip.stop
    key = write(clip, labels, errors, seconds) if write else store.predictions.write(*where, labels, errors, seconds)
    return ClipReceipt(
        **asdict(clip),
        num_frames=len(labels),
        num_objects=sum(len(frame.annotations) for frame in labels),
        num_errors=len(errors),
        decode_seconds=seconds["decode"],
        model_seconds=seconds["model"],
        key=key,
    )


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


def _read(store: Store, clip: Clip, errors: dict[int, str]) -> Iterator[list[Frame]]:
    """A few frames at a time; what cannot be decoded ends up in `errors`, frame by frame."""
    batch: list[Frame] = []
    seen = clip.start
    try:
        with open_frames(store.shard(clip.shard_id)) as source:
            for frame in source.read(range(clip.start, clip.stop)):
                batch.append(frame)
                seen = frame.frame_index + 1
                if len(batch) == FRAMES_IN_MEMORY:
                    yield batch
                    batch = []
    except MicroModelError as error:
        errors.update((index, f"{type(error).__name__}: {error}") for index in range(seen, clip.stop))
    if batch:
        yield batch
