"""What is known about clips whose process died."""

from cluster.attempts import Attempt, Attempts
from training.learning.labelling import ClipReceipt

RECEIPT = ClipReceipt(shard_id="a", ontology="o", generation=1, start=0, stop=4, num_frames=4)


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
