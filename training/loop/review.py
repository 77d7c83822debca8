"""What a person did to a frame: what was proposed beside what they left, in the words of the ledger."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from training.data.annotations import Annotation, FrameLabels
from training.data.human_actions import ActionName
from training.data.ontology import Ontology
from training.data.shards import Shard
from training.models.matching import boxes_of
from training.models.overlap import box_iou
from training.models.tasks import task_for

__all__ = ["Deed", "Thing", "Vocabulary", "alike", "differences", "own", "paired", "things"]

Thing = tuple[Annotation, ...]  # what counts as one object: a box, or all masks of one class
UNMOVED_PX = 0.5  # what a file loses that holds whole pixels only


class Vocabulary(NamedTuple):
    """What frames are of, and what is said about them."""

    shard: Shard
    ontology: Ontology


@dataclass(frozen=True, slots=True)
class Deed:
    """One action, the object before and after it, and the first proposal's index.

    confirm has both: what was proposed, and how the person's answer says it again.
    """

    action: ActionName
    before: Thing = ()
    after: Thing = ()
    annotation_id: str | None = None


def differences(
    about: Vocabulary, proposed: FrameLabels, corrected: FrameLabels, same: Mapping[int, int] = MappingProxyType({})
) -> list[Deed]:
    """A look at the frame, and what made `corrected` of `proposed`: confirm, adjust, draw, delete, in this order.

    What stands as it was proposed (its class, the same mask, corners and points at most UNMOVED_PX away) is confirmed; what else
    belongs together is adjusted, the rest deleted and drawn. Together belongs what the person says, else what the task would
    pair: boxes from an IoU of 0.5 on.

    Args:
        same: annotation of `corrected` -> the one of `proposed` that it was, where the person says so.
    """
    number = {id(one): str(place) for place, one in enumerate(proposed.annotations)}
    pairs: list[tuple[Thing, Thing]] = [((proposed.annotations[p],), (corrected.annotations[c],)) for c, p in same.items()]
    rest = _without(corrected, same.keys()), _without(proposed, same.values())
    more, drawn, deleted = _compared(about, *rest)
    pairs += more
    stands = [_stands(about, corrected, after, before) for before, after in pairs]
    deeds = [
        Deed(action, before, after, number[id(before[0])])
        for action in ("confirm", "adjust")
        for (before, after), kept in zip(pairs, stands, strict=True)
        if kept == (action == "confirm")
    ]
    deeds += [Deed("draw", after=thing) for thing in drawn]
    return [Deed("look"), *deeds, *(Deed("delete", before=thing, annotation_id=number[id(thing[0])]) for thing in deleted)]


def things(ontology: Ontology, frame: FrameLabels) -> tuple[list[Thing], list[Annotation]]:
    """What the task counts as one object each, and what it does not count."""
    task = task_for(ontology)
    counted: list[Thing] = []
    others: list[Annotation] = []
    last: dict[str, int] = {}  # of each class, its place in counted
    for one in frame.annotations:
        before = counted[last[one.class_name]][:1] if one.class_name in last else ()
        counts = [task.num_objects(replace(frame, annotations=some)) for some in (before, (*before, one))]
        if counts[0] < counts[1]:
            last[one.class_name] = len(counted)
            counted.append((one,))
        elif before and not one.ambiguous:
            counted[last[one.class_name]] += (one,)
        else:
            others.append(one)
    return counted, others


def paired(about: Vocabulary, frame: FrameLabels, true: list[Thing], found: list[Thing]) -> tuple[list[Thing], list[Thing]]:
    """Both lists with what belongs together in the same place, the best pairs first and the rest behind them."""
    if not true or not found:
        return true, found
    task, frame_hw = task_for(about.ontology), about.shard.size_hw(frame.frame_index)
    worth_TF = _overlaps(true, found)
    for t, f in zip(*np.nonzero(worth_TF > 0), strict=True):
        verdict = task.actions(replace(frame, annotations=true[t]), replace(frame, annotations=found[f]), frame_hw)
        worth_TF[t, f] += 2 * verdict.confirm + verdict.adjust + 4 * _stands(about, frame, true[t], found[f])
    pairs = sorted(zip(*linear_sum_assignment(-worth_TF), strict=True), key=lambda pair: -worth_TF[pair])
    left_T, left_F = (set(range(len(things))) - {pair[side] for pair in pairs} for side, things in enumerate((true, found)))
    return (
        [true[t] for t, _ in pairs] + [true[t] for t in sorted(left_T)],
        [found[f] for _, f in pairs] + [found[f] for f in sorted(left_F)],
    )


def own(shard: Shard, frame: FrameLabels) -> FrameLabels:
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


def _compared(
    about: Vocabulary, corrected: FrameLabels, proposed: FrameLabels
) -> tuple[list[tuple[Thing, Thing]], list[Thing], list[Thing]]:
    """(before, after) of what belongs together, what is new, and what is gone: as many as the task says."""
    (true, _), (found, _) = things(about.ontology, corrected), things(about.ontology, proposed)
    due = task_for(about.ontology).actions(corrected, proposed, about.shard.size_hw(corrected.frame_index))
    true, found = paired(about, corrected, true, found)
    standing = sum(_stands(about, corrected, t, f) for t, f in zip(true, found, strict=False))
    good = min(max(standing, due.confirm + due.adjust), len(true), len(found))
    pairs = list(zip(found[:good], true[:good], strict=True))
    return pairs, true[good : good + due.draw], found[good : good + due.delete]


def _stands(about: Vocabulary, frame: FrameLabels, after: Thing, before: Thing) -> bool:
    """Whether nothing was changed that the task would call a change, or a file can hold."""
    if len(after) != len(before) or not all(alike(a, b) for a, b in zip(after, before, strict=True)):
        return False
    task, frame_hw = task_for(about.ontology), about.shard.size_hw(frame.frame_index)
    return task.actions(replace(frame, annotations=after), replace(frame, annotations=before), frame_hw).due == 0


def alike(a: Annotation, b: Annotation) -> bool:
    """The same class and mask, corners and points at most UNMOVED_PX apart."""
    said = [(one.class_name, one.level, one.ambiguous, one.rle_counts, (one.keypoints_xyv or ())[2::3]) for one in (a, b)]
    return said[0] == said[1] and _near(a.bbox_xyxy, b.bbox_xyxy) and _near(_points(a), _points(b))


def _near(a: Sequence[float] | None, b: Sequence[float] | None) -> bool:
    if a is None or b is None:
        return a is b
    return len(a) == len(b) and all(abs(x - y) <= UNMOVED_PX for x, y in zip(a, b, strict=True))


def _points(one: Annotation) -> list[float]:
    """x and y of the keypoints that are placed."""
    flat = one.keypoints_xyv or ()
    return [number for x, y, v in zip(flat[0::3], flat[1::3], flat[2::3], strict=True) if v for number in (x, y)]


def _without(frame: FrameLabels, places: Iterable[int]) -> FrameLabels:
    gone = set(places)
    return replace(frame, annotations=tuple(one for place, one in enumerate(frame.annotations) if place not in gone))


def _overlaps(true: Sequence[Thing], found: Sequence[Thing]) -> NDArray[np.float64]:
    """(T, F) IoU of boxes; without boxes 1, because things of whole frames are all in one place."""
    boxes = [boxes_of([thing[0] for thing in things]) for things in (true, found)]
    if any(len(one) != len(things) for one, things in zip(boxes, (true, found), strict=True)):
        return np.ones((len(true), len(found)))
    iou_TF: NDArray[np.float64] = box_iou(*(torch.from_numpy(one) for one in boxes)).numpy().astype(np.float64)
    return iou_TF
