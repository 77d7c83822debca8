"""Fitting in closed form: what a frozen trunk sees in the frames of a shard, and the linear layer that explains the labels."""

from collections.abc import Sequence

import torch
from torch import Tensor

from training.data.annotations import FrameLabels
from training.data.frames import Frame
from training.learning.norms import settle_norms
from training.models.backbones import Backbone, starting_trunk
from training.models.grid import GridConfig, GridNetwork
from training.models.inputs import place_frame, stack_inputs
from training.models.tasks import GridTask

__all__ = ["solved_network"]


@torch.no_grad()
def solved_network(
    task: GridTask,
    frames: Sequence[Frame],
    labels: Sequence[FrameLabels],
    others: Sequence[Frame],
    *,
    scale: float,
    others_scale: float,
    backbone: Backbone,
    device: torch.device,
) -> tuple[GridNetwork, float]:
    """The network of these labels, and its mean squared error on each labelled frame fitted without it.

    One map of each picture is kept meanwhile: 0.1 MB for 60,000 input pixels of a MobileNetV2.

    Args:
        others: unlabelled frames; with the labelled ones they show what is usual.
        scale, others_scale: input pixels per pixel of `frames` and of `others`.
    """
    inputs = [place_frame(frame.alone(), scale)[0] for frame in frames]
    inputs += [place_frame(frame.alone(), others_scale)[0] for frame in others]
    network = _starting_network(task, inputs, scale, backbone, device)
    maps = [network.features(stack_inputs([image], device)) for image in inputs]
    network.take_as_typical(maps)
    features_ND = torch.cat([network.pooled(one) for one in maps])
    return network, task.solve(network, features_ND[: len(frames)], labels, features_ND[len(frames) :])


def _starting_network(
    task: GridTask, inputs: Sequence[Tensor], scale: float, backbone: Backbone, device: torch.device
) -> GridNetwork:
    trunk, pretrained = starting_trunk(backbone)
    stride = max(stride for stride in trunk.strides if stride <= task.output_stride)
    largest = max(inputs, key=torch.Tensor.numel)
    config = GridConfig(
        backbone=backbone.name,
        scale=scale,
        output_stride=stride,
        branches=task.branches(),
        cells=task.cells,
        typical_hw=(largest.shape[1] // stride, largest.shape[2] // stride),
    )
    network = GridNetwork(trunk, config).to(device).eval()
    if not pretrained:
        settle_norms(network, stack_inputs([image for image in inputs if image.shape == largest.shape], device))
    return network.eval()
