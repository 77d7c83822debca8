"""What a person says about a frame becomes labels and ledger: all of it, once, whoever brings it and however often.

Labels are written before the ledger, so that what the ledger has is labelled too; an answer the ledger has is never written
again, so that one delivered late does not undo a later one.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import NamedTuple

from training.data.annotations import Annotation, FrameLabels
from training.data.human_actions import HumanAction, RoundKind
from training.errors import BadAnnotation, ConflictingAction
from training.loop.review import Deed, Vocabulary, differences, things
from training.models.actions import Actions
from training.store.predictions import PRELABELS
from training.store.store import Store

__all__ = ["FrameAnswer", "Work", "keep", "worked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameAnswer:
    """All that one person says about one frame; no annotations: they looked, and nothing is there.

    answer_id: chosen by the client, unique within shard and ontology.
    kind, who, when, generation: as in HumanAction; generation 0 for the proposals of a pre-trained detector.
    seconds: measured, for the whole frame; None leaves it to the table.
    same: place among the annotations -> annotation_id of the proposal that it was, where the person says so.
    """

    answer_id: str
    kind: RoundKind
    ontology: str
    labels: FrameLabels
    who: str
    when: str
    generation: int | None = None
    seconds: float | None = None
    same: Mapping[int, str] = field(default_factory=dict)


class Work(NamedTuple):
    """An answer as it will be kept: what was done, and the labels that come of it."""

    answer: FrameAnswer
    actions: list[HumanAction]
    labels: FrameLabels

    @property
    def key(self) -> tuple[str, str]:
        """Shard id and ontology name."""
        return self.labels.shard_id, self.answer.ontology

    @property
    def actions_done(self) -> Actions:
        done = Counter(action.action for action in self.actions)
        return Actions(draw=done["draw"], delete=done["delete"], adjust=done["adjust"], confirm=done["confirm"])


def worked(about: Vocabulary, answer: FrameAnswer, proposed: FrameLabels | None = None) -> Work:
    """What an answer means; in a review compared with what was proposed, else all of it is drawn.

    Raises:
        BadInput: an answer id, person or time that the ledger cannot keep.
        BadAnnotation: two annotations that say they were one proposal, or one that was none.
    """
    proposed = proposed or replace(answer.labels, annotations=())
    same = _resolved(answer, len(proposed.annotations))
    by_hand = replace(answer.labels, annotations=tuple(_by_hand(one, answer) for one in answer.labels.annotations))
    if answer.kind == "review":
        deeds = differences(about, proposed, by_hand, same)
    else:
        deeds = [Deed("draw", after=thing) for thing in things(about.ontology, by_hand)[0]]
        deeds += [Deed("audit")] if answer.kind == "audit" else [] if deeds else [Deed("look")]
    actions = [_action(answer, deed, number) for number, deed in enumerate(deeds)]
    return Work(answer, actions, _settled(answer, by_hand, deeds))


def keep(store: Store, works: Sequence[Work]) -> list[bool]:
    """Write what is not known yet; for each whether it was written now. Once this returns, all of it is durable.

    Raises:
        ConflictingAction: an answer id belongs to another answer; nothing is written.
        UnknownClass, BadAnnotation, UnknownFrame, BadInput: as in Store.annotate.
        StoreFull: some may have been written: hand in the same again.
    """
    known = [_is_known(store, work) for work in works]
    store.ledger.append([action for work, old in zip(works, known, strict=True) if old for action in work.actions])
    new = [work for work, old in zip(works, known, strict=True) if not old]
    for (shard_id, ontology, audit), group in groupby(sorted(new, key=_batch), key=_batch):
        some = list(group)
        store.annotate(shard_id, ontology, [work.labels for work in some], audit=audit)
        store.ledger.append([action for work in some for action in work.actions])
    return [not old for old in known]


def _batch(work: Work) -> tuple[str, str, bool]:
    return *work.key, work.answer.kind == "audit"


def _resolved(answer: FrameAnswer, num_proposals: int) -> dict[int, int]:
    names = [str(number) for number in range(num_proposals)]
    where = f"{answer.labels.shard_id} frame {answer.labels.frame_index}"
    for name in answer.same.values():
        if name not in names:
            raise BadAnnotation(f"{where}: annotation_id {name!r}, needed that of one of {num_proposals} proposals")
        if list(answer.same.values()).count(name) > 1:
            raise BadAnnotation(f"{where}: two annotations with annotation_id {name!r}, needed one or a deletion")
    return {place: names.index(name) for place, name in answer.same.items()}


def _is_known(store: Store, work: Work) -> bool:
    """An answer's actions are committed at once: all of them are there, and no more, or another answer has its id.

    A damaged ledger may have lost some; those that it still has are checked, and the others recorded again.
    """
    ids = [action.event_id for action in work.actions]
    there = store.ledger.recorded(*work.key, [*ids, _event_id(work.answer, len(ids))])
    lost = there < set(ids) and store.ledger.damage(*work.key)
    if there and there != set(ids) and not lost:
        raise ConflictingAction(
            f"{' '.join(work.key)}: answer {work.answer.answer_id!r} comes again with other content for frame"
            f" {work.labels.frame_index}, needed the same answer or another id"
        )
    return bool(there)


def _by_hand(one: Annotation, answer: FrameAnswer) -> Annotation:
    return replace(one, provenance="human", author=answer.who, generation=None, score=None, confirmed_at=None)


def _settled(answer: FrameAnswer, by_hand: FrameLabels, deeds: Iterable[Deed]) -> FrameLabels:
    """What was confirmed stays exactly as it was proposed, and says so."""
    confirmed = {
        id(after): replace(before, track_id=after.track_id or before.track_id, author=answer.who, confirmed_at=answer.when)
        for deed in deeds
        if deed.action == "confirm"
        for before, after in zip(deed.before, deed.after, strict=True)
    }
    return replace(by_hand, annotations=tuple(confirmed.get(id(one), one) for one in by_hand.annotations))


def _action(answer: FrameAnswer, deed: Deed, number: int) -> HumanAction:
    has_after = deed.action in ("draw", "adjust")
    return HumanAction(
        event_id=_event_id(answer, number),
        action=deed.action,
        round_kind=answer.kind,
        shard_id=answer.labels.shard_id,
        ontology=answer.ontology,
        frame_index=answer.labels.frame_index,
        who=answer.who,
        when=answer.when,
        generation=None if answer.generation == PRELABELS else answer.generation,
        annotation_id=deed.annotation_id,
        before=deed.before[0] if deed.before else None,
        after=deed.after[0] if has_after else None,
        seconds=None if answer.seconds is None else answer.seconds * (number == 0),
    )


def _event_id(answer: FrameAnswer, number: int) -> str:
    return f"{answer.answer_id}/{number}"
