"""How much work a worker of a fleet takes at once, and what is handed in at its end."""

import logging
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from ray.exceptions import ActorDiedError
from ray.train import ControllerError

from cluster.coordinator import MAX_ATTEMPTS
from cluster.fleet import LeaseSize, bundle_size, collected, fit_lease, started_anew
from cluster.resources import WorkerShape
from training.learning.fit_job import FitJob, FitReceipt
from training.store.card import Card
from training.store.store import Store


@pytest.mark.parametrize(
    ("gpus", "num_workers", "num_jobs", "expected"),
    [
        (0.0, 2, 1000, 1),  # a CPU gains nothing by more
        (1.0, 2, 1000, 32),
        (0.5, 2, 1000, 32),
        (1.0, 4, 20, 5),
        (1.0, 4, 3, 1),
    ],
)
def test_a_lease_holds_what_is_fitted_together_but_leaves_every_worker_its_share(
    gpus: float, num_workers: int, num_jobs: int, expected: int
) -> None:
    assert bundle_size(WorkerShape(num_workers=num_workers, cpus=1, gpus=gpus), num_jobs) == expected


def test_what_a_coordinator_that_died_at_the_end_had_is_found_in_the_store(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path / "store"))
    card = Card(shard_id="a", ontology="squares", task="detection", classes=("square",), fit_key="this work")
    store.registry.publish(card, {"weight": torch.zeros(1)})
    store.registry.promote("a", "squares", 1, "the first")
    jobs = [FitJob(shard_id=name, ontology="squares", fit_key="this work") for name in ("b", "a")]
    missing, there = collected(store, jobs, [], None)
    assert missing.error == "NotFitted: the workers ended without fitting it"
    assert (there.generation, there.live, there.error) == (1, True, None)


def test_what_breaks_a_bundle_fails_one_shard_and_the_others_are_fitted_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundles: list[list[str]] = []
    held: list[weakref.ref[Any]] = []

    def breaking(store: Store, jobs: Sequence[FitJob], **how: Any) -> list[FitReceipt]:
        bundles.append([job.shard_id for job in jobs])
        assert all(one() is None for one in held), "what broke is in memory no more"
        tensors = torch.zeros(len(jobs))
        if any(job.shard_id == "poison" for job in jobs):
            held.append(weakref.ref(tensors))
            raise MemoryError("of a shard too large")
        return [FitReceipt(shard_id=job.shard_id, ontology=job.ontology, generation=1) for job in jobs]

    monkeypatch.setattr(logging.getLogger("cluster.fleet"), "propagate", False)  # pytest keeps what is logged, and its traceback
    monkeypatch.setattr("cluster.fleet.fit_jobs", breaking)
    monkeypatch.setattr("cluster.fleet.go_live", lambda store, receipts, **how: list(receipts))
    jobs = [FitJob(shard_id=name, ontology="squares", fit_key="k") for name in ("a", "poison", "b", "c", "d")]
    what = {"bundle_size": 3, "recipe": None, "backbone": None, "seed": 0, "canary": None}
    receipts = fit_lease(Store.create(str(tmp_path / "store")), jobs, what)
    assert bundles == [["a", "poison", "b"], ["a"], ["poison"], ["b"], ["c", "d"]]
    assert [(one.shard_id, one.error) for one in receipts] == [
        ("a", None),
        ("poison", "MemoryError: of a shard too large"),
        ("b", None),
        ("c", None),
        ("d", None),
    ]


def test_small_fits_are_claimed_many_at_once_and_large_ones_one_by_one() -> None:
    lease = LeaseSize(bundle=1, most=20)
    assert lease.jobs == 1, "nobody knows yet how long one takes"
    lease.learn(1, 0.05)
    assert lease.jobs == 10
    lease.learn(10, 0.1)
    assert lease.jobs == 20
    lease.learn(20, 60.0)
    assert lease.jobs == 1


def test_a_lease_is_of_whole_bundles() -> None:
    lease = LeaseSize(bundle=8, most=20)
    lease.learn(8, 0.25)
    assert lease.jobs == 16
    lease.learn(16, 1000.0)
    assert lease.jobs == 8
    assert LeaseSize(bundle=8, most=2).jobs == 8


DIED = ControllerError(ActorDiedError())


def test_a_fleet_starts_anew_where_a_worker_died_while_the_workers_started() -> None:
    ends: list[Exception | None] = [DIED, DIED, None]
    assert started_anew(lambda: ends.pop(0), finished=lambda: 0) is None
    assert ends == []


def test_a_fleet_whose_workers_die_at_every_start_is_given_up_unless_work_gets_done_between() -> None:
    ends: list[Exception | None] = [DIED] * (MAX_ATTEMPTS + 1)
    assert started_anew(lambda: ends.pop(0), finished=lambda: 0) is DIED
    assert len(ends) == 1
    ends = [DIED] * (5 * MAX_ATTEMPTS) + [None]
    assert started_anew(lambda: ends.pop(0), finished=lambda: -len(ends)) is None


@pytest.mark.parametrize("broken", [ControllerError(ValueError("our own")), ActorDiedError(), RuntimeError("else")], ids=repr)
def test_a_fleet_that_ended_for_another_reason_does_not_start_anew(broken: Exception) -> None:
    ends = [broken]
    assert started_anew(lambda: ends.pop(0), finished=lambda: 0) is broken
