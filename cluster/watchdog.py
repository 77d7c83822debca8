"""A watchdog: ends this process when the work it holds has come to a standstill."""

import faulthandler
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["STILL_S", "ended_at_a_standstill"]

STILL_S = 900.0
_STILL = 0.001  # of a core, by the thread that does the work
_STILL_TOGETHER = 0.05  # by all threads: those of Ray, which asks a worker twice a second how it is, take up to 0.02
_LAST_WORDS_S = 90.0
_EXIT_CODE = 70  # EX_SOFTWARE of sysexits.h
_log = logging.getLogger(__name__)


@contextmanager
def ended_at_a_standstill(
    what: str, still_s: float = STILL_S, *, last_words: Callable[[], None] = lambda: None
) -> Iterator[Callable[[], None]]:
    """End the process once what is done in the block has used no processor time for one to two times `still_s` seconds.

    So it is where a disk or a device never answers. A thread that waits for one cannot be interrupted, and nothing less than
    the process can be given up; whoever started it takes this for any other death. Calling what is yielded says that it got
    on. What runs in circles, or waits for a device with all its might, is left alone.

    Args:
        what: is being done, for the log.
        last_words: called before the process ends; they have a minute and a half.
    """
    over, moved, clock = threading.Event(), threading.Event(), time.pthread_getcpuclockid(threading.get_ident())

    def watch() -> None:
        here, together = time.clock_gettime(clock), time.process_time()
        while not over.wait(still_s):
            here_before, here = here, time.clock_gettime(clock)
            together_before, together = together, time.process_time()
            idle = here - here_before < _STILL * still_s and together - together_before < _STILL_TOGETHER * still_s
            if idle and not moved.is_set():
                _end(what, still_s, last_words)
            moved.clear()

    threading.Thread(target=watch, name="watchdog", daemon=True).start()
    try:
        yield moved.set
    finally:
        over.set()


def _end(what: str, still_s: float, last_words: Callable[[], None]) -> None:
    with Path(os.devnull).open("w") as nowhere:  # a thread without Python sees to it that this ends, whatever the log waits for
        faulthandler.dump_traceback_later(_LAST_WORDS_S, exit=True, file=nowhere)
        try:
            _told(last_words)
            _log.error("%s is at a standstill seconds=%.0f; this process ends, its threads were here:", what, still_s)
            faulthandler.dump_traceback()
        finally:
            logging.shutdown()
            os._exit(_EXIT_CODE)


def _told(last_words: Callable[[], None]) -> None:
    try:
        last_words()
    except Exception as error:
        _log.error("nobody was told", exc_info=error)
