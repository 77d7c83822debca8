"""One trunk that pictures of many micro-models go through, against each one's own."""

import pytest
import torch
from torch import nn

from training.errors import CorruptModel
from training.models.backbones import empty_trunk, trunk_skeleton
from training.models.shared_trunk import SeenThrough, SharedTrunk
from training.models.skeletons import trunk_norms

CPU = torch.device("cpu")
WITH_NORMS = [
    "mobilenet_v3_small",  # squeezes, and norms after convolutions in sequences
    "resnet18",  # norms after convolutions that are called one by one
    "shufflenet_v2_x0_5",  # channels taken apart and shuffled
    *(
        pytest.param(name, marks=pytest.mark.slow)
        for name in ("densenet121", "efficientnet_b0", "mobilenet_v2", "regnet_y_400mf", "vgg11_bn")
    ),
]
WITHOUT_NORMS = ["squeezenet1_1", pytest.param("convnext_tiny", marks=pytest.mark.slow)]


def settled(backbone: str, seed: int = 0) -> nn.Module:
    """A trunk whose norms are worth folding."""
    torch.manual_seed(seed)
    trunk = empty_trunk(backbone).eval().requires_grad_(False)
    for norm in (module for module in trunk.modules() if isinstance(module, nn.BatchNorm2d)):
        for tensor in (norm.weight, norm.running_var):
            nn.init.uniform_(tensor, 0.5, 1.5)
        for tensor in (norm.bias, norm.running_mean):
            nn.init.uniform_(tensor, -0.3, 0.3)
    return trunk


def near(found: list[torch.Tensor], wanted: list[torch.Tensor]) -> None:
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4 * float(other.abs().max()), rtol=1e-4)


@pytest.mark.parametrize("backbone", WITH_NORMS + WITHOUT_NORMS)
@torch.inference_mode()
def test_a_trunk_with_its_norms_folded_in_gives_the_same_maps(backbone: str) -> None:
    start, x_N3HW = settled(backbone), torch.rand(3, 3, 64, 96)
    near(SharedTrunk(backbone, start.state_dict(), own_norms=False, device=CPU).maps(x_N3HW, None, None), start(x_N3HW))


@pytest.mark.parametrize("backbone", WITH_NORMS)
@torch.inference_mode()
def test_pictures_of_many_models_in_one_batch_give_the_maps_of_each_ones_own_trunk(backbone: str) -> None:
    start, x_N3HW = settled(backbone), torch.rand(3, 3, 64, 96)
    owners = [settled(backbone, seed) for seed in (1, 2)]
    for owner in owners:  # the convolutions of the start, norms of their own
        norms = {name for norm in trunk_norms(backbone) for name in owner.state_dict() if name.startswith(f"{norm.name}.")}
        owner.load_state_dict({name: x for name, x in start.state_dict().items() if name not in norms}, strict=False)
    shared = SharedTrunk(backbone, start.state_dict(), own_norms=True, device=CPU)
    seen = [SeenThrough(shared, shared.norms(owner.state_dict(), None), None) for owner in owners]
    wanted = [torch.cat(maps) for maps in zip(owners[0](x_N3HW[:1]), owners[1](x_N3HW[1:]), strict=True)]
    near(SeenThrough.joined(seen, [1, 2])(x_N3HW), wanted)
    near(seen[0](x_N3HW), owners[0](x_N3HW))


@torch.inference_mode()
def test_one_map_alone_is_computed_no_deeper() -> None:
    start = settled("resnet18")
    shared = SharedTrunk("resnet18", start.state_dict(), own_norms=True, device=CPU)
    norms = shared.norms({}, 8)
    assert norms.shape[2] < shared.norms({}, None).shape[2]
    x_N3HW = torch.rand(2, 3, 64, 64)
    near([SeenThrough(shared, norms, 8)(x_N3HW)], [start(x_N3HW)[1]])


def test_tensors_of_another_shape_are_named() -> None:
    tensors = dict(settled("resnet18").state_dict())
    shared = SharedTrunk("resnet18", tensors, own_norms=True, device=CPU)
    with pytest.raises(CorruptModel, match=r"tensor stages\.0\.1\.bias: found \(3,\), needed \(64,\)"):
        shared.norms({"stages.0.1.bias": torch.zeros(3)}, None)
    surplus = {**tensors, "stages.9.weight": torch.zeros(1)}
    for wrong, message in (
        ({name: x for name, x in tensors.items() if name != "stages.0.0.weight"}, r"0\.0\.weight: found nothing"),
        (surplus, "none of that name"),
    ):
        for own_norms in (False, True):
            with pytest.raises(CorruptModel, match=message):
                SharedTrunk("resnet18", wrong, own_norms=own_norms, device=CPU)


def test_a_skeleton_is_made_once_draws_no_random_numbers_that_others_see_and_stays_empty() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    trunk_skeleton.cache_clear()
    skeleton = trunk_skeleton("resnet18")
    assert torch.equal(torch.rand(1), expected)
    SharedTrunk("resnet18", settled("resnet18").state_dict(), own_norms=True, device=CPU)
    assert trunk_skeleton("resnet18") is skeleton
    assert {tensor.device.type for tensor in skeleton.state_dict().values()} == {"meta"}
    assert [norm.name for norm in trunk_norms("resnet18")] == [
        name for name, module in skeleton.named_modules() if isinstance(module, nn.BatchNorm2d)
    ]


def test_every_norm_that_takes_a_convolutions_output_is_found_and_no_other() -> None:
    norms = {name: [norm.convolution is not None for norm in trunk_norms(name)] for name in ("resnet18", "densenet121")}
    assert all(norms["resnet18"])
    assert norms["densenet121"].count(True) == 1 + 58, "the stem's and every layer's second: its first takes what was joined"
