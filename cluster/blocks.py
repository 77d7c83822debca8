"""How the clips of a job are handed out: many at once at first, few at the end, so that no worker waits long for the last one."""

from collections.abc import Iterator, Sequence

__all__ = ["FRAMES_PER_BLOCK", "blocks"]

FRAMES_PER_BLOCK = 1024  # at most: what an actor labels as one stream, and what progress moves by
_SHARES = 2  # of what is left, for each worker


def blocks(frames: Sequence[int], num_workers: int, most: int = FRAMES_PER_BLOCK) -> Iterator[range]:
    """Positions of the clips of each block, in order.

    Args:
        frames: of each clip.
        most: frames in a block, where it has more than one clip.
    """
    left, start = sum(frames), 0
    while start < len(frames):
        limit = min(most, left // (_SHARES * num_workers))
        stop, taken = start + 1, frames[start]
        while stop < len(frames) and taken + frames[stop] <= limit:
            taken += frames[stop]
            stop += 1
        yield range(start, stop)
        start, left = stop, left - taken
