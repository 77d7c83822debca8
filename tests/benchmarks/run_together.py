"""A script in as many processes as there are workers, which begin together."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence

__all__ = ["run_together"]


def run_together(script: str, arguments: Sequence[Sequence[str]], cores: Sequence[int] = ()) -> tuple[list[str], float]:
    """What each says in the end, and the wall seconds since all of them were told to go.

    Each prints 'warm' when it is ready, and waits for a line then. One thread each; cores: to be kept to, one each.
    """
    processes = [
        subprocess.Popen(
            [sys.executable, script, *its],
            env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for its in arguments
    ]
    for core, process in zip(cores, processes):
        os.sched_setaffinity(process.pid, {core})
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "warm\n"
    began = time.monotonic()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate()[0] for process in processes]
    took_s = time.monotonic() - began
    assert not any(process.returncode for process in processes)
    return said, took_s
