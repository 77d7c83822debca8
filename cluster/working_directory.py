"""The working directory of a submitted job, which Ray can replace while the job runs."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["kept_here"]

_LOOK_S = 0.1


@contextmanager
def kept_here() -> Iterator[None]:
    """Enter the working directory again, inside the block, whenever it has been removed and made anew.

    Ray unpacks a job's directory once on each of its nodes. Those of one machine unpack it into the same place, and each
    removes what the one before had unpacked, also from under a driver that runs there: whatever asks where it is fails then,
    as torch does when it is imported.
    """
    here, over = Path.cwd(), threading.Event()

    def look() -> None:
        while not over.wait(_LOOK_S):
            with suppress(OSError):  # removed, and not there again yet
                if not here.samefile(os.curdir):
                    os.chdir(here)

    threading.Thread(target=look, name="working-directory", daemon=True).start()
    try:
        yield
    finally:
        over.set()
