"""A process that hangs ends by itself; one that gets on, or is done, does not. Each is a process of its own."""

import subprocess
import sys

BEGIN = """
import logging, time
from cluster.watchdog import ended_when_stuck
logging.basicConfig()
with ended_when_stuck("counting sheep", 0.5) as got_on:
"""


def test_work_that_hangs_ends_its_process_and_says_so() -> None:
    ended = subprocess.run([sys.executable, "-c", BEGIN + "    time.sleep(600)"], capture_output=True, text=True, check=False)
    assert (ended.returncode, "counting sheep has not got on" in ended.stderr) == (70, True), ended.stderr


def test_work_that_gets_on_is_left_alone_and_so_is_what_comes_after_it() -> None:
    work = "    for _ in range(15):\n        time.sleep(0.1)\n        got_on()\ntime.sleep(1)\nprint('done')"
    ended = subprocess.run([sys.executable, "-c", BEGIN + work], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "done\n"), ended.stderr
