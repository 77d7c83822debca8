"""What two generations of one micro-model did with the requests for it, in sums that add up over services."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import ceil, exp, log
from typing import Any

from training.data.annotations import FrameLabels
from training.models.tasks import Task

__all__ = ["Arm", "Sums", "agreement"]

_STEP = log(1.1)  # seconds are counted in steps of a tenth


@dataclass(slots=True)
class Arm:
    """What one of the two generations did. empty: pictures without an annotation. seconds: requests by logarithmic step."""

    requests: int = 0
    errors: int = 0
    pictures: int = 0
    empty: int = 0
    scores: int = 0
    score_sum: float = 0.0
    seconds: dict[int, int] = field(default_factory=dict)

    def answered(self, labels: Sequence[FrameLabels], seconds: float | None) -> None:
        """One request, and how long it took if that can be compared."""
        said = [one.score for frame in labels for one in frame.annotations if one.score is not None]
        self.requests += 1
        self.pictures += len(labels)
        self.empty += sum(not frame.annotations for frame in labels)
        self.scores += len(said)
        self.score_sum += sum(said)
        if seconds is not None:
            step = ceil(log(max(seconds, 1e-6)) / _STEP)
            self.seconds[step] = self.seconds.get(step, 0) + 1

    def failed(self) -> None:
        self.requests += 1
        self.errors += 1

    def add(self, other: "Arm") -> None:
        for name in ("requests", "errors", "pictures", "empty", "scores", "score_sum"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for step, count in other.seconds.items():
            self.seconds[step] = self.seconds.get(step, 0) + count

    def figures(self) -> dict[str, float | None]:
        """Shares, means and medians; None of what there was none of."""
        return {
            "requests": self.requests,
            "error_share": _share(self.errors, self.requests),
            "empty_share": _share(self.empty, self.pictures),
            "mean_score": _share(self.score_sum, self.scores),
            "median_s": self._median_s(),
        }

    def _median_s(self) -> float | None:
        left = sum(self.seconds.values()) / 2
        for step in sorted(self.seconds):
            left -= self.seconds[step]
            if left <= 0:
                return exp(step * _STEP)
        return None


@dataclass(slots=True)
class Sums:
    """What both did; sums of several services add up. compared, agreed: pictures that both answered, and their agreement."""

    canary: Arm = field(default_factory=Arm)
    live: Arm = field(default_factory=Arm)
    compared: int = 0
    agreed: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def total(cls, reports: Iterable[Mapping[str, Any]]) -> "Sums":
        """Of what `to_json` said."""
        total = cls()
        for report in reports:
            total.canary.add(_arm(report["canary"]))
            total.live.add(_arm(report["live"]))
            total.compared += report["compared"]
            total.agreed += report["agreed"]
        return total

    def figures(self) -> dict[str, Any]:
        """As people read them."""
        agreement = _share(self.agreed, self.compared)
        return {"canary": self.canary.figures(), "live": self.live.figures(), "compared": self.compared, "agreement": agreement}


def agreement(task: Task, live: FrameLabels, canary: FrameLabels, frame_hw: tuple[int, int]) -> float:
    """The share of what two generations say about one frame that a person would not have to change; 1 where both say nothing."""
    actions = task.actions(live, canary, frame_hw)
    said = actions.due + actions.confirm
    return actions.confirm / said if said else 1.0


def _arm(report: Mapping[str, Any]) -> Arm:
    return Arm(**{**report, "seconds": {int(step): count for step, count in report["seconds"].items()}})


def _share(part: float, whole: int) -> float | None:
    return part / whole if whole else None
