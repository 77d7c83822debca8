"""The gate, with scores counted by hand."""

import json

import pytest

from training.data.annotations import Annotation, FrameLabels
from training.data.ontology import Ontology
from training.errors import WrongShape
from training.loop.gate import ENOUGH_OBJECTS, MARGIN, Verdict, judge_generation
from training.models.tasks import task_for

HW = (200, 2000)
DETECTION = task_for(Ontology(name="d", task="detection", classes=("car", "bus")))
CLASSES = task_for(Ontology(name="c", task="classification", classes=("day", "night")))


def frame(index: int, cars: int, buses: int = 0) -> FrameLabels:
    """Cars in a row and buses in another."""
    cars_there = [_box("car", 20.0 * number, 0.0) for number in range(cars)]
    return FrameLabels(
        shard_id="s", frame_index=index, annotations=(*cars_there, *(_box("bus", 20.0 * n, 100.0) for n in range(buses)))
    )


def _box(name: str, x: float, y: float) -> Annotation:
    return Annotation(class_name=name, bbox_xyxy=(x, y, x + 10, y + 10))


def shows(index: int, name: str) -> FrameLabels:
    said = Annotation(class_name=name, level="image")
    return FrameLabels(shard_id="s", frame_index=index, annotations=(said,))


def judge(truth: list[FrameLabels], live: list[FrameLabels] | None, new: list[FrameLabels]) -> Verdict:
    return judge_generation(DETECTION, truth, live, new, [HW] * len(truth))


def test_the_first_generation_goes_live_provisionally_with_or_without_audits() -> None:
    nothing = judge([], None, [])
    assert (nothing.promote, nothing.status, nothing.new_score, nothing.num_objects) == (True, "provisional", None, 0)
    bad = judge([frame(3, 4)], None, [frame(3, 1)])
    assert (bad.promote, bad.status, bad.live_score, bad.new_score, bad.num_objects) == (True, "provisional", None, 0.25, 4)
    assert bad.reason == "first generation, 1 of 4 labels right on 1 audit frames"


def test_without_audits_a_later_generation_goes_live_unproven() -> None:
    verdict = judge([], [], [])
    assert (verdict.promote, verdict.status, verdict.interval, verdict.reason) == (True, "unproven", None, "no audit frames")


def test_a_clearly_worse_generation_is_refused_and_the_reason_counts() -> None:
    truth = [frame(0, 50), frame(1, 50)]
    verdict = judge(truth, [frame(0, 45), frame(1, 50)], [frame(0, 45), frame(1, 20)])
    assert (verdict.promote, verdict.status, verdict.live_score, verdict.new_score) == (False, "worse", 0.95, 0.65)
    assert verdict.num_objects == 100
    assert verdict.reason.startswith("65 of 100 labels right against 95 of 100 labels right of the live one on 2 audit frames")


def test_the_interval_is_newcombes() -> None:
    """56 of 70 and 48 of 80 are an example of the paper: 0.0524 to 0.3339."""
    made_up = [_box("bus", 20.0 * number, 100.0) for number in range(10)]
    live = FrameLabels(shard_id="s", frame_index=0, annotations=(*frame(0, 48).annotations, *made_up))  # 22 missing, 10 made up
    verdict = judge([frame(0, 70)], [live], [frame(0, 56)])
    assert (verdict.new_score, verdict.live_score) == (0.8, 0.6)
    assert verdict.interval == pytest.approx((0.0524, 0.3339), abs=1e-4)
    assert (verdict.promote, verdict.status) == (True, "better-or-equal")


@pytest.mark.parametrize(("right", "status"), [(100, "better-or-equal"), (98, "better-or-equal"), (97, "worse")])
def test_with_enough_objects_a_generation_may_be_worse_by_the_margin_and_no_more(right: int, status: str) -> None:
    truth = [frame(0, 100)]
    verdict = judge(truth, truth, [frame(0, right)])
    assert verdict.status == status
    assert verdict.promote == (status != "worse")


def test_a_tie_of_enough_objects_is_equal_and_one_object_less_is_unproven() -> None:
    assert 1 / MARGIN == ENOUGH_OBJECTS
    enough, few = [frame(0, ENOUGH_OBJECTS)], [frame(0, ENOUGH_OBJECTS - 1)]
    assert judge(enough, enough, enough).status == "better-or-equal"
    tie = judge(few, few, few)
    assert (tie.promote, tie.status, tie.live_score, tie.new_score) == (True, "unproven", 1.0, 1.0)
    assert tie.reason.startswith("too few to tell: ")


def test_few_objects_decide_only_where_the_whole_interval_does() -> None:
    truth = [frame(0, 5)]
    worse = judge(truth, truth, [frame(0, 0)])  # Wilson: 0.566..1 and 0..0.434, so -1 +- 0.614
    assert (worse.promote, worse.status) == (False, "worse")
    assert worse.interval == pytest.approx((-1.0, -0.386), abs=1e-3)
    better = judge(truth, [frame(0, 0)], truth)
    assert (better.promote, better.status) == (True, "better-or-equal")
    perhaps = judge(truth, truth, [frame(0, 4)])
    assert (perhaps.promote, perhaps.status) == (True, "unproven")


def test_a_rare_class_weighs_as_many_objects_as_it_has() -> None:
    truth = [frame(index, 18, 2) for index in range(5)]  # 90 cars, 10 buses
    no_buses = [frame(index, 18, 0) for index in range(5)]
    some_cars = [frame(index, 16, 2) for index in range(5)]
    assert judge(truth, truth, no_buses).new_score == judge(truth, truth, some_cars).new_score == 0.9
    assert judge(truth, truth, no_buses).status == "worse"
    swapped = judge(truth, no_buses, some_cars)
    assert (swapped.promote, swapped.live_score, swapped.new_score) == (True, 0.9, 0.9)


def test_what_is_made_up_counts_against_a_generation_also_on_empty_frames() -> None:
    truth = [frame(0, 50), frame(1, 0)]
    verdict = judge(truth, truth, [frame(0, 50), frame(1, 50)])
    assert (verdict.promote, verdict.status, verdict.live_score, verdict.new_score) == (False, "worse", 1.0, 0.5)


def test_where_nothing_is_ever_there_frames_are_counted() -> None:
    truth = [frame(index, 0) for index in range(40)]
    silent = judge(truth, truth, truth)
    assert (silent.promote, silent.status, silent.new_score, silent.num_objects) == (True, "unproven", 1.0, 0)
    noisy = judge(truth, truth, [frame(index, 3) for index in range(40)])
    assert (noisy.promote, noisy.status, noisy.new_score) == (False, "worse", 0.0)
    assert "0 of 40 empty frames right against 40 of 40" in noisy.reason


def test_classes_of_whole_frames_are_judged_by_the_same_score() -> None:
    truth = [shows(index, "day" if index % 10 else "night") for index in range(100)]  # 90 days, 10 nights
    always_day = [shows(index, "day") for index in range(100)]
    verdict = judge_generation(CLASSES, truth, truth, always_day, [HW] * len(truth))
    assert (verdict.promote, verdict.status, verdict.live_score, verdict.new_score) == (False, "worse", 1.0, 0.9)


def test_answers_about_other_frames_are_refused() -> None:
    with pytest.raises(WrongShape, match=r"answers about frames \[1\], needed those of the audit frames \[0\]"):
        judge([frame(0, 1)], [frame(0, 1)], [frame(1, 1)])


def test_a_verdict_is_plain_json() -> None:
    truth = [frame(0, 5)]
    document = json.loads(json.dumps(judge(truth, truth, truth).to_json()))
    assert document.keys() == {"promote", "status", "reason", "live_score", "new_score", "interval", "num_objects"}
    assert document["interval"][0] < 0 < document["interval"][1]
