"""Frames between threads: never more than there is room for, and never a wait that nobody can end."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from training.data.frames import Frame
from training.learning.frame_buffer import BufferClosed, FrameBuffer, num_bytes

ROW = 30  # bytes: ten pixels


def frame(index: int = 0, rows: int = 1) -> Frame:
    return Frame(shard_id="s", frame_index=index, image_HW3=np.zeros((rows, 10, 3), np.uint8))


def buffer(*, producers: int = 1, rows: int = 10, batch_frames: int = 4, batch_rows: int = 100) -> FrameBuffer[str]:
    return FrameBuffer(producers=producers, max_bytes=rows * ROW, batch_frames=batch_frames, batch_bytes=batch_rows * ROW)


def give(one: FrameBuffer[str], owner: str, *frames: Frame) -> None:
    for each in frames:
        one.reserve(num_bytes(each))
        one.put(owner, each, num_bytes(each))


def taken(batch: Any) -> tuple[list[tuple[str, int]], list[str]]:
    return [(owner, each.frame_index) for owner, each in batch.frames], batch.ended


def test_a_full_batch_comes_at_once_and_the_rest_when_the_producer_has_left() -> None:
    one = buffer(batch_frames=2)
    give(one, "a", frame(0), frame(1))
    one.end("a")
    give(one, "b", frame(5))
    assert taken(one.take()) == ([("a", 0), ("a", 1)], ["a"])
    one.end("b")
    one.leave()
    assert taken(one.take()) == ([("b", 5)], ["b"])
    assert one.take() is None


def test_a_batch_is_full_of_bytes_too() -> None:
    one = buffer(batch_rows=3)
    give(one, "a", frame(0, rows=2), frame(1, rows=2), frame(2, rows=2))
    assert taken(one.take()) == ([("a", 0), ("a", 1)], [])


def test_a_producer_waits_until_what_was_taken_is_given_up() -> None:
    one = buffer(rows=2, batch_frames=2)
    give(one, "a", frame(0), frame(1))

    def produce_another() -> None:
        give(one, "a", frame(2))
        one.leave()

    third = threading.Thread(target=produce_another)
    third.start()
    assert taken(one.take()) == ([("a", 0), ("a", 1)], [])
    assert third.is_alive(), "the frames of the first batch are still held"
    assert taken(one.take()) == ([("a", 2)], [])
    third.join()


def test_a_frame_larger_than_all_room_comes_alone() -> None:
    one = buffer(rows=2)

    def produce() -> None:
        give(one, "a", frame(0), frame(1, rows=50), frame(2))
        one.leave()

    threading.Thread(target=produce).start()
    batches = [taken(batch)[0] for batch in iter(one.take, None)]  # taken() copies: a batch is emptied when the next comes
    assert batches == [[("a", 0)], [("a", 1)], [("a", 2)]]


def test_two_producers_that_both_wait_for_room_do_not_wait_for_ever() -> None:
    one = buffer(producers=2, rows=4, batch_frames=100)

    def produce(owner: str) -> None:
        give(one, owner, *(frame(index, rows=1 + index % 3) for index in range(40)))
        one.leave()

    threads = [threading.Thread(target=produce, args=(owner,)) for owner in "ab"]
    for thread in threads:
        thread.start()
    seen = [pair for batch in iter(one.take, None) for pair in taken(batch)[0]]
    assert {owner: [index for who, index in seen if who == owner] for owner in "ab"} == {"a": [*range(40)], "b": [*range(40)]}


def test_a_reservation_counts_as_what_the_frame_turns_out_to_be() -> None:
    one = buffer(rows=4)
    one.reserve(ROW)
    one.put("a", frame(rows=4), ROW)
    with ThreadPoolExecutor(1) as producer:
        waiting = producer.submit(one.reserve, ROW)
        assert one.take() is not None
        assert not waiting.done()
        one.close()
        with pytest.raises(BufferClosed):
            waiting.result()


def test_a_frame_that_did_not_come_leaves_its_room() -> None:
    one = buffer(rows=1)
    one.reserve(ROW)
    one.unreserve(ROW)
    with ThreadPoolExecutor(1) as producer:
        again = producer.submit(one.reserve, ROW)
        try:
            assert again.result(timeout=10) is None
        finally:
            one.close()


def test_a_closed_buffer_lets_its_producers_go_and_a_broken_one_its_taker() -> None:
    one = buffer()
    one.close()
    with pytest.raises(BufferClosed):
        one.reserve(ROW)
    other = buffer()
    other.leave(OSError("no such disk"))
    with pytest.raises(OSError, match="no such disk"):
        other.take()
