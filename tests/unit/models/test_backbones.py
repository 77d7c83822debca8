from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from training.errors import BadBackbone
from training.models import pretrained
from training.models.backbones import Backbone, empty_trunk, resolve_weights, starting_trunk, weights_hash
from training.models.network import DenseConfig, DenseNetwork


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "resnet18", "regnet_y_400mf", "shufflenet_v2_x0_5", "efficientnet_b0"])
def test_a_trunk_is_tapped_at_every_stride_from_four_on(name: str) -> None:
    trunk = empty_trunk(name).eval()
    maps = trunk(torch.zeros(1, 3, 64, 96))
    assert trunk.strides == (4, 8, 16, 32)
    assert [tuple(x.shape[1:]) for x in maps] == [(c, 64 // s, 96 // s) for c, s in zip(trunk.channels, trunk.strides)]


@pytest.mark.parametrize("name", ["no_such_network", "vit_b_16", "swin_t"])
def test_a_network_without_convolutional_stages_is_refused_by_name(name: str) -> None:
    with pytest.raises(BadBackbone, match=name):
        empty_trunk(name)


@pytest.mark.parametrize("name", ["alexnet", "squeezenet1_1"])
def test_a_network_without_padding_is_refused_where_things_are_to_be_found_in_the_picture(name: str) -> None:
    config = DenseConfig(backbone=name, scale=1.0, output_stride=8, neck_channels=8, branches={"heat": 1})
    with pytest.raises(BadBackbone, match=rf"'{name}': maps at strides \(4, 8, 18.*needed divisors of 32"):
        DenseNetwork(empty_trunk(name), config)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_from_a_file_are_the_ones_the_trunk_starts_with(tmp_path: Path, suffix: str) -> None:
    state = torchvision.models.mobilenet_v3_small(weights=None).state_dict()
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    trunk, pretrained = starting_trunk(Backbone(name="mobilenet_v3_small", weights=str(path)))
    assert pretrained
    assert torch.equal(trunk.state_dict()["stages.0.0.weight"], state["features.0.0.weight"])


def test_a_trunk_that_was_changed_is_not_what_the_next_fit_starts_from(tmp_path: Path) -> None:
    torch.save(torchvision.models.mobilenet_v3_small(weights=None).state_dict(), tmp_path / "start.pth")
    backbone = Backbone(name="mobilenet_v3_small", weights=str(tmp_path / "start.pth"))
    first, _ = starting_trunk(backbone)
    began = first.state_dict()["stages.0.0.weight"].clone()
    first.state_dict()["stages.0.0.weight"].zero_()
    assert torch.equal(starting_trunk(backbone)[0].state_dict()["stages.0.0.weight"], began)


def test_weights_of_another_network_are_refused_with_the_key_that_disagrees(tmp_path: Path) -> None:
    path = tmp_path / "resnet.pth"
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), path)
    with pytest.raises(BadBackbone, match=r"resnet\.pth.* do not fit mobilenet_v3_small: Missing key"):
        starting_trunk(Backbone(name="mobilenet_v3_small", weights=str(path)))


def test_a_file_that_is_no_state_dict_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"not weights")
    with pytest.raises(BadBackbone, match=r"weights\.pth"):
        resolve_weights(Backbone(weights=str(path)))


def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return Path.touch, (marker,)

    path = tmp_path / "evil.pth"
    torch.save({"weight": Evil()}, path)
    with pytest.raises(BadBackbone, match=r"evil\.pth"):
        resolve_weights(Backbone(weights=str(path)))
    assert not marker.exists()


def test_a_missing_file_is_named() -> None:
    with pytest.raises(BadBackbone, match=r"/nowhere/weights\.pth"):
        resolve_weights(Backbone(weights="/nowhere/weights.pth"))


def test_auto_falls_back_to_scratch_with_one_warning_when_nothing_can_be_downloaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(pretrained, "DOWNLOAD_PATIENCE_S", 0.1)  # ended before it could connect
    assert resolve_weights(Backbone(name="shufflenet_v2_x0_5", weights="auto")) is None
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "fitting from scratch" in caplog.text


def test_auto_takes_what_torch_has_cached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    weights = torchvision.models.get_model_weights("squeezenet1_0").DEFAULT
    cached = tmp_path / "checkpoints" / Path(weights.url).name
    cached.parent.mkdir()
    torch.save({"weight": torch.ones(1)}, cached)
    assert resolve_weights(Backbone(name="squeezenet1_0", weights="auto")) == {"weight": torch.ones(1)}


def test_the_weights_hash_tells_networks_apart(tmp_path: Path) -> None:
    for seed in (0, 1):
        torch.save({"weight": torch.full((2,), float(seed))}, tmp_path / f"{seed}.pth")
    hashes = {weights_hash(Backbone(weights=str(tmp_path / f"{seed}.pth"))) for seed in (0, 1)}
    assert len(hashes) == 2
    assert weights_hash(Backbone(weights="none")) == "none"
