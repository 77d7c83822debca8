"""Which predicted box is which true box: COCO's greedy matching, in order of score."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from training.data.annotations import Annotation
from training.models.overlap import box_iou

__all__ = ["Match", "boxes_of", "match_boxes", "sureness"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """pairs: (index of truth, index of prediction, IoU). missed, spurious: indices left over.

    Ambiguous truths are nobody's miss, and predictions on them nobody's false positive: as in COCO's evaluation, those that lie
    in one by at least `min_iou` of their own area, since it may be a crowd.
    """

    pairs: list[tuple[int, int, float]]
    missed: list[int]
    spurious: list[int]


def boxes_of(annotations: Sequence[Annotation]) -> NDArray[np.float32]:
    """(M, 4) xyxy of the annotations that have a box."""
    return np.array([a.bbox_xyxy for a in annotations if a.bbox_xyxy is not None], np.float32).reshape(-1, 4)


def sureness(annotation: Annotation) -> float:
    """The score; 1 for what has none, because a person or interpolation said it."""
    return 1.0 if annotation.score is None else annotation.score


def match_boxes(
    truth: Sequence[Annotation], predicted: Sequence[Annotation], *, min_iou: float, same_class: bool = True
) -> Match:
    """Match every prediction, best score first, to the free truth it overlaps most, by at least `min_iou`.

    Every annotation must have a box.
    """
    true_T4, said_P4 = boxes_of(truth), boxes_of(predicted)
    iou_TP = box_iou(torch.from_numpy(true_T4), torch.from_numpy(said_P4)).numpy()
    inside_TP = _inside(true_T4, said_P4)
    if same_class and iou_TP.size:
        names = np.array([a.class_name for a in truth])[:, None] == np.array([a.class_name for a in predicted])[None, :]
        iou_TP, inside_TP = np.where(names, iou_TP, 0), np.where(names, inside_TP, 0)
    free = [not annotation.ambiguous for annotation in truth]
    pairs: list[tuple[int, int, float]] = []
    spurious: list[int] = []
    for p in sorted(range(len(predicted)), key=lambda p: -sureness(predicted[p])):
        candidates = [t for t in range(len(truth)) if free[t] and iou_TP[t, p] >= min_iou]
        if candidates:
            best = max(candidates, key=lambda t: float(iou_TP[t, p]))
            free[best] = False
            pairs.append((best, p, float(iou_TP[best, p])))
        elif not any(truth[t].ambiguous and inside_TP[t, p] >= min_iou for t in range(len(truth))):
            spurious.append(p)
    return Match(pairs=pairs, missed=[t for t in range(len(truth)) if free[t]], spurious=spurious)


def _inside(true_T4: NDArray[np.float32], said_P4: NDArray[np.float32]) -> NDArray[np.float32]:
    """(T, P): the share of each predicted box that lies in each true one."""
    low = np.maximum(true_T4[:, None, :2], said_P4[None, :, :2])
    high = np.minimum(true_T4[:, None, 2:], said_P4[None, :, 2:])
    area_P = (said_P4[:, 2:] - said_P4[:, :2]).prod(axis=1)
    share_TP: NDArray[np.float32] = (high - low).clip(min=0).prod(axis=2) / np.maximum(area_P, 1e-12)
    return share_TP
