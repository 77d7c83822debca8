"""How clips are handed out."""

import pytest

from cluster.blocks import blocks


def sizes(frames: list[int], num_workers: int, most: int = 1024) -> list[int]:
    """Frames of each block; that they are all clips, once and in order, is checked by the way."""
    cut = list(blocks(frames, num_workers, most))
    assert [position for block in cut for position in block] == list(range(len(frames)))
    return [sum(frames[position] for position in block) for block in cut]


def test_blocks_are_large_at_first_and_single_clips_at_the_end() -> None:
    assert sizes([64] * 100, 2) == [1024] * 3 + [832, 576, 448, 320, 256, 192, 128, 128, 64, 64, 64, 64, 64, 64, 64]


@pytest.mark.parametrize("num_workers", [1, 3, 16])
def test_no_block_is_more_than_a_workers_share_of_what_is_left(num_workers: int) -> None:
    frames = [10, 700, 64, 64, 3, 64, 2000, 1, 1, 64] * 5
    left = sum(frames)
    for block in blocks(frames, num_workers):
        taken = sum(frames[position] for position in block)
        assert len(block) == 1 or taken <= min(1024, left / (2 * num_workers))
        left -= taken


def test_clips_of_small_shards_share_a_block() -> None:
    assert sizes([5] * 1000, 2)[0] == 1020
    assert len(sizes([5] * 1000, 2)) < 40


def test_no_clips_are_no_blocks() -> None:
    assert sizes([], 2) == []
