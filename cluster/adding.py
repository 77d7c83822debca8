"""Put one source (video, folder of pictures, scene) with its labels into a store: everything is checked, then written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cluster.keeping import check_name, keep_labels
from training.data.annotations import FrameLabels
from training.data.coco import CHANGES, read_coco
from training.data.folder import SourceWithLabels
from training.data.ontology import Ontology
from training.data.shards import Shard
from training.data.sources import probe
from training.errors import BadInput
from training.models.tasks import TASKS
from training.store.store import Store

__all__ = ["Added", "add_source"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What came into the store.

    imported: frames written, by ontology. kept: frames whose labels in the store differ and were not imported ones.
    not_imported: tasks in the labels that this version cannot fit or that were not asked for.
    clipped: boxes, polygons and keypoints that stuck out of their picture by a pixel or less and were cut at its edge.
    repeated: annotations that said again what another one of the same frame says, and were left out.
    unplaced: objects of a scene whose centre lies in no tile.
    boxed: objects with keypoints and without a box, which got the one around their points.
    unshaped: objects with a box alone, where others have a mask or keypoints: ambiguous to the tasks of those.
    """

    shard: Shard
    imported: Mapping[str, int]
    kept: int
    not_imported: tuple[str, ...]
    clipped: int = 0
    repeated: int = 0
    unplaced: int = 0
    boxed: int = 0
    unshaped: int = 0

    def to_json(self) -> dict[str, Any]:
        shard = {"shard_id": self.shard.shard_id, "kind": self.shard.kind, "frames": self.shard.num_frames}
        size = {"width": self.shard.width, "height": self.shard.height}
        changed = {name: getattr(self, name) for name in CHANGES}
        counts = {"imported": dict(self.imported), "kept": self.kept, **changed}
        return {**shard, **size, **counts, "not_imported": list(self.not_imported)}


def add_source(
    store: Store,
    source: SourceWithLabels,
    *,
    task: str | None = None,
    ontology: str | None = None,
    tile: int = 512,
    bands: tuple[int, ...] | None = None,
) -> Added:
    """Add one shard and import its labels; adding it again changes nothing.

    Args:
        task: import only this one; all that can be fitted by default.
        ontology: the name to import under; made from task and classes by default.
        tile, bands: how a scene is cut, and which of its bands are red, green and blue.
    Raises:
        BadInput, DuplicateShard, …: the source, its labels or the choice of task cannot be used; nothing is written.
    """
    shard = probe(source.path, shard_id=source.shard_id, tile=tile, bands=bands)
    coco = None if source.labels is None else read_coco(source.labels, shard)
    found: dict[str, tuple[Ontology, Sequence[FrameLabels]]] = dict(coco.labels.items()) if coco else {}
    wanted = {name: said for name, said in found.items() if name in TASKS and task in (None, name)}
    _check(source, found, wanted, task, ontology)
    meant = [(replace(one, name=ontology) if ontology else one, frames) for one, frames in wanted.values()]
    for one, _ in meant:
        check_name(store, one)
    store.add_shard(shard)
    imported, kept = keep_labels(store, shard.shard_id, meant)
    left = tuple(sorted(name for name in found if name not in wanted))
    added = Added(shard=shard, imported=imported, kept=kept, not_imported=left)
    if coco is None:
        return added
    return replace(added, **{name: getattr(coco, name) for name in CHANGES})


def _check(
    source: SourceWithLabels, found: Mapping[str, Any], wanted: Mapping[str, Any], task: str | None, ontology: str | None
) -> None:
    if task is not None and found and not wanted:
        raise BadInput(f"{source.labels}: no {task} labels that can be fitted, found {', '.join(found)}")
    if ontology is not None and len(wanted) > 1:
        raise BadInput(f"{source.labels}: labels of {', '.join(wanted)}, needed --task to say which of them is {ontology}")
