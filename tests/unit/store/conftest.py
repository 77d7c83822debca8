from pathlib import Path

import pytest

from training.data.ontology import Ontology
from training.data.shards import Shard
from training.store.card import Card
from training.store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(str(tmp_path / "store"))


@pytest.fixture
def shard() -> Shard:
    return Shard(
        shard_id="dog", uri="/videos/dog.mp4", kind="video", num_frames=20, width=64, height=48, content_hash="sha256:1", fps=10.0
    )


@pytest.fixture
def ontology() -> Ontology:
    return Ontology(name="detection.dog", task="detection", classes=("dog",))


@pytest.fixture
def card() -> Card:
    return Card(
        shard_id="dog",
        ontology="detection.dog",
        task="detection",
        classes=("dog",),
        network={"stride": 8},
        recipe={"name": "smoke"},
        fit_key="labels-1",
        metrics={"recall": 0.9},
        created_at="2026-01-02T03:04:05+00:00",
        versions={"torch": "2"},
    )
