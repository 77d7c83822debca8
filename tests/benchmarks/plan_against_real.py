"""`plan` against the real thing: fleets of tiny shards are planned from a small pilot, and then fitted and labelled.

Draws a few videos of 16 frames, makes a pilot of `--sample` shards of them and a fleet of each size asked for, and prints the
planned and the real wall seconds of `fit` and `label` and their ratio. All on one local Ray that runs already: what is
compared is the schedule, the overhead and the start-up of a job, and not the start of Ray.

    python tests/benchmarks/plan_against_real.py --shards 10,100,1000 --workers 2
    python tests/benchmarks/plan_against_real.py --shards 10 --verbs fit
"""

import argparse
import tempfile
import time
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from cluster.fleet import fit_fleet
from cluster.label import label_fleet
from cluster.plan import plan
from cluster.plan_costs import Costs
from cluster.plan_days import Workload
from cluster.plan_measure import measured_fit_startup, measured_label_startup, measured_shard
from cluster.plan_sources import costs_of_store
from cluster.session import ray_session
from training.data.coco import read_coco
from training.data.sources import probe
from training.data.world import draw_video
from training.learning.generation import plan_fits
from training.learning.groups import fits_at_once
from training.learning.labelling import plan_clips
from training.learning.recipes import smoke
from training.loop.annotator import draw_labels
from training.loop.simulation import Truth
from training.models.backbones import Backbone
from training.store.store import Store

NUM_VIDEOS, NUM_FRAMES = 4, 16
HOW: dict[str, Any] = {
    "recipe": replace(smoke(), name="tiny", steps=2, batch_size=2),
    "backbone": Backbone(name="mobilenet_v3_small", weights="none"),
    "seed": 0,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", default="10,100")
    parser.add_argument("--sample", type=int, default=16)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--verbs", default="fit,label")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, ray_session(num_cpus=asked.workers):
        folder = Path(scratch)
        for number in range(NUM_VIDEOS):
            draw_video(folder / f"{number}.mp4", seed=number, num_frames=NUM_FRAMES, width=96, height=64, camera="crossing")
        verbs = asked.verbs.split(",")
        costs = pilot(folder, asked.sample, asked.workers, verbs)
        show(costs)
        for shards in map(int, asked.shards.split(",")):
            planned = plan(costs, Workload(shards=shards, bundle=fits_at_once(costs.device)), [asked.workers])["fleets"][0]
            seconds = real(made(folder, shards, f"fleet-{shards}"), asked.workers, verbs)
            for verb, took in seconds.items():
                wall_s = planned[verb]["wall_s"]
                said = f"planned {wall_s['p50']:.1f} s (p90 {wall_s['p90']:.1f}), real {took:.1f} s"
                print(f"{shards} shards, {asked.workers} workers, {verb}: {said}, ratio {wall_s['p50'] / took:.2f}", flush=True)


def pilot(folder: Path, sample: int, workers: int, verbs: Collection[str]) -> Costs:
    """What a fleet of a few shards took, and what starting and handing in take."""
    store = made(folder, sample, "pilot")
    real(store, workers, verbs)
    what = {"recipe": HOW["recipe"], "backbone": HOW["backbone"]}
    costs = measured_fit_startup(store.url, measured_shard(store, costs_of_store(store), **what), **what)
    return measured_label_startup(store.url, costs) if "label" in verbs else costs


def real(store: Store, workers: int, verbs: Collection[str]) -> dict[str, float]:
    """Wall seconds of each of the verbs, over everything in the store."""
    seconds: dict[str, float] = {}
    for verb in verbs:
        began = time.monotonic()
        if verb == "fit":
            receipts: list[Any] = fit_fleet(store.url, plan_fits(store, None, None, **HOW).jobs, **HOW, num_workers=workers)
        else:
            receipts = label_fleet(store.url, plan_clips(store, None, None).clips, num_workers=workers)
        seconds[verb] = time.monotonic() - began
        errors = [one.error for one in receipts if one.error is not None]
        if errors:
            raise SystemExit(f"{verb}: {len(errors)} of {len(receipts)} failed, the first: {errors[0]}")
    return seconds


def made(folder: Path, shards: int, name: str) -> Store:
    """A store of that many shards, two frames of each labelled."""
    store = Store.create(str(folder / name))
    for number in range(shards):
        video = folder / f"{number % NUM_VIDEOS}.mp4"
        shard = probe(video, shard_id=f"s{number:05d}")
        ontology, labels = read_coco(video.with_suffix(".coco.json"), shard).labels["detection"]
        store.add_shard(shard)
        store.add_ontology(ontology)
        draw_labels(store, Truth(shard=shard, ontology=ontology, labels=labels), [0, NUM_FRAMES // 2])
    return store


def show(costs: Costs) -> None:
    for row in costs.spreads():
        print(f"{row['cost']}: {row['count']} values, median {row['median']}, p90 {row['p90']}, {row['from']}")
    print("seconds of each fit:", ", ".join(f"{seconds:.2f}" for seconds in costs.fit_s), flush=True)


if __name__ == "__main__":
    main()
