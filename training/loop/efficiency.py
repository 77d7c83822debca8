"""Label efficiency: how much of the drawing and correcting, and how many seconds, people were spared."""

from dataclasses import dataclass

from training.models.actions import Actions

__all__ = ["BOX_SECONDS", "Seconds", "e_count", "e_time", "human_seconds"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seconds:
    """Seconds of a person per action; docs/efficiency.md has the sources.

    look: at one frame with its proposals, whatever is on it.
    """

    draw: float
    adjust: float
    delete: float
    look: float


# Drawing: 7 s a box by extreme clicking (Papadopoulos et al., 2017); an inexact box is drawn again. Looking: 1.7 s, the
# order of verifying one box (Papadopoulos et al., 2016); a deletion is taken to cost one more such look.
BOX_SECONDS = Seconds(draw=7.0, adjust=7.0, delete=1.7, look=1.7)


def e_count(*, drawn: int, corrected: Actions, due: Actions, objects: int) -> float:
    """1 - (objects drawn by hand + corrections made + corrections still due) / all objects.

    drawn: on labelled and audit frames, in full. corrected: on reviewed frames. due: on the frames nobody touched.
    """
    return 1.0 - (drawn + corrected.due + due.due) / objects if objects else 0.0


def human_seconds(actions: Actions, *, looks: int, seconds: Seconds = BOX_SECONDS) -> float:
    """What actions cost, with `looks` frames looked at."""
    return actions.draw * seconds.draw + actions.adjust * seconds.adjust + actions.delete * seconds.delete + looks * seconds.look


def e_time(*, spent_seconds: float, objects: int, seconds: Seconds = BOX_SECONDS) -> float:
    """1 - seconds spent / seconds to draw every object by hand."""
    return 1.0 - spent_seconds / (objects * seconds.draw) if objects else 0.0
