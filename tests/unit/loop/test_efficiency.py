"""Efficiency from the ledger by hand-computed cases: everything that was done is charged, and nothing twice."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from training.data.annotations import Annotation
from training.data.human_actions import HumanAction
from training.errors import BadInput
from training.loop.efficiency import Spent, e_count, e_time, human_seconds
from training.models.actions import BOX_SECONDS, Actions
from training.store.store import Store

BOX = Annotation(class_name="car", bbox_xyxy=(0.0, 0.0, 5.0, 5.0))
NUMBER = iter(range(10**6))


def act(name: str, kind: str, frame: int, **more: Any) -> HumanAction:
    """One action; reviews are of generation 1 unless they say otherwise."""
    before = BOX if name in ("delete", "adjust", "confirm") else None
    after = BOX if name in ("draw", "adjust") else None
    given = {"generation": 1 if kind == "review" else None, "who": "ann", "before": before, "after": after, **more}
    return HumanAction(
        event_id=str(next(NUMBER)),
        action=name,  # type: ignore[arg-type]
        round_kind=kind,  # type: ignore[arg-type]
        shard_id="s",
        ontology="cars",
        frame_index=frame,
        when="2026-01-02T03:04:05Z",
        **given,
    )


def a_round() -> list[HumanAction]:
    """Five labelled frames of one car, an audit frame of two, and two reviewed frames."""
    return [
        *(act("draw", "labels", frame) for frame in (6, 18, 30, 42, 54)),
        *(act("draw", "audit", 9) for _ in range(2)),
        act("audit", "audit", 9),
        act("look", "review", 20),
        act("adjust", "review", 20),
        act("confirm", "review", 20),
        act("look", "review", 21),
        act("draw", "review", 21),
        act("delete", "review", 21),
    ]


def test_a_round_is_added_up_by_the_table() -> None:
    spent = Spent.from_ledger(a_round(), BOX_SECONDS)
    assert (spent.drawn, spent.looks, spent.num_measured) == (7, 3, 0)
    assert spent.corrected == Actions(draw=1, delete=1, adjust=1, confirm=1)
    assert (spent.labelled, spent.audited, spent.reviewed) == ({6, 18, 30, 42, 54}, {9}, {20, 21})
    assert spent.touched == {6, 9, 18, 20, 21, 30, 42, 54}
    assert spent.seconds == pytest.approx(7 * 7 + 7 + 7 + 1.7 + 3 * 1.7)


def test_efficiency_charges_what_was_done_and_what_is_due() -> None:
    spent, due = Spent.from_ledger(a_round(), BOX_SECONDS), Actions(draw=1, adjust=2, delete=1, confirm=40)
    assert spent.e_count(due=due, objects=60) == pytest.approx(1 - (7 + 3 + 4) / 60)
    seconds = spent.seconds + 7 + 14 + 1.7 + 52 * 1.7
    assert spent.e_time(due=due, looks_due=52, objects=60, seconds=BOX_SECONDS) == pytest.approx(1 - seconds / 420)


def test_the_numbers_of_the_design_page_come_out_of_a_ledger_too() -> None:
    """60 objects, 5 drawn, 9 to adjust, 46 to confirm, 55 frames to look at: 0.77 and 0.54, the same as without a ledger."""
    due, labels = Actions(adjust=9, confirm=46), [act("draw", "labels", frame) for frame in range(5)]
    spent = Spent.from_ledger(labels, BOX_SECONDS)
    assert spent.e_count(due=due, objects=60) == e_count(drawn=5, corrected=Actions(), due=due, objects=60)
    everything = human_seconds(Actions(draw=5, adjust=9, confirm=46), looks=55, seconds=BOX_SECONDS)
    by_hand = e_time(spent_seconds=everything, objects=60, seconds=BOX_SECONDS)
    assert spent.e_time(due=due, looks_due=55, objects=60, seconds=BOX_SECONDS) == pytest.approx(by_hand)


def test_nothing_done_costs_nothing() -> None:
    spent = Spent.from_ledger([], BOX_SECONDS)
    assert (spent.drawn, spent.looks, spent.seconds, spent.touched) == (0, 0, 0.0, frozenset())
    assert spent.e_count(due=Actions(), objects=0) == 0.0


def test_measured_seconds_stand_in_the_place_of_the_tables() -> None:
    spent = Spent.from_ledger([act("draw", "labels", 0, seconds=3.5), act("draw", "labels", 1)], BOX_SECONDS)
    assert spent.seconds == pytest.approx(3.5 + 7.0)
    assert spent.num_measured == 1
    confirmed = [act("look", "review", 0, seconds=0.5), act("confirm", "review", 0, seconds=0.25)]
    assert Spent.from_ledger(confirmed, BOX_SECONDS).seconds == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("actions", "looks"),
    [
        ([act("confirm", "review", 1), act("confirm", "review", 1)], 1),  # nobody recorded the look
        ([act("look", "review", 1), act("confirm", "review", 1)], 1),
        ([act("look", "review", 1), act("look", "review", 1)], 2),  # looked again later
        ([act("confirm", "review", 1), act("confirm", "review", 1, generation=2)], 2),
        ([act("confirm", "review", 1), act("confirm", "review", 1, who="bob")], 2),
        ([act("confirm", "review", 1), act("look", "review", 1, generation=2)], 2),
        ([act("draw", "labels", 1), act("draw", "audit", 2)], 0),  # drawing is charged in full
        ([act("audit", "audit", 2)], 1),
        ([act("look", "labels", 1)], 1),
    ],
)
def test_looks_are_charged_per_review_of_a_frame(actions: list[HumanAction], looks: int) -> None:
    spent = Spent.from_ledger(actions, BOX_SECONDS)
    assert spent.looks == looks
    drawn = sum(action.action == "draw" for action in actions)
    assert spent.seconds == pytest.approx(1.7 * looks + 7 * drawn)


def test_slips_on_labelled_and_audit_frames_are_charged() -> None:
    spent = Spent.from_ledger([act("draw", "audit", 1), act("delete", "audit", 1), act("adjust", "labels", 0)], BOX_SECONDS)
    assert (spent.drawn, spent.corrected.due) == (1, 2)


def test_two_shards_in_one_sum_are_refused(store_with_two: Store) -> None:
    with pytest.raises(BadInput, match=r"t cars among those of s cars"):
        Spent.from_ledger(store_with_two.ledger.read(), BOX_SECONDS)
    assert Spent.from_ledger(store_with_two.ledger.read("s", "cars"), BOX_SECONDS).drawn == 1


@pytest.fixture
def store_with_two(tmp_path: Path) -> Store:
    store = Store.create(str(tmp_path / "store"))
    draw = act("draw", "labels", 0)
    store.ledger.append([draw, replace(draw, shard_id="t")])
    return store
