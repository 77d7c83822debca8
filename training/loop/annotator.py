"""The simulated annotator at work: first labels, audit frames and reviews, from the ground truth, through the ledger."""

from collections.abc import Sequence
from dataclasses import replace

from training.data.annotations import FrameLabels
from training.data.human_actions import RoundKind
from training.loop.answers import FrameAnswer, keep, worked
from training.loop.review import Vocabulary, own, paired, things
from training.loop.simulation import Truth
from training.models.tasks import task_for
from training.store.store import Store

__all__ = ["ANNOTATOR", "draw_audit", "draw_labels", "review"]

ANNOTATOR = "simulated annotator"
_WHEN = "1970-01-01T00:00:00+00:00"  # simulated time stands still, so that the same work is the same event


def draw_labels(store: Store, truth: Truth, frame_indices: Sequence[int]) -> None:
    """Draw everything on these frames, as a person would."""
    about = Vocabulary(truth.shard, truth.ontology)
    keep(store, [worked(about, _answer(truth, frame, "labels")) for frame in truth.of(frame_indices)])


def draw_audit(store: Store, truth: Truth, frame_index: int) -> None:
    """Draw everything on an audit frame, before any proposal is shown, and declare it complete; nothing is fitted on it."""
    about = Vocabulary(truth.shard, truth.ontology)
    keep(store, [worked(about, _answer(truth, frame, "audit")) for frame in truth.of([frame_index])])


def review(store: Store, truth: Truth, frame_indices: Sequence[int], proposed: Sequence[FrameLabels], generation: int) -> None:
    """Look at what a generation says about these frames, and do what is due there.

    What is good enough to be confirmed stays as the machine drew it; what is adjusted or drawn becomes what is true.
    """
    about = Vocabulary(truth.shard, truth.ontology)
    said = {frame.frame_index: own(truth.shard, frame) for frame in proposed}
    works = []
    for frame in truth.of(frame_indices):
        before = said.get(frame.frame_index, replace(frame, annotations=()))
        answer = _answer(truth, _corrected(about, frame, before), "review", generation)
        works.append(worked(about, answer, before))
    keep(store, works)


def _corrected(about: Vocabulary, frame: FrameLabels, said: FrameLabels) -> FrameLabels:
    """What is good enough, as it was said; instead of the rest, what is true."""
    due = task_for(about.ontology).actions(frame, said, about.shard.size_hw(frame.frame_index))
    (true, others), (found, _) = things(about.ontology, frame), things(about.ontology, said)
    true, found = paired(about, frame, true, found)
    left = [one for thing in (*found[: due.confirm], *true[due.confirm :]) for one in thing]
    return replace(frame, annotations=(*left, *others))


def _answer(truth: Truth, labels: FrameLabels, kind: RoundKind, generation: int | None = None) -> FrameAnswer:
    prefix = kind if generation is None else f"{kind}-{generation}"
    return FrameAnswer(
        answer_id=f"{prefix}-{labels.frame_index}",
        kind=kind,
        ontology=truth.ontology.name,
        labels=labels,
        who=ANNOTATOR,
        when=_WHEN,
        generation=generation,
    )
