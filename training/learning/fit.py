"""Fitting: a bundle of labelled shards in, a bank of micro-models out."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from training.errors import FitDiverged, MicroModelError
from training.learning.descend import Report, descend
from training.learning.labelled import LabelledFrames, Start
from training.learning.recipes import Recipe
from training.learning.resolution import input_scale
from training.learning.solve import solved_network
from training.learning.views import Views
from training.models.backbones import Backbone, starting_trunk
from training.models.grid import GridNetwork
from training.models.micro_model import MicroModel
from training.models.network import DenseConfig, DenseNetwork
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
    report: Report = lambda shard_id, step, metrics: None,
) -> BankFit:
    """Fit one micro-model per shard; the same seed gives the same weights on the same machine.

    Args:
        report: called every `recipe.report_every` steps with the shard, the step and {"loss": …}; once, as step 1, where the
            head is solved in closed form.
    Raises:
        BadBackbone: the weights cannot be used; nothing is fitted. What goes wrong with one shard lands in `failures`.
    """
    models: dict[str, MicroModel] = {}
    failures: dict[str, MicroModelError] = {}
    started_from: dict[str, str] = {}
    for labelled in bundle:
        try:
            models[labelled.shard_id], start = _fit_one(labelled, recipe, backbone, seed, torch.device(device), report)
            if start is not None:
                started_from[labelled.shard_id] = start.ref
        except FitDiverged as error:
            failures[labelled.shard_id] = error
    return BankFit(models=models, failures=failures, started_from=started_from)


def _fit_one(
    labelled: LabelledFrames, recipe: Recipe, backbone: Backbone, seed: int, device: torch.device, report: Report
) -> tuple[MicroModel, Start | None]:
    """The micro-model, and what it went on from."""
    torch.manual_seed(seed)
    task = task_for(labelled.ontology)
    frame = max(labelled.frames, key=lambda frame: frame.width * frame.height)
    scale = input_scale(task.object_sizes(labelled.labels), width=frame.width, height=frame.height, recipe=recipe)
    decoding = task.learned_limits(labelled.labels, (frame.height, frame.width))
    start = None
    if isinstance(task, GridTask):
        network: Network = _solved(labelled, task, scale, backbone, device, report)
    else:
        network, start = _descended(labelled, task, scale, decoding, recipe, backbone, seed, device, report)
    network.eval().requires_grad_(False)
    return MicroModel(shard_id=labelled.shard_id, ontology=labelled.ontology, network=network, decoding=decoding), start


def _solved(
    labelled: LabelledFrames, task: GridTask, scale: float, backbone: Backbone, device: torch.device, report: Report
) -> GridNetwork:
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
    if not math.isfinite(loss):
        raise FitDiverged(f"{labelled.shard_id}: loss {loss} in closed form, needed a finite number")
    report(labelled.shard_id, 1, {"loss": loss})
    return network


def _descended(
    labelled: LabelledFrames,
    task: DenseTask,
    scale: float,
    decoding: Mapping[str, Any],
    recipe: Recipe,
    backbone: Backbone,
    seed: int,
    device: torch.device,
    report: Report,
) -> tuple[DenseNetwork, Start | None]:
    config = DenseConfig(
        backbone=backbone.name,
        scale=scale,
        output_stride=task.output_stride,
        neck_channels=recipe.neck_channels,
        branches=task.branches(),
        coordinates=task.coordinates,
    )
    trunk, pretrained = starting_trunk(backbone)
    network = DenseNetwork(trunk, config)
    start = labelled.start if recipe.continued_steps and _same_shape(network, labelled.start) else None
    if start is None:
        task.initialise(network, labelled.labels)
    else:
        network.load_state_dict(dict(start.tensors))
        recipe, pretrained = recipe.going_on(), True
    views = Views(labelled, task, config, decoding, recipe, np.random.default_rng(seed))
    descend(network.to(device), task, views, recipe, pretrained=pretrained, shard_id=labelled.shard_id, report=report)
    return network, start


def _same_shape(network: DenseNetwork, start: Start | None) -> bool:
    shapes = {name: x.shape for name, x in network.state_dict().items()}
    return start is not None and {name: x.shape for name, x in start.tensors.items()} == shapes
