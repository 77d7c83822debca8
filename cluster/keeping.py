"""Imported labels into the store, without undoing what people did since."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from training.data.annotations import FrameLabels, labels_hash
from training.data.ontology import Ontology
from training.errors import BadInput
from training.store.store import Store

__all__ = ["check_name", "keep_labels"]


def keep_labels(
    store: Store, shard_id: str, labels: Iterable[tuple[Ontology, Sequence[FrameLabels]]]
) -> tuple[dict[str, int], int]:
    """Write the frames that are new or differ from what was imported before.

    Returns:
        Frames written by ontology, and how many keep the labels that somebody gave them since.
    """
    imported, kept = {}, 0
    for ontology, frames in labels:
        store.add_ontology(ontology)
        worked_on = partial(_worked_on, store, shard_id, ontology.name)
        new, differing = _news(store.labels(shard_id, ontology.name), frames, worked_on)
        if new:
            store.annotate(shard_id, ontology.name, new)
        imported[ontology.name], kept = len(new), kept + differing
    return imported, kept


def check_name(store: Store, ontology: Ontology) -> None:
    """Raises BadInput when the store means something else by the ontology's name."""
    there = {one.name: one for one in store.ontologies()}.get(ontology.name, ontology)
    if there != ontology:
        raise BadInput(
            f"ontology {ontology.name}: found {ontology.to_json()}, the store has {there.to_json()}; needed another name"
        )


def _news(
    there: Sequence[FrameLabels], frames: Sequence[FrameLabels], worked_on: Callable[[set[int]], set[int]]
) -> tuple[list[FrameLabels], int]:
    """The frames to write, and how many are kept as they are because somebody worked on them since.

    worked_on: those of some frames that people worked on; asked about frames that show nothing, which do not say whose they are.
    """
    known = {frame.frame_index: frame for frame in there}
    differing = [frame for frame in frames if not _same(known.get(frame.frame_index), frame)]
    empty = {frame.frame_index for frame in differing if frame.frame_index in known and not known[frame.frame_index].annotations}
    kept = worked_on(empty) if empty else set[int]()
    new = [one for one in differing if one.frame_index not in kept and _imported(known.get(one.frame_index))]
    return new, len(differing) - len(new)


def _same(old: FrameLabels | None, new: FrameLabels) -> bool:
    """Tracks too, which no fit learns from."""
    return old is not None and labels_hash([old]) == labels_hash([new]) and _tracks(old) == _tracks(new)


def _tracks(frame: FrameLabels) -> list[tuple[str, str, str]]:
    return sorted((one.class_name, repr(one.bbox_xyxy), one.track_id or "") for one in frame.annotations)


def _imported(old: FrameLabels | None) -> bool:
    return old is None or all(annotation.provenance == "imported" for annotation in old.annotations)


def _worked_on(store: Store, shard_id: str, ontology: str, frame_indices: set[int]) -> set[int]:
    """By the ledger; all of them where it lost something, since nobody knows what."""
    lost: list[str] = []
    known = {action.frame_index for action in store.ledger.read(shard_id, ontology, damaged=lost.append)}
    return frame_indices if lost else frame_indices & known
