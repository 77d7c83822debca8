"""Fitting: a bundle of labelled shards in, a bank of micro-models out."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from training.errors import FitDiverged, MicroModelError
from training.learning.descend import Report, descend
from training.learning.groups import fits_at_once, group_bytes, groups
from training.learning.labelled import LabelledFrames
from training.learning.prepare import Fit, prepare
from training.learning.recipes import Recipe
from training.learning.resolution import input_scale
from training.learning.solve import solved_network
from training.models.backbones import Backbone
from training.models.micro_model import MicroModel
from training.models.networks import Network
from training.models.tasks import DenseTask, GridTask, task_for

__all__ = ["BankFit", "fit_bank"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BankFit:
    """What came of a bundle: a micro-model or an error for every shard.

    started_from: of the shards whose fit went on from their `start`, its name.
    """

    models: dict[str, MicroModel]
    failures: dict[str, MicroModelError]
    started_from: dict[str, str]


def fit_bank(
    bundle: Sequence[LabelledFrames],
    *,
    recipe: Recipe,
    backbone: Backbone,
    seed: int = 0,
    device: torch.device | str = "cpu",
    at_once: int | None = None,
    max_bytes: int | None = None,
    report: Report = lambda shard_id, step, metrics: None,
) -> BankFit:
    """Fit one micro-model per shard; the same seed gives the same weights on the same machine.

    Every micro-model is what it would be if it were fitted alone, up to floating-point noise.

    Args:
        at_once: how many of one shape are fitted together at most; None for what the device is faster with.
        max_bytes: about what those may take of the device's memory; None for what `group_bytes` says.
        report: called every `recipe.report_every` steps with the shard, the step and {"loss": …}; once, as step 1, where the
            head is solved in closed form.
    Raises:
        BadBackbone: the weights cannot be used; nothing is fitted. What goes wrong with one shard lands in `failures`.
    """
    device = torch.device(device)
    bank = BankFit(models={}, failures={}, started_from={})
    tasks = [(labelled, task_for(labelled.ontology)) for labelled in bundle]
    for labelled, task in tasks:
        if isinstance(task, GridTask):
            _solve(bank, labelled, task, recipe, backbone, seed, device, report)
    fits = (_prepared(one, task, recipe, backbone, seed, device) for one, task in tasks if not isinstance(task, GridTask))
    room = group_bytes(device) if max_bytes is None else max_bytes
    for group in groups(fits, at_once=at_once or fits_at_once(device.type), max_bytes=room):
        _descend(bank, group, report)
    return bank


def _solve(
    bank: BankFit,
    labelled: LabelledFrames,
    task: GridTask,
    recipe: Recipe,
    backbone: Backbone,
    seed: int,
    device: torch.device,
    report: Report,
) -> None:
    torch.manual_seed(seed)
    scale, decoding = _learned_first(labelled, task, recipe)
    network, loss = solved_network(
        task,
        labelled.frames,
        labelled.labels,
        labelled.others,
        scale=scale,
        others_scale=scale / labelled.others_scale,
        backbone=backbone,
        device=device,
    )
    if math.isfinite(loss):
        report(labelled.shard_id, 1, {"loss": loss})
        _add(bank, labelled, network, decoding)
    else:
        message = f"{labelled.shard_id}: loss {loss} in closed form, needed a finite number"
        bank.failures[labelled.shard_id] = FitDiverged(message)


def _prepared(
    labelled: LabelledFrames, task: DenseTask, recipe: Recipe, backbone: Backbone, seed: int, device: torch.device
) -> Fit:
    torch.manual_seed(seed)
    scale, decoding = _learned_first(labelled, task, recipe)
    return prepare(labelled, task, scale, decoding, recipe=recipe, backbone=backbone, seed=seed, device=device)


def _descend(bank: BankFit, group: Sequence[Fit], report: Report) -> None:
    diverged = descend(group, report)
    bank.failures.update(diverged)
    for fit in group:
        shard_id = fit.labelled.shard_id
        if shard_id in diverged:
            continue
        _add(bank, fit.labelled, fit.network, fit.decoding)
        if fit.start is not None:
            bank.started_from[shard_id] = fit.start.ref


def _learned_first(labelled: LabelledFrames, task: DenseTask | GridTask, recipe: Recipe) -> tuple[float, dict[str, Any]]:
    """What the labels say before anything is fitted: input pixels per frame pixel, and what decoding may assume."""
    frame = max(labelled.frames, key=lambda frame: frame.width * frame.height)
    scale = input_scale(task.object_sizes(labelled.labels), width=frame.width, height=frame.height, recipe=recipe)
    return scale, task.learned_limits(labelled.labels, labelled.sizes_hw)


def _add(bank: BankFit, labelled: LabelledFrames, network: Network, decoding: Mapping[str, Any]) -> None:
    network.eval().requires_grad_(False)
    bank.models[labelled.shard_id] = MicroModel(
        shard_id=labelled.shard_id, ontology=labelled.ontology, network=network, decoding=decoding
    )
