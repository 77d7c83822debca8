"""Fitting: a bundle of labelled shards in, a bank of micro-models out."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.data.annotations import FrameLabels
from training.data.frames import Frame
from training.data.ontology import Ontology
from training.errors import FitDiverged, MicroModelError, NothingToLearn, WrongShape
from training.learning.augment import crop_size, random_placement, relight
from training.learning.batches import Batches
from training.learning.norms import batch_norms, hold_norms, settle_norms
from training.learning.recipes import Recipe
from training.learning.resolution import input_scale
from training.learning.solve import solved_network
from training.models.backbones import Backbone, starting_trunk
from training.models.grid import GridNetwork
from training.models.inputs import resized, view
from training.models.micro_model import MicroModel
from training.models.network import DenseConfig, DenseNetwork
from training.models.networks import Network
from training.models.tasks import DenseTask, GridTask, task_for

__all__ = ["BankFit", "LabelledFrames", "fit_bank"]

Report = Callable[[str, int, Mapping[str, float]], None]
WARM_UP = 0.25  # share of the steps in which the learning rate rises
GRADIENT_NORM = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledFrames:
    """Frames of one shard that a person labelled completely, and what that person said.

    others: unlabelled frames of the shard, for tasks that learn from them what is usual; they may be smaller.
    others_scale: pixels of `others` per pixel of `frames`.
    Raises:
        WrongShape: not one FrameLabels per frame, in the same order.
        NothingToLearn: no frame, or no annotation on any of them.
    """

    shard_id: str
    ontology: Ontology
    frames: tuple[Frame, ...]
    labels: tuple[FrameLabels, ...]
    others: tuple[Frame, ...] = ()
    others_scale: float = 1.0

    def __post_init__(self) -> None:
        if [frame.frame_index for frame in self.frames] != [label.frame_index for label in self.labels]:
            raise WrongShape(f"{self.shard_id}: {len(self.frames)} frames and {len(self.labels)} labels do not pair up")
        if not any(label.annotations for label in self.labels):
            raise NothingToLearn(f"{self.shard_id}: {len(self.frames)} labelled frames without any annotation, needed one")


@dataclass(frozen=True, slots=True, kw_only=True)
class BankFit:
    """What came of a bundle: a micro-model or an error for every shard."""

    models: dict[str, MicroModel]
    failures: dict[str, MicroModelError]


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
    for labelled in bundle:
        try:
            models[labelled.shard_id] = _fit_one(labelled, recipe, backbone, seed, torch.device(device), report)
        except FitDiverged as error:
            failures[labelled.shard_id] = error
    return BankFit(models=models, failures=failures)


def _fit_one(
    labelled: LabelledFrames, recipe: Recipe, backbone: Backbone, seed: int, device: torch.device, report: Report
) -> MicroModel:
    torch.manual_seed(seed)
    task = task_for(labelled.ontology)
    frame = max(labelled.frames, key=lambda frame: frame.width * frame.height)
    scale = input_scale(task.object_sizes(labelled.labels), width=frame.width, height=frame.height, recipe=recipe)
    decoding = task.learned_limits(labelled.labels, (frame.height, frame.width))
    if isinstance(task, GridTask):
        network: Network = _solved(labelled, task, scale, backbone, device, report)
    else:
        config = DenseConfig(
            backbone=backbone.name,
            scale=scale,
            output_stride=task.output_stride,
            neck_channels=recipe.neck_channels,
            branches=task.branches(),
            coordinates=task.coordinates,
        )
        random = np.random.default_rng(seed)
        network = _descended(labelled, task, config, decoding, recipe, backbone, random, device, report)
    network.eval().requires_grad_(False)
    return MicroModel(shard_id=labelled.shard_id, ontology=labelled.ontology, network=network, decoding=decoding)


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
    config: DenseConfig,
    decoding: Mapping[str, Any],
    recipe: Recipe,
    backbone: Backbone,
    random: np.random.Generator,
    device: torch.device,
    report: Report,
) -> DenseNetwork:
    trunk, pretrained = starting_trunk(backbone)
    network = DenseNetwork(trunk, config)
    task.initialise(network, labelled.labels)
    network.to(device)
    _freeze(network, recipe)
    views = _Views(labelled, task, config, decoding, recipe, random)
    _set_training(network, views, pretrained, recipe)
    optimiser, schedule = _optimiser(network, recipe, pretrained)
    batches = Batches(network, views.draw, cached_views=recipe.cached_views, batch_size=recipe.batch_size, random=random)
    for step in range(1, recipe.steps + 1):
        maps, targets = batches.next()
        loss = task.loss(network.answer(maps), targets).mean()
        if not torch.isfinite(loss):
            raise FitDiverged(f"{labelled.shard_id}: loss {loss.item()} at step {step} of {recipe.steps}, needed a finite number")
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(network.parameters(), GRADIENT_NORM)
        optimiser.step()
        schedule.step()
        if step % recipe.report_every == 0:
            report(labelled.shard_id, step, {"loss": loss.item()})
    return network


def _freeze(network: DenseNetwork, recipe: Recipe) -> None:
    if recipe.parameters == "full":
        return
    network.trunk.requires_grad_(False)
    if recipe.parameters == "film":
        for norm in batch_norms(network.trunk):
            norm.requires_grad_(True)


def _set_training(network: DenseNetwork, views: "_Views", pretrained: bool, recipe: Recipe) -> None:
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


class _Views:
    """Augmented pictures of the labelled frames with their targets."""

    def __init__(
        self,
        labelled: LabelledFrames,
        task: DenseTask,
        config: DenseConfig,
        decoding: Mapping[str, Any],
        recipe: Recipe,
        random: np.random.Generator,
    ) -> None:
        self._labelled, self._task, self._config, self._decoding = labelled, task, config, decoding
        self._recipe, self._random = recipe, random
        self._images: list[Tensor] = [resized(frame, config.scale) for frame in labelled.frames]
        self._focus = [_centres(label) for label in labelled.labels]
        self._turn = task.free_turn(labelled.labels)
        height, width = self._images[0].shape[1:]
        self._crop = crop_size(width, height, recipe.crop_pixels)
        self._queue: list[int] = []

    def draw(self) -> tuple[Tensor, dict[str, Tensor]]:
        chosen = [self._next() for _ in range(self._recipe.batch_size)]
        placements = [
            random_placement(
                frame_size=(self._labelled.frames[i].width, self._labelled.frames[i].height),
                scale=self._config.scale,
                crop=self._crop,
                focus_N2=self._focus[i],
                recipe=self._recipe,
                turn=self._turn,
                bounded=self._labelled.frames[i].window is None,
                random=self._random,
            )
            for i in chosen
        ]
        extents = [self._labelled.frames[i].seen_xyxy for i in chosen]
        x_NCHW = relight(view([self._images[i] for i in chosen], extents, placements), self._recipe, self._random)
        return x_NCHW, self._task.targets([self._labelled.labels[i] for i in chosen], placements, self._config, self._decoding)

    def _next(self) -> int:
        """Every labelled frame equally often, in random order."""
        if not self._queue:
            self._queue = self._random.permutation(len(self._images)).tolist()
        return self._queue.pop()


def _centres(labels: FrameLabels) -> NDArray[np.float32]:
    boxes = [annotation.bbox_xyxy for annotation in labels.annotations if annotation.bbox_xyxy is not None]
    return np.array([((x1 + x2) / 2, (y1 + y2) / 2) for x1, y1, x2, y2 in boxes], np.float32).reshape(-1, 2)
