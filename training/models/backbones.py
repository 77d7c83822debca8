"""The network a micro-model starts from: a torchvision classification trunk, tapped at several strides."""

import hashlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from training.errors import BadBackbone
from training.models.pretrained import download, load_state, read_state_dict, weights_enum

__all__ = [
    "Backbone",
    "Trunk",
    "empty_trunk",
    "num_before_taps",
    "resolve_weights",
    "starting_trunk",
    "trunk_skeleton",
    "weights_hash",
]

log = logging.getLogger(__name__)

Tap = tuple[int, int, int]  # stride, channels, index of the stage
SMALLEST_TAP_STRIDE = 4
_PROBE_PIXELS = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """Where micro-models start.

    name: a torchvision classification model with convolutional stages ('mobilenet_v2', 'resnet18', …).
    weights: 'auto' (torchvision's default weights if cached or downloadable, else from scratch with a warning),
        'none', the name of a torchvision weights enum member ('IMAGENET1K_V1'), a path, or a URL ('s3://…') of a
        state dict (.pth, read with weights_only, or .safetensors).
    """

    name: str = "mobilenet_v2"
    weights: str = "auto"


class Trunk(nn.Module):
    """The stages of a classification network up to its deepest feature map.

    Attributes:
        strides: of the feature maps, increasing (4, 8, 16, 32 for most networks).
        channels: of the same maps.
        taps: where they come from.
    """

    def __init__(self, stages: Sequence[nn.Module], taps: Sequence[Tap]) -> None:
        super().__init__()
        self.taps = tuple(taps)
        self.strides = tuple(stride for stride, _, _ in taps)
        self.channels = tuple(channels for _, channels, _ in taps)
        self._tap_stages = tuple(stage for _, _, stage in taps)
        self.stages = nn.ModuleList(stages[: self._tap_stages[-1] + 1])

    def forward(self, x_NCHW: Tensor) -> list[Tensor]:
        maps = []
        for index, stage in enumerate(self.stages):
            x_NCHW = stage(x_NCHW)
            if index in self._tap_stages:
                maps.append(x_NCHW)
        return maps

    def until(self, stride: int) -> tuple[nn.Sequential, int]:
        """The stages up to the map of this stride, one of `strides`, and its channels: nothing deeper is computed."""
        tap = self.strides.index(stride)
        return nn.Sequential(*self.stages[: self.num_stages(stride)]), self.channels[tap]

    def num_stages(self, stride: int) -> int:
        """How many stages lead to the map of this stride."""
        return self._tap_stages[self.strides.index(stride)] + 1


def empty_trunk(name: str) -> Trunk:
    """A trunk with random weights.

    Raises:
        BadBackbone: torchvision has no such classification model, or it has no convolutional stages.
    """
    return Trunk(_stages(_classifier(name), name), trunk_skeleton(name).taps)


@cache
@torch.inference_mode(False)  # whoever asks first
def trunk_skeleton(name: str) -> Trunk:
    """A trunk of shapes alone, on the meta device and in eval mode; made once in a process, and never to be changed.

    Raises:
        BadBackbone: as empty_trunk does.
    """
    with torch.random.fork_rng(devices=[]):  # weights that nobody needs are drawn meanwhile
        stages = [stage.to("meta").eval() for stage in _stages(_classifier(name), name)]
    return Trunk(stages, _taps(stages, name)).eval().requires_grad_(False)


@cache
def num_before_taps(name: str) -> int:
    """How many of a trunk's first stages give a map of a smaller stride than any that it is tapped at."""
    strides = [stride for stride, _ in _maps(trunk_skeleton(name).stages, name)]
    return next(index for index, stride in enumerate(strides) if stride >= SMALLEST_TAP_STRIDE)


def starting_trunk(backbone: Backbone) -> tuple[Trunk, bool]:
    """The trunk with its starting weights, and whether they are pre-trained.

    Raises:
        BadBackbone: the weights cannot be read or do not fit; names the file and the first key that disagrees.
    """
    if resolve_weights(backbone) is None:
        return empty_trunk(backbone.name), False
    return deepcopy(_pretrained_trunk(backbone)), True


@cache
@torch.inference_mode(False)
def _pretrained_trunk(backbone: Backbone) -> Trunk:
    """In float32; made once in a process, and never to be changed."""
    weights = resolve_weights(backbone)
    assert weights is not None
    with torch.random.fork_rng(devices=[]):  # weights that nobody needs are drawn meanwhile
        model = _classifier(backbone.name)
    load_state(model.float(), weights, backbone.weights, backbone.name)
    return Trunk(_stages(model, backbone.name), trunk_skeleton(backbone.name).taps)


@cache
def resolve_weights(backbone: Backbone) -> dict[str, Tensor] | None:
    """The state dict a backbone starts from, None for random weights; read once per process.

    Raises:
        BadBackbone: a path, URL or enum name that cannot be read.
    """
    wanted = backbone.weights
    if wanted == "none":
        return None
    if wanted == "auto":
        return _auto_weights(backbone.name)
    enum = weights_enum(backbone.name)
    if wanted in enum.__members__:
        return download(enum[wanted], backbone.name)
    return read_state_dict(wanted)


def weights_hash(backbone: Backbone) -> str:
    """'sha256:…' of the starting weights, 'none' for random ones: part of what makes two fits the same."""
    weights = resolve_weights(backbone)
    if weights is None:
        return "none"
    digest = hashlib.sha256()
    for key in sorted(weights):
        digest.update(key.encode())
        digest.update(weights[key].contiguous().numpy().tobytes())
    return f"sha256:{digest.hexdigest()}"


def _classifier(name: str) -> nn.Module:
    import torchvision  # as in training.models.overlap

    try:
        model: nn.Module = torchvision.models.get_model(name, weights=None)
    except ValueError as error:
        raise BadBackbone(f"backbone {name!r} is not a torchvision model") from error
    return model


def _stages(model: nn.Module, name: str) -> list[nn.Module]:
    """The network as a sequence of top-level stages, without a last 1x1 expansion that only serves its classifier."""
    parts = dict(model.named_children())
    if isinstance(features := parts.get("features"), nn.Sequential):
        stages = list(features.children())
    elif "layer4" in parts:
        stem = nn.Sequential(parts["conv1"], parts["bn1"], parts["relu"], parts["maxpool"])
        stages = [stem, *(parts[f"layer{number}"] for number in (1, 2, 3, 4))]
    elif "trunk_output" in parts:
        stages = [parts["stem"], *parts["trunk_output"].children()]
    elif "stage4" in parts:
        stages = [parts[name] for name in ("conv1", "maxpool", "stage2", "stage3", "stage4")]
    else:
        raise BadBackbone(f"backbone {name!r} has no convolutional stages; needed one like mobilenet_v2 or resnet18")
    from torchvision.ops.misc import Conv2dNormActivation

    last = stages[-1]
    if isinstance(last, Conv2dNormActivation) and isinstance(last[0], nn.Conv2d) and last[0].kernel_size == (1, 1):
        stages.pop()
    return stages


def _taps(stages: Sequence[nn.Module], name: str) -> list[Tap]:
    """The last stage at every stride from SMALLEST_TAP_STRIDE on; `stages` as _maps takes them."""
    last = {stride: (stride, channels, index) for index, (stride, channels) in enumerate(_maps(stages, name))}
    return [tap for stride, tap in sorted(last.items()) if stride >= SMALLEST_TAP_STRIDE]


@torch.no_grad()
def _maps(stages: Iterable[nn.Module], name: str) -> Iterator[tuple[int, int]]:
    """Stride and channels of what each stage gives; `stages` are on the meta device, in eval mode."""
    x = torch.zeros(1, 3, _PROBE_PIXELS, _PROBE_PIXELS, device="meta")
    for index, stage in enumerate(stages):
        x = stage(x)
        if x.ndim != 4 or x.shape[2] != x.shape[3]:
            raise BadBackbone(f"backbone {name!r}: stage {index} gives shape {tuple(x.shape)}, needed (N, C, H, W)")
        yield _PROBE_PIXELS // x.shape[3], x.shape[1]


def _auto_weights(name: str) -> dict[str, Tensor] | None:
    try:
        return download(weights_enum(name).DEFAULT, name)
    except BadBackbone as error:
        log.warning("%s; fitting from scratch (give --weights a path or 'none' to choose)", error)
        return None
