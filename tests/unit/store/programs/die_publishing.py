"""STORE SUFFIX FIT_KEY: publish, and be killed at once when the object whose key ends in SUFFIX is about to be created."""

import os
import signal
import sys

import torch

from training.store.card import Card
from training.store.local import LocalObjects
from training.store.store import Store


class DyingObjects(LocalObjects):
    def create(self, key: str, data: bytes) -> None:
        if key.endswith(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        super().create(key, data)


class DyingBeforeLink(LocalObjects):
    def _write(self, temporary, data):
        super()._write(temporary, data)
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    kind = DyingBeforeLink if sys.argv[2] == "temporary" else DyingObjects
    card = Card(shard_id="dog", ontology="detection.dog", task="detection", classes=("dog",), fit_key=sys.argv[3], seed=7)
    Store(kind(sys.argv[1])).registry.publish(card, {"weight": torch.arange(5.0)})
