"""Labels in any format for a shard that is in the store already: everything is checked, then written."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from cluster.keeping import check_name, keep_labels
from training.data.formats.reading import read_labels
from training.data.formats.records import Source
from training.data.ontology import Ontology
from training.errors import BadInput
from training.models.tasks import TASKS
from training.store.store import Store

__all__ = ["Imported", "import_labels_of", "known_ontology"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What came into the store for one shard; the counts mean what they mean in `Added`."""

    shard_id: str
    imported: Mapping[str, int]
    objects: int
    kept: int
    not_imported: tuple[str, ...]
    clipped: int
    repeated: int
    unplaced: int
    boxed: int

    def to_json(self) -> dict[str, Any]:
        counts = {"imported": dict(self.imported), "objects": self.objects, "kept": self.kept}
        changed = {"clipped": self.clipped, "repeated": self.repeated, "unplaced": self.unplaced, "boxed": self.boxed}
        return {"shard_id": self.shard_id, **counts, **changed, "not_imported": list(self.not_imported)}


def known_ontology(store: Store, name: str | None) -> Ontology | None:
    """The ontology of that name, if the store has one: then the labels must fit it."""
    return next((one for one in store.ontologies() if one.name == name), None)


def import_labels_of(store: Store, name: str, source: Source, *, task: str | None, ontology: str | None) -> Imported:
    """Read one shard's labels in format `name` and write them; again changes nothing.

    Args:
        task: import only this one; all that can be fitted by default.
        ontology: the name to import under; that of the file, or one made from task and classes, by default.
    Raises:
        BadInput and its kinds: the labels or the choice of task cannot be used; nothing is written.
    """
    read = read_labels(name, source)
    given = known_ontology(store, ontology)
    wanted = [said for one, said in read.labels.items() if one in TASKS and one == (task or (given.task if given else one))]
    found = ", ".join(read.labels)
    if not wanted:
        needed = task or (f"{given.task} for {ontology}" if given else "that can be fitted")
        raise BadInput(f"{source.place}: labels of {found}, none {needed}")
    if ontology is not None and len(wanted) > 1:
        raise BadInput(f"{source.place}: labels of {found}, needed --task to say which of them is {ontology}")
    meant = [(given or (replace(one, name=ontology) if ontology else one), frames) for one, frames in wanted]
    for one, _ in meant:
        check_name(store, one)
    imported, kept = keep_labels(store, source.shard.shard_id, meant)
    return Imported(
        shard_id=source.shard.shard_id,
        imported=imported,
        objects=sum(len(frame.annotations) for _, frames in wanted for frame in frames),
        kept=kept,
        not_imported=tuple(sorted(set(read.labels) - {one.task for one, _ in wanted})),
        clipped=read.clipped,
        repeated=read.repeated,
        unplaced=read.unplaced,
        boxed=read.boxed,
    )
