"""STORE NUM_PROCESSES NUM_EACH: that many processes publish generations of one micro-model at the same time."""

import os
import sys
import time
from dataclasses import replace

import torch

from training.store.card import Card
from training.store.store import Store


def publish(store: Store, process: int, num_each: int) -> None:
    card = Card(shard_id="dog", ontology="detection.dog", task="detection", classes=("dog",))
    for turn in range(num_each):
        work = replace(card, fit_key=f"{process}-{turn}", seed=process, num_labelled=turn)
        published = store.registry.publish(work, {"weight": torch.full((64,), float(process * num_each + turn))})
        store.registry.promote("dog", "detection.dog", published.generation, f"process {process}")


def main(url: str, num_processes: int, num_each: int) -> None:
    torch.set_num_threads(1)
    store, start = Store.open(url), time.time() + 0.2
    children = []
    for process in range(num_processes):
        child = os.fork()
        if child == 0:
            time.sleep(max(0.0, start - time.time()))
            try:
                publish(store, process, num_each)
            except BaseException:
                os._exit(1)
            os._exit(0)
        children.append(child)
    failed = [child for child in children if os.waitpid(child, 0)[1] != 0]
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
