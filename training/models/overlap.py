"""How far boxes overlap, by torchvision.

It is imported where it is called, here and wherever else it is needed: with it comes torch's compiler, which takes seconds, and
many a process only plans, counts or waits.
"""

from torch import Tensor

__all__ = ["box_iou", "nms"]


def box_iou(first_A4: Tensor, second_B4: Tensor) -> Tensor:
    """(A, B): intersection over union of boxes xyxy."""
    from torchvision.ops import box_iou as of_torchvision

    iou_AB: Tensor = of_torchvision(first_A4, second_B4)
    return iou_AB


def nms(boxes_M4: Tensor, scores_M: Tensor, classes_M: Tensor, most_iou: float) -> Tensor:
    """Indices of the boxes (xyxy) that stay, best first: none overlaps a better one of its class by more than `most_iou`."""
    from torchvision.ops import batched_nms

    keep: Tensor = batched_nms(boxes_M4, scores_M, classes_M, most_iou)
    return keep
