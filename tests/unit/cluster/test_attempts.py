"""What is known about clips whose process died."""

import subprocess
import sys

from cluster.attempts import Attempt, Attempts

RECEIPT = {"shard_id": "a", "start": 0, "stop": 4, "num_frames": 4}


def test_only_clips_that_were_begun_and_not_over_are_blamed_for_a_death() -> None:
    attempts = Attempts()
    for name in ("over", "begun", "begun"):
        attempts.begin(name)
    attempts.end("over", RECEIPT)
    assert attempts.known(["over", "begun", "waiting"]) == [Attempt(receipt=RECEIPT), Attempt(deaths=2), Attempt()]


def test_receipts_that_have_arrived_are_not_kept() -> None:
    attempts = Attempts()
    attempts.begin("a")
    attempts.end("a", RECEIPT)
    attempts.forget(["a", "never heard of"])
    assert attempts.known(["a"]) == [Attempt()]


def test_its_process_does_without_torch() -> None:
    program = "import sys, cluster.attempts; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_shards_that_are_given_up_are_known_with_the_reason() -> None:
    attempts = Attempts()
    assert attempts.given_up() == {}
    attempts.give_up("cam0", "at a standstill")
    assert attempts.given_up() == {"cam0": "at a standstill"}
