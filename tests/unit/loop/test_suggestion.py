"""One budget over many shards, by hand-computed cases."""

from training.loop.suggestion import Suggestion, affordable


def frame(name: str, saves_s: float, costs_s: float) -> Suggestion:
    return Suggestion(shard_id=name, ontology=None, frame_index=0, saves_s=saves_s, costs_s=costs_s, why="")


FRAMES = [frame("a", 30, 10), frame("b", 90, 10), frame("c", 100, 50), frame("d", 4, 4)]  # worth 3, 9, 2 and 1


def test_frames_of_all_shards_are_ranked_by_seconds_saved_for_each_second_of_work() -> None:
    assert [one.shard_id for one in affordable(FRAMES, frames=3)] == ["b", "a", "c"]


def test_what_is_too_dear_is_passed_over() -> None:
    assert [one.shard_id for one in affordable(FRAMES, budget_s=25.0)] == ["b", "a", "d"]
    assert [one.shard_id for one in affordable(FRAMES, frames=2, budget_s=25.0)] == ["b", "a"]
    assert affordable(FRAMES, budget_s=1.0) == []
