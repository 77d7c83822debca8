"""A generation on trial goes when it does worse than the live one in something that can be known, and not before."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from training.data.annotations import Annotation, FrameLabels
from training.data.ontology import Ontology
from training.errors import AlreadyLive, ConflictingCanary, UnknownModel
from training.loop.canary import EARLY_ERRORS, judge, promote_canary, running_canary, start_canary
from training.loop.canary_figures import Arm, Sums, agreement
from training.models.tasks import task_for
from training.store.canaries import CanaryLimits
from training.store.card import Card
from training.store.store import Store

LIMITS = CanaryLimits(min_requests=20)
DOG = Ontology(name="detection.dog", task="detection", classes=("dog", "cat"))


def frame(*boxes: tuple[str, float, float]) -> FrameLabels:
    """Squares of 20 pixels: class, left edge, score."""
    said = (Annotation(class_name=name, bbox_xyxy=(x, 0, x + 20, 20), provenance="model", score=s) for name, x, s in boxes)
    return FrameLabels(shard_id="dog", frame_index=0, annotations=tuple(said))


def arm(requests: int = 20, *, errors: int = 0, empty: float = 0.1, score: float = 0.8, seconds: float | None = 0.05) -> Arm:
    made = Arm()
    for number in range(requests):
        made.answered([frame(*[("dog", 0.0, score)] * (number >= empty * requests))], seconds)
    for _ in range(errors):
        made.failed()
    return made


def sums(canary: Arm, live: Arm | None = None, **more: Any) -> Sums:
    return Sums(canary=canary, live=live or arm(), **more)


def test_a_generation_that_does_as_well_stays() -> None:
    assert judge(LIMITS, sums(arm(), compared=20, agreed=19.0)) is None


@pytest.mark.parametrize(("seconds", "stays"), [(0.004, True), (0.009, True), (0.02, False)])
def test_what_nobody_notices_is_not_slower_whatever_the_ratio(seconds: float, stays: bool) -> None:
    same = {"compared": 20, "agreed": 19.0}
    assert (judge(LIMITS, sums(arm(seconds=seconds), arm(seconds=0.001), **same)) is None) == stays


@pytest.mark.parametrize(
    ("worse", "said"),
    [
        (sums(arm(errors=2)), "9.1% of its requests failed, of the live generation 0.0%"),
        (sums(arm(seconds=0.2)), r"a request takes 0\.\d+ s, with the live generation 0\.05\d s"),
        (sums(arm(empty=0.9)), "it finds nothing on 90% of the pictures, the live generation on 10%"),
        (sums(arm(empty=0.0), arm(empty=0.8)), "it finds nothing on 0% of the pictures, the live generation on 80%"),
        (sums(arm(score=0.5)), r"its mean score is 0\.50, of the live generation 0\.80"),
        (sums(arm(), compared=20, agreed=4.0), "on 20 pictures it says 20% of what the live generation says"),
    ],
)
def test_a_generation_that_does_worse_goes_and_the_reason_says_how(worse: Sums, said: str) -> None:
    reason = judge(LIMITS, worse)
    assert reason is not None
    assert re.fullmatch(said, reason)


@pytest.mark.parametrize("few", [sums(arm(19, empty=0.9)), sums(arm(empty=0.9), arm(19)), sums(arm(), compared=9)])
def test_nothing_is_said_of_too_few_requests(few: Sums) -> None:
    assert judge(LIMITS, few) is None


def test_a_generation_that_fails_at_once_goes_at_once() -> None:
    assert judge(LIMITS, sums(arm(0, errors=EARLY_ERRORS - 1), arm(3))) is None
    assert judge(LIMITS, sums(arm(0, errors=EARLY_ERRORS), arm(3))) is not None


def test_a_generation_that_fails_no_more_than_the_live_one_stays() -> None:
    assert judge(LIMITS, sums(arm(errors=6), arm(errors=6))) is None


def test_what_several_services_saw_adds_up() -> None:
    one, other = sums(arm(10, errors=1), arm(30), compared=4, agreed=3.5), sums(arm(20), arm(5, seconds=0.4), compared=1)
    total = Sums.total([one.to_json(), other.to_json()])
    assert (total.canary.requests, total.canary.errors, total.live.requests) == (31, 1, 35)
    assert (total.compared, total.agreed) == (5, 3.5)
    figures = total.figures()
    assert figures["canary"]["error_share"] == pytest.approx(1 / 31)
    assert figures["live"]["median_s"] == pytest.approx(0.05, rel=0.1), "of all requests, not of both medians"
    assert figures["agreement"] == 0.7


def test_figures_of_nothing_are_none_and_no_error() -> None:
    figures = Sums().figures()
    assert (figures["canary"]["mean_score"], figures["canary"]["median_s"], figures["agreement"]) == (None, None, None)


def test_agreement_is_what_nobody_would_have_to_change() -> None:
    task, live = task_for(DOG), frame(("dog", 0, 0.9), ("cat", 40, 0.9))
    assert agreement(task, live, live, (48, 64)) == 1
    assert agreement(task, frame(), frame(), (48, 64)) == 1
    assert agreement(task, live, frame(), (48, 64)) == 0
    assert agreement(task, live, frame(("dog", 0, 0.4)), (48, 64)) == 0.5
    assert agreement(task, live, frame(("dog", 0, 0.9), ("dog", 40, 0.9)), (48, 64)) == 0.5


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three generations, the first of them live."""
    store = Store.create(str(tmp_path / "store"))
    for number in range(3):
        card = Card(shard_id="dog", ontology=DOG.name, task="detection", classes=("dog",), fit_key=str(number))
        store.registry.publish(card, {"none": torch.zeros(1)})
    store.registry.promote("dog", DOG.name, 1, "first")
    return store


def test_only_a_published_generation_that_is_not_live_can_be_tried_and_one_at_a_time(store: Store) -> None:
    with pytest.raises(AlreadyLive):
        start_canary(store.registry, "dog", None, 1, 0.1)
    with pytest.raises(UnknownModel):
        start_canary(store.registry, "dog", None, 9, 0.1)
    started = start_canary(store.registry, "dog", None, 2, 0.1)
    assert (started.generation, started.against) == (2, 1)
    with pytest.raises(ConflictingCanary, match="generation 2 is on trial already"):
        start_canary(store.registry, "dog", None, 3, 0.1)


def test_a_trial_is_over_when_another_generation_goes_live(store: Store) -> None:
    started = start_canary(store.registry, "dog", None, 2, 0.1)
    assert running_canary(store.registry, "dog", DOG.name) == started
    store.registry.promote("dog", DOG.name, 3, "by the gate")
    assert running_canary(store.registry, "dog", DOG.name) is None


def test_a_promotion_says_in_both_places_that_there_was_a_trial(store: Store) -> None:
    ended = promote_canary(store.registry, start_canary(store.registry, "dog", None, 2, 0.1), by="ann")
    assert (ended.outcome, ended.ended_by) == ("promoted", "ann")
    assert store.registry.promotions("dog", DOG.name)[-1].reason == "after trial 1 against 1, by ann"
    assert store.registry.live("dog", DOG.name) == 2


def test_a_person_promotes_though_the_trial_was_ended_a_moment_before(store: Store) -> None:
    started = start_canary(store.registry, "dog", None, 2, 0.1)
    store.registry.canaries.end(started, "rolled-back", "slow")
    promote_canary(store.registry, started)
    assert store.registry.live("dog", DOG.name) == 2
