"""Trunks in bfloat16: where they are, how near they come, and what stays exact."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from training.data.ontology import Ontology
from training.models.backbones import empty_trunk, num_before_taps
from training.models.micro_model import MicroModel
from training.models.mixed_precision import _QUICK, trunk_dtype
from training.models.network import DenseConfig, DenseNetwork
from training.models.precision import Precision
from training.models.shared_trunk import SharedTrunk

CPU, BFLOAT16 = torch.device("cpu"), torch.bfloat16
ONTOLOGY = Ontology(name="things", task="detection", classes=("thing",))
BACKBONES = ["mobilenet_v2", "resnet18", "shufflenet_v2_x0_5", "mobilenet_v3_small"]


def settled(backbone: str) -> nn.Module:
    """A trunk whose norms have seen pictures."""
    torch.manual_seed(0)
    trunk = empty_trunk(backbone).train()
    with torch.no_grad():
        for _ in range(5):
            trunk(torch.rand(4, 3, 96, 96))
    return trunk.eval().requires_grad_(False)


def apart(found: list[Tensor], wanted: list[Tensor]) -> float:
    return max(float((one - other).norm() / other.norm()) for one, other in zip(found, wanted, strict=True))


@pytest.mark.parametrize(
    ("able", "device", "wanted"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, "cpu", BFLOAT16),
        ({"avx512_bf16": False, "amx_bf16": True}, "cpu", BFLOAT16),
        ({"avx2": True}, "cpu", torch.float32),
        ({"avx512_bf16": True}, "cuda", torch.float32),
    ],
)
def test_by_itself_a_trunk_is_in_bfloat16_where_the_processor_has_instructions_for_it(
    able: dict[str, bool], device: str, wanted: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able, raising=False)
    assert trunk_dtype(Precision.auto, torch.device(device)) == wanted
    assert trunk_dtype(Precision.float32, torch.device(device)) == torch.float32
    assert trunk_dtype(Precision.bfloat16, torch.device(device)) == BFLOAT16


def test_a_torch_that_does_not_say_what_the_processor_can_do_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert trunk_dtype(Precision.auto, CPU) == torch.float32


@pytest.mark.parametrize(
    ("backbone", "own_norms"),
    [*((backbone, own) for backbone in BACKBONES for own in (False, True)), ("alexnet", False)],  # begins with its first tap
)
@torch.inference_mode()
def test_its_maps_are_near_those_of_float32_and_in_float32(backbone: str, own_norms: bool) -> None:
    tensors, x_N3HW = settled(backbone).state_dict(), torch.rand(3, 3, 64, 96)
    how: dict[str, Any] = {"own_norms": own_norms, "device": CPU}
    exact, low = SharedTrunk(backbone, tensors, **how), SharedTrunk(backbone, tensors, **how, dtype=BFLOAT16)
    norms = low.norms({}, None) if own_norms else None
    found, wanted = low.maps(x_N3HW, norms, None), exact.maps(x_N3HW, norms, None)
    assert {one.dtype for one in found} == {torch.float32}
    assert 0 < apart(found, wanted) < 0.1
    assert low.num_bytes < 0.6 * exact.num_bytes
    alone = [torch.cat(maps) for maps in zip(*(low.maps(x_N3HW[n : n + 1], norms, None) for n in range(3)), strict=True)]
    assert apart(alone, found) < 0.01, "a picture's maps do not depend on what else is in its batch"
    stride = low.strides[1]
    (one,) = low.maps(x_N3HW, low.norms({}, stride) if own_norms else None, stride)
    torch.testing.assert_close(one, found[1])


@pytest.mark.parametrize("backbone", BACKBONES)
@torch.inference_mode()
def test_a_restored_network_has_its_first_stages_and_its_head_in_float32(backbone: str) -> None:
    config = DenseConfig(backbone=backbone, scale=1.0, output_stride=8, neck_channels=8, branches={"heat": 1, "box": 4})
    fitted = MicroModel(shard_id="a", ontology=ONTOLOGY, network=DenseNetwork(settled(backbone), config).eval(), decoding={})  # type: ignore[arg-type]

    def restored(precision: Precision) -> MicroModel:
        return MicroModel.restore("a", 1, fitted.to_json(), fitted.tensors(), precision=precision)

    exact, low = restored(Precision.float32), restored(Precision.bfloat16)
    kinds = {name: tensor.dtype for name, tensor in (*low.network.named_parameters(), *low.network.named_buffers())}
    first = [f"trunk.stages.{index}." for index in range(num_before_taps(backbone))]
    assert {kind for name, kind in kinds.items() if name.startswith(tuple(first))} <= {torch.float32}
    assert {kind for name, kind in kinds.items() if not name.startswith("trunk.")} == {torch.float32}
    assert {kind for name, kind in kinds.items() if name.startswith("trunk.") and not name.startswith(tuple(first))} == {BFLOAT16}
    assert low.num_bytes < 0.7 * exact.num_bytes
    x_N3HW = torch.rand(2, 3, 64, 96)
    found, wanted = low.network(x_N3HW), exact.network(x_N3HW)
    assert {one.dtype for one in found.values()} == {torch.float32}
    assert apart(list(found.values()), list(wanted.values())) < 0.1


@pytest.mark.parametrize("activation", [nn.ReLU, nn.ReLU6])
def test_a_relu_of_bfloat16_says_what_torch_says_of_every_number(activation: type[nn.Module]) -> None:
    every = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(BFLOAT16)
    numbers = every[~every.isnan()]
    quick = _QUICK[activation]()
    assert torch.equal(quick(numbers.clone()), activation()(numbers))
