"""What a fleet adds to its fits: wall seconds a shard, from fleets of few to fleets of very many tiny shards.

    OMP_NUM_THREADS=1 python tests/benchmarks/fleet_overhead.py --shards 100,1000
    OMP_NUM_THREADS=1 python tests/benchmarks/fleet_overhead.py --shards 100,1000,10000

Every shard is a folder of four pictures of 32 pixels, two of them labelled; a fit is the smallest real one: classes of
frames, solved in closed form on a ShuffleNet. Three ways to do the same, on as many processes:

- bare: a plain loop without Ray. The frames are read, the micro-model is fitted, and thrown away.
- plain: a plain loop without Ray that also publishes each micro-model and lets the gate decide.
- fleet: what `fit` does, on a local Ray that runs already. Its own seconds a shard are those of planning, over all shards,
  and those between the moment when every worker has handed in its first lease and the last receipt, over the shards of that
  time.

The fleet's overhead is its seconds a shard less those of a loop: of the bare one for everything that is not fitting, of the
plain one for Ray, leases and planning. What comes before and after is start-up, and paid once: starting workers, their first
fits, ending. The loops run before and after each fleet, over as many of its shards as `--loop` says, and both times count
alike. Processor seconds are of all processes of a way together, Ray's own too: other work on the machine changes them less.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image
from run_together import run_together

import cluster.fleet
from cluster.coordinator import Coordinator
from cluster.fleet import fit_fleet
from cluster.session import ray_session
from training.data.annotations import Annotation, FrameLabels
from training.data.ontology import Ontology
from training.data.sources import probe
from training.learning.fit import fit_bank
from training.learning.fit_job import FitJob, FitReceipt
from training.learning.gather import gather
from training.learning.generation import fit_jobs, plan_fits
from training.learning.recipes import smoke
from training.loop.going_live import go_live
from training.models.backbones import Backbone
from training.store.store import Store

SIDE, NUM_FRAMES, NUM_FOLDERS, WARM = 32, 4, 8, 2
ONTOLOGY = Ontology(name="sides", task="classification", classes=("left", "right"))
HOW: dict[str, Any] = {
    "recipe": replace(smoke(), name="tiny", min_long_side=SIDE, max_long_side=SIDE),
    "backbone": Backbone(name="shufflenet_v2_x0_5", weights="none"),
    "seed": 0,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", default="100,1000")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--loop", type=int, default=100, help="shards of each loop, at most")
    parser.add_argument("--as-loop", choices=("bare", "plain"), help=argparse.SUPPRESS)
    parser.add_argument("--store", help=argparse.SUPPRESS)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.as_loop:
        loop(asked.as_loop, asked.store, asked.only.split(","))
        return
    took = {}
    with tempfile.TemporaryDirectory() as scratch, ray_session(num_cpus=asked.workers):
        draw(Path(scratch))
        for shards in map(int, asked.shards.split(",")):
            took[shards] = compare(Path(scratch), shards, asked.workers, asked.loop)
    few, many = min(took), max(took)
    print(f"{many} shards against {few}: {took[many] / took[few]:.2f} times the fleet's time a shard")


def compare(folder: Path, shards: int, workers: int, most: int) -> float:
    """Prints what was found, and returns the fleet's milliseconds a shard."""
    store = made(folder, shards, "fleet")
    spent: dict[str, list[dict[str, float]]] = {"bare": [], "plain": []}

    def loops() -> None:
        for way, rounds in spent.items():
            aside = made(folder, min(shards, most), "loop")
            rounds.append(run_loop(way, aside, workers))
            shutil.rmtree(aside.url)

    loops()
    fleet = run_fleet(store, folder, workers)
    loops()
    shutil.rmtree(store.url)
    bare, plain = ({name: mean(one[name] for one in rounds) for name in rounds[0]} for rounds in spent.values())
    overhead = fleet["plan"] + fleet["wall"] - bare["wall"]
    beyond_plain = overhead + bare["wall"] - plain["wall"]
    print(
        f"{shards} shards, {workers} workers, wall ms a shard: overhead {overhead:.1f} beyond bare fits, "
        f"{beyond_plain:.1f} beyond the plain loop; plan {fleet['plan']:.1f}, fleet {fleet['wall']:.1f}, plain loop "
        f"{listed(spent['plain'])}, bare {listed(spent['bare'])}; start-up {fleet['startup']:.1f} s, whole {fleet['whole']:.1f} s"
    )
    print(f"  processor ms a shard: fleet {fleet['cpu']:.1f}, plain {plain['cpu']:.1f}, bare {bare['cpu']:.1f}", flush=True)
    return fleet["plan"] + fleet["wall"]


def listed(rounds: Sequence[dict[str, float]]) -> str:
    return " and ".join(f"{one['wall']:.1f}" for one in rounds)


def run_fleet(store: Store, folder: Path, workers: int, how: dict[str, Any] = HOW) -> dict[str, float]:
    began = time.monotonic()
    jobs = plan_fits(store, None, None, **how).jobs
    planned = time.monotonic()
    with patch.object(cluster.fleet, "Coordinator", noting_coordinator(folder / "notes.json")):
        receipts = fit_fleet(store.url, jobs, **how, num_workers=workers)
    over = time.monotonic()
    assert [receipt.live for receipt in receipts] == [True] * len(jobs), receipts[0]
    warm, last = json.loads((folder / "notes.json").read_text())
    fitted, seconds = last["finished"] - warm["finished"], last["at"] - warm["at"]
    return {
        "plan": 1000 * (planned - began) / len(jobs),
        "wall": 1000 * seconds / fitted,
        "cpu": 1000 * (last["cpu_s"] - warm["cpu_s"]) / fitted,
        "startup": warm["at"] - planned - seconds / fitted * warm["finished"] + over - last["at"],
        "whole": over - began,
    }


def noting_coordinator(notes: Path) -> type[Coordinator]:
    """One that writes down when every worker has handed in a lease, and when everything is over (the clock is the machine's)."""
    root = os.getpid()

    class NotingCoordinator(Coordinator):
        def __init__(self, *what: Any, **how: Any) -> None:
            super().__init__(*what, **how)
            self._handed_in: set[str] = set()
            self._moments: list[dict[str, float]] = []

        def commit(self, worker: str, receipts: Sequence[FitReceipt]) -> None:
            super().commit(worker, receipts)
            self._handed_in.add(worker)
            state = self.state()
            warm = not self._moments and len(self._handed_in) == len(state.workers)
            if warm or state.finished == state.total:
                self._moments.append({"at": time.monotonic(), "finished": state.finished, "cpu_s": processor_seconds(root)})
                notes.write_text(json.dumps(self._moments))

    return NotingCoordinator


def processor_seconds(root: int) -> float:
    """Of a process and all below it, Ray's own too."""
    parents, spent = {}, {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            fields = (process / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        parents[int(process.name)] = int(fields[1])
        spent[int(process.name)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def below(process: int) -> bool:
        return process == root or (process in parents and below(parents[process]))

    return sum(seconds for process, seconds in spent.items() if below(process))


def run_loop(way: str, store: Store, workers: int) -> dict[str, float]:
    """Milliseconds a shard of as many processes as there are workers; they begin together when all are warm."""
    shard_ids = store.shard_ids()
    words = ["--as-loop", way, "--store", store.url, "--only"]
    said, wall_s = run_together(__file__, [[*words, ",".join(shard_ids[number::workers])] for number in range(workers)])
    cpu_s = sum(map(float, said))
    fitted = len(shard_ids) - WARM * workers
    return {"wall": 1000 * wall_s / fitted, "cpu": 1000 * cpu_s / fitted}


def loop(way: str, url: str, shard_ids: Sequence[str]) -> None:
    torch.set_num_threads(1)
    store = Store.open(url)
    cpu_s = 0.0
    for number, shard_id in enumerate(shard_ids):
        if number == WARM:
            print("warm", flush=True)
            sys.stdin.readline()
            cpu_s = time.process_time()
        if way == "bare":
            fit_bank([gather(store, shard_id, ONTOLOGY.name, HOW["recipe"])], **HOW)
        else:
            job = FitJob(shard_id=shard_id, ontology=ONTOLOGY.name, fit_key=shard_id)
            (receipt,) = go_live(store, fit_jobs(store, [job], **HOW))
            assert receipt.live
    print(time.process_time() - cpu_s)


def draw(folder: Path) -> None:
    for number in range(NUM_FOLDERS):
        (folder / f"pictures-{number}").mkdir()
        for index in range(NUM_FRAMES):
            picture_HW3 = np.random.default_rng(number).integers(0, 120, (SIDE, SIDE, 3)).astype(np.uint8)
            picture_HW3[8:20, (4 if index % 2 else 20) :][:, :8] = 240
            Image.fromarray(picture_HW3).save(folder / f"pictures-{number}" / f"{index}.png")


def made(folder: Path, shards: int, name: str) -> Store:
    """A store of that many shards, two frames of each labelled."""
    store = Store.create(str(folder / name))
    store.add_ontology(ONTOLOGY)
    folders = [probe(folder / f"pictures-{number}", shard_id=f"f{number}") for number in range(NUM_FOLDERS)]

    def add(number: int) -> None:
        shard_id = f"s{number:05d}"
        store.add_shard(replace(folders[number % NUM_FOLDERS], shard_id=shard_id))
        said = (Annotation(class_name=side, level="image") for side in ("right", "left"))
        labels = [FrameLabels(shard_id=shard_id, frame_index=index, annotations=(one,)) for index, one in enumerate(said)]
        store.annotate(shard_id, ONTOLOGY.name, labels)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(add, range(shards)))
    return store


if __name__ == "__main__":
    main()
