"""Labels in any format for a shard that is in the store already: everything is checked, then written."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from cluster.keeping import check_name, keep_labels
from training.data.annotations import FrameLabels
from training.data.coco import CHANGES
from training.data.formats.reading import read_labels
from training.data.formats.records import Source
from training.data.ontology import Ontology
from training.errors import BadInput
from training.loop.corrections import Corrections, generation_in, keep_corrections
from training.models.tasks import TASKS
from training.store.store import Store

__all__ = ["Imported", "Reviewer", "import_labels_of", "known_ontology"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewer:
    """Who corrected machine labels, and of which generation they were.

    generation: None to go by what the labels say.
    confirm_unchanged: frames that say what was proposed were looked at too.
    """

    who: str
    generation: int | None = None
    confirm_unchanged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What came into the store for one shard; the counts mean what they mean in `Added`.

    corrections: by ontology, where the labels are corrected proposals; imported counts the frames reviewed then.
    """

    shard_id: str
    imported: Mapping[str, int]
    objects: int
    kept: int
    not_imported: tuple[str, ...]
    clipped: int
    repeated: int
    unplaced: int
    boxed: int
    unshaped: int
    corrections: Mapping[str, Corrections] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        counts = {"imported": dict(self.imported), "objects": self.objects, "kept": self.kept}
        changed = {name: getattr(self, name) for name in CHANGES}
        corrections = {name: asdict(one) for name, one in self.corrections.items()}
        said = {"not_imported": list(self.not_imported), "corrections": corrections}
        return {"shard_id": self.shard_id, **counts, **changed, **said}


def known_ontology(store: Store, name: str | None) -> Ontology | None:
    """The ontology of that name, if the store has one: then the labels must fit it."""
    return next((one for one in store.ontologies() if one.name == name), None)


def import_labels_of(
    store: Store, name: str, source: Source, *, task: str | None, ontology: str | None, reviewer: Reviewer
) -> Imported:
    """Read one shard's labels in format `name` and write them; again changes nothing.

    Labels that were exported as a generation's proposals are kept as reviews of it.

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
    for one, _ in wanted:
        _check_points(source, one, given)
    meant = [(given or (replace(one, name=ontology) if ontology else one), frames) for one, frames in wanted]
    for one, _ in meant:
        check_name(store, one)
    generations = [_generation(store, source, one, frames, reviewer) for one, frames in meant]
    corrections = {
        one.name: keep_corrections(
            store,
            source.shard,
            one,
            frames,
            generation=generation,
            who=reviewer.who,
            confirm_unchanged=reviewer.confirm_unchanged,
        )
        for (one, frames), generation in zip(meant, generations, strict=True)
        if generation is not None
    }
    plain = [pair for pair, generation in zip(meant, generations, strict=True) if generation is None]
    imported, kept = keep_labels(store, source.shard.shard_id, plain)
    return Imported(
        shard_id=source.shard.shard_id,
        imported={**imported, **{name: one.reviewed for name, one in corrections.items()}},
        objects=sum(len(frame.annotations) for _, frames in wanted for frame in frames),
        kept=kept,
        not_imported=tuple(sorted(set(read.labels) - {one.task for one, _ in wanted})),
        corrections=corrections,
        **{name: getattr(read, name) for name in CHANGES},
    )


def _check_points(source: Source, found: Ontology, given: Ontology | None) -> None:
    """Points are kept by their place: under other names, or in another order, they would be other points."""
    if given is not None and found.keypoints != given.keypoints:
        there, needed = (", ".join(one.keypoints) for one in (found, given))
        raise BadInput(f"{source.place}: keypoints {there}; needed those of {given.name} in their order: {needed}")


def _generation(
    store: Store, source: Source, ontology: Ontology, frames: Sequence[FrameLabels], reviewer: Reviewer
) -> int | None:
    """Whose proposals these labels were; None where this store's generations did not propose them."""
    if reviewer.generation is not None:
        return reviewer.generation
    found = generation_in(source.shard, frames)
    done = found is not None and store.predictions.done(source.shard.shard_id, ontology.name, found)
    return found if done else None
