"""Detection: a heat map of object centres per class and, around each centre, the distances to the four sides.

Centre heat maps with a penalty-reduced focal loss follow CenterNet (Zhou et al., Objects as Points, 2019); box
regression over the central region with a generalised IoU loss follows FCOS (Tian et al., 2019) and GIoU
(Rezatofighi et al., 2019).

N pictures, K classes, M objects of a picture, h x w cells of the output grid.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from training.data.annotations import Annotation, FrameLabels
from training.data.ontology import Ontology
from training.models.actions import BOX_SECONDS, Actions
from training.models.box_truth import CORE, BoxTruth
from training.models.coco_metrics import measure_boxes
from training.models.geometry import Placement
from training.models.matching import boxes_of, match_boxes
from training.models.network import DenseNetwork, NetworkConfig
from training.models.objects import Objects
from training.models.overlap import nms

__all__ = ["Detection", "focal_loss"]

PRIOR_LOGIT = float(np.log(0.02 / 0.98))
NMS_IOU = 0.5
FREE_TURN = 0.0  # a turned box is no longer tight
# An object as sure as this is believed: where every labelled frame had one, where some had, where none had that many.
ALWAYS_SCORE, SOMETIMES_SCORE, NEVER_SCORE = 0.15, 0.3, 0.5
LOWEST_SCORE = 0.03
SCORE_FACTORS = (1.0, 0.85, 1.2, 0.7, 1.4, 0.5, 1.6, 0.35, 1.8, 0.25)  # nearest to 1 first
MAX_OBJECTS = 300  # on one picture; twice as many as a labelled frame has, where that is more
MAX_LOG_RATIO = 4.0
EPSILON = 1e-7  # of an area, square cells
AGREEING = 5  # cells across, whose boxes of one object are averaged
FOUND_IOU, TIGHT_IOU = 0.5, 0.7


class Detection:
    """Boxes of K classes."""

    output_stride = 8
    coordinates = False
    seconds = BOX_SECONDS

    def __init__(self, ontology: Ontology) -> None:
        self.ontology = ontology
        self._class_index = {name: index for index, name in enumerate(ontology.classes)}

    def branches(self) -> dict[str, int]:
        return {"heat": len(self.ontology.classes), "box": 4}

    def object_sizes(self, labels: Sequence[FrameLabels]) -> list[float]:
        return [float(np.sqrt((x2 - x1) * (y2 - y1))) for frame in labels for x1, y1, x2, y2 in _boxes(frame)[0]]

    def free_turn(self, labels: Sequence[FrameLabels]) -> float:
        return FREE_TURN

    def learned_limits(self, labels: Sequence[FrameLabels], sizes_hw: Sequence[tuple[int, int]]) -> dict[str, Any]:
        """Fewest and most objects of each class on a labelled frame; the scores believed up to each."""
        counts = np.array([[_boxes(frame)[1].count(name) for name in self.ontology.classes] for frame in labels])
        return {
            "fewest": counts.min(axis=0).tolist(),
            "most": counts.max(axis=0).tolist(),
            "min_scores": [ALWAYS_SCORE, SOMETIMES_SCORE, NEVER_SCORE],
        }

    def permissive(self, decoding: Mapping[str, Any]) -> dict[str, Any]:
        return {**decoding, "min_scores": [LOWEST_SCORE] * 3}

    def believed(self, frame: FrameLabels, decoding: Mapping[str, Any], *, counted: bool) -> FrameLabels:
        best_first = sorted(frame.annotations, key=lambda annotation: -(annotation.score or 0.0))
        said = [(self._class_index[annotation.class_name], annotation.score or 0.0) for annotation in best_first]
        believed = _believed(said, decoding, counted=counted)
        return replace(frame, annotations=tuple(a for a, is_sure in zip(best_first, believed, strict=True) if is_sure))

    def calibrated(
        self, decoding: Mapping[str, Any], truth: Sequence[FrameLabels], answers: Sequence[FrameLabels], *, counted: bool
    ) -> dict[str, Any]:
        """The scores asked for, all of them times the factor of best F1; of equally good factors, the one nearest to 1."""
        tried = [{**decoding, "min_scores": [score * factor for score in decoding["min_scores"]]} for factor in SCORE_FACTORS]
        f1 = [self._f1(truth, [self.believed(frame, one, counted=counted) for frame in answers]) for one in tried]
        return tried[f1.index(max(f1))]

    def initialise(self, network: DenseNetwork, labels: Sequence[FrameLabels]) -> None:
        """Heat starts at a low prior (as in focal loss, Lin et al. 2017), distances at half the median side."""
        sides = np.array([(x2 - x1, y2 - y1) for frame in labels for x1, y1, x2, y2 in _boxes(frame)[0]])
        half_x, half_y = np.median(sides, axis=0) * network.config.scale / network.config.output_stride / 2
        log_half = torch.tensor([half_x, half_y, half_x, half_y], dtype=torch.float32).log()
        with torch.no_grad():
            heat = network.last_layer("heat")
            heat.bias = nn.Parameter(torch.full((heat.out_channels,), PRIOR_LOGIT))
            box = network.last_layer("box")
            box.weight.mul_(0.1)
            box.bias = nn.Parameter(log_half)

    def truth(
        self,
        labels: Sequence[FrameLabels],
        sizes_hw: Sequence[tuple[int, int]],
        decoding: Mapping[str, Any],
        device: torch.device,
    ) -> BoxTruth:
        """In views of keypoints too, the points tell where a turned box is."""
        objects = Objects.of(labels, self._class_index, self.ontology.keypoints)
        return BoxTruth(objects=objects, num_classes=len(self.ontology.classes), device=device)

    def loss(self, outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
        return focal_loss(outputs["heat"], targets["heat"], targets["heat_weight"]) + _box_loss(outputs["box"], targets)

    def decode(
        self,
        outputs: Mapping[str, Tensor],
        placements: Sequence[Placement],
        config: NetworkConfig,
        decoding: Mapping[str, Any],
    ) -> list[tuple[Annotation, ...]]:
        heat = outputs["heat"].float().sigmoid()
        peaks = heat * (heat == F.max_pool2d(heat, 3, stride=1, padding=1))
        boxes = _agreed(_cells_to_boxes(outputs["box"].float()), heat)
        return [self._picture_boxes(peaks[n], boxes[n], place, config, decoding) for n, place in enumerate(placements)]

    def num_objects(self, frame: FrameLabels) -> int:
        """Every box is one thing to draw, but for those of which nothing is sure."""
        return len(_boxes(frame)[1])

    def measure(
        self, truth: Sequence[FrameLabels], predicted: Sequence[FrameLabels], sizes_hw: Sequence[tuple[int, int]]
    ) -> dict[str, float]:
        """precision and recall at IoU 0.5, tight_recall at IoU 0.7, mean_iou over the objects found at 0.5; ap and ap50."""
        found = tight = said = there = 0
        ious: list[float] = []
        for true, machine in zip(truth, predicted, strict=True):
            match = match_boxes(true.annotations, machine.annotations, min_iou=FOUND_IOU)
            found += len(match.pairs)
            said += len(match.pairs) + len(match.spurious)
            there += len(match.pairs) + len(match.missed)
            ious += [iou for _, _, iou in match.pairs]
            tight += len(match_boxes(true.annotations, machine.annotations, min_iou=TIGHT_IOU).pairs)
        return {
            "precision": found / said if said else 1.0,
            "recall": found / there if there else 1.0,
            "tight_recall": tight / there if there else 1.0,
            "mean_iou": float(np.mean(ious)) if ious else 0.0,
            **measure_boxes(truth, predicted),
        }

    def actions(self, truth: FrameLabels, predicted: FrameLabels, frame_hw: tuple[int, int]) -> Actions:
        """A box of IoU 0.5 to 0.7, or of the wrong class, is adjusted; below it is deleted and drawn anew."""
        right = match_boxes(truth.annotations, predicted.annotations, min_iou=FOUND_IOU)
        wrong_class = match_boxes(
            [truth.annotations[t] for t in right.missed],
            [predicted.annotations[p] for p in right.spurious],
            min_iou=FOUND_IOU,
            same_class=False,
        )
        inexact = sum(iou < TIGHT_IOU for _, _, iou in right.pairs)
        return Actions(
            draw=len(wrong_class.missed),
            delete=len(wrong_class.spurious),
            adjust=inexact + len(wrong_class.pairs),
            confirm=len(right.pairs) - inexact,
        )

    def _f1(self, truth: Sequence[FrameLabels], answers: Sequence[FrameLabels]) -> float:
        matches = [
            match_boxes(true.annotations, said.annotations, min_iou=FOUND_IOU) for true, said in zip(truth, answers, strict=True)
        ]
        found = sum(len(match.pairs) for match in matches)
        wrong = sum(len(match.missed) + len(match.spurious) for match in matches)
        return 2 * found / (2 * found + wrong) if found + wrong else 1.0

    def _picture_boxes(
        self, peaks_Khw: Tensor, boxes_4hw: Tensor, place: Placement, config: NetworkConfig, decoding: Mapping[str, Any]
    ) -> tuple[Annotation, ...]:
        k, row, column = torch.nonzero(peaks_Khw >= min(decoding["min_scores"]), as_tuple=True)
        if not len(k):
            return ()
        scores = peaks_Khw[k, row, column]
        boxes_M4 = boxes_4hw[:, row, column].T * config.output_stride
        keep = nms(boxes_M4, scores, k, NMS_IOU)[: max(MAX_OBJECTS, 2 * sum(decoding["most"]))]
        in_frame = place.boxes_to_frame(boxes_M4[keep].cpu().numpy())
        if place.bounded:
            in_frame = in_frame.clip(0, [place.frame_width, place.frame_height] * 2)
        said = list(zip(k[keep].tolist(), scores[keep].tolist(), strict=True))
        believed = _believed(said, decoding, counted=place.bounded)
        return tuple(
            Annotation(class_name=self.ontology.classes[name], bbox_xyxy=(x1, y1, x2, y2), score=score, provenance="model")
            for (name, score), (x1, y1, x2, y2), is_sure in zip(said, in_frame.tolist(), believed, strict=True)
            if is_sure and x2 > x1 and y2 > y1 and _centred(place, (x1 + x2) / 2, (y1 + y2) / 2)
        )


def _believed(said: Sequence[tuple[int, float]], decoding: Mapping[str, Any], *, counted: bool) -> list[bool]:
    """Whether each object, best first, is sure enough for being the n-th of its class on one frame.

    said: class index and score of each.
    counted: whether there being an n-th says anything; it does not of tiles, which are cut anywhere.
    """
    always, sometimes, never = decoding["min_scores"]
    if not counted:
        return [score >= sometimes for _, score in said]
    seen, believed = Counter[int](), []
    for k, score in said:
        seen[k] += 1
        needed = always if seen[k] <= decoding["fewest"][k] else sometimes if seen[k] <= decoding["most"][k] else never
        believed.append(score >= needed)
    return believed


def _centred(place: Placement, x: float, y: float) -> bool:
    """An object belongs to the tile its centre is in."""
    return 0 <= x < place.frame_width and 0 <= y < place.frame_height


def _boxes(frame: FrameLabels) -> tuple[NDArray[np.float32], list[str]]:
    """Of those that are not ambiguous, with their classes."""
    sure = [annotation for annotation in frame.annotations if annotation.bbox_xyxy is not None and not annotation.ambiguous]
    return boxes_of(sure), [annotation.class_name for annotation in sure]


def _cells_to_boxes(log_distances_N4hw: Tensor) -> Tensor:
    """(N, 4, h, w) log distances to left, top, right, bottom -> xyxy in cells."""
    rows, columns = log_distances_N4hw.shape[-2:]
    y = torch.arange(rows, device=log_distances_N4hw.device)[:, None] + 0.5
    x = torch.arange(columns, device=log_distances_N4hw.device)[None, :] + 0.5
    left, top, right, bottom = log_distances_N4hw.clamp(-MAX_LOG_RATIO, 2 * MAX_LOG_RATIO).exp().unbind(1)
    return torch.stack([x - left, y - top, x + right, y + bottom], dim=1)


def _agreed(boxes_N4hw: Tensor, heat_NKhw: Tensor) -> Tensor:
    """Each cell's box as the cells around it see it too, the surer the more: its core was taught one and the same box."""
    heat_N1hw = heat_NKhw.amax(1, keepdim=True)
    in_core = heat_N1hw > CORE * F.max_pool2d(heat_N1hw, AGREEING, 1, AGREEING // 2)
    weight_N1hw = heat_N1hw.square() * in_core
    boxes, weight = (F.avg_pool2d(x, AGREEING, 1, AGREEING // 2) for x in (boxes_N4hw * weight_N1hw, weight_N1hw))
    return boxes / weight.clamp(min=1e-12)


def focal_loss(logits: Tensor, heat: Tensor, weight: Tensor) -> Tensor:
    """Penalty-reduced focal loss per picture, divided by its number of objects."""
    p = logits.sigmoid()
    positive = heat.eq(1)
    seen = -F.logsigmoid(logits) * (1 - p).square()
    unseen = -F.logsigmoid(-logits) * p.square() * (1 - heat).pow(4)
    total = (torch.where(positive, seen, unseen) * weight).flatten(1).sum(1)
    return total / positive.flatten(1).sum(1).clamp(min=1)


def _box_loss(log_distances: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
    """Generalised IoU loss over the core of every object, each object counted once, averaged per picture.

    Of all cells, weighted: to choose them a device would have to wait.
    """
    weight_Nhw = targets["box_weight"]
    loss_Nhw = 1 - _generalised_iou(_cells_to_boxes(log_distances), targets["box"])
    return (loss_Nhw * weight_Nhw).flatten(1).sum(1) / weight_Nhw.flatten(1).sum(1).clamp(min=1)


def _generalised_iou(one_N4hw: Tensor, other_N4hw: Tensor) -> Tensor:
    """(N, h, w), -1..1, of boxes xyxy."""
    shared = _area(torch.minimum(one_N4hw[:, 2:], other_N4hw[:, 2:]) - torch.maximum(one_N4hw[:, :2], other_N4hw[:, :2]))
    around = _area(torch.maximum(one_N4hw[:, 2:], other_N4hw[:, 2:]) - torch.minimum(one_N4hw[:, :2], other_N4hw[:, :2]))
    both = sum(_area(boxes[:, 2:] - boxes[:, :2]) for boxes in (one_N4hw, other_N4hw)) - shared
    return shared / (both + EPSILON) - (around - both) / (around + EPSILON)


def _area(sides_N2hw: Tensor) -> Tensor:
    """0 where a side is negative."""
    width, height = sides_N2hw.clamp(min=0).unbind(1)
    return width * height
