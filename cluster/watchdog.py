"""A watchdog timer: ends this process once its work has shown no sign of getting on for so long that it hangs."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["STUCK_S", "ended_when_stuck"]

STUCK_S = 1800.0  # a read that never answers, a device that is gone; the slowest recipe gets on many times in that
_EXIT_CODE = 70  # EX_SOFTWARE of sysexits.h
_log = logging.getLogger(__name__)


@contextmanager
def ended_when_stuck(
    what: str, stuck_s: float = STUCK_S, *, last_words: Callable[[], None] = lambda: None
) -> Iterator[Callable[[], None]]:
    """What is yielded is called whenever the work gets on; `stuck_s` seconds without a call end the process.

    A thread that waits for a device or a disk cannot be interrupted, so nothing less than the process can be given up. Whoever
    started it takes this for any other death.

    Args:
        what: is being done, for the log.
        last_words: called before the process ends, whatever it raises.
    """
    over, last = threading.Event(), [time.monotonic()]

    def got_on() -> None:
        last[0] = time.monotonic()

    def watch() -> None:
        while not over.wait(max(0.01, last[0] + stuck_s - time.monotonic())):
            if time.monotonic() >= last[0] + stuck_s:
                _log.error("ending this process: %s has not got on seconds=%.0f", what, stuck_s)
                try:
                    last_words()
                finally:
                    logging.shutdown()
                    os._exit(_EXIT_CODE)

    threading.Thread(target=watch, name="watchdog", daemon=True).start()
    try:
        yield got_on
    finally:
        over.set()
