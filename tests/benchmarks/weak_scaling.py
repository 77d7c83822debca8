"""Weak scaling of `fit` and `label`: one worker over some shards against two workers over twice as many.

    OMP_NUM_THREADS=1 python tests/benchmarks/weak_scaling.py --shards 10 --frames 200 --rounds 3

All on one local Ray of two CPUs that runs already. Every worker computes on one thread; actors of `label` are also held on a
core of their own, or the thread that decodes would use the second core while there is only one worker. Rounds alternate and
the medians count. 1.00 is perfect: twice the work in the same time. "Steady" is work a second between the moment when all
workers are warm and the end of the last (of each, for `label`); "whole" is the time of the whole job, with starting and
ending workers.
"""

import argparse
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

from fleet_overhead import run_fleet
from label_throughput import made, one_core_each, run_label

import cluster.fleet
from cluster.session import ray_session
from training.learning.recipes import smoke
from training.models.backbones import Backbone

MANY = 2  # workers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, default=10, help="of one worker")
    parser.add_argument("--frames", type=int, default=120, help="of each shard that is labelled")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--verbs", default="fit,label")
    parser.add_argument("--size", default="640x360", help="WIDTHxHEIGHT of the video")
    parser.add_argument("--backbone", default="mobilenet_v2")
    asked = parser.parse_args()
    verbs = {"fit": fitted, "label": labelled}
    planned = patch.object(cluster.fleet, "plan_workers", one_core_each)
    with tempfile.TemporaryDirectory() as scratch, ray_session(num_cpus=MANY), planned:
        for verb in asked.verbs.split(","):
            compare(verb, verbs[verb], asked, Path(scratch) / verb)


def compare(
    verb: str, run: Callable[[argparse.Namespace, Path, int], tuple[float, float]], asked: argparse.Namespace, folder: Path
) -> None:
    found: dict[int, list[tuple[float, float]]] = {1: [], MANY: []}
    for workers in found:
        (folder / str(workers)).mkdir(parents=True)
    for _ in range(asked.rounds):
        for workers, rounds in found.items():
            rounds.append(run(asked, folder / str(workers), workers))
    (speed, whole_s), (speeds, wholes_s) = ([median(values) for values in zip(*rounds, strict=True)] for rounds in found.values())
    print(
        f"{verb}: weak scaling 1 -> {MANY} workers: steady {speeds / (MANY * speed):.2f}, whole {whole_s / wholes_s:.2f}; "
        f"a second: {speed:.2f} and {speeds:.2f}; whole: {whole_s:.1f} s and {wholes_s:.1f} s; rounds, a second: "
        + " against ".join(" ".join(f"{one:.2f}" for one, _ in rounds) for rounds in found.values()),
        flush=True,
    )


def fitted(asked: argparse.Namespace, folder: Path, workers: int) -> tuple[float, float]:
    """Fits a second, and the whole seconds."""
    store = made(folder, asked, shards=workers * asked.shards, frames=8)
    shutil.rmtree(Path(store.url) / "models")
    how: dict[str, Any] = {"recipe": smoke(), "backbone": Backbone(name=asked.backbone, weights="none"), "seed": 0}
    ran = run_fleet(store, folder, workers, how)
    shutil.rmtree(store.url)
    return 1000 / ran["wall"], ran["whole"]


def labelled(asked: argparse.Namespace, folder: Path, workers: int) -> tuple[float, float]:
    """Frames a second, and the whole seconds."""
    store = made(folder, asked, shards=workers * asked.shards, frames=asked.frames)
    ran = run_label(store, folder, workers)
    shutil.rmtree(store.url)
    return ran["fps"], ran["wall_s"]


if __name__ == "__main__":
    main()
