"""Networks computed together, layer by layer."""

import pytest
import torch
from torch import nn

from training.learning.stack import Stack
from training.learning.stacked_layers import for_stacking
from training.models.backbones import empty_trunk
from training.models.network import DenseConfig, DenseNetwork


def network(name: str, seed: int) -> DenseNetwork:
    """Held norms with statistics of their own."""
    torch.manual_seed(seed)
    config = DenseConfig(backbone=name, scale=1.0, output_stride=8, neck_channels=8, branches={"heat": 2}, coordinates=True)
    made = DenseNetwork(empty_trunk(name), config)
    made(torch.rand(4, 3, 64, 64))
    return made.eval()


def layers(module: nn.Module, kind: type[nn.Module]) -> int:
    return sum(isinstance(one, kind) for one in module.modules())


@pytest.mark.parametrize("name", ["resnet18", "shufflenet_v2_x0_5"])
def test_layers_for_stacking_say_what_the_layers_said(name: str) -> None:
    plain, x_NCHW = network(name, 0), torch.rand(2, 3, 64, 96)
    copied = for_stacking(plain, set(plain.state_dict()))
    assert layers(copied, nn.BatchNorm2d) == 0
    assert layers(copied, nn.Conv2d) < layers(plain, nn.Conv2d)
    assert list(copied.state_dict()) == list(plain.state_dict())
    torch.testing.assert_close(copied(x_NCHW)["heat"], plain(x_NCHW)["heat"], atol=1e-5, rtol=1e-4)


def test_layers_whose_tensors_are_shared_and_norms_that_learn_statistics_stay() -> None:
    plain = network("resnet18", 0)
    norms = layers(plain, nn.BatchNorm2d)
    assert layers(for_stacking(plain, {"lateral.0.weight"}), nn.BatchNorm2d) == norms
    assert layers(for_stacking(plain.train(), set(plain.state_dict())), nn.BatchNorm2d) == norms


def test_networks_that_share_all_but_one_tensor_answer_each_for_itself() -> None:
    one, other = network("resnet18", 0), network("resnet18", 0)
    one.requires_grad_(False)
    other.requires_grad_(False)
    other.lateral[0].weight.data += 1.0  # type: ignore[operator]
    x_MN3HW = torch.rand(2, 1, 3, 64, 64)
    stack = Stack([one, other])
    for said, alone, x_N3HW in zip(stack.answer(stack.features(x_MN3HW))["heat"], (one, other), x_MN3HW, strict=True):
        torch.testing.assert_close(said, alone(x_N3HW)["heat"], atol=1e-4, rtol=1e-4)
