"""One budget over many shards, by hand-computed cases."""

from dataclasses import replace

from training.loop.suggestion import Suggestion, affordable, recharged, to_audit
from training.models.actions import BOX_SECONDS, Seconds


def frame(name: str, saves_s: float, costs_s: float) -> Suggestion:
    return Suggestion(shard_id=name, ontology=None, frame_index=0, saves_s=saves_s, costs_s=costs_s, why="")


FRAMES = [frame("a", 30, 10), frame("b", 90, 10), frame("c", 100, 50), frame("d", 4, 4)]  # worth 3, 9, 2 and 1


def test_frames_of_all_shards_are_ranked_by_seconds_saved_for_each_second_of_work() -> None:
    assert [one.shard_id for one in affordable(FRAMES, frames=3)] == ["b", "a", "c"]


def test_what_is_too_dear_is_passed_over() -> None:
    assert [one.shard_id for one in affordable(FRAMES, budget_s=25.0)] == ["b", "a", "d"]
    assert [one.shard_id for one in affordable(FRAMES, frames=2, budget_s=25.0)] == ["b", "a"]
    assert affordable(FRAMES, budget_s=1.0) == []


def test_an_audit_frame_is_worth_as_much_as_the_best_review_and_shows_nothing() -> None:
    audit = to_audit(replace(FRAMES[1], generation=3), 7, 2.0, BOX_SECONDS)
    assert (audit.kind, audit.generation, audit.frame_index, audit.shard_id) == ("audit", None, 7, "b")
    assert audit.costs_s == BOX_SECONDS.look + 2 * BOX_SECONDS.draw
    assert abs(audit.worth - FRAMES[1].worth) < 1e-9


def test_a_review_at_other_seconds_is_the_same_look_and_objects() -> None:
    """A look and half an object by the table; it spares the drawing of two."""
    table, own = Seconds(draw=8.0, adjust=8.0, delete=2.0, look=2.0), Seconds(draw=4.0, adjust=4.0, delete=2.0, look=1.0)
    review = Suggestion(shard_id="s", ontology="cars", frame_index=3, saves_s=16.0, costs_s=6.0, why="unsure")
    changed = recharged(review, table, own)
    assert (changed.saves_s, changed.costs_s) == (8.0, 1.0 + 0.5 * 4.0)
    assert recharged(review, table, table) == review
