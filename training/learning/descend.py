"""Gradient descent of fits side by side: how fast their parameters move, and for how many steps.

M fits, N pictures of each in a batch.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from training.errors import FitDiverged
from training.learning.batches import Batches
from training.learning.drawing import Drawing
from training.learning.prepare import Fit
from training.learning.recipes import Recipe
from training.learning.stack import Stack

__all__ = ["Report", "descend"]

Report = Callable[[str, int, Mapping[str, float]], None]
WARM_UP = 0.25  # share of the steps in which the learning rate rises
GRADIENT_NORM = 10.0


def descend(fits: Sequence[Fit], report: Report) -> dict[str, FitDiverged]:
    """Fit the networks to their views, in place; each as it would be alone.

    Args:
        fits: of equal shape.
        report: called every `recipe.report_every` steps, for each fit.
    Returns:
        Shard -> what went wrong: its loss was not finite. The other fits do not notice.
    """
    recipe, task = fits[0].recipe, fits[0].task
    stack = Stack([fit.network for fit in fits])
    optimiser, schedule = _optimiser(stack.learned(), recipe, fits[0].pretrained)
    drawing = Drawing([fit.views for fit in fits], stack.dtype)
    randoms = [fit.views.random for fit in fits]
    batches = Batches(stack, drawing.next, randoms, cached_views=recipe.cached_views, batch_size=recipe.batch_size)
    progress = _Progress([fit.labelled.shard_id for fit in fits], recipe, report)
    for step in range(1, recipe.steps + 1):
        maps, targets = batches.next()
        answers = stack.answer(maps)
        loss_M = task.loss(_as_one_batch(answers), _as_one_batch(targets)).view(len(fits), -1).mean(1)
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss_M.sum())
        _clip([parameter.grad for parameter in stack.learned().values() if parameter.grad is not None])
        optimiser.step()
        schedule.step()
        if not progress.goes_on(step, loss_M.detach()):
            break
    stack.unstack()
    return progress.diverged


class _Progress:
    """Losses on their way to whoever listens; looked at every `report_every` steps only, so that a device need not wait."""

    def __init__(self, shard_ids: Sequence[str], recipe: Recipe, report: Report) -> None:
        self._shard_ids, self._recipe, self._report = shard_ids, recipe, report
        self._unseen: list[Tensor] = []
        self.diverged: dict[str, FitDiverged] = {}

    def goes_on(self, step: int, loss_M: Tensor) -> bool:
        """Note the loss of each fit; false once none is left that has not diverged."""
        self._unseen.append(loss_M)
        due = step % self._recipe.report_every == 0
        if due or step == self._recipe.steps:
            first = step - len(self._unseen) + 1
            for shard_id, losses in zip(self._shard_ids, torch.stack(self._unseen, dim=1).tolist(), strict=True):
                self._look(shard_id, first, losses)
                if due and shard_id not in self.diverged:
                    self._report(shard_id, step, {"loss": losses[-1]})
            self._unseen.clear()
        return len(self.diverged) < len(self._shard_ids)

    def _look(self, shard_id: str, first: int, losses: Sequence[float]) -> None:
        if shard_id in self.diverged:
            return
        for step, loss in enumerate(losses, first):
            if not math.isfinite(loss):
                where = f"loss {loss} at step {step} of {self._recipe.steps}"
                self.diverged[shard_id] = FitDiverged(f"{shard_id}: {where}, needed a finite number")
                return


def _as_one_batch(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """(M, N, …) -> (M * N, …): a loss looks at each picture alone."""
    return {name: tensor.flatten(0, 1) for name, tensor in tensors.items()}


@torch.no_grad()
def _clip(gradients: Sequence[Tensor]) -> None:
    """Scale the gradients of each fit, (M, …), to a norm of at most GRADIENT_NORM (Pascanu et al., 2013)."""
    norm_M = torch.stack([gradient.flatten(1).norm(dim=1) for gradient in gradients]).norm(dim=0)
    share_M = (GRADIENT_NORM / (norm_M + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(share_M.view(-1, *[1] * (gradient.ndim - 1)))


def _optimiser(
    learned: Mapping[str, Tensor], recipe: Recipe, pretrained: bool
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
    trunk_lr = recipe.peak_lr * (recipe.trunk_lr_ratio if pretrained else 1.0)
    trunk = [parameter for name, parameter in learned.items() if name.startswith("trunk.")]
    rest = [parameter for name, parameter in learned.items() if not name.startswith("trunk.")]
    groups = [{"params": rest, "lr": recipe.peak_lr}, {"params": trunk, "lr": trunk_lr}]
    optimiser = torch.optim.AdamW(groups, weight_decay=recipe.weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _one_cycle(step, recipe.steps))
    return optimiser, schedule


def _one_cycle(step: int, steps: int) -> float:
    """Share of the peak learning rate: a straight rise, then half a cosine down (after Smith & Topin, 2017)."""
    rise = max(1, round(WARM_UP * steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))
