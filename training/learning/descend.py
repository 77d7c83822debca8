"""Gradient descent: which parameters move, how fast, and for how many steps."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import nn

from training.errors import FitDiverged
from training.learning.batches import Batches
from training.learning.norms import batch_norms, hold_norms, settle_norms
from training.learning.recipes import Recipe
from training.learning.views import Views
from training.models.network import DenseNetwork
from training.models.tasks import DenseTask

__all__ = ["Report", "descend"]

Report = Callable[[str, int, Mapping[str, float]], None]
WARM_UP = 0.25  # share of the steps in which the learning rate rises
GRADIENT_NORM = 10.0


def descend(
    network: DenseNetwork, task: DenseTask, views: Views, recipe: Recipe, *, shard_id: str, pretrained: bool, report: Report
) -> None:
    """Fit the network to the views, in place.

    Args:
        pretrained: whether its trunk knows anything yet.
        report: called every `recipe.report_every` steps.
    Raises:
        FitDiverged: the loss is not finite.
    """
    _freeze(network, recipe)
    _set_training(network, views, pretrained, recipe)
    optimiser, schedule = _optimiser(network, recipe, pretrained)
    batches = Batches(network, views.draw, cached_views=recipe.cached_views, batch_size=recipe.batch_size, random=views.random)
    for step in range(1, recipe.steps + 1):
        maps, targets = batches.next()
        loss = task.loss(network.answer(maps), targets).mean()
        if not torch.isfinite(loss):
            raise FitDiverged(f"{shard_id}: loss {loss.item()} at step {step} of {recipe.steps}, needed a finite number")
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(network.parameters(), GRADIENT_NORM)
        optimiser.step()
        schedule.step()
        if step % recipe.report_every == 0:
            report(shard_id, step, {"loss": loss.item()})


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
        settle_norms(network, views.draw()[0].to(network.mean.device))
    if frozen or pretrained:
        hold_norms(network.trunk)


def _optimiser(
    network: DenseNetwork, recipe: Recipe, pretrained: bool
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
    trunk_lr = recipe.peak_lr * (recipe.trunk_lr_ratio if pretrained else 1.0)
    trunk = [parameter for parameter in network.trunk.parameters() if parameter.requires_grad]
    rest = [parameter for name, parameter in network.named_parameters() if not name.startswith("trunk.")]
    groups = [{"params": rest, "lr": recipe.peak_lr}, {"params": trunk, "lr": trunk_lr}]
    optimiser = torch.optim.AdamW(groups, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _one_cycle(step, recipe.steps))
    return optimiser, schedule


def _one_cycle(step: int, steps: int) -> float:
    """Share of the peak learning rate: a straight rise, then half a cosine down (after Smith & Topin, 2017)."""
    rise = max(1, round(WARM_UP * steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))
