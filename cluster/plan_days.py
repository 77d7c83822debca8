"""What is to be done, and draws of what it will take: every shard of the fleet takes what some measured shard took."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from cluster.blocks import FRAMES_PER_BLOCK, blocks
from cluster.plan_costs import Costs
from training.learning.labelling import FRAMES_PER_CLIP

__all__ = ["Day", "Workload", "draw_days"]

_MOST_LEASES = 300_000  # of all draws: a user waits some seconds
_FEWEST_DRAWS, _MOST_DRAWS = 5, 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Fit and label every shard in every generation.

    frames: of each shard; None draws them from the costs, or takes them as they are for the very shards that were counted.
    bundle: micro-models in one lease of `fit` at most; every worker gets its share of few shards.
    """

    shards: int
    generations: int = 1
    frames: int | None = None
    bundle: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One draw, of every shard: seconds of its first and of each later fit, its frames, and seconds to label one of them."""

    fit_s: list[float]
    refit_s: list[float]
    frames: list[int]
    frame_s: list[float]

    @property
    def num_clips(self) -> int:
        return sum(math.ceil(frames / FRAMES_PER_CLIP) for frames in self.frames)

    def blocks_s(self, workers: int, overhead_s: float) -> list[float]:
        """Seconds of each block of clips, as `label` cuts them for so many workers."""
        clips = [(count, count * frame_s + overhead_s) for count, frame_s in self._clips()]
        cut = blocks([count for count, _ in clips], workers)
        return [sum(clips[position][1] for position in block) for block in cut]

    def _clips(self) -> Iterator[tuple[int, float]]:
        """Frames of each clip, and the seconds of one of them."""
        for frames, frame_s in zip(self.frames, self.frame_s, strict=True):
            for start in range(0, frames, FRAMES_PER_CLIP):
                yield min(FRAMES_PER_CLIP, frames - start), frame_s


def draw_days(costs: Costs, work: Workload, seed: int) -> list[Day]:
    """As many draws as are quick, the same for the same seed.

    Each first draws which of the measured shards are believed (a bootstrap) and then the fleet from those: the spread of
    the draws also says how little a few measured shards know.
    """
    random = Random(seed)
    first = _day(costs, work, random)
    leases = 2 * work.shards + sum(first.frames) / FRAMES_PER_BLOCK
    count = max(_FEWEST_DRAWS, min(_MOST_DRAWS, int(_MOST_LEASES / leases)))
    return [first, *(_day(costs, work, random) for _ in range(count - 1))]


def _day(costs: Costs, work: Workload, random: Random) -> Day:
    def drawn(values: Sequence[float]) -> list[float]:
        return random.choices(random.choices(values, k=len(values)), k=work.shards)

    return Day(
        fit_s=drawn(costs.fit_s),
        refit_s=drawn(costs.refit_s or costs.fit_s),
        frames=_frames(costs, work, random),
        frame_s=drawn(costs.frame_s),
    )


def _frames(costs: Costs, work: Workload, random: Random) -> list[int]:
    if work.frames:
        return [work.frames] * work.shards
    return list(costs.frames) if work.shards == len(costs.frames) else random.choices(costs.frames, k=work.shards)
