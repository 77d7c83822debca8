"""Label efficiency: how much of the drawing and correcting, and how many seconds, people were spared."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from training.data.human_actions import ActionName, HumanAction, RoundKind
from training.errors import BadInput
from training.models.actions import Actions, Seconds

__all__ = ["Spent", "e_count", "e_time", "human_seconds"]


def e_count(*, drawn: int, corrected: Actions, due: Actions, objects: int) -> float:
    """1 - (objects drawn by hand + corrections made + corrections still due) / all objects.

    drawn: on labelled and audit frames, in full. corrected: on reviewed frames. due: on the frames nobody touched.
    """
    return 1.0 - (drawn + corrected.due + due.due) / objects if objects else 0.0


def human_seconds(actions: Actions, *, looks: int, seconds: Seconds) -> float:
    """What actions cost, with `looks` frames looked at."""
    return actions.draw * seconds.draw + actions.adjust * seconds.adjust + actions.delete * seconds.delete + looks * seconds.look


def e_time(*, spent_seconds: float, objects: int, seconds: Seconds) -> float:
    """1 - seconds spent / seconds to draw every object by hand."""
    return 1.0 - spent_seconds / (objects * seconds.draw) if objects else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What people did to one shard and ontology so far, by the ledger.

    drawn: objects drawn on labelled and audit frames. corrected: everything else that was done to annotations.
    looks: one for each review of a frame by a person, one for each audit frame.
    seconds: measured where an action says so, by the table elsewhere. num_measured: actions and looks that say so.
    labelled, reviewed, audited: frames of each kind of round.
    """

    drawn: int
    corrected: Actions
    looks: int
    seconds: float
    num_measured: int
    labelled: frozenset[int]
    reviewed: frozenset[int]
    audited: frozenset[int]

    @classmethod
    def from_ledger(cls, actions: Iterable[HumanAction], seconds: Seconds) -> "Spent":
        """Add up actions of one shard and ontology; a review without a recorded look is charged one all the same.

        Raises:
            BadInput: the actions are of several shards or ontologies.
        """
        actions = list(_of_one_shard(actions))
        done = Counter(action.action for action in actions)
        unmeasured = Counter(action.action for action in actions if action.seconds is None)
        measured = [action.seconds for action in actions if action.seconds is not None]
        drawn = sum(action.action == "draw" and action.round_kind != "review" for action in actions)
        silent = len(_reviews(actions) - _reviews(action for action in actions if action.action == "look"))
        table_looks = unmeasured["look"] + unmeasured["audit"] + silent
        return cls(
            drawn=drawn,
            corrected=replace(_actions(done), draw=done["draw"] - drawn),
            looks=done["look"] + done["audit"] + silent,
            seconds=sum(measured) + human_seconds(_actions(unmeasured), looks=table_looks, seconds=seconds),
            num_measured=len(measured),
            labelled=_frames(actions, "labels"),
            reviewed=_frames(actions, "review"),
            audited=_frames(actions, "audit"),
        )

    @property
    def touched(self) -> frozenset[int]:
        """Frames that somebody worked on: quality is judged on the others."""
        return self.labelled | self.reviewed | self.audited

    def e_count(self, *, due: Actions, objects: int) -> float:
        """`e_count` with what is still due on the frames nobody touched, of all objects of the shard."""
        return e_count(drawn=self.drawn, corrected=self.corrected, due=due, objects=objects)

    def e_time(self, *, due: Actions, looks_due: int, objects: int, seconds: Seconds) -> float:
        """`e_time` with what is still due, by the table, and that many frames still to be looked at."""
        still = human_seconds(due, looks=looks_due, seconds=seconds)
        return e_time(spent_seconds=self.seconds + still, objects=objects, seconds=seconds)


def _actions(counts: Mapping[ActionName, int]) -> Actions:
    return Actions(draw=counts["draw"], delete=counts["delete"], adjust=counts["adjust"], confirm=counts["confirm"])


def _frames(actions: Iterable[HumanAction], round_kind: RoundKind) -> frozenset[int]:
    return frozenset(action.frame_index for action in actions if action.round_kind == round_kind)


def _reviews(actions: Iterable[HumanAction]) -> set[tuple[int, int | None, str]]:
    """Who reviewed which frame, with the proposals of which generation."""
    return {(action.frame_index, action.generation, action.who) for action in actions if action.round_kind == "review"}


def _of_one_shard(actions: Iterable[HumanAction]) -> Iterator[HumanAction]:
    first: tuple[str, str] | None = None
    for action in actions:
        found = (action.shard_id, action.ontology)
        first = first or found
        if found != first:
            raise BadInput(f"actions of {' '.join(found)} among those of {' '.join(first)}, needed one shard and ontology")
        yield action
