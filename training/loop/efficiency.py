"""Label efficiency: how much of the drawing and correcting, and how many seconds, people were spared."""

from training.models.actions import Actions, Seconds

__all__ = ["e_count", "e_time", "human_seconds"]


def e_count(*, drawn: int, corrected: Actions, due: Actions, objects: int) -> float:
    """1 - (objects drawn by hand + corrections made + corrections still due) / all objects.

    drawn: on labelled and audit frames, in full. corrected: on reviewed frames. due: on the frames nobody touched.
    """
    return 1.0 - (drawn + corrected.due + due.due) / objects if objects else 0.0


def human_seconds(actions: Actions, *, looks: int, seconds: Seconds) -> float:
    """What actions cost, with `looks` frames looked at."""
    return actions.draw * seconds.draw + actions.adjust * seconds.adjust + actions.delete * seconds.delete + looks * seconds.look


def e_time(*, spent_seconds: float, objects: int, seconds: Seconds) -> float:
    """1 - seconds spent / seconds to draw every object by hand."""
    return 1.0 - spent_seconds / (objects * seconds.draw) if objects else 0.0
