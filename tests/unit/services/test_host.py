"""The host itself, without Serve around it."""

import asyncio
import gc
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from services.host import Host
from services.payload import Picture
from services.settings import Settings
from training.data.ontology import Ontology
from training.data.pictures import encode_jpeg
from training.models.backbones import empty_trunk
from training.models.micro_model import MicroModel
from training.models.network import DenseConfig, DenseNetwork
from training.store.card import Card
from training.store.registry import Registry
from training.store.store import Store

MANY = 8  # more than prepare pictures at once
EVERYTHING = {"fewest": [99], "most": [99], "min_scores": [0.0, 0.0, 0.0]}
CONFIG = DenseConfig(
    backbone="mobilenet_v3_small", scale=1.0, output_stride=8, neck_channels=8, branches={"heat": 1, "box": 4, "offset": 2}
)


@pytest.fixture
def published(tmp_path: Path) -> tuple[Store, list[Card]]:
    store = Store.create(str(tmp_path / "store"))
    ontology = Ontology(name="things", task="detection", classes=("thing",))
    torch.manual_seed(0)
    network = DenseNetwork(empty_trunk(CONFIG.backbone), CONFIG).eval()
    cards = []
    for number in range(MANY):
        model = MicroModel(shard_id=f"shard-{number}", ontology=ontology, network=network, decoding=EVERYTHING)
        card = Card(
            shard_id=model.shard_id, ontology="things", task="detection", classes=ontology.classes, network=model.to_json()
        )
        cards.append(store.registry.publish(card, model.tensors()))
    return store, cards


def test_the_models_of_one_request_are_read_at_the_same_time(
    published: tuple[Store, list[Card]], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, cards = published
    together, load = threading.Barrier(MANY), Registry.load

    def load_together(registry: Registry, card: Card) -> dict[str, torch.Tensor]:
        together.wait(10)  # breaks unless all are read at once
        return load(registry, card)

    monkeypatch.setattr(Registry, "load", load_together)
    picture = Picture(name="black", data=encode_jpeg(np.zeros((64, 64, 3), np.uint8)), num_pixels=64 * 64)
    host = Host(Settings(store=store.url))
    answers = asyncio.run(host.predict_each([(card, [picture]) for card in cards]))
    assert [len(answer.labels) for answer in answers] == [1] * MANY


def test_what_a_host_has_is_not_looked_through_for_garbage_again(published: tuple[Store, list[Card]]) -> None:
    gc.unfreeze()
    Host(Settings(store=published[0].url))
    assert gc.get_freeze_count() > len(gc.get_objects())
