"""Which recipe is taken, and which are given up early."""

from typing import Any

import pytest

from training.errors import BadInput, BadRecipe
from training.learning.recipes import smoke
from training.loop.objective import HeldOutScore
from training.loop.trade_off import Trial, clearly_worse, front, margin, too_slow, winner
from training.models.actions import Actions


def trial(number: int, *shards: tuple[int, float], **more: Any) -> Trial:
    """Of shards with 20 objects: corrections due, and seconds of a fit."""
    scores = tuple(
        HeldOutScore(
            shard_id=f"s{n}", ontology="o", due=Actions(draw=due, confirm=20 - due), objects=20, frames=5, seconds=seconds
        )
        for n, (due, seconds) in enumerate(shards)
    )
    return Trial(number=number, recipe=smoke(), scores=scores, **more)


def test_efficiency_is_over_all_objects_and_seconds_are_of_one_fit() -> None:
    one = trial(0, (2, 1.0), (4, 3.0))
    assert (one.efficiency, one.seconds, one.objects) == (pytest.approx(1 - 6 / 40), 2.0, 40)
    assert trial(0, (30, 1.0)).efficiency == pytest.approx(-0.5)
    assert one.to_json()["efficiency_per_second"] == pytest.approx(0.85 / 2)


def test_a_difference_of_two_corrections_is_clear_however_many_objects_there_are() -> None:
    assert margin(20) == pytest.approx(0.1)
    assert margin(100_000) == 0.01
    better = trial(0, (0, 1.0))
    assert not clearly_worse(trial(1, (2, 1.0)), [better])
    assert clearly_worse(trial(1, (3, 1.0)), [better])


def test_what_costs_less_is_not_clearly_worse() -> None:
    assert not clearly_worse(trial(1, (9, 0.5)), [trial(0, (0, 1.0))])


def test_trials_are_compared_after_the_same_shards() -> None:
    late = trial(0, (10, 1.0), (0, 1.0))
    assert not clearly_worse(trial(1, (10, 1.0)), [late])
    assert clearly_worse(trial(1, (10, 1.0), (9, 1.0)), [late])
    assert not clearly_worse(trial(1, (10, 1.0), (9, 1.0)), [late.after(1)])
    assert not clearly_worse(trial(1), [late])


def test_only_what_takes_twice_what_it_may_is_given_up() -> None:
    assert too_slow(trial(0, (0, 4.1)), 2.0)
    assert not too_slow(trial(0, (0, 3.9)), 2.0)
    assert not too_slow(trial(0, (0, 3.9)), None)


def test_the_front_goes_from_the_cheapest_to_the_best_and_has_finished_trials_only() -> None:
    trials = [
        trial(0, (4, 10.0)),
        trial(1, (5, 1.0)),
        trial(2, (6, 2.0)),
        trial(3, (0, 30.0)),
        trial(4, (0, 0.1), stopped="clearly worse"),
        trial(5, error="FitDiverged: x"),
    ]
    assert [one.number for one in front(trials)] == [1, 0, 3]


def test_the_winner_is_the_cheapest_that_is_not_clearly_less_than_the_best() -> None:
    trials = [trial(0, (0, 30.0)), trial(1, (2, 5.0)), trial(2, (3, 1.0))]
    assert winner(trials).number == 1
    assert winner(trials, max_seconds=2).number == 2


def test_no_winner_says_what_would_be_needed() -> None:
    with pytest.raises(BadInput, match=r"--max-seconds 0.5: the fastest of 2 recipes takes 1 s"):
        winner([trial(0, (0, 1.0)), trial(1, (0, 2.0))], max_seconds=0.5)
    with pytest.raises(BadRecipe, match=r"none of 1 recipes was fitted on every shard.*trial 7: FitDiverged: s0"):
        winner([trial(7, error="FitDiverged: s0")])
