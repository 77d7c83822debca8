import copy

import pytest
import torch

from training.models import packed, shared_trunk
from training.models.backbones import empty_trunk
from training.models.packed import PackedConv2d, can_pack, pack, stays_in_order
from training.models.skeletons import folded_trunk

FLOAT32, BFLOAT16 = torch.float32, torch.bfloat16
ABLE = [kind for kind in (FLOAT32, BFLOAT16) if can_pack("cpu", kind)]
needs_onednn = pytest.mark.skipif(FLOAT32 not in ABLE, reason="this torch has no packed convolutions on the CPU")


@needs_onednn
@pytest.mark.parametrize("dtype", ABLE)
@pytest.mark.parametrize("backbone", ["mobilenet_v2", "resnet18", "shufflenet_v2_x0_5", "efficientnet_b0", "regnet_y_400mf"])
@pytest.mark.parametrize("num_pictures", [1, 3])
def test_a_packed_trunk_says_what_the_trunk_says(backbone: str, num_pictures: int, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    trunk = empty_trunk(backbone).train()
    with torch.no_grad():
        trunk(torch.rand(4, 3, 64, 64))
    trunk = folded_trunk(backbone, trunk.eval().state_dict(), len(trunk.stages), torch.device("cpu")).to(dtype)
    quick = copy.deepcopy(trunk)
    pack(quick, dtype)
    assert not any(type(module) is torch.nn.Conv2d for module in quick.modules())
    x_NCHW = torch.rand(num_pictures, 3, 64, 96, dtype=dtype).contiguous(memory_format=torch.channels_last)
    rtol, atol = (1e-4, 1e-5) if dtype == FLOAT32 else (0.0, 0.05)
    with torch.inference_mode():
        for got, wanted in zip(quick(x_NCHW), trunk(x_NCHW), strict=True):
            torch.testing.assert_close(got, wanted, rtol=rtol, atol=atol * float(wanted.abs().max()))


@needs_onednn
def test_the_relu_of_a_sequence_is_applied_by_the_convolution_and_one_that_others_share_is_not() -> None:
    sequence = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Identity(), torch.nn.ReLU6())
    pack(sequence, FLOAT32)
    assert [type(child) for child in sequence] == [PackedConv2d, torch.nn.Identity, torch.nn.Identity]
    block = empty_trunk("resnet18").eval().requires_grad_(False).stages[1][0]
    pack(block, FLOAT32)
    assert isinstance(block.relu, torch.nn.ReLU)


def test_nothing_is_packed_for_a_gpu() -> None:
    assert not can_pack("cuda", FLOAT32)


@needs_onednn
@pytest.mark.parametrize(("packed_s", "stays"), [(4e-4, True), (6e-4, False)])
def test_weights_stay_in_order_where_that_takes_no_time(packed_s: float, stays: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "_fastest", lambda module, x_NChw: packed_s if isinstance(module, PackedConv2d) else 1e-4)
    state = torch.random.get_rng_state()
    assert stays_in_order.__wrapped__() is stays
    assert torch.equal(torch.random.get_rng_state(), state)


@needs_onednn
@pytest.mark.parametrize("stays", [True, False])
def test_a_shared_trunk_is_packed_only_where_its_weights_stay_in_order(stays: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_trunk, "stays_in_order", lambda: stays)
    monkeypatch.setattr(shared_trunk, "pack", lambda trunk, dtype: packings.append(dtype))
    packings: list[torch.dtype] = []
    tensors = empty_trunk("mobilenet_v3_small").state_dict()
    shared_trunk.SharedTrunk("mobilenet_v3_small", tensors, own_norms=False, device=torch.device("cpu"))
    assert packings == [FLOAT32] * stays
