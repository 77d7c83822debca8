"""A run of a fleet, simulated event by event on a virtual clock: leases pulled by workers that may be taken away.

The rules are the coordinator's: one lease a worker, a lost lease goes to the end of the queue, what was tried before comes
alone, and what was lost three times is given up. `tests/unit/cluster/test_plan_schedule.py` holds the two together.
"""

import heapq
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from cluster.coordinator import LEASE_S, MAX_ATTEMPTS

__all__ = ["Fleet", "Lease", "Run", "simulate_run"]

Lease = tuple[int, ...]
"""Numbers of the units of work that are handed out together."""

_LOST, _FREE = 0, 1  # kinds of events; at one moment a lost lease is back before anybody asks for work


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Who works, and what happens to them.

    startup_s: from the call to the first lease, and from the last receipt to the end; paid once.
    overhead_s: of every unit, beside its own seconds: claim, publish, hand in.
    preemptions_per_hour: of one working worker; 0 for workers that nobody takes away.
    restart_s: from losing a worker to the first claim of its successor.
    """

    workers: int
    startup_s: float = 0.0
    overhead_s: float = 0.0
    preemptions_per_hour: float = 0.0
    restart_s: float = 60.0


@dataclass(slots=True, kw_only=True)
class Run:
    """What came of it.

    held_s: worker seconds from the call to the end; a fleet starts no more workers than there are units.
    useful_s, lost_s: worker seconds on leases that were handed in, and on those that died.
    """

    wall_s: float = 0.0
    held_s: float = 0.0
    useful_s: float = 0.0
    lost_s: float = 0.0
    preemptions: int = 0
    quarantined: int = 0


def simulate_run(unit_s: Sequence[float], leases: Sequence[Lease], fleet: Fleet, random: Random) -> Run:
    """One run of a job, from the call to its end.

    Args:
        unit_s: seconds of a worker for each unit of work.
        leases: which units are handed out together, in order.
    """
    day = _Day(unit_s, leases, fleet, random)
    while day.events:
        now, kind, worker, lease = heapq.heappop(day.events)
        if kind == _LOST:
            day.give_back(now, lease)
        else:
            day.claim(now, worker)
    day.run.wall_s += fleet.startup_s
    day.run.held_s = day.run.wall_s * min(fleet.workers, len(unit_s))
    return day.run


class _Day:
    """The queue, who waits for it, and what is going to happen: (when, kind, worker, the lease that is lost)."""

    def __init__(self, unit_s: Sequence[float], leases: Sequence[Lease], fleet: Fleet, random: Random) -> None:
        self.run = Run()
        self.events: list[tuple[float, int, int, Lease]] = [
            (0.0, _FREE, worker, ()) for worker in range(min(fleet.workers, len(unit_s)))
        ]
        self._unit_s, self._fleet, self._random = unit_s, fleet, random
        self._waiting = deque(leases)
        self._attempts: Counter[int] = Counter()
        self._idle: list[int] = []

    def claim(self, now: float, worker: int) -> None:
        """A worker asks for work: it hands in what it gets, is taken away before that, or waits for a lost lease."""
        if not self._waiting:
            self._idle.append(worker)
            return
        lease = self._waiting.popleft()
        needs, rate = sum(self._unit_s[unit] + self._fleet.overhead_s for unit in lease), self._fleet.preemptions_per_hour / 3600
        lives = self._random.expovariate(rate) if rate else needs
        if lives < needs:
            self._lose(now + lives, worker, lease)
            self.run.lost_s += lives
            return
        self.run.useful_s += needs
        self.run.wall_s = max(self.run.wall_s, now + needs)
        heapq.heappush(self.events, (now + needs, _FREE, worker, ()))

    def give_back(self, now: float, lease: Lease) -> None:
        """A lost lease is in the queue again, each of its units alone, but for those that were lost too often."""
        self._attempts.update(lease)
        kept = [unit for unit in lease if self._attempts[unit] < MAX_ATTEMPTS]
        self._waiting.extend((unit,) for unit in kept)
        self.run.quarantined += len(lease) - len(kept)
        self.run.wall_s = max(self.run.wall_s, now)
        for worker in self._idle:
            heapq.heappush(self.events, (now, _FREE, worker, ()))
        self._idle.clear()

    def _lose(self, now: float, worker: int, lease: Lease) -> None:
        self.run.preemptions += 1
        restart_s = self._fleet.restart_s
        heapq.heappush(self.events, (now + min(restart_s, LEASE_S), _LOST, worker, lease))
        heapq.heappush(self.events, (now + restart_s, _FREE, worker, ()))
