"""The gate: may a new generation replace the live one? Judged on audit frames, by one score that is the same for every task.

The score is the share of objects that need no correction: confirm / (confirm + draw + delete + adjust), over all audit
frames together. So it weighs objects and not classes, and a false positive on an empty frame counts against it. Where no
audit frame shows anything, frames that need no correction are counted instead.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import hypot
from typing import Any, Literal, NamedTuple

from training.data.annotations import FrameLabels
from training.errors import WrongShape
from training.loop.domain_check import interval
from training.models.actions import Actions
from training.models.tasks import Task

__all__ = ["ENOUGH_OBJECTS", "MARGIN", "Verdict", "judge_generation"]

MARGIN = 0.02  # how much worse a generation may be and still replace the live one
ENOUGH_OBJECTS = 50  # 1 / MARGIN: with fewer, one object alone is more than the margin, and only clear cases are decided
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the gate says of one generation.

    status: provisional, the first one; better-or-equal or worse, by the audits; unproven, too few to tell, so it goes live.
    live_score, new_score: 0..1; None where nothing was live, or there are no audit frames.
    interval: where the new score minus the live one lies with 95 % confidence; None without two scores.
    num_objects: true objects on the audit frames.
    """

    promote: bool
    status: Literal["provisional", "better-or-equal", "unproven", "worse"]
    reason: str
    live_score: float | None = None
    new_score: float | None = None
    interval: tuple[float, float] | None = None
    num_objects: int = 0

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "interval": None if self.interval is None else list(self.interval)}


def judge_generation(
    task: Task,
    truth: Sequence[FrameLabels],
    live: Sequence[FrameLabels] | None,
    new: Sequence[FrameLabels],
    sizes_hw: Sequence[tuple[int, int]],
) -> Verdict:
    """Compare what two generations say about the audit frames gathered so far.

    A generation that is not worse by more than MARGIN replaces the live one. With fewer than ENOUGH_OBJECTS it does so too,
    unproven, unless the whole interval is on one side of -MARGIN.

    The interval is Newcombe's for a difference of two shares (Statistics in Medicine 17, 1998, method 10), made of Wilson's
    (1927). It takes objects for independent and does not know that both generations saw the same ones: it is too narrow
    where objects fail together, too wide where both generations fail on the same.

    Args:
        truth: every audit frame, completely labelled.
        live, new: the same frames in the same order; live is None when nothing is.
        sizes_hw: height and width of each frame, pixels.
    Raises:
        WrongShape: the frames are not the same.
    """
    for answers in (new,) if live is None else (live, new):
        _check_same(truth, answers)
    mine = [task.actions(*each) for each in zip(truth, new, sizes_hw, strict=True)]
    num_objects = sum(one.draw + one.adjust + one.confirm for one in mine)
    tally = _labels if num_objects else _frames
    if live is None:
        reason = f"first generation, {tally(mine)} on {len(truth)} audit frames" if truth else "first generation, no audit frames"
        score = tally(mine).score if truth else None
        return Verdict(promote=True, status="provisional", reason=reason, new_score=score, num_objects=num_objects)
    if not truth:
        return Verdict(promote=True, status="unproven", reason="no audit frames")
    theirs = [task.actions(*each) for each in zip(truth, live, sizes_hw, strict=True)]
    return _compared(tally(theirs), tally(mine), num_objects, len(truth))


class _Tally(NamedTuple):
    """How many of `all` were right; all is at least 1."""

    right: int
    all: int
    what: str

    @property
    def score(self) -> float:
        return self.right / self.all

    def __str__(self) -> str:
        return f"{self.right} of {self.all} {self.what} right"


def _compared(theirs: _Tally, mine: _Tally, num_objects: int, num_frames: int) -> Verdict:
    low, high = _difference(theirs, mine)
    not_worse = mine.score - theirs.score >= -MARGIN - _ROUNDING
    clear = num_objects >= ENOUGH_OBJECTS or high < -MARGIN or low >= -MARGIN
    said = f"{mine} against {theirs} of the live one on {num_frames} audit frames, difference {low:+.2f} to {high:+.2f} (95 %)"
    return Verdict(
        promote=not_worse or not clear,
        status="unproven" if not clear else "better-or-equal" if not_worse else "worse",
        reason=said if clear else f"too few to tell: {said}",
        live_score=theirs.score,
        new_score=mine.score,
        interval=(low, high),
        num_objects=num_objects,
    )


def _difference(theirs: _Tally, mine: _Tally) -> tuple[float, float]:
    """Where my score minus theirs lies with 95 % confidence."""
    p, q = mine.score, theirs.score
    (p_low, p_high), (q_low, q_high) = interval(mine.right, mine.all), interval(theirs.right, theirs.all)
    return p - q - hypot(p - p_low, q_high - q), p - q + hypot(p_high - p, q - q_low)


def _labels(actions: Sequence[Actions]) -> _Tally:
    right, due = sum(one.confirm for one in actions), sum(one.due for one in actions)
    return _Tally(right, right + due, "labels")


def _frames(actions: Sequence[Actions]) -> _Tally:
    return _Tally(sum(not one.due for one in actions), len(actions), "empty frames")


def _check_same(truth: Sequence[FrameLabels], said: Sequence[FrameLabels]) -> None:
    needed, found = ([frame.frame_index for frame in frames] for frames in (truth, said))
    if found != needed:
        raise WrongShape(f"answers about frames {found}, needed those of the audit frames {needed}")
