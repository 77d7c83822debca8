from cluster.coordinator import Coordinator
from training.learning.fit_job import FitJob, FitReceipt


def job(name: str) -> FitJob:
    return FitJob(shard_id=name, ontology="detection.dog", fit_key=f"key-{name}")


def receipt(name: str, error: str | None = None) -> FitReceipt:
    generation = 1 if error is None else None
    return FitReceipt(shard_id=name, ontology="detection.dog", generation=generation, seconds=1.0, metrics={}, error=error)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def names(jobs: list[FitJob] | None) -> list[str] | None:
    return None if jobs is None else [one.shard_id for one in jobs]


def test_each_job_is_given_out_once_and_then_everything_is_over() -> None:
    coordinator = Coordinator([job("a"), job("b")])
    assert names(coordinator.claim("w0")) == ["a"]
    assert names(coordinator.claim("w1")) == ["b"]
    coordinator.commit("w0", [receipt("a")])
    assert names(coordinator.claim("w0")) == [], "w1 still holds a lease that may come back"
    coordinator.commit("w1", [receipt("b")])
    assert coordinator.claim("w0") is None
    assert {one.shard_id for one in coordinator.receipts()} == {"a", "b"}


def test_a_repeated_claim_gets_the_same_jobs_and_counts_one_attempt() -> None:
    coordinator = Coordinator([job("a"), job("b")], max_attempts=1)
    assert names(coordinator.claim("w0")) == names(coordinator.claim("w0")) == ["a"]
    coordinator.commit("w0", [receipt("a")])
    assert coordinator.state().failed == 0


def test_the_lease_of_a_dead_worker_goes_back_behind_the_others() -> None:
    coordinator = Coordinator([job("a"), job("b")])
    coordinator.claim("w0")
    coordinator.died(["w0"])
    assert names(coordinator.claim("w0")) == ["b"]
    assert names(coordinator.claim("w1")) == ["a"]


def test_a_job_whose_worker_died_three_times_is_quarantined_with_a_receipt() -> None:
    coordinator = Coordinator([job("poison")], max_attempts=3)
    for pid in range(3):
        coordinator.register("w0", pid, ["w0"])
        assert names(coordinator.claim("w0")) == ["poison"]
        coordinator.died(["w0"])
    coordinator.register("w0", 3, ["w0"])
    assert coordinator.claim("w0") is None
    (given_up,) = coordinator.receipts()
    assert given_up.error is not None
    assert "3 attempts" in given_up.error
    assert coordinator.state().failed == 1


def test_a_worker_that_was_stopped_with_its_group_is_not_blamed_for_its_job() -> None:
    coordinator = Coordinator([job("a"), job("b")], max_attempts=2)
    for _ in range(5):
        assert sorted(names(coordinator.claim("w0")) + names(coordinator.claim("w1"))) == ["a", "b"]
        for number in (0, 1):
            coordinator.register(f"w{number}", number, ["w0", "w1"])
    assert coordinator.state().failed == 0


def test_a_job_that_is_there_whenever_its_worker_dies_is_given_up_whatever_else_starts_again() -> None:
    coordinator = Coordinator([job("innocent"), job("poison")], max_attempts=2)
    for _ in range(2):
        held = {worker: names(coordinator.claim(worker)) for worker in ("w0", "w1")}
        coordinator.died([worker for worker, jobs in held.items() if jobs == ["poison"]])
        for number in (0, 1):
            coordinator.register(f"w{number}", number, ["w0", "w1"])
    assert [one.shard_id for one in coordinator.receipts()] == ["poison"]
    assert names(coordinator.claim("w0")) == ["innocent"]


def test_what_workers_of_a_larger_group_held_is_free_when_a_smaller_one_starts() -> None:
    coordinator = Coordinator([job(name) for name in "abc"])
    for number, name in enumerate("abc"):
        coordinator.register(f"w{number}", number, ["w0", "w1", "w2"])
        assert names(coordinator.claim(f"w{number}")) == [name]
    coordinator.register("w0", 10, ["w0", "w1"])
    assert coordinator.state().leased == {"w1": ["b"]}
    assert coordinator.state().workers == {"w0": 10, "w1": 1}
    coordinator.register("w1", 11, ["w0", "w1"])
    assert [names(coordinator.claim("w0", 2)), names(coordinator.claim("w1", 2))] == [["a", "c"], ["b"]]


def test_a_silent_worker_loses_its_lease_and_a_beating_one_keeps_it() -> None:
    clock = Clock()
    coordinator = Coordinator([job("a"), job("b")], lease_s=10, clock=clock)
    coordinator.claim("silent")
    coordinator.claim("beating")
    clock.now = 8
    coordinator.heartbeat("beating")
    clock.now = 12
    assert names(coordinator.claim("w2")) == ["a"]
    assert coordinator.state().leased == {"beating": ["b"], "w2": ["a"]}


def test_a_late_receipt_of_an_expired_lease_stops_the_second_fit() -> None:
    clock = Clock()
    coordinator = Coordinator([job("a"), job("b")], lease_s=10, clock=clock)
    coordinator.claim("slow")
    clock.now = 11
    assert names(coordinator.claim("w1")) == ["b"]
    coordinator.commit("slow", [receipt("a")])
    coordinator.commit("w1", [receipt("b")])
    assert coordinator.claim("w1") is None


def test_a_failure_never_replaces_a_success() -> None:
    coordinator = Coordinator([job("a")])
    coordinator.commit("w0", [receipt("a")])
    coordinator.commit("w1", [receipt("a", error="too late")])
    assert [one.error for one in coordinator.receipts()] == [None]


def test_a_bundle_never_holds_a_job_that_was_tried_before() -> None:
    coordinator = Coordinator([job(name) for name in "abcd"])
    assert names(coordinator.claim("w0", 2)) == ["a", "b"]
    coordinator.died(["w0"])
    assert names(coordinator.claim("w0", 4)) == ["c", "d"]
    assert names(coordinator.claim("w1", 4)) == ["a"]
    assert names(coordinator.claim("w2", 4)) == ["b"]


def test_jobs_of_a_lease_without_a_receipt_go_back() -> None:
    coordinator = Coordinator([job("a"), job("b")])
    coordinator.claim("w0", 2)
    coordinator.commit("w0", [receipt("a")])
    assert names(coordinator.claim("w0", 2)) == ["b"]


def test_a_closed_coordinator_gives_out_nothing_more() -> None:
    coordinator = Coordinator([job("a"), job("b")])
    coordinator.claim("w0")
    coordinator.close()
    assert coordinator.claim("w1") == []
    coordinator.commit("w0", [receipt("a")])
    assert coordinator.claim("w1") is None
    assert coordinator.state().finished == 1
