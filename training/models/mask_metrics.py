"""How right masks are: region similarity J, boundary accuracy F (Perazzi et al., DAVIS, 2016), and mean IoU.

A class map is (H, W) int64: 0 background, k + 1 class k, `ignore` for pixels that are not judged.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

__all__ = ["boundary_f", "measure_masks", "overlap"]

BOUNDARY_SHARE = 0.008  # of the diagonal: how far apart two boundaries may lie and still agree


def measure_masks(
    pairs: Iterable[tuple[NDArray[np.int64], NDArray[np.int64]]], *, num_classes: int, ignore: int
) -> dict[str, float]:
    """Judge (true, said) class maps of the same frames.

    j, f: mean over all (frame, class) that either map has; a class that only one of them has counts 0.
    miou: intersection over union of each class, pixels of all frames together, averaged over classes in the truth.
    """
    j: list[float] = []
    f: list[float] = []
    confusion = np.zeros((num_classes + 1, num_classes + 1), np.int64)
    for true, said in pairs:
        judged = true != ignore
        flat = true[judged] * (num_classes + 1) + said[judged]
        confusion += np.bincount(flat, minlength=confusion.size).reshape(confusion.shape)
        for value in range(1, num_classes + 1):
            there, found = true == value, (said == value) & judged
            if there.any() or found.any():
                j.append(overlap(there, found))
                f.append(boundary_f(there, found))
    right, there_K, said_K = np.diag(confusion)[1:], confusion.sum(1)[1:], confusion.sum(0)[1:]
    known = there_K > 0
    ious = right[known] / np.maximum(there_K + said_K - right, 1)[known]
    return {
        "j": float(np.mean(j)) if j else 1.0,
        "f": float(np.mean(f)) if f else 1.0,
        "miou": float(np.mean(ious)) if known.any() else 1.0,
    }


def overlap(a_HW: NDArray[np.bool_], b_HW: NDArray[np.bool_]) -> float:
    """Intersection over union; 1 if both are empty."""
    union = int((a_HW | b_HW).sum())
    return int((a_HW & b_HW).sum()) / union if union else 1.0


def boundary_f(true_HW: NDArray[np.bool_], said_HW: NDArray[np.bool_]) -> float:
    """Harmonic mean of the shares of either boundary that lie within 0.8 % of the diagonal of the other."""
    true, said = _boundary(true_HW), _boundary(said_HW)
    if not true.any() or not said.any():
        return float(true.any() == said.any())
    reach = np.ceil(BOUNDARY_SHARE * np.hypot(*true.shape))
    window = _window(true | said, int(reach) + 1)
    true, said = true[window], said[window]
    precision = float((distance_transform_edt(~true)[said] <= reach).mean())
    recall = float((distance_transform_edt(~said)[true] <= reach).mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _boundary(mask_HW: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels that differ from the one to the right, below, or right below."""
    padded = np.pad(mask_HW, ((0, 1), (0, 1)), mode="edge")
    here = padded[:-1, :-1]
    return (here ^ padded[:-1, 1:]) | (here ^ padded[1:, :-1]) | (here ^ padded[1:, 1:])


def _window(mask_HW: NDArray[np.bool_], margin: int) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask_HW.any(1)), np.flatnonzero(mask_HW.any(0))
    return (
        slice(max(0, rows[0] - margin), rows[-1] + margin + 1),
        slice(max(0, columns[0] - margin), columns[-1] + margin + 1),
    )
