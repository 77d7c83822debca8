"""Are somebody else's detections any use here? They are compared with the few labels that people made."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from math import sqrt
from typing import Any, Literal

from training.data import rle
from training.data.annotations import FrameLabels
from training.models.mask_metrics import overlap
from training.models.matching import match_boxes

__all__ = ["DomainCheck", "compare", "interval"]

Verdict = Literal["usable", "not usable", "too few labels to tell"]

ENOUGH = 0.5  # usable: at least half of the objects need no correction, and at least half of what is said is true
CONFIDENCE_Z = 1.96  # 95 %
FOUND_IOU, TIGHT_IOU = 0.5, 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainCheck:
    """Counts over labelled frames: objects there, detections said, objects found at IoU 0.5 and tightly at 0.7."""

    frames: int = 0
    objects: int = 0
    said: int = 0
    found: int = 0
    tight: int = 0

    def __add__(self, other: "DomainCheck") -> "DomainCheck":
        mine, yours = asdict(self), asdict(other)
        return DomainCheck(**{name: mine[name] + yours[name] for name in mine})

    @property
    def verdict(self) -> Verdict:
        bounds = [interval(self.tight, self.objects), interval(self.found, self.said)]
        if all(low >= ENOUGH for low, _ in bounds):
            return "usable"
        return "not usable" if any(high < ENOUGH for _, high in bounds) else "too few labels to tell"

    def to_json(self) -> dict[str, Any]:
        """Counts, verdict, and precision, recall and tight recall (null where nothing was said or there) with intervals."""
        shares = {
            "precision": (self.found, self.said),
            "recall": (self.found, self.objects),
            "tight_recall": (self.tight, self.objects),
        }
        document: dict[str, Any] = {**asdict(self), "verdict": self.verdict}
        for name, (part, whole) in shares.items():
            document[name] = part / whole if whole else None
            document[f"{name}_95"] = list(interval(part, whole))
        return document


def interval(part: float, whole: int) -> tuple[float, float]:
    """Where the true share lies with 95 % confidence (Wilson, 1927); 0 to 1 when nothing was counted.

    part: a count, or a sum of numbers from 0 to 1, whose mean scatters less than that of as many yes or no.
    """
    if not whole:
        return 0.0, 1.0
    share, z2 = part / whole, CONFIDENCE_Z**2
    middle = (share + z2 / (2 * whole)) / (1 + z2 / whole)
    reach = CONFIDENCE_Z * sqrt(share * (1 - share) / whole + z2 / (4 * whole**2)) / (1 + z2 / whole)
    return max(0.0, middle - reach), min(1.0, middle + reach)


def compare(truth: Sequence[FrameLabels], said: Sequence[FrameLabels], *, masks: bool, frame_hw: tuple[int, int]) -> DomainCheck:
    """Count over the same frames. masks: of one class and frame they are one object; else objects are boxes."""
    each = (_masks(t, s, frame_hw) if masks else _boxes(t, s) for t, s in zip(truth, said, strict=True))
    return reduce(lambda a, b: a + b, each, DomainCheck())


def _boxes(truth: FrameLabels, said: FrameLabels) -> DomainCheck:
    found = match_boxes(truth.annotations, said.annotations, min_iou=FOUND_IOU)
    tight = match_boxes(truth.annotations, said.annotations, min_iou=TIGHT_IOU)
    return DomainCheck(
        frames=1,
        objects=len(found.pairs) + len(found.missed),
        said=len(found.pairs) + len(found.spurious),
        found=len(found.pairs),
        tight=len(tight.pairs),
    )


def _masks(truth: FrameLabels, said: FrameLabels, frame_hw: tuple[int, int]) -> DomainCheck:
    there, seen = ({a.class_name for a in frame.annotations} for frame in (truth, said))
    ious = [overlap(_mask(truth, name, frame_hw), _mask(said, name, frame_hw)) for name in there & seen]
    found, tight = (sum(iou >= least for iou in ious) for least in (FOUND_IOU, TIGHT_IOU))
    return DomainCheck(frames=1, objects=len(there), said=len(seen), found=found, tight=tight)


def _mask(frame: FrameLabels, name: str, frame_hw: tuple[int, int]) -> Any:
    counts = [a.rle_counts for a in frame.annotations if a.class_name == name and a.rle_counts is not None]
    return reduce(lambda a, b: a | b, (rle.decode(one, *frame_hw) for one in counts))
