"""The frames that still wait for a person, with what is proposed there."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator

from training.data.annotations import FrameLabels
from training.loop.review import own
from training.store.queue import Queued, QueuedFrame
from training.store.store import Store

__all__ = ["pending", "proposals", "proposed"]


def pending(store: Store, queued: Queued, *, shard_id: str | None = None, ontology: str | None = None) -> Iterator[QueuedFrame]:
    """The frames of a queue that nobody has labelled since, in its order; the labels of a shard are read when it comes up."""
    labelled: dict[tuple[str, str | None], set[int]] = {}
    for frame in queued.frames:
        if shard_id not in (None, frame.shard_id) or ontology not in (None, frame.ontology):
            continue
        key = frame.shard_id, frame.ontology
        if key not in labelled:
            labelled[key] = _labelled(store, *key)
        if frame.frame_index not in labelled[key]:
            yield frame


def proposed(
    store: Store, shard_id: str, ontology: str, generation: int, frame_indices: Collection[int]
) -> dict[int, FrameLabels]:
    """What a generation proposes on some frames, by frame: a proposal's place on its frame is its name for ever.

    Objects that belong to another tile are left to that one. A frame without machine labels is not among them.
    """
    shard, found = store.shard(shard_id), store.predictions.of(shard_id, ontology, generation, frame_indices)
    return {index: own(shard, frame) for index, frame in found.items()}


def proposals(store: Store, frames: Iterable[QueuedFrame]) -> dict[QueuedFrame, FrameLabels]:
    """What is proposed on those of the frames that are to be reviewed."""
    wanted: dict[tuple[str, str, int], dict[int, QueuedFrame]] = defaultdict(dict)
    for one in frames:
        if one.ontology is not None and one.generation is not None:
            wanted[one.shard_id, one.ontology, one.generation][one.frame_index] = one
    return {some[index]: said for key, some in wanted.items() for index, said in proposed(store, *key, some.keys()).items()}


def _labelled(store: Store, shard_id: str, ontology: str | None) -> set[int]:
    """Frames that have labels: every answer leaves some, an empty one too."""
    names = store.labelled(shard_id) if ontology is None else [ontology]
    return {frame.frame_index for name in names for frame in store.labels(shard_id, name)}
