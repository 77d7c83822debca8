"""Keypoints: objects as detection finds them, each with named points.

A heat map per point says where such points are, an offset field around each object's centre says roughly where its own
are; each object takes the heat peak near its offset (as in Objects as Points, Zhou et al., 2019). That keeps the
points of several objects apart without a search over groupings.

N pictures, K classes, P points, M objects of a picture, h x w cells of the output grid.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from training.data.annotations import Annotation, FrameLabels
from training.data.ontology import Ontology
from training.models.actions import Actions, keypoint_seconds
from training.models.coco_metrics import measure_points
from training.models.detection import FOUND_IOU, Detection, focal_loss
from training.models.geometry import Placement
from training.models.matching import match_boxes
from training.models.network import DenseNetwork, NetworkConfig
from training.models.point_boxes import around_points, common_margins, labelled_points
from training.models.point_truth import PointTruth

__all__ = ["Keypoints"]

DETAIL = 1.5  # points need this much more resolution than the box around them
POINT_PRIOR_LOGIT = -4.0
NEAR = 0.4  # an object looks for its points this far from their offsets, in box sides (standard deviation)
OFFSET_WEIGHT = 5.0
SAME_HEADING = 0.8  # length of the mean of unit vectors: 1 when all objects point the same way
TILT = 10.0  # degrees
VISIBLE = 0.15  # heat from which a point is called visible
PCK_SHARE = 0.1  # a point is right within this share of the box's longer side (Yang & Ramanan, 2013)


class Keypoints:
    """Boxes of K classes with P points each."""

    output_stride = 4
    coordinates = False

    def __init__(self, ontology: Ontology) -> None:
        self.ontology = ontology
        self.seconds = keypoint_seconds(len(ontology.keypoints))
        self._boxes = Detection(ontology)

    def branches(self) -> dict[str, int]:
        points = len(self.ontology.keypoints)
        return {**self._boxes.branches(), "point": points, "offset": 2 * points}

    def object_sizes(self, labels: Sequence[FrameLabels]) -> list[float]:
        return [side / DETAIL for side in self._boxes.object_sizes(labels)]

    def free_turn(self, labels: Sequence[FrameLabels]) -> float:
        """All the way round where the labelled objects already point everywhere, else as far as a hand-held camera tilts."""
        headings = [_heading(a.keypoints_xyv) for frame in labels for a in frame.annotations if a.keypoints_xyv is not None]
        known = np.array([heading for heading in headings if heading is not None]).reshape(-1, 2)
        agreement = float(np.linalg.norm(known.mean(axis=0))) if len(known) else 1.0
        return 180.0 if agreement < SAME_HEADING else TILT

    def learned_limits(self, labels: Sequence[FrameLabels], sizes_hw: Sequence[tuple[int, int]]) -> dict[str, Any]:
        """Detection's, and how far boxes reach beyond their points, if that is much the same for all labelled objects."""
        return {**self._boxes.learned_limits(labels, sizes_hw), "margins": common_margins(labels)}

    def permissive(self, decoding: Mapping[str, Any]) -> dict[str, Any]:
        return self._boxes.permissive(decoding)

    def believed(self, frame: FrameLabels, decoding: Mapping[str, Any], *, counted: bool) -> FrameLabels:
        return self._boxes.believed(frame, decoding, counted=counted)

    def calibrated(
        self, decoding: Mapping[str, Any], truth: Sequence[FrameLabels], answers: Sequence[FrameLabels], *, counted: bool
    ) -> dict[str, Any]:
        """As of the boxes."""
        return self._boxes.calibrated(decoding, truth, answers, counted=counted)

    def initialise(self, network: DenseNetwork, labels: Sequence[FrameLabels]) -> None:
        self._boxes.initialise(network, labels)
        point = network.last_layer("point")
        point.bias = torch.nn.Parameter(torch.full((point.out_channels,), POINT_PRIOR_LOGIT))

    def truth(
        self,
        labels: Sequence[FrameLabels],
        sizes_hw: Sequence[tuple[int, int]],
        decoding: Mapping[str, Any],
        device: torch.device,
    ) -> PointTruth:
        return PointTruth(boxes=self._boxes.truth(labels, sizes_hw, decoding, device))

    def loss(self, outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
        points = focal_loss(outputs["point"], targets["point"], targets["point_weight"])
        far = F.smooth_l1_loss(outputs["offset"], targets["offset"], reduction="none", beta=0.05)
        weight = targets["offset_weight"].repeat_interleave(2, dim=1)
        offset = (far * weight).flatten(1).sum(1) / weight.flatten(1).sum(1).clamp(min=1)
        return self._boxes.loss(outputs, targets) + points + OFFSET_WEIGHT * offset

    def decode(
        self,
        outputs: Mapping[str, Tensor],
        placements: Sequence[Placement],
        config: NetworkConfig,
        decoding: Mapping[str, Any],
    ) -> list[tuple[Annotation, ...]]:
        """Detection's objects; v is 2 where the point's own heat says so, else 1 at the place its offset tells.

        Where labelled boxes are drawn around their points, found ones are too.
        """
        boxed = self._boxes.decode(outputs, placements, config, decoding)
        heat, offset = outputs["point"].float().sigmoid().cpu().numpy(), outputs["offset"].float().cpu().numpy()
        return [
            tuple(
                around_points(self._with_points(a, heat[n], offset[n], place, config), decoding["margins"], place)
                for a in boxed[n]
            )
            for n, place in enumerate(placements)
        ]

    def num_objects(self, frame: FrameLabels) -> int:
        return self._boxes.num_objects(frame)

    def measure(
        self, truth: Sequence[FrameLabels], predicted: Sequence[FrameLabels], sizes_hw: Sequence[tuple[int, int]]
    ) -> dict[str, float]:
        """Detection's; pck of all labelled points (those of missed objects are wrong); rmse_px, oks of found objects; ap_oks."""
        right: list[bool] = []
        squared: list[float] = []
        for true, said in zip(truth, predicted, strict=True):
            match = match_boxes(true.annotations, said.annotations, min_iou=FOUND_IOU)
            for t, p, _ in match.pairs:
                distances, reach = _distances(true.annotations[t], said.annotations[p])
                right += (distances <= reach).tolist()
                squared += (distances**2).tolist()
            for t in match.missed:
                right += [False] * len(labelled_points(true.annotations[t])[0])
        return {
            **self._boxes.measure(truth, predicted, sizes_hw),
            "pck": float(np.mean(right)) if right else 1.0,
            "rmse_px": float(np.sqrt(np.mean(squared))) if squared else 0.0,
            **measure_points(truth, predicted, self.ontology.keypoints),
        }

    def actions(self, truth: FrameLabels, predicted: FrameLabels, frame_hw: tuple[int, int]) -> Actions:
        """Detection's, and an object with a right box but any point beyond tolerance is adjusted."""
        boxes = self._boxes.actions(truth, predicted, frame_hw)
        match = match_boxes(truth.annotations, predicted.annotations, min_iou=0.7)
        off = 0
        for t, p, _ in match.pairs:
            distances, reach = _distances(truth.annotations[t], predicted.annotations[p])
            off += int(not (distances <= reach).all())
        off = min(off, boxes.confirm)
        return replace(boxes, adjust=boxes.adjust + off, confirm=boxes.confirm - off)

    def _with_points(
        self,
        found: Annotation,
        heat_Phw: NDArray[np.float32],
        offset: NDArray[np.float32],
        place: Placement,
        config: NetworkConfig,
    ) -> Annotation:
        box = place.boxes_to_input(np.array([found.bbox_xyxy], np.float32))[0] / config.output_stride
        side = max(box[2] - box[0], box[3] - box[1])
        rows, columns = heat_Phw.shape[1:]
        column, row = (int(np.clip((box[i] + box[i + 2]) / 2, 0, limit - 1)) for i, limit in ((0, columns), (1, rows)))
        y, x = np.mgrid[:rows, :columns].astype(np.float32) + 0.5
        points: list[float] = []
        for p, heat_hw in enumerate(heat_Phw):
            guess = np.array([column + 0.5, row + 0.5]) + offset[2 * p : 2 * p + 2, row, column] * side
            close = np.exp(-0.5 * ((x - guess[0]) ** 2 + (y - guess[1]) ** 2) / (NEAR * side) ** 2)
            at = np.unravel_index(int((heat_hw * close).argmax()), heat_hw.shape)
            seen = bool(heat_hw[at] >= VISIBLE)
            cell = _refined(heat_hw, int(at[0]), int(at[1])) if seen else guess
            in_frame = place.points_to_frame(np.array([cell], np.float32) * config.output_stride)[0]
            points += [float(in_frame[0]), float(in_frame[1]), 2.0 if seen else 1.0]
        return replace(found, keypoints_xyv=tuple(points))


def _heading(keypoints_xyv: tuple[float, ...]) -> NDArray[np.float64] | None:
    """Unit vector from the middle of the placed points to the first of them; None if there is no telling."""
    points = np.array(keypoints_xyv, np.float64).reshape(-1, 3)
    placed = points[points[:, 2] > 0, :2]
    if points[0, 2] == 0 or len(placed) < 2:
        return None
    away = points[0, :2] - placed.mean(axis=0)
    length = float(np.linalg.norm(away))
    return away / length if length > 0 else None


def _refined(heat_hw: NDArray[np.float32], row: int, column: int) -> NDArray[np.float64]:
    """x, y in cells of the peak: the top of a parabola through the logarithms of three cells, exact for a Gaussian."""
    log_heat = np.log(np.maximum(heat_hw.astype(np.float64), 1e-6))
    return np.array([column + 0.5 + _top(log_heat[row], column), row + 0.5 + _top(log_heat[:, column], row)])


def _top(line: NDArray[np.float64], at: int) -> float:
    """How far the top lies from cell `at`, at most half a cell; 0 at the picture's edge."""
    if not 0 < at < len(line) - 1:
        return 0.0
    before, here, after = line[at - 1 : at + 2]
    bend = before - 2 * here + after
    return float(np.clip(0.5 * (before - after) / bend, -0.5, 0.5)) if bend < 0 else 0.0


def _distances(truth: Annotation, found: Annotation) -> tuple[NDArray[np.float64], float]:
    """(L,) pixels between each labelled point and the found one, and how far is still right."""
    wanted, placed = labelled_points(truth)
    said = np.array(found.keypoints_xyv or np.full(3 * len(placed), np.inf), np.float64).reshape(-1, 3)[placed, :2]
    assert truth.bbox_xyxy is not None
    x1, y1, x2, y2 = truth.bbox_xyxy
    return np.linalg.norm(wanted - said, axis=1), PCK_SHARE * max(x2 - x1, y2 - y1)
