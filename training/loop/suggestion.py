"""A frame that a person should look at, what it is worth, and why."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from training.data.human_actions import RoundKind
from training.data.shards import Shard
from training.models.actions import Seconds

__all__ = ["Suggestion", "affordable", "recharged", "to_audit", "to_label_first"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """saves_s, costs_s: expected seconds of people, later and now. ontology: None where nobody labelled anything yet.

    kind: what is to be done. generation: whose proposals are to be reviewed.
    """

    shard_id: str
    ontology: str | None
    frame_index: int
    saves_s: float
    costs_s: float
    why: str
    kind: RoundKind = "review"
    generation: int | None = None

    @property
    def worth(self) -> float:
        """Seconds saved for each second of work."""
        return self.saves_s / self.costs_s


def to_label_first(shard: Shard, ontology: str | None, frame_indices: Sequence[int], seconds: Seconds) -> list[Suggestion]:
    """First labels: one object a frame is assumed, and that each frame drawn spares the drawing of its share of the others."""
    others = (shard.num_frames - len(frame_indices)) / max(len(frame_indices), 1)
    return [
        Suggestion(
            shard_id=shard.shard_id,
            ontology=ontology,
            frame_index=index,
            saves_s=others * seconds.draw,
            costs_s=seconds.draw,
            why="no labels yet",
            kind="labels",
        )
        for index in frame_indices
    ]


def to_audit(best: Suggestion, frame_index: int, objects: float, seconds: Seconds) -> Suggestion:
    """An audit frame: worth as much as the best review of its shard, as no generation may replace another without one.

    objects: expected on the frame, all to be drawn.
    """
    costs_s = seconds.look + objects * seconds.draw
    return replace(
        best, frame_index=frame_index, saves_s=best.worth * costs_s, costs_s=costs_s, why="audit", kind="audit", generation=None
    )


def affordable(
    suggestions: Sequence[Suggestion], *, frames: int | None = None, budget_s: float | None = None
) -> list[Suggestion]:
    """The most worth first, as many as `frames` and `budget_s` seconds of work allow; what is too dear is passed over."""
    chosen: list[Suggestion] = []
    left_s = float("inf") if budget_s is None else budget_s
    for one in sorted(suggestions, key=lambda one: -one.worth):
        if len(chosen) != frames and one.costs_s <= left_s:
            chosen.append(one)
            left_s -= one.costs_s
    return chosen


def recharged(review: Suggestion, table: Seconds, seconds: Seconds) -> Suggestion:
    """A review that was chosen by the table, a look and some objects drawn, at other seconds."""
    objects = (review.costs_s - table.look) / table.draw
    return replace(review, saves_s=review.saves_s * seconds.draw / table.draw, costs_s=seconds.look + objects * seconds.draw)
