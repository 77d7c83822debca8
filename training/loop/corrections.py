"""A file of machine labels that somebody corrected, as the reviews it stands for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from training.data.annotations import FrameLabels, labels_hash
from training.data.ontology import Ontology
from training.data.shards import Shard
from training.errors import BadInput
from training.loop.answers import FrameAnswer, keep
from training.loop.recording import prepare
from training.loop.review import own
from training.store.store import Store

__all__ = ["Corrections", "generation_in", "keep_corrections"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrections:
    """Frames of one file and ontology: reviewed now, known already, left because nothing was changed, left as audit frames."""

    reviewed: int = 0
    known: int = 0
    unchanged: int = 0
    audits: int = 0


def generation_in(shard: Shard, frames: Sequence[FrameLabels]) -> int | None:
    """The generation whose proposals these frames were exported with; None if they are nobody's unconfirmed proposals.

    Raises:
        BadInput: of several generations.
    """
    said = (one for frame in frames for one in frame.annotations)
    proposing = {one.generation for one in said if one.provenance == "model" and one.confirmed_at is None} - {None}
    if len(proposing) > 1:
        found = " and ".join(str(number) for number in sorted(proposing, key=str))
        raise BadInput(f"{shard.shard_id}: corrections of what generations {found} proposed, needed one generation a file")
    return next(iter(proposing), None)


def keep_corrections(
    store: Store,
    shard: Shard,
    ontology: Ontology,
    frames: Sequence[FrameLabels],
    *,
    generation: int,
    who: str,
    confirm_unchanged: bool,
) -> Corrections:
    """Compare frames with what the generation proposed there, and keep each that is not known as a review of `who`.

    Args:
        confirm_unchanged: a frame without labels that says what was proposed was looked at and found right; otherwise nobody
            can know that, and it is left.
    Raises:
        UnknownModel: the generation has no machine labels of a frame.
        BadInput and its kinds: see recording.prepare; nothing is written.
    """
    audits = store.audit_frames(shard.shard_id, ontology.name)
    mine = [own(shard, frame) for frame in frames if frame.frame_index not in audits]
    when = datetime.now(UTC).isoformat(timespec="seconds")
    answers = [_answer(frame, ontology, generation, who, when) for frame in mine]
    first_events = {answer.answer_id: f"{answer.answer_id}/0" for answer in answers}
    there = store.ledger.recorded(shard.shard_id, ontology.name, first_events.values())
    new = [answer for answer in answers if first_events[answer.answer_id] not in there]
    labelled = {frame.frame_index for frame in store.labels(shard.shard_id, ontology.name)}
    works = [
        work
        for work in prepare(store, new)
        if work.actions_done.due or (confirm_unchanged and work.labels.frame_index not in labelled)
    ]
    keep(store, works)
    return Corrections(
        reviewed=len(works),
        known=len(answers) - len(new),
        unchanged=len(new) - len(works),
        audits=len(frames) - len(mine),
    )


def _answer(frame: FrameLabels, ontology: Ontology, generation: int, who: str, when: str) -> FrameAnswer:
    """Named by what it says: the same correction in another file is the same answer."""
    content = labels_hash([frame]).removeprefix("sha256:")[:32]
    return FrameAnswer(
        answer_id=f"file-{generation}-{frame.frame_index}-{content}",
        kind="review",
        ontology=ontology.name,
        labels=frame,
        who=who,
        when=when,
        generation=generation,
    )
