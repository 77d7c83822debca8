"""What a fleet asks of its object store; `tests/unit/cluster/test_plan_requests.py` counts the real thing."""

from dataclasses import dataclass

from cluster.blocks import FRAMES_PER_BLOCK
from training.learning.labelling import FRAMES_PER_CLIP

__all__ = ["Requests", "fit_requests", "label_requests"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """reads: GET. writes: PUT. lists: LIST, one of up to 1,000 keys each."""

    reads: int = 0
    writes: int = 0
    lists: int = 0

    def __add__(self, other: "Requests") -> "Requests":
        return Requests(reads=self.reads + other.reads, writes=self.writes + other.writes, lists=self.lists + other.lists)


def fit_requests(shards: int, generation: int) -> Requests:
    """Plan, fit, publish and decide on one generation of every shard; between two, one review and one audit frame came in.

    A later generation reads what is there already: three parts of labels and marks, and every earlier card and decision.
    """
    reads, lists = (14, 16) if generation == 1 else (36 + 14 * (generation - 2), 18)
    return Requests(reads=1 + reads * shards, writes=3 * shards, lists=2 + lists * shards)


def label_requests(shards: int, clips: int) -> Requests:
    """Plan and label all clips of every shard with its live generation; its row and its card are read again in each block."""
    blocks = max(shards, clips * FRAMES_PER_CLIP // FRAMES_PER_BLOCK)
    return Requests(reads=4 * shards + 2 * blocks, writes=clips, lists=1 + shards)
