"""Machine labels for whole shards, a clip at a time: what is still to be labelled, and labelling it."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from training.data.annotations import FrameLabels
from training.data.frames import Frame
from training.data.sources import open_frames
from training.errors import MicroModelError
from training.models.bank import Bank
from training.models.cache import ModelCache
from training.models.micro_model import MicroModel
from training.store.card import Card
from training.store.store import Store

__all__ = ["Clip", "ClipPlan", "ClipReceipt", "Labeller", "plan_clips"]

FRAMES_PER_CLIP = 64
FRAMES_IN_MEMORY = 8


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
    clips: list[Clip] = []
    skipped = 0
    for card in cards:
        done = store.predictions.done(card.shard_id, card.ontology, card.generation)
        skipped += len(done)
        for start, stop in _missing(done, store.shard(card.shard_id).num_frames):
            clips.extend(_clips(card, start, stop, frames_per_clip))
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
            return self._label(clip, self._models.get(card))
        except MicroModelError as error:
            return ClipReceipt(**what, error=f"{type(error).__name__}: {error}")

    def _label(self, clip: Clip, model: MicroModel) -> ClipReceipt:
        bank = Bank([model], self._device)
        labels: list[FrameLabels] = []
        errors: dict[int, str] = {}
        seconds = {"decode": 0.0, "model": 0.0}
        clock = time.monotonic()
        for frames in self._read(clip, errors):
            seconds["decode"] += time.monotonic() - clock
            clock = time.monotonic()
            labels.extend(bank.predict(frames, [0] * len(frames)))
            seconds["model"] += time.monotonic() - clock
            clock = time.monotonic()
        key = self._store.predictions.write(clip.shard_id, clip.ontology, clip.generation, clip.start, clip.stop, labels, errors)
        return ClipReceipt(
            **asdict(clip),
            num_frames=len(labels),
            num_objects=sum(len(frame.annotations) for frame in labels),
            num_errors=len(errors),
            decode_seconds=seconds["decode"],
            model_seconds=seconds["model"],
            key=key,
        )

    def _read(self, clip: Clip, errors: dict[int, str]) -> Iterator[list[Frame]]:
        """A few frames at a time; what cannot be decoded ends up in `errors`, frame by frame."""
        batch: list[Frame] = []
        seen = clip.start
        try:
            with open_frames(self._store.shard(clip.shard_id)) as source:
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


def _missing(done: Sequence[tuple[int, int]], num_frames: int) -> Iterator[tuple[int, int]]:
    """The stretches (start, stop) of 0..num_frames that no clip of `done` covers; `done` is in order and may overlap."""
    reached = 0
    for start, stop in [*done, (num_frames, num_frames)]:
        if reached < start:
            yield reached, start
        reached = max(reached, stop)


def _clips(card: Card, start: int, stop: int, frames_per_clip: int) -> Iterator[Clip]:
    for first in range(start, stop, frames_per_clip):
        yield Clip(
            shard_id=card.shard_id,
            ontology=card.ontology,
            generation=card.generation,
            start=first,
            stop=min(first + frames_per_clip, stop),
        )
