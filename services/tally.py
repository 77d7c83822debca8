"""What a request turns out to be: noted by whoever finds out, told to Prometheus by the middleware around it."""

from collections import Counter
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

__all__ = ["TALLY", "Tally", "tally"]


@dataclass(slots=True)
class Tally:
    """Of one request. pictures: that were labelled, by task. phases: name and seconds. abstentions, refusals: by reason."""

    tasks: set[str] = field(default_factory=set)
    pictures: Counter[str] = field(default_factory=Counter)
    phases: list[tuple[str, float]] = field(default_factory=list)
    abstentions: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)

    @property
    def task(self) -> str:
        """The only one that was asked for; 'none', or 'several'."""
        return next(iter(self.tasks)) if len(self.tasks) == 1 else "several" if self.tasks else "none"


TALLY: Final[ContextVar[Tally | None]] = ContextVar("tally", default=None)


def tally() -> Tally:
    """Of the request that is being answered; outside one, of nothing."""
    return TALLY.get() or Tally()
