"""What benchmarks of the service have in common: drawn micro-models that are live, pictures to ask about, the service itself."""

import argparse
import json
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from http_load import Ask
from processes import cpu_seconds, serving_processes
from shared_trunk import World

from cluster.serving import serving
from services.gate import BEHIND_HAPROXY
from services.new_key import add_key
from training.data.pictures import encode_jpeg
from training.models.device import best_device
from training.store.card import Card
from training.store.store import Store

__all__ = ["add_settings", "cpu_of_service", "free_port", "picture", "predict", "publish_live", "service", "settings_of"]

NUM_DRAWN = 32
_FOLDER = tempfile.TemporaryDirectory()
_KEYS = Path(_FOLDER.name) / "keys"
JPEG = {"content-type": "image/jpeg", "authorization": f"Bearer {add_key(_KEYS, 'benchmark', ['read', 'predict'])}"}


def publish_live(
    store: Store, count: int, recipe: str, size: tuple[int, int], *, task: str = "detection", drawn: int = NUM_DRAWN
) -> list[Card]:
    """Live micro-models. The own parameters of the first `drawn` are drawn, the others have copies of their files.

    Copies are made past the registry, which would flush each to the disk.  size: width and height of the network's input.
    """
    torch.manual_seed(0)
    world = World(store, "mobilenet_v2", task, size, best_device())
    store.add_ontology(world.ontology)
    cards = [world.publish(recipe, number) for number in range(min(drawn, count))]
    for card in cards:
        store.registry.promote(card.shard_id, card.ontology, card.generation, "drawn")
    return cards + [copied(Path(store.url), cards[number % drawn], f"{recipe}-{number}") for number in range(drawn, count)]


def copied(root: Path, card: Card, shard_id: str) -> Card:
    """The micro-model of a card as that of another shard, live."""
    copy = replace(card, shard_id=shard_id)
    source, target = (root / f"models/{one.shard_id}/{one.ontology}" for one in (card, copy))
    for folder in ("gen-0001", "live"):
        (target / folder).mkdir(parents=True)
    shutil.copyfile(source / "gen-0001/weights.safetensors", target / "gen-0001/weights.safetensors")
    shutil.copyfile(source / "live/0001.json", target / "live/0001.json")
    (target / "gen-0001/card.json").write_text(json.dumps(copy.to_json()))
    return copy


def picture(size: tuple[int, int]) -> bytes:
    """A JPEG of noise with twice the sides of the network's input: drawn micro-models see it at half its size."""
    width, height = size
    coarse = np.random.default_rng(0).integers(0, 256, (height // 4, width // 4, 3), np.uint8)
    return encode_jpeg(coarse.repeat(8, 0).repeat(8, 1))


def predict(data: bytes, path: str = "/v1/models/{model}/predict") -> Ask:
    """One picture for one micro-model; with the header that `@serve.multiplexed` wants to know it by."""
    return Ask(name="predict", path=path, headers={**JPEG, "serve_multiplexed_model_id": "{model}"}, body=data)


@contextmanager
def service(store_url: str, settings: dict[str, Any]) -> Iterator[str]:
    """The real application on a port of this machine; its URL. Needs a running Ray.

    As `micromodels serve` starts it, the ingress computes, unless `settings` name `hosts`. Behind HAProxy it has keys, which
    `predict` sends.
    """
    usual: dict[str, Any] = {"eye_weights": "none", "hosts": 0}
    keys = {"keys_file": str(_KEYS)} if BEHIND_HAPROXY else {}
    with serving(store_url, host="127.0.0.1", port=port_of_this_process(), **{**usual, **keys, **settings}):
        yield f"http://127.0.0.1:{port_of_this_process()}"


_PORTS: list[int] = []


def port_of_this_process() -> int:
    """Serve's proxy keeps the one that it was first started with."""
    if not _PORTS:
        _PORTS.append(free_port())
    return _PORTS[0]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cpu_of_service(*kinds: str) -> float:
    """Processor seconds that processes of these kinds have spent so far ('ingress', 'host', 'proxy', …)."""
    return sum(cpu_seconds(pid) for pid, name in serving_processes().items() if name.split()[0] in kinds)


def add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--setting", action="append", default=[], metavar="KEY=VALUE", help="of the service; may be repeated")


def settings_of(given: Sequence[str]) -> dict[str, Any]:
    return dict(one.split("=", 1) for one in given)
