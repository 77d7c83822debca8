"""What a person's work on a frame is: first labels, the review of what a generation proposed, or an audit."""

import threading
from collections.abc import Collection, Iterable, Sequence

from training.data.annotations import Annotation
from training.data.human_actions import RoundKind
from training.loop.pending import proposed
from training.store.store import Store

__all__ = ["Audits", "round_of"]


class Audits:
    """Frames that are yardsticks, or that `next` asks for as such: nothing may be proposed there. Thread-safe, and blocking.

    The queue is read once, and so is each list of yardsticks: for what a single request says.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._drawn: dict[tuple[str, str], set[int]] = {}
        self._lock = threading.Lock()
        self._asked_for: set[tuple[str, int, str | None]] | None = None

    def has(self, shard_id: str, frame_index: int, ontology: str) -> bool:
        drawn = self._drawn.get((shard_id, ontology))
        if drawn is None:  # at worst read by two at once
            drawn = self._drawn[shard_id, ontology] = self._store.audit_frames(shard_id, ontology)
        return frame_index in drawn or not self._queued().isdisjoint((shard_id, frame_index, of) for of in (None, ontology))

    def _queued(self) -> set[tuple[str, int, str | None]]:
        with self._lock:
            if self._asked_for is None:
                frames = self._store.queue.read().frames
                self._asked_for = {(one.shard_id, one.frame_index, one.ontology) for one in frames if one.kind == "audit"}
            return self._asked_for


def round_of(
    store: Store, shard_id: str, frame_index: int, ontology: str, shown: Collection[int], *, had_prediction: bool
) -> tuple[RoundKind, int | None, Sequence[Annotation]]:
    """The kind, the generation that is reviewed, and what it proposed on the frame.

    A review is compared with what `label` wrote. Without that, all is first labels: charged as drawn, never as too little.

    Args:
        shown: generations that regions of the annotation say they are from.
        had_prediction: it started from a prediction, of which nothing may be left.
    """
    if Audits(store).has(shard_id, frame_index, ontology):
        return "audit", None, ()
    live = store.registry.live(shard_id, ontology) if had_prediction else None
    candidates: Iterable[int] = sorted(shown, reverse=True) or ([] if live is None else [live])
    for generation in candidates:
        found = proposed(store, shard_id, ontology, generation, {frame_index}).get(frame_index)
        if found is not None:
            return "review", generation, found.annotations
    return "labels", None, ()
