"""What a person's work on a frame is: first labels, the review of what a generation proposed, or an audit."""

from collections.abc import Collection, Iterable, Sequence

from training.data.annotations import Annotation
from training.data.human_actions import RoundKind
from training.loop.pending import proposed
from training.store.store import Store

__all__ = ["is_audit", "round_of"]


def is_audit(store: Store, shard_id: str, frame_index: int, ontology: str) -> bool:
    """The frame is a yardstick, or `next` asks for it as one: nothing may be proposed there."""
    if frame_index in store.audit_frames(shard_id, ontology):
        return True
    wanted = (shard_id, frame_index, "audit")
    return any(
        (one.shard_id, one.frame_index, one.kind) == wanted and one.ontology in (None, ontology)
        for one in store.queue.read().frames
    )


def round_of(
    store: Store, shard_id: str, frame_index: int, ontology: str, shown: Collection[int], *, had_prediction: bool
) -> tuple[RoundKind, int | None, Sequence[Annotation]]:
    """The kind, the generation that is reviewed, and what it proposed on the frame.

    A review is compared with what `label` wrote. Without that, all is first labels: charged as drawn, never as too little.

    Args:
        shown: generations that regions of the annotation say they are from.
        had_prediction: it started from a prediction, of which nothing may be left.
    """
    if is_audit(store, shard_id, frame_index, ontology):
        return "audit", None, ()
    live = store.registry.live(shard_id, ontology) if had_prediction else None
    candidates: Iterable[int] = sorted(shown, reverse=True) or ([] if live is None else [live])
    for generation in candidates:
        found = proposed(store, shard_id, ontology, generation, {frame_index}).get(frame_index)
        if found is not None:
            return "review", generation, found.annotations
    return "labels", None, ()
