"""Progress on stderr: a bar with the time left on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

__all__ = ["Progress"]


class Progress:
    """How far a verb has come.

    Args:
        what: the verb and its unit, as in 'fit: shards'.
        total: how many units there are.
        every_s: seconds between two plain lines, at least.
    """

    def __init__(
        self,
        what: str,
        total: int,
        *,
        stream: TextIO | None = None,
        every_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.what, self.total = what, total
        self._stream = sys.stderr if stream is None else stream
        self._every_s, self._clock = every_s, clock
        self._started = clock()
        self._printed: tuple[float, str] = (float("-inf"), "")
        self._bar = _bar(self._stream) if self._stream.isatty() else None
        self._task = None if self._bar is None else self._bar.add_task(what, total=total, note="")

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, finished: int, *, failed: int = 0, note: str = "") -> None:
        """Show that `finished` units are over, `failed` of them without success."""
        said = ", ".join(filter(None, [f"{failed} failed" if failed else "", note]))
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=finished, note=said)
        else:
            self._line(finished, said)

    def _line(self, finished: int, said: str) -> None:
        now, text = self._clock(), f"{self.what} {finished}/{self.total}{', ' * bool(said)}{said}"
        due = now - self._printed[0] >= self._every_s or finished == self.total
        if due and text != self._printed[1]:
            self._printed = (now, text)
            self._stream.write(f"{text}, {_times(now - self._started, finished, self.total)}\n")
            self._stream.flush()


def _bar(stream: TextIO) -> Bar:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    return Bar(*columns, TextColumn("{task.fields[note]}"), console=Console(file=stream))


def _times(elapsed_s: float, finished: int, total: int) -> str:
    elapsed = f"{_clock_text(elapsed_s)} elapsed"
    if not 0 < finished < total:
        return elapsed
    return f"{elapsed}, about {_clock_text(elapsed_s * (total - finished) / finished)} left"


def _clock_text(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
