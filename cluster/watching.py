"""Looks at a fleet while it runs: says how far it is, and when it waits for nobody's work any more."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ray

from cluster.coordinator import FleetState
from cluster.metrics import FitMetrics
from cluster.progress import Progress

__all__ = ["watched"]

_POLL_S = 0.5
_PATIENCE_S = 20.0


@contextmanager
def watched(coordinator: Any, progress: Progress | None, stop: Callable[[], None]) -> Iterator[None]:
    """Show where the fleet stands for as long as the block lasts, and once more at its end.

    Args:
        stop: called when every job has been over for a while and the block still lasts.
    """
    left, metrics = threading.Event(), FitMetrics()

    def show() -> bool:
        state: FleetState = ray.get(coordinator.state.remote())
        metrics.show(state)
        if progress is not None:
            progress.update(state.finished, failed=state.failed, note="" if state.workers else "starting workers")
        return state.finished == state.total

    def watch() -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while not left.wait(_POLL_S):
            if not show():
                deadline = time.monotonic() + _PATIENCE_S
            elif time.monotonic() > deadline:
                return stop()
        return None

    watcher = threading.Thread(target=watch, name="progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        left.set()
        watcher.join()
    show()
