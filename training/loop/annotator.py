"""The simulated annotator at work: first labels, audit frames and reviews, from the ground truth, through the ledger."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torchvision.ops import box_iou

from training.data.annotations import Annotation, FrameLabels
from training.data.human_actions import ActionName, HumanAction, RoundKind
from training.data.shards import Shard
from training.loop.simulation import Truth
from training.models.matching import boxes_of
from training.models.tasks import task_for
from training.store.store import Store

__all__ = ["ANNOTATOR", "draw_audit", "draw_labels", "review"]

ANNOTATOR = "simulated annotator"
_WHEN = "1970-01-01T00:00:00+00:00"  # simulated time stands still, so that the same work is the same event
Thing = tuple[Annotation, ...]  # what counts as one object: a box, or all masks of one class


def draw_labels(store: Store, truth: Truth, frame_indices: Sequence[int]) -> None:
    """Draw everything on these frames, as a person would."""
    frames = truth.of(frame_indices)
    _record(store, truth, frames, lambda frame: _drawn(truth, frame), "labels")
    store.annotate(truth.shard.shard_id, truth.ontology.name, [_by_hand(frame) for frame in frames])


def draw_audit(store: Store, truth: Truth, frame_index: int) -> None:
    """Draw everything on an audit frame, before any proposal is shown, and declare it complete; nothing is fitted on it."""

    def work(frame: FrameLabels) -> Iterator["_Deed"]:
        yield from _drawn(truth, frame)
        yield _Deed("audit")

    frames = truth.of([frame_index])
    _record(store, truth, frames, work, "audit")
    store.annotate(truth.shard.shard_id, truth.ontology.name, [_by_hand(frame) for frame in frames], audit=True)


def review(store: Store, truth: Truth, frame_indices: Sequence[int], proposed: Sequence[FrameLabels], generation: int) -> None:
    """Look at what a generation says about these frames, and do what is due there.

    What is good enough to be confirmed stays as the machine drew it; what is adjusted or drawn becomes what is true.
    """
    said = {frame.frame_index: _own(truth.shard, frame) for frame in proposed}
    frames = truth.of(frame_indices)
    done = {frame.frame_index: _corrected(truth, frame, said.get(frame.frame_index)) for frame in frames}
    _record(store, truth, frames, lambda frame: done[frame.frame_index][0], "review", generation)
    store.annotate(truth.shard.shard_id, truth.ontology.name, [labels for _, labels in done.values()])


@dataclass(frozen=True, slots=True)
class _Deed:
    """One action, and the annotation before and after it."""

    action: ActionName
    before: Annotation | None = None
    after: Annotation | None = None


def _drawn(truth: Truth, frame: FrameLabels) -> Iterator[_Deed]:
    things, _ = _things(truth, _by_hand(frame))
    return (_Deed("draw", after=thing[0]) for thing in things)


def _corrected(truth: Truth, frame: FrameLabels, said: FrameLabels | None) -> tuple[list[_Deed], FrameLabels]:
    """What is done on one frame, as many of each action as the task says, and the labels that come of it."""
    said = said or replace(frame, annotations=())
    due = task_for(truth.ontology).actions(frame, said, (truth.shard.height, truth.shard.width))
    (true, others), (found, _) = _things(truth, _by_hand(frame)), _things(truth, said)
    true, found = _paired(truth, frame, true, found)
    kept, good = due.confirm, due.confirm + due.adjust
    deeds = [_Deed("look")]
    deeds += [_Deed("confirm", before=thing[0]) for thing in found[:kept]]
    deeds += [_Deed("adjust", before=a[0], after=b[0]) for a, b in zip(found[kept:good], true[kept:good], strict=True)]
    deeds += [_Deed("draw", after=thing[0]) for thing in true[good : good + due.draw]]
    deeds += [_Deed("delete", before=thing[0]) for thing in found[good : good + due.delete]]
    confirmed = [replace(one, author=ANNOTATOR, confirmed_at=_WHEN) for thing in found[:kept] for one in thing]
    return deeds, replace(frame, annotations=(*confirmed, *(one for thing in true[kept:] for one in thing), *others))


def _things(truth: Truth, frame: FrameLabels) -> tuple[list[Thing], list[Annotation]]:
    """What the task counts as one object each, and what it does not count."""
    task = task_for(truth.ontology)
    things: list[Thing] = []
    others: list[Annotation] = []
    for number, one in enumerate(frame.annotations):
        counts = [task.num_objects(replace(frame, annotations=frame.annotations[:stop])) for stop in (number, number + 1)]
        same = [place for place, thing in enumerate(things) if thing[0].class_name == one.class_name]
        if counts[0] < counts[1]:
            things.append((one,))
        elif same and not one.ambiguous:
            things[same[-1]] += (one,)
        else:
            others.append(one)
    return things, others


def _paired(truth: Truth, frame: FrameLabels, true: list[Thing], found: list[Thing]) -> tuple[list[Thing], list[Thing]]:
    """Both lists with what belongs together in the same place, the best pairs first and the rest behind them."""
    if not true or not found:
        return true, found
    task, size = task_for(truth.ontology), (truth.shard.height, truth.shard.width)
    worth_TF = _overlaps(true, found)
    for t, f in zip(*np.nonzero(worth_TF > 0), strict=True):
        verdict = task.actions(replace(frame, annotations=true[t]), replace(frame, annotations=found[f]), size)
        worth_TF[t, f] += 2 * verdict.confirm + verdict.adjust
    pairs = sorted(zip(*linear_sum_assignment(-worth_TF), strict=True), key=lambda pair: -worth_TF[pair])
    left_T, left_F = (set(range(len(things))) - {pair[side] for pair in pairs} for side, things in enumerate((true, found)))
    return (
        [true[t] for t, _ in pairs] + [true[t] for t in sorted(left_T)],
        [found[f] for _, f in pairs] + [found[f] for f in sorted(left_F)],
    )


def _overlaps(true: Sequence[Thing], found: Sequence[Thing]) -> NDArray[np.float64]:
    """(T, F) IoU of boxes; without boxes 1, because things of whole frames are all in one place."""
    boxes = [boxes_of([thing[0] for thing in things]) for things in (true, found)]
    if any(len(one) != len(things) for one, things in zip(boxes, (true, found), strict=True)):
        return np.ones((len(true), len(found)))
    iou_TF: NDArray[np.float64] = box_iou(*(torch.from_numpy(one) for one in boxes)).numpy().astype(np.float64)
    return iou_TF


def _own(shard: Shard, frame: FrameLabels) -> FrameLabels:
    """Without the objects that belong to another tile, because their centre is there."""
    if shard.scene is None:
        return frame
    window = shard.scene.window(frame.frame_index)

    def inside(one: Annotation) -> bool:
        if one.bbox_xyxy is None:
            return True
        x1, y1, x2, y2 = one.bbox_xyxy
        return 0 <= (x1 + x2) / 2 < window.width and 0 <= (y1 + y2) / 2 < window.height

    return replace(frame, annotations=tuple(one for one in frame.annotations if inside(one)))


def _by_hand(frame: FrameLabels) -> FrameLabels:
    return replace(frame, annotations=tuple(replace(one, provenance="human", author=ANNOTATOR) for one in frame.annotations))


def _record(
    store: Store,
    truth: Truth,
    frames: Iterable[FrameLabels],
    work: Callable[[FrameLabels], Iterable[_Deed]],
    round_kind: RoundKind,
    generation: int | None = None,
) -> None:
    """Into the ledger, where the table says what each action costs."""
    prefix = round_kind if generation is None else f"{round_kind}-{generation}"
    store.ledger.append(
        [
            HumanAction(
                event_id=f"{prefix}-{frame.frame_index}-{number}",
                action=deed.action,
                round_kind=round_kind,
                shard_id=truth.shard.shard_id,
                ontology=truth.ontology.name,
                frame_index=frame.frame_index,
                who=ANNOTATOR,
                when=_WHEN,
                generation=generation,
                before=deed.before,
                after=deed.after,
            )
            for frame in frames
            for number, deed in enumerate(work(frame))
        ]
    )
