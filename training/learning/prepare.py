"""From labelled frames to a fit that can take its first step."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from training.learning.drawing import Drawing
from training.learning.labelled import LabelledFrames, Start
from training.learning.norms import batch_norms, hold_norms, settle_norms
from training.learning.recipes import Recipe
from training.learning.views import Views
from training.models.backbones import Backbone, starting_trunk
from training.models.network import DenseConfig, DenseNetwork
from training.models.tasks import DenseTask

__all__ = ["Fit", "prepare"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """One fit before its first step.

    network: on its device, in training mode, only what the recipe names requires gradients.
    recipe: its `steps` are those of this fit.
    pretrained: whether the trunk knows anything yet.
    start: what it goes on from.
    """

    labelled: LabelledFrames
    task: DenseTask
    network: DenseNetwork
    views: Views
    decoding: Mapping[str, Any]
    recipe: Recipe
    pretrained: bool
    start: Start | None

    @property
    def shape(self) -> str:
        """The same text for fits whose tensors have the same shapes at every step, and that take the same steps."""
        config = {**self.network.config.to_json(), "scale": None}
        return json.dumps([self.task.ontology.task, config, self.views.crop, self.recipe.identity(), self.pretrained])


def prepare(
    labelled: LabelledFrames,
    task: DenseTask,
    scale: float,
    decoding: Mapping[str, Any],
    *,
    recipe: Recipe,
    backbone: Backbone,
    seed: int,
    device: torch.device,
) -> Fit:
    """The network at its start, and the views it will learn from; torch's own random numbers must have been seeded.

    Args:
        scale: input pixels per frame pixel.
        decoding: of the task's `learned_limits`.
    """
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
    views = Views(labelled, task, config, decoding, recipe, np.random.default_rng(seed), device)
    _freeze(network.to(device), recipe)
    _set_training(network, views, pretrained, recipe)
    return Fit(
        labelled=labelled,
        task=task,
        network=network,
        views=views,
        decoding=decoding,
        recipe=recipe,
        pretrained=pretrained,
        start=start,
    )


def _same_shape(network: DenseNetwork, start: Start | None) -> bool:
    shapes = {name: x.shape for name, x in network.state_dict().items()}
    return start is not None and {name: x.shape for name, x in start.tensors.items()} == shapes


def _freeze(network: DenseNetwork, recipe: Recipe) -> None:
    if recipe.parameters == "full":
        return
    network.trunk.requires_grad_(False)
    if recipe.parameters == "film":
        for norm in batch_norms(network.trunk):
            norm.requires_grad_(True)


def _set_training(network: DenseNetwork, views: Views, pretrained: bool, recipe: Recipe) -> None:
    """Norms learn their statistics only where the trunk starts from nothing and learns."""
    network.train()
    frozen = recipe.parameters == "head"
    if frozen and not pretrained:
        settle_norms(network, Drawing([views]).next()[0][0])
    if frozen or pretrained:
        hold_norms(network.trunk)
