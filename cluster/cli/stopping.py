"""SIGTERM, which `ray job stop` and Kubernetes send, ends a verb in order, as Ctrl-C does."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Terminated", "stopped_by_sigterm"]


class Terminated(KeyboardInterrupt):
    """SIGTERM came."""


@contextmanager
def stopped_by_sigterm() -> Iterator[None]:
    """Leave the block with Terminated when SIGTERM comes; does nothing outside the main thread, which alone gets signals.

    Inside the block it is a plain KeyboardInterrupt: Ray's waits swallow every exception of a signal handler but that one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came = threading.Event()

    def stop(signum: int, frame: FrameType | None) -> None:
        came.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt as error:
        if came.is_set():
            raise Terminated from error
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
