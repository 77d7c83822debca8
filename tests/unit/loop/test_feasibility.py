"""The answer to 'will it work, and what will it cost': by hand-computed cases, with every warning it owes."""

from typing import Any

import pytest

from training.loop.feasibility import feasibility, median_interval


def entry(shard_id: str = "pond", quality: float = 0.97, **changes: Any) -> dict[str, Any]:
    """A shard of `simulate --json` with two generations, 5 and 11 of 200 frames touched."""
    generations = [
        {
            "generation": number,
            "frames_touched": touched,
            "tight_recall": reached,
            "e_count_ceiling": 0.96,
            "human_seconds": 35.0 * number,
            "human_seconds_due": 400.0,
            "fit_seconds": 60.0,
            "label_seconds": 5.0,
        }
        for number, touched, reached in ((1, 5, quality - 0.1), (2, 11, quality))
    ]
    neighbours = [
        {"interpolation": {"tight_recall": reached}, "hybrid": {"tight_recall": quality - 0.2, "human_seconds_due": 390.0}}
        for reached in (0.4, 0.6)
    ]
    return {
        "shard_id": shard_id,
        "task": "detection",
        "frames": 200,
        "generations": generations,
        "baselines": neighbours[-1],
        "baselines_by_generation": neighbours,
        "equal_quality": {"interpolation_seconds": 280.0},
        "drawing_seconds": 1400.0,
        **changes,
    }


def test_quality_of_every_generation_stands_beside_its_neighbours() -> None:
    (answer,) = feasibility([entry()])
    (shard,) = answer["shards"]
    assert shard["generations"] == [
        {"generation": 1, "micro-model": pytest.approx(0.87), "interpolation": 0.4, "hybrid": pytest.approx(0.77)},
        {"generation": 2, "micro-model": 0.97, "interpolation": 0.6, "hybrid": pytest.approx(0.77)},
    ]
    assert (shard["by"], shard["quality"], shard["works"], shard["warnings"]) == ("micro-model", 0.97, True, [])
    assert (answer["verdict"], answer["num_works"]) == ("It works on all 1.", 1)


def test_further_shards_cost_the_mean_of_these_that_many_times_with_least_and_most() -> None:
    cheap, dear = entry(), entry("harbour", frames=600, drawing_seconds=4200.0, equal_quality=None)
    (answer,) = feasibility([cheap, dear])
    hundred = next(one for one in answer["further"] if one["shards"] == 100)
    assert hundred["drawing_seconds"] == {"mean": 280_000.0, "least": 140_000.0, "most": 420_000.0}
    assert hundred["human_seconds"]["mean"] == 7000.0
    assert hundred["machine_seconds"]["mean"] == 100 * 2 * 65.0
    assert hundred["interpolation_seconds"]["mean"] == 28_000.0, "only of the shard where it is known"
    assert answer["per_frame"]["drawing_seconds"] == pytest.approx(5600 / 800)
    assert answer["medians"]["drawing_seconds"] == 2800.0


def test_shards_below_the_mark_do_not_work_yet_and_are_named() -> None:
    some, none = (feasibility(shards)[0] for shards in ([entry(), entry("fog", 0.5)], [entry("fog", 0.5)]))
    assert some["verdict"] == "It works on 1 of 2. It does not work yet for these: fog."
    assert some["shards"][1]["warnings"] == ["does not work yet: quality 0.50, needed 0.9"]
    assert none["verdict"] == "It does not work yet for these: fog."


def test_a_short_shard_is_told_its_ceiling() -> None:
    short = entry()
    short["generations"][-1] |= {"e_count_ceiling": 0.82}
    (answer,) = feasibility([{**short, "frames": 60}])
    assert answer["shards"][0]["warnings"] == [
        "short: people touched 11 of 60 frames, so at most 82% of the objects could be spared"
    ]
    assert any("Short shards" in warning for warning in answer["warnings"])


def test_interpolation_that_is_as_good_for_less_is_not_kept_quiet() -> None:
    (answer,) = feasibility([entry(equal_quality={"interpolation_seconds": 14.0})])
    assert answer["shards"][0]["warnings"] == ["interpolation alone is as good for less work"]


def test_few_shards_say_little_about_others() -> None:
    three = feasibility([entry("a", 0.91), entry("b", 0.95), entry("c", 0.99)])[0]
    assert three["quality_interval"] == [0.91, 0.99]
    assert three["confidence"] == 0.75
    assert "75% confidence" in three["warnings"][0]
    many = feasibility([entry(str(number), 0.91 + number / 1000) for number in range(20)])[0]
    assert many["warnings"] == []


def test_the_median_interval_is_the_sign_tests() -> None:
    assert median_interval([0.5]) == (0.5, 0.5, 0.0)
    assert median_interval([3.0, 1.0, 2.0, 6.0, 5.0, 4.0]) == (1.0, 6.0, 0.96875)
    low, high, confidence = median_interval(list(range(1, 21)))
    assert (low, high, confidence) == (6, 15, pytest.approx(0.9586, abs=1e-4)), "the textbook's 6th and 15th of 20"


def test_every_task_has_its_own_answer() -> None:
    masks = entry("pond", task="segmentation")
    for one in (*masks["generations"], *(values for both in masks["baselines_by_generation"] for values in both.values())):
        one["miou"] = 0.6
    answers = feasibility([entry(), masks])
    assert [(one["task"], one["measure"], one["quality"]) for one in answers] == [
        ("detection", "tight_recall", 0.97),
        ("segmentation", "miou", 0.6),
    ]
    assert feasibility([]) == []
