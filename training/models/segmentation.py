"""Segmentation: one class per pixel, stored as one mask per class and frame.

Pixels that no mask covers are background, unless the labelled frames are covered almost completely: then they are
pixels nobody decided about, from which nothing is learned and on which nothing is judged. Loss: cross-entropy with soft
Dice (Milletari et al., V-Net, 2016).

N pictures, K classes, H x W pixels. A class map holds 0 for background, k + 1 for class k, IGNORE for undecided
and for what is labelled as ambiguous.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from training.data import rle
from training.data.annotations import Annotation, FrameLabels
from training.data.ontology import Ontology
from training.models.actions import MASK_SECONDS, Actions
from training.models.geometry import Placement
from training.models.mask_metrics import measure_masks, overlap
from training.models.mask_truth import IGNORE, MaskTruth
from training.models.network import DenseNetwork, NetworkConfig

__all__ = ["Segmentation"]

DETAIL = 3.0  # a mask needs this much more resolution than a box of its size
COMPLETE = 0.8  # labelled frames covered this far have no background, only pixels nobody decided about
FREE_TURN = 5.0
MIN_PIXELS = 16
FOUND_IOU, TIGHT_IOU = 0.5, 0.7


class Segmentation:
    """Masks of K classes."""

    output_stride = 4
    coordinates = True
    seconds = MASK_SECONDS

    def __init__(self, ontology: Ontology) -> None:
        self.ontology = ontology
        self._value = {name: index + 1 for index, name in enumerate(ontology.classes)}

    def branches(self) -> dict[str, int]:
        return {"mask": 1 + len(self.ontology.classes)}

    def object_sizes(self, labels: Sequence[FrameLabels]) -> list[float]:
        sure = [a for frame in labels for a in frame.annotations if not a.ambiguous]
        boxes = [a.bbox_xyxy for a in sure if a.bbox_xyxy is not None]
        return [float(np.sqrt((x2 - x1) * (y2 - y1))) / DETAIL for x1, y1, x2, y2 in boxes]

    def free_turn(self, labels: Sequence[FrameLabels]) -> float:
        return FREE_TURN

    def learned_limits(self, labels: Sequence[FrameLabels], sizes_hw: Sequence[tuple[int, int]]) -> dict[str, Any]:
        """Whether there is a background at all."""
        return {"background": not self._complete(labels, sizes_hw)}

    def permissive(self, decoding: Mapping[str, Any]) -> dict[str, Any]:
        return dict(decoding)

    def believed(self, frame: FrameLabels, decoding: Mapping[str, Any], *, counted: bool) -> FrameLabels:
        return frame

    def calibrated(
        self, decoding: Mapping[str, Any], truth: Sequence[FrameLabels], answers: Sequence[FrameLabels], *, counted: bool
    ) -> dict[str, Any]:
        """Every pixel takes its best class: there is no threshold."""
        return dict(decoding)

    def initialise(self, network: DenseNetwork, labels: Sequence[FrameLabels]) -> None:
        """The labels say nothing here that the first steps do not learn."""

    def truth(
        self,
        labels: Sequence[FrameLabels],
        sizes_hw: Sequence[tuple[int, int]],
        decoding: Mapping[str, Any],
        device: torch.device,
    ) -> MaskTruth:
        unsaid = 0 if decoding["background"] else IGNORE
        return MaskTruth.of([self._class_map(*pair, unsaid) for pair in zip(labels, sizes_hw, strict=True)], device)

    def loss(self, outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
        wanted_NHW = targets["mask"]
        logits = F.interpolate(outputs["mask"], size=wanted_NHW.shape[-2:], mode="bilinear", align_corners=False)
        decided = (wanted_NHW != IGNORE).float()
        entropy = F.cross_entropy(logits, wanted_NHW, ignore_index=IGNORE, reduction="none").flatten(1).sum(1)
        return entropy / decided.flatten(1).sum(1).clamp(min=1) + _dice(logits, wanted_NHW, decided)

    def decode(
        self,
        outputs: Mapping[str, Tensor],
        placements: Sequence[Placement],
        config: NetworkConfig,
        decoding: Mapping[str, Any],
    ) -> list[tuple[Annotation, ...]]:
        """One mask per class; its score is the mean probability of its pixels."""
        return [self._masks(logits, place, decoding) for logits, place in zip(outputs["mask"], placements, strict=True)]

    def num_objects(self, frame: FrameLabels) -> int:
        """Masks of one class are one thing to draw."""
        return len({annotation.class_name for annotation in frame.annotations if not annotation.ambiguous})

    def measure(
        self, truth: Sequence[FrameLabels], predicted: Sequence[FrameLabels], sizes_hw: Sequence[tuple[int, int]]
    ) -> dict[str, float]:
        """j, f and miou; see mask_metrics."""
        unsaid = IGNORE if self._complete(truth, sizes_hw) else 0
        pairs = (
            (self._class_map(true, frame_hw, unsaid), self._class_map(said, frame_hw, 0))
            for true, said, frame_hw in zip(truth, predicted, sizes_hw, strict=True)
        )
        return measure_masks(pairs, num_classes=len(self.ontology.classes), ignore=IGNORE)

    def actions(self, truth: FrameLabels, predicted: FrameLabels, frame_hw: tuple[int, int]) -> Actions:
        """A mask of IoU 0.5 to 0.7 is adjusted; below it is deleted and drawn anew."""
        unsaid = IGNORE if self._complete([truth], [frame_hw]) else 0
        true, said = self._class_map(truth, frame_hw, unsaid), self._class_map(predicted, frame_hw, 0)
        total = Actions()
        for value in self._value.values():
            there, found = bool((true == value).any()), bool((said == value)[true != IGNORE].any())
            iou = overlap(true == value, (said == value) & (true != IGNORE))
            total += Actions(
                draw=int(there and iou < FOUND_IOU),
                delete=int(found and iou < FOUND_IOU),
                adjust=int(FOUND_IOU <= iou < TIGHT_IOU),
                confirm=int(there and iou >= TIGHT_IOU),
            )
        return total

    def _complete(self, labels: Sequence[FrameLabels], sizes_hw: Sequence[tuple[int, int]]) -> bool:
        """Of what is not ambiguous."""
        maps = [self._class_map(*pair, 0) for pair in zip(labels, sizes_hw, strict=True)]
        covered = [float((one > 0).sum()) / max(1, int((one != IGNORE).sum())) for one in maps]
        return bool(covered) and float(np.median(covered)) >= COMPLETE

    def _class_map(self, frame: FrameLabels, frame_hw: tuple[int, int], unsaid: int) -> NDArray[np.int64]:
        """What somebody said is ambiguous is undecided, where nothing else is said."""
        masks = [a for a in frame.annotations if a.rle_counts is not None]
        unsure = tuple((IGNORE, a.rle_counts) for a in masks if a.ambiguous)
        sure = tuple((self._value[a.class_name], a.rle_counts) for a in masks if not a.ambiguous)
        painted = _paint(unsure + sure, frame_hw)
        return np.where(painted == 0, unsaid, painted)

    def _masks(self, logits_Khw: Tensor, place: Placement, decoding: Mapping[str, Any]) -> tuple[Annotation, ...]:
        """Probabilities are brought to the frame's own size before the best class is taken, so that edges are smooth."""
        size = (place.height, place.width)
        logits = F.interpolate(logits_Khw[None].float(), size=size, mode="bilinear", align_corners=False)
        top, left = round(place.shift_y), round(place.shift_x)
        bottom = round(place.shift_y + place.frame_height * place.scale_y)
        right = round(place.shift_x + place.frame_width * place.scale_x)
        covered = logits[..., top:bottom, left:right]
        frame_hw = (place.frame_height, place.frame_width)
        p_KHW = F.interpolate(covered, size=frame_hw, mode="bilinear", align_corners=False)[0].softmax(0)
        if not decoding["background"]:
            p_KHW[0] = 0
        best_HW = p_KHW.max(0).indices  # ten times faster than argmax over the first dimension, on the CPU
        found = []
        for name, value in self._value.items():
            mask = best_HW == value
            if int(mask.sum()) >= MIN_PIXELS:
                score = float(p_KHW[value][mask].mean().clamp(0, 1))
                counts = rle.encode(mask.cpu().numpy())
                box = rle.mask_box(counts, *frame_hw)
                found.append(Annotation(class_name=name, bbox_xyxy=box, rle_counts=counts, score=score, provenance="model"))
        return tuple(found)


@lru_cache(maxsize=64)
def _paint(said: tuple[tuple[int, str], ...], frame_hw: tuple[int, int]) -> NDArray[np.int64]:
    """Class map of one frame, 0 where nothing is said; later masks win where several cover a pixel."""
    painted = np.zeros(frame_hw, np.int64)
    for value, counts in said:
        painted[rle.decode(counts, *frame_hw)] = value
    return painted


def _dice(logits_NKHW: Tensor, wanted_NHW: Tensor, decided_NHW: Tensor) -> Tensor:
    """1 - soft Dice, averaged over the classes present in each picture."""
    p = logits_NKHW.softmax(1) * decided_NHW[:, None]
    one_hot = F.one_hot(wanted_NHW.clamp(min=0), p.shape[1]).permute(0, 3, 1, 2) * decided_NHW[:, None]
    shared, total = (p * one_hot).flatten(2).sum(2), (p + one_hot).flatten(2).sum(2)
    present = one_hot.flatten(2).amax(2)
    return ((1 - 2 * shared / total.clamp(min=1)) * present).sum(1) / present.sum(1).clamp(min=1)
