"""The ledger under SIGKILL and under many writers: what was acknowledged is there, whole, and once."""

import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from training.store.store import Store

PROGRAM = Path(__file__).parent / "programs" / "record.py"


def start(store: Store, writer: str, batches: int) -> "subprocess.Popen[str]":
    program = [sys.executable, str(PROGRAM), store.url, writer, str(batches)]
    return subprocess.Popen(program, stdout=subprocess.PIPE, text=True)


def acknowledged_before_kill(store: Store, writer: str, rng: random.Random) -> list[int]:
    """Kill a writer at a random moment after its first few acknowledgements; the batches it acknowledged."""
    process = start(store, writer, 0)
    assert process.stdout is not None
    heard = [process.stdout.readline() for _ in range(rng.randrange(1, 30))]
    try:
        process.wait(timeout=rng.random() * 0.01)
    except subprocess.TimeoutExpired:
        process.kill()
    heard.extend(process.stdout.read().splitlines(keepends=True))
    process.wait()
    process.stdout.close()
    return [int(line) for line in heard if line.endswith("\n")]


def recorded(store: Store) -> Counter[tuple[str, int]]:
    """(writer, batch) -> how many of its actions there are, each event counted as often as it is there."""
    events = Counter(action.event_id for action in store.ledger.read())
    assert set(events.values()) <= {1}
    return Counter((writer, int(turn)) for writer, turn, _ in (event.split("-") for event in events))


def kill_and_check(store: Store, rounds: int, seed: int) -> None:
    rng = random.Random(seed)
    acknowledged: set[tuple[str, int]] = set()
    for turn in range(rounds):
        writer = f"killed{turn}"
        acknowledged |= {(writer, batch) for batch in acknowledged_before_kill(store, writer, rng)}
        there = recorded(Store.open(store.url))
        assert acknowledged <= there.keys()
        assert set(there.values()) == {3}  # a batch is whole, also the one that was not acknowledged any more
        assert len(there) <= len(acknowledged) + turn + 1
    after = start(store, "after", 2)
    assert after.communicate()[0] == "0\n1\n"
    assert {("after", 0), ("after", 1)} <= recorded(store).keys()


def test_what_was_acknowledged_outlives_a_kill_at_any_moment(store: Store) -> None:
    kill_and_check(store, rounds=15, seed=4)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_what_was_acknowledged_outlives_many_kills_and_foldings(store: Store, seed: int) -> None:
    kill_and_check(store, rounds=60, seed=seed)
    assert list((Path(store.url) / "ledger/dog/detection.dog").glob("*-*.jsonl"))


def test_writers_at_once_neither_lose_nor_overwrite(store: Store) -> None:
    """Enough for a folding among them: 3 processes, 100 batches each."""
    writers = [start(store, f"writer{number}", 100) for number in range(3)]
    answers = [writer.communicate()[0].splitlines() for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    assert answers == [[str(turn) for turn in range(100)]] * 3
    assert recorded(store) == Counter({(f"writer{number}", turn): 3 for number in range(3) for turn in range(100)})
    assert len(list((Path(store.url) / "ledger/dog/detection.dog").iterdir())) == 1 + 300 - 256
