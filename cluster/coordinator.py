"""Who fits what: a queue of jobs given out as leases. Plain Python; `fleet` runs it as a Ray actor.

Nothing here has to survive: what is finished is in the store, so a coordinator that is started again begins with
the whole list, and its workers find the published shards and only hand in their receipts.
"""

import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from training.learning.fit_job import FitJob, FitReceipt

__all__ = ["LEASE_S", "MAX_ATTEMPTS", "Coordinator", "FleetState"]

Key = tuple[str, str]

LEASE_S = 120.0  # without a sign of life, after which a lease is given to somebody else
MAX_ATTEMPTS = 3  # how often a job or clip may cost its worker's life before it is given up


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetState:
    """Where a fleet stands; workers: process id of each worker by its name."""

    total: int
    finished: int
    failed: int
    workers: dict[str, int]
    leased: dict[str, list[str]]


@dataclass(slots=True)
class _Lease:
    jobs: list[FitJob]
    deadline: float = field(default=0.0)


class Coordinator:
    """Leases of jobs, their attempts, and the receipts of what is over.

    Args:
        max_attempts: a job whose worker died or fell silent this often is given up (quarantined), with a receipt that says so.
        lease_s: seconds without a sign of life after which a lease is given to somebody else.
    """

    def __init__(
        self,
        jobs: Sequence[FitJob],
        *,
        max_attempts: int = MAX_ATTEMPTS,
        lease_s: float = LEASE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._waiting = deque(jobs)
        self._total = len(jobs)
        self._max_attempts, self._lease_s, self._clock = max_attempts, lease_s, clock
        self._attempts: dict[Key, int] = {}
        self._leases: dict[str, _Lease] = {}
        self._receipts: dict[Key, FitReceipt] = {}
        self._failed = 0
        self._workers: dict[str, int] = {}

    def register(self, worker: str, pid: int, group: Collection[str]) -> None:
        """A worker process starts, beside the others of its group; whoever is not in the group is gone.

        What the worker, or one that is gone, still held goes back into the queue. It is not counted as an attempt: who died
        by himself was named before (`died`), the others were stopped.
        """
        for gone in [name for name in self._leases if name == worker or name not in group]:
            self._release(gone, counts=False)
        self._workers = {name: there for name, there in self._workers.items() if name in group}
        self._workers[worker] = pid

    def died(self, workers: Collection[str]) -> None:
        """These workers died over what they held: it goes back into the queue, or is given up."""
        for worker in workers:
            self._release(worker)

    def claim(self, worker: str, limit: int = 1) -> list[FitJob] | None:
        """Up to `limit` jobs; an empty list means ask again in a moment, None that everything is over.

        A worker that asks again before it has handed in gets the same jobs again, so a repeated call loses nothing.
        A job that was tried before comes alone, so that it cannot take others down with it.
        """
        self._expire()
        if worker not in self._leases and (jobs := self._next_jobs(limit)):
            self._leases[worker] = _Lease(jobs, self._clock() + self._lease_s)
            for job in jobs:
                self._attempts[_key(job)] = self._attempts.get(_key(job), 0) + 1
        if worker in self._leases:
            return list(self._leases[worker].jobs)
        return [] if self._leases else None

    def heartbeat(self, worker: str) -> None:
        """The worker is alive; its lease is extended."""
        if worker in self._leases:
            self._leases[worker].deadline = self._clock() + self._lease_s

    def commit(self, worker: str, receipts: Sequence[FitReceipt]) -> None:
        """The worker is done with its lease. A later receipt of a job never replaces one that succeeded."""
        for receipt in receipts:
            self._keep(receipt)
        self._release(worker)

    def close(self) -> None:
        """Give out nothing more."""
        self._waiting.clear()

    def state(self) -> FleetState:
        return FleetState(
            total=self._total,
            finished=len(self._receipts),
            failed=self._failed,
            workers=dict(self._workers),
            leased={worker: [job.shard_id for job in lease.jobs] for worker, lease in self._leases.items()},
        )

    def receipts(self) -> list[FitReceipt]:
        return list(self._receipts.values())

    def _next_jobs(self, limit: int) -> list[FitJob]:
        jobs: list[FitJob] = []
        while self._waiting and len(jobs) < limit:
            job = self._waiting[0]
            if jobs and (self._tried(job) or self._tried(jobs[0])):
                break
            self._waiting.popleft()
            if _key(job) not in self._receipts:  # else its receipt came after all, when it was waiting again
                jobs.append(job)
        return jobs

    def _keep(self, receipt: FitReceipt) -> None:
        key = (receipt.shard_id, receipt.ontology)
        before = self._receipts.get(key)
        if before is None or before.error is not None:
            self._receipts[key] = receipt
            self._failed += (receipt.error is not None) - (before is not None)

    def _tried(self, job: FitJob) -> bool:
        return self._attempts.get(_key(job), 0) > 0

    def _expire(self) -> None:
        for worker in [name for name, lease in self._leases.items() if lease.deadline < self._clock()]:
            self._release(worker)

    def _release(self, worker: str, *, counts: bool = True) -> None:
        lease = self._leases.pop(worker, None)
        for job in lease.jobs if lease else ():
            if _key(job) in self._receipts:
                continue
            if not counts:
                self._attempts[_key(job)] -= 1
            if self._attempts[_key(job)] >= self._max_attempts:
                self._keep(_quarantined(job, self._max_attempts))
            else:
                self._waiting.append(job)


def _key(job: FitJob) -> Key:
    return (job.shard_id, job.ontology)


def _quarantined(job: FitJob, attempts: int) -> FitReceipt:
    error = f"quarantined: its worker process died, hung or fell silent in each of {attempts} attempts"
    return FitReceipt(shard_id=job.shard_id, ontology=job.ontology, error=error)
