"""Imported labels into the store, without undoing what people did since."""

from collections.abc import Iterable, Sequence

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
        new, differing = _news(store.labels(shard_id, ontology.name), frames)
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


def _news(there: Sequence[FrameLabels], frames: Sequence[FrameLabels]) -> tuple[list[FrameLabels], int]:
    """The frames to write, and how many are kept as they are because somebody worked on them since."""
    known = {frame.frame_index: frame for frame in there}
    differing = [frame for frame in frames if not _same(known.get(frame.frame_index), frame)]
    new = [frame for frame in differing if _replaceable(known.get(frame.frame_index))]
    return new, len(differing) - len(new)


def _same(old: FrameLabels | None, new: FrameLabels) -> bool:
    return old is not None and labels_hash([old]) == labels_hash([new])


def _replaceable(old: FrameLabels | None) -> bool:
    if old is None:
        return True
    return bool(old.annotations) and all(annotation.provenance == "imported" for annotation in old.annotations)
