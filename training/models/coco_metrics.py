"""COCO's average precision and object keypoint similarity (OKS), by faster-coco-eval.

As in COCO's own evaluation, ambiguous truths are crowds: nobody's miss, and what is found on them no false alarm; so are
objects without a labelled point where points are judged. Unlike there, all objects of a frame count, not the surest 100
(or 20 with keypoints). Labels without a score, a person's and interpolation's, count as 1.
"""

import logging
from collections.abc import Sequence
from itertools import count
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from numpy.typing import NDArray

from training.data.annotations import Annotation, FrameLabels
from training.models.matching import match_boxes, sureness

__all__ = ["measure_boxes", "measure_points", "point_sigmas"]

FOUND_IOU = 0.5
COCO_SIGMAS = {  # how far people's points of a person scatter, in shares of the object's scale (Ronchi & Perona, 2017)
    "nose": 0.026,
    "left_eye": 0.025,
    "right_eye": 0.025,
    "left_ear": 0.035,
    "right_ear": 0.035,
    "left_shoulder": 0.079,
    "right_shoulder": 0.079,
    "left_elbow": 0.072,
    "right_elbow": 0.072,
    "left_wrist": 0.062,
    "right_wrist": 0.062,
    "left_hip": 0.107,
    "right_hip": 0.107,
    "left_knee": 0.087,
    "right_knee": 0.087,
    "left_ankle": 0.089,
    "right_ankle": 0.089,
}
OTHER_SIGMA = 0.025  # of all other points: the strictest of COCO's, as SLEAP has it (Pereira et al., 2022)

_log = logging.getLogger(__name__)
_Frames = Sequence[Sequence[Annotation]]


def measure_boxes(truth: Sequence[FrameLabels], predicted: Sequence[FrameLabels]) -> dict[str, float]:
    """ap: average precision, mean over IoU 0.5, 0.55, … 0.95 and the classes in the truth. ap50: at IoU 0.5.

    Where there is nothing to find, both are 1, or 0 if something was found all the same.
    """
    ap_T = _average_precision(_annotations(truth), _annotations(predicted))
    return {"ap": float(ap_T.mean()), "ap50": float(ap_T[0])}


def measure_points(truth: Sequence[FrameLabels], predicted: Sequence[FrameLabels], names: Sequence[str]) -> dict[str, float]:
    """oks: mean similarity of the objects whose box was found, 0 if there is none. ap_oks: as ap, by OKS instead of IoU.

    The scale of an object is the root of 0.53 of its box's area, for want of a mask (as in CrowdPose; Li et al., 2019).
    names: of the points, in order; see point_sigmas.
    """
    true, said = _annotations(truth), _annotations(predicted)
    sigmas = point_sigmas(names)
    similarities = [float(oks_DG[0, 0]) for oks_DG in _similarities(*_found(true, said), sigmas)]
    return {
        "oks": float(np.mean(similarities)) if similarities else 0.0,
        "ap_oks": float(_average_precision(true, said, sigmas).mean()),
    }


def point_sigmas(names: Sequence[str]) -> list[float]:
    """How far a point may be off, in shares of its object's scale: COCO's own for COCO's 17 names, one for all others."""
    if set(names) == COCO_SIGMAS.keys():
        return [COCO_SIGMAS[name] for name in names]
    return [OTHER_SIGMA] * len(names)


def _annotations(labels: Sequence[FrameLabels]) -> _Frames:
    return [frame.annotations for frame in labels]


def _found(truth: _Frames, predicted: _Frames) -> tuple[_Frames, _Frames]:
    """Each object with labelled points and the box it was found in, as if every pair had a frame of its own."""
    pairs = [
        (true[t], said[p])
        for true, said in zip(truth, predicted, strict=True)
        for t, p, _ in match_boxes(true, said, min_iou=FOUND_IOU).pairs
        if _num_points(true[t])
    ]
    return [[true] for true, _ in pairs], [[said] for _, said in pairs]


def _similarities(truth: _Frames, predicted: _Frames, sigmas: Sequence[float]) -> list[NDArray[np.float64]]:
    """(D, G) between what was said and what is true, for every frame and class that has both."""
    if not truth:
        return []
    return [oks_DG for oks_DG in _evaluate(truth, predicted, sigmas).ious.values() if len(oks_DG)]


def _average_precision(truth: _Frames, predicted: _Frames, sigmas: Sequence[float] = ()) -> NDArray[np.float64]:
    """(10,) at IoU, or with sigmas OKS, of 0.5, 0.55, … 0.95: mean over 101 recalls and the classes there are."""
    if all(a.ambiguous or (sigmas and not _num_points(a)) for frame in truth for a in frame):
        matches = (match_boxes(true, said, min_iou=FOUND_IOU) for true, said in zip(truth, predicted, strict=True))
        return np.full(10, float(not any(match.spurious for match in matches)))
    precision_TRK = _evaluate(truth, predicted, sigmas).eval["precision"][..., 0, 0]
    known_K = precision_TRK[0, 0] > -1  # -1: a class of which there is nothing to find
    return np.asarray(precision_TRK[..., known_K].mean(axis=(1, 2)), np.float64)


def _evaluate(truth: _Frames, predicted: _Frames, sigmas: Sequence[float]) -> COCOeval_faster:
    names = sorted({annotation.class_name for frame in (*truth, *predicted) for annotation in frame})
    said, true = (_dataset(frames, names, len(sigmas)) for frames in (predicted, truth))
    kind = "keypoints" if sigmas else "bbox"
    evaluation = COCOeval_faster(true, said, kind, print_function=_log.debug, kpt_oks_sigmas=sigmas or None, use_area=False)
    everything = evaluation.params
    everything.areaRng, everything.areaRngLbl = [[0, np.inf]], ["all"]
    everything.maxDets = [max(1, *(len(frame) for frame in predicted))]
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation


def _dataset(frames: _Frames, names: Sequence[str], num_points: int) -> COCO:
    numbers = count(1)  # 0 would mean unmatched
    rows = [
        {**_row(annotation, num_points), "id": next(numbers), "image_id": n, "category_id": names.index(annotation.class_name)}
        for n, frame in enumerate(frames)
        for annotation in frame
    ]
    categories = [{"id": k, "name": name} for k, name in enumerate(names)]
    images = [{"id": n} for n in range(len(frames))]
    return COCO({"images": images, "categories": categories, "annotations": rows}, print_function=_log.debug)


def _row(annotation: Annotation, num_points: int) -> dict[str, Any]:
    assert annotation.bbox_xyxy is not None
    x1, y1, x2, y2 = annotation.bbox_xyxy
    box = {
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": (x2 - x1) * (y2 - y1),
        "score": sureness(annotation),
        "iscrowd": int(annotation.ambiguous),
    }
    if not num_points:
        return box
    nowhere = (np.inf, np.inf, 0.0) * num_points
    return {**box, "keypoints": list(annotation.keypoints_xyv or nowhere), "num_keypoints": _num_points(annotation)}


def _num_points(annotation: Annotation) -> int:
    """How many points a person placed."""
    return sum(v > 0 for v in (annotation.keypoints_xyv or ())[2::3])
