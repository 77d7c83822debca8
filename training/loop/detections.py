"""What a torchvision detector returned for one frame, as annotations in an ontology's words."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from training.data import rle
from training.data.annotations import Annotation
from training.data.ontology import TaskName
from training.loop.vocabulary import Vocabulary
from training.models.overlap import nms

__all__ = ["said_by"]

SAME_OBJECT_IOU = 0.5  # two categories that mean one class may both have found it
INSIDE = 0.5  # probability from which a pixel belongs to a mask


def said_by(
    seen: Mapping[str, Tensor], vocabulary: Vocabulary, *, task: TaskName, author: str, generation: int
) -> tuple[Annotation, ...]:
    """Annotations with provenance 'model'.

    Args:
        seen: boxes (M, 4) xyxy in frame pixels, labels (M,), scores (M,), and for their tasks masks (M, 1, H, W)
            in 0..1 and keypoints (M, P, 3) x, y, visibility.
    """
    names = [vocabulary.classes.get(label) for label in seen["labels"].tolist()]
    known = torch.tensor([index for index, name in enumerate(names) if name is not None], dtype=torch.int64)
    x1, y1, x2, y2 = seen["boxes"].cpu()[known].unbind(1)
    known = known[(x2 > x1) & (y2 > y1)]
    classes = sorted(set(vocabulary.classes.values()))
    means = torch.tensor([classes.index(str(names[index])) for index in known.tolist()], dtype=torch.int64)
    keep = known[nms(seen["boxes"].cpu()[known], seen["scores"].cpu()[known], means, SAME_OBJECT_IOU)].tolist()
    said: dict[str, Any] = {"provenance": "model", "author": author, "generation": generation}
    found = []
    for index in keep:
        score, (left, top, right, bottom) = min(1.0, float(seen["scores"][index])), seen["boxes"][index].tolist()
        points = _points(seen["keypoints"][index], vocabulary) if task == "keypoints" else None
        found.append(
            Annotation(
                class_name=str(names[index]), bbox_xyxy=(left, top, right, bottom), keypoints_xyv=points, score=score, **said
            )
        )
    return _class_masks(found, seen["masks"][keep, 0].cpu()) if task == "segmentation" else tuple(found)


def _points(points_P3: Tensor, vocabulary: Vocabulary) -> tuple[float, ...]:
    """The ontology's keypoints; v is 0 for one that the detector does not know."""
    placed = points_P3.tolist()
    return tuple(value for p in vocabulary.keypoints for value in ((0.0, 0.0, 0.0) if p is None else (*placed[p][:2], 2.0)))


def _class_masks(found: Sequence[Annotation], masks_MHW: Tensor) -> tuple[Annotation, ...]:
    """One mask per class, the union of its objects'; its score is their mean."""
    made = []
    for name in dict.fromkeys(annotation.class_name for annotation in found):
        mine = [index for index, annotation in enumerate(found) if annotation.class_name == name]
        mask_HW = (masks_MHW[mine] >= INSIDE).any(0).numpy()
        counts = rle.encode(mask_HW)
        score = sum(found[index].score or 0.0 for index in mine) / len(mine)
        if box := rle.mask_box(counts, *mask_HW.shape):
            made.append(replace(found[mine[0]], bbox_xyxy=box, rle_counts=counts, score=score))
    return tuple(made)
