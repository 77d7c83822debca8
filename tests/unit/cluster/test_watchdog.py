"""A process that hangs ends by itself; one that works, or is done, does not. Each is a process of its own."""

import subprocess
import sys

BEGIN = """
import logging, sys, time
from cluster.watchdog import ended_at_a_standstill
logging.basicConfig()
def last_words():
    print("told", flush=True)
    if "dumb" in sys.argv:
        raise ConnectionError("nobody listens")
with ended_at_a_standstill("counting sheep", 2.0, last_words=last_words) as moved:
"""


def run(work: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", BEGIN + work, *words], capture_output=True, text=True, check=False, timeout=120)


def test_work_that_hangs_ends_its_process_and_says_where_it_was() -> None:
    ended = run("    import threading; threading.Event().wait()")
    assert (ended.returncode, ended.stdout) == (70, "told\n"), ended.stderr
    assert "counting sheep is at a standstill" in ended.stderr
    assert 'threading.py", line' in ended.stderr


def test_it_ends_too_when_nobody_can_be_told() -> None:
    ended = run("    time.sleep(600)", "dumb")
    assert (ended.returncode, "nobody listens" in ended.stderr) == (70, True), ended.stderr


def test_work_that_goes_on_in_another_thread_is_left_alone() -> None:
    ended = run("""
    import threading
    def count():
        while True: sum(range(99))
    threading.Thread(target=count, daemon=True).start()
    time.sleep(7)""")
    assert ended.returncode == 0, ended.stderr


def test_work_that_goes_on_is_left_alone_and_so_is_what_comes_after_it() -> None:
    ended = run(
        "    until = time.monotonic() + 5\n    while time.monotonic() < until: sum(range(99))\ntime.sleep(5)\nprint('done')"
    )
    assert (ended.returncode, ended.stdout) == (0, "done\n"), ended.stderr


def test_work_that_says_that_it_got_on_is_left_alone() -> None:
    ended = run("    for _ in range(8):\n        time.sleep(1)\n        moved()")
    assert ended.returncode == 0, ended.stderr
