"""The requests that `plan` counts with are those that fitting and labelling make."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cluster.plan_requests import Requests, fit_requests, label_requests
from training.data.annotations import Annotation, FrameLabels
from training.data.ontology import Ontology
from training.data.sources import probe
from training.learning.generation import fit_jobs, plan_fits
from training.learning.labeller import Labeller
from training.learning.labelling import plan_clips
from training.learning.recipes import smoke
from training.loop.going_live import go_live
from training.models.backbones import Backbone
from training.store.local import LocalObjects
from training.store.store import Store

SHARDS = ("a", "b")
HOW: dict[str, Any] = {
    "recipe": replace(smoke(), steps=1, batch_size=2),
    "backbone": Backbone(name="resnet18", weights="none"),
    "seed": 0,
}
KINDS = {"read": "reads", "exists": "reads", "create": "writes", "put": "writes", "keys": "lists", "children": "lists"}


class CountedObjects:
    """Objects that count what is asked of them."""

    def __init__(self, objects: LocalObjects) -> None:
        self._objects, self.url = objects, objects.url
        self._counts: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def asked(*what: Any) -> Any:
            self._counts[KINDS[name]] += 1
            return getattr(self._objects, name)(*what)

        return asked

    def taken(self) -> Requests:
        """Since it was last asked."""
        counts, self._counts = self._counts, Counter()
        return Requests(**counts)


def label(store: Store, frame_indices: Sequence[int], *, audit: bool = False) -> None:
    box = Annotation(class_name="square", bbox_xyxy=(10, 10, 40, 40))
    for shard_id in SHARDS:
        labels = [FrameLabels(shard_id=shard_id, frame_index=index, annotations=(box,)) for index in frame_indices]
        store.annotate(shard_id, "squares", labels, audit=audit)


@pytest.fixture
def objects(tmp_path: Path) -> CountedObjects:
    """Of a store with two folders of 20 frames."""
    store = Store.create(str(tmp_path / "store"))
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8))
    for shard_id in SHARDS:
        (tmp_path / shard_id).mkdir()
        for index in range(20):
            picture.save(tmp_path / shard_id / f"{index:02d}.png")
        store.add_shard(probe(tmp_path / shard_id, shard_id=shard_id))
    store.add_ontology(Ontology(name="squares", task="detection", classes=("square",)))
    return CountedObjects(LocalObjects(store.url))


def test_every_request_of_three_generations_is_counted(objects: CountedObjects) -> None:
    store = Store(objects)
    label(store, [0, 4])
    for generation in (1, 2, 3):
        if generation > 1:
            label(store, [10 + generation], audit=True)
            label(store, [generation])
        objects.taken()
        jobs = plan_fits(store, None, None, **HOW).jobs
        receipts = go_live(store, [receipt for job in jobs for receipt in fit_jobs(store, [job], **HOW)])
        assert [one.live for one in receipts] == [True, True]
        assert objects.taken() == fit_requests(len(SHARDS), generation)
        clips, labeller = plan_clips(store, None, None, frames_per_clip=10).clips, Labeller(store)
        assert [receipt.error for receipt in labeller.label(clips)] == [None] * 4
        assert objects.taken() == label_requests(len(SHARDS), len(clips))


def test_a_trunk_that_is_shared_costs_a_process_two_requests_when_it_publishes_first_and_one_when_it_reads(
    objects: CountedObjects,
) -> None:
    store = Store(objects)
    label(store, [0, 4])
    how = {**HOW, "recipe": replace(HOW["recipe"], parameters="head")}
    objects.taken()
    jobs = plan_fits(store, None, None, **how).jobs
    go_live(store, [receipt for job in jobs for receipt in fit_jobs(store, [job], **how)])
    assert objects.taken() == fit_requests(len(SHARDS), 1) + Requests(reads=1, writes=1)
    clips = plan_clips(store, None, None).clips
    assert [receipt.error for receipt in Labeller(Store(objects)).label(clips)] == [None] * len(clips)
    assert objects.taken() == label_requests(len(SHARDS), len(clips)) + Requests(reads=1)
