"""Calibration: one small shard is fitted and labelled now, in a store that is thrown away, and a fleet of nothing is started."""

import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch

from cluster.plan_costs import Costs
from cluster.plan_sources import costs_of_store
from training.data.shards import Shard
from training.errors import MicroModelError, NothingToLearn
from training.learning.clip import Clip, ClipReceipt
from training.learning.fit_job import FitJob, FitReceipt
from training.learning.generation import fit_jobs, plan_fits
from training.learning.label_stream import Begin
from training.learning.labeller import Labeller
from training.learning.labelling import plan_clips
from training.learning.recipes import Recipe
from training.loop.going_live import go_live
from training.models.backbones import Backbone
from training.models.device import best_device, one_thread
from training.models.tasks import TASKS
from training.store.store import Store

__all__ = ["measured_fit_startup", "measured_label_startup", "measured_shard"]

_NOTHING = "nothing"


def measured_shard(store: Store, costs: Costs, *, recipe: Recipe, backbone: Backbone) -> Costs:
    """`costs` with what one shard took in this process on one thread: overheads, and what nobody knew yet.

    Where fits are known already, the shard is fitted in a single step: overheads are the same.

    Raises:
        NothingToLearn: no shard has labels to fit on.
        MicroModelError: the shard cannot be fitted or labelled.
    """
    shard, ontology = _smallest(store)
    one_step = replace(recipe, steps=1, folds=0)
    with tempfile.TemporaryDirectory(prefix="micromodels-plan-") as scratch, one_thread():
        _fit(_copy(store, shard, ontology, Path(scratch) / "warm"), one_step, backbone)
        copy = _copy(store, shard, ontology, Path(scratch) / "store")
        began = time.monotonic()
        fitted = _fit(copy, one_step if costs.fit_s else recipe, backbone)
        overhead_s = time.monotonic() - began - fitted.seconds
        label_overhead_s = _label(copy)
        found = costs_of_store(copy)
    source = f"measured now on {shard.shard_id}"
    costs = costs.instead(source, fit_overhead_s=max(0.0, overhead_s), label_overhead_s=max(0.0, label_overhead_s))
    if not costs.fit_s:
        costs = costs.instead(
            source, fit_s=found.fit_s, model_bytes=found.model_bytes, device=found.device, threads=found.threads
        )
    if not costs.frame_s:
        costs = costs.instead(source, frame_s=found.frame_s, frame_bytes=found.frame_bytes)
    return costs


def measured_fit_startup(store_url: str, costs: Costs, *, recipe: Recipe, backbone: Backbone) -> Costs:
    """`costs` with what `fit` takes on this Ray when there is nothing to fit."""
    from cluster.fleet import fit_fleet
    from cluster.session import ray_session

    began = time.monotonic()
    with ray_session():
        fit_fleet(store_url, [_no_job()], recipe=recipe, backbone=backbone, seed=0, num_workers=1)
    return costs.instead("measured now: a fleet of nothing", fit_startup_s=time.monotonic() - began)


def measured_label_startup(store_url: str, costs: Costs) -> Costs:
    """`costs` with what `label` takes on this Ray when there is nothing to label."""
    from cluster.label import label_fleet
    from cluster.session import ray_session

    began = time.monotonic()
    with ray_session():
        label_fleet(store_url, [_no_clip()], num_workers=1, labeller=LabelsNothing)
    return costs.instead("measured now: a fleet of nothing", label_startup_s=time.monotonic() - began)


class LabelsNothing:
    """In the place of a Labeller, to time everything else."""

    def __init__(self, store: Store, *, device: torch.device, threads: int) -> None:
        """Takes what a Labeller takes."""

    def label(self, clips: Sequence[Clip], *, begin: Begin) -> Iterator[ClipReceipt]:
        return (ClipReceipt(**asdict(clip)) for clip in clips)


def _smallest(store: Store) -> tuple[Shard, str]:
    """The shard with the fewest frames that has labels to fit on, and their ontology."""
    for shard in sorted(store.shards(), key=lambda shard: shard.num_frames):
        for name in store.labelled(shard.shard_id):
            if store.ontology(name).task in TASKS and store.labels_to_fit(shard.shard_id, name):
                return shard, name
    raise NothingToLearn(f"{store.url}: no shard has annotations to measure a fit with, needed one that has")


def _copy(store: Store, shard: Shard, ontology: str, folder: Path) -> Store:
    copy = Store.create(str(folder))
    copy.add_shard(shard)
    copy.add_ontology(store.ontology(ontology))
    copy.annotate(shard.shard_id, ontology, store.labels_to_fit(shard.shard_id, ontology))
    return copy


def _fit(store: Store, recipe: Recipe, backbone: Backbone) -> FitReceipt:
    jobs = plan_fits(store, None, None, recipe=recipe, backbone=backbone, seed=0).jobs
    (receipt,) = go_live(store, fit_jobs(store, jobs, recipe=recipe, backbone=backbone, seed=0), device=best_device())
    if receipt.error is not None:
        raise MicroModelError(receipt.error)
    return receipt


def _label(store: Store) -> float:
    """Label the first clip twice, and return the seconds of the second time that its receipt does not have."""
    labeller = Labeller(store, device=best_device())
    clips = plan_clips(store, None, None).clips[:1]
    list(labeller.label(clips))
    began = time.monotonic()
    (receipt,) = labeller.label(clips)
    if receipt.error is not None:
        raise MicroModelError(receipt.error)
    return time.monotonic() - began - receipt.decode_seconds - receipt.model_seconds


def _no_job() -> FitJob:
    """Of a shard that no store has: its receipt is an error, and nothing is written."""
    return FitJob(shard_id=_NOTHING, ontology=_NOTHING, fit_key="")


def _no_clip() -> Clip:
    return Clip(shard_id=_NOTHING, ontology=_NOTHING, generation=1, start=0, stop=1)
