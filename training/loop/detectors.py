"""Detection networks that others trained on COCO: torchvision's R-CNN family, with weights from its hub, a path or a URL."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from torch import Tensor, nn

from training.data.ontology import TaskName
from training.errors import BadBackbone, BadInput
from training.models.pretrained import download, load_state, read_state_dict, weights_enum

__all__ = ["DEFAULT_MODELS", "Detector", "detector_for", "knows", "pretrained_network", "pretrained_state", "state_hash"]

DEFAULT_MODELS: Mapping[TaskName, str] = {
    "detection": "fasterrcnn_resnet50_fpn_v2",
    "segmentation": "maskrcnn_resnet50_fpn_v2",
    "keypoints": "keypointrcnn_resnet50_fpn",
}
_FAMILIES: Mapping[TaskName, tuple[str, ...]] = {
    "detection": ("fasterrcnn_", "maskrcnn_", "keypointrcnn_"),
    "segmentation": ("maskrcnn_",),
    "keypoints": ("keypointrcnn_",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """name: a torchvision R-CNN. weights: 'auto' (torchvision's default), an enum member ('COCO_V1'), a path or a URL."""

    name: str
    weights: str = "auto"


def detector_for(task: TaskName, model: str, weights: str) -> Detector:
    """The detector of a task; `model` 'auto' for the usual one.

    Raises:
        BadInput: no such detector can do the task.
    """
    import torchvision  # as in training.models.overlap

    if task not in _FAMILIES:
        raise BadInput(f"{task}: there is no pre-trained detector for it, needed one of {', '.join(_FAMILIES)}")
    name = DEFAULT_MODELS[task] if model == "auto" else model
    choices = [one for one in torchvision.models.list_models(torchvision.models.detection) if one.startswith(_FAMILIES[task])]
    if name not in choices:
        raise BadInput(f"--model {name}: cannot do {task}, needed one of {', '.join(choices)}")
    return Detector(name=name, weights=weights)


def knows(detector: Detector) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of its categories, by output, and of its keypoints; background and unused outputs are ''."""
    meta = weights_enum(detector.name).DEFAULT.meta
    names = tuple("" if name in ("__background__", "no person", "N/A") else name for name in meta["categories"])
    return names, tuple(meta.get("keypoint_names", ()))


def pretrained_network(detector: Detector, *, min_score: float) -> nn.Module:
    """The network in evaluation mode: a list of (3, H, W) float 0..1 -> a list of boxes, labels, scores, masks, keypoints.

    Raises:
        BadBackbone: the weights cannot be had or do not fit; names the file and the first key that disagrees.
    """
    import torchvision

    num_classes = len(knows(detector)[0])
    model: nn.Module = torchvision.models.get_model(
        detector.name, weights=None, weights_backbone=None, num_classes=num_classes, box_score_thresh=min_score
    )
    load_state(model, pretrained_state(detector), detector.weights, detector.name)
    if detector.name.endswith("rcnn_resnet50_fpn"):  # trained without the small number that keeps variances from zero
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = 0.0
    return model.eval()


@cache
def pretrained_state(detector: Detector) -> dict[str, Tensor]:
    """Its weights, read once per process.

    Raises:
        BadBackbone: not cached and not downloadable, or not a state dict.
    """
    enum = weights_enum(detector.name)
    if detector.weights not in ("auto", *enum.__members__):
        return read_state_dict(detector.weights)
    member = enum.DEFAULT if detector.weights == "auto" else enum[detector.weights]
    try:
        return download(member, detector.name)
    except BadBackbone as error:
        raise BadBackbone(f"{error}; pre-labels need weights: give --weights a path or URL of {detector.name}'s") from error


@cache
def state_hash(detector: Detector) -> str:
    """'sha256:…' of its weights."""
    state = pretrained_state(detector)
    digest = hashlib.sha256()
    for key in sorted(state):
        digest.update(key.encode())
        digest.update(state[key].contiguous().numpy().tobytes())
    return f"sha256:{digest.hexdigest()}"
