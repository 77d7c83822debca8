"""The simulated schedule: what it must be by arithmetic, and what the real coordinator hands out on the same clock."""

import heapq
from random import Random

import pytest

from cluster.coordinator import Coordinator
from cluster.plan_schedule import Fleet, simulate_run
from training.learning.fit_job import FitJob, FitReceipt


def alone(count: int) -> list[tuple[int, ...]]:
    return [(unit,) for unit in range(count)]


def test_one_worker_takes_startup_once_and_everything_else_for_every_unit() -> None:
    run = simulate_run([5.0] * 10, alone(10), Fleet(workers=1, startup_s=7.0, overhead_s=0.5), Random(0))
    assert run.wall_s == pytest.approx(7.0 + 10 * 5.5)
    assert (run.useful_s, run.lost_s, run.preemptions, run.quarantined) == (pytest.approx(55.0), 0.0, 0, 0)


def test_the_last_lease_makes_a_tail_that_more_workers_do_not_shorten() -> None:
    unit_s = [1.0] * 20 + [30.0]
    wall = {workers: simulate_run(unit_s, alone(21), Fleet(workers=workers), Random(0)).wall_s for workers in (1, 2, 10, 64)}
    assert wall == {1: 50.0, 2: 40.0, 10: 32.0, 64: 30.0}


def test_bundles_are_one_lease_and_share_a_worker() -> None:
    run = simulate_run([1.0] * 8, [(0, 1, 2, 3), (4, 5, 6, 7)], Fleet(workers=8), Random(0))
    assert run.wall_s == 4.0


def test_a_preempted_worker_loses_at_most_its_lease_and_all_is_done_in_the_end() -> None:
    unit_s = [30.0] * 400
    calm = simulate_run(unit_s, alone(400), Fleet(workers=8), Random(0))
    spot = simulate_run(unit_s, alone(400), Fleet(workers=8, preemptions_per_hour=6.0, restart_s=45.0), Random(0))
    assert spot.preemptions > 0
    assert 0 < spot.lost_s <= spot.preemptions * 30.0
    assert spot.useful_s == 30.0 * (400 - spot.quarantined)
    assert spot.wall_s > calm.wall_s


def test_preemptions_come_as_often_as_the_rate_says() -> None:
    run = simulate_run([36.0] * 20_000, alone(20_000), Fleet(workers=20, preemptions_per_hour=2.0, restart_s=0.0), Random(1))
    worked_h = (run.useful_s + run.lost_s) / 3600
    assert run.preemptions == pytest.approx(2.0 * worked_h, rel=0.15)


def test_a_unit_that_no_worker_survives_is_given_up_after_three_attempts() -> None:
    run = simulate_run([1.0, 1e9, 1.0], alone(3), Fleet(workers=1, preemptions_per_hour=0.1, restart_s=10.0), Random(3))
    assert run.quarantined == 1
    assert run.useful_s == 2.0
    assert run.preemptions == 3


def test_the_same_seed_gives_the_same_run_and_another_does_not() -> None:
    fleet = Fleet(workers=4, preemptions_per_hour=20.0)
    first, again, other = (simulate_run([60.0] * 50, alone(50), fleet, Random(seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_fleet_without_work_only_starts() -> None:
    assert simulate_run([], [], Fleet(workers=3, startup_s=4.0), Random(0)).wall_s == 4.0


@pytest.mark.parametrize("workers", [1, 3, 7])
def test_it_finishes_when_the_real_coordinator_on_the_same_clock_does(workers: int) -> None:
    random = Random(workers)
    unit_s = [random.lognormvariate(2.0, 1.0) for _ in range(60)]
    assert simulate_run(unit_s, alone(60), Fleet(workers=workers), Random(0)).wall_s == pytest.approx(
        coordinated(unit_s, workers)
    )


def coordinated(unit_s: list[float], workers: int) -> float:
    """When the last receipt is in, with workers that claim and commit at the real coordinator on a virtual clock."""
    now = last = 0.0
    jobs = [FitJob(shard_id=f"s{unit}", ontology="o", fit_key=str(unit)) for unit in range(len(unit_s))]
    coordinator = Coordinator(jobs, lease_s=1e9, clock=lambda: now)
    asking: list[tuple[float, str, list[FitJob]]] = [(0.0, f"w{worker}", []) for worker in range(workers)]
    while asking:
        now, worker, done = heapq.heappop(asking)
        if done:
            coordinator.commit(worker, [FitReceipt(shard_id=job.shard_id, ontology="o", generation=1) for job in done])
            last = now
        if claimed := coordinator.claim(worker):
            heapq.heappush(asking, (now + unit_s[int(claimed[0].fit_key)], worker, claimed))
    assert len(coordinator.receipts()) == len(jobs)
    return last
