"""How much a person would have to draw until interpolation alone is as good as the method, in human seconds."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from training.data.ontology import TaskName
from training.loop.interpolate import interpolate
from training.loop.sample import evenly_spaced
from training.loop.simulation import Truth
from training.models.tasks import task_for

__all__ = ["FEW", "LINEAR", "QUALITY", "better_answer", "equal_quality"]

QUALITY: Mapping[TaskName, str] = {  # what each task is mainly judged by, 0..1
    "classification": "macro_f1",
    "detection": "tight_recall",
    "segmentation": "miou",
    "keypoints": "pck",
}
FEW = 5  # keyframes from which linear motion is interpolated well
LINEAR = 0.95  # at least
STEP = 1 / 8  # of the number of keyframes, by which it grows until there are enough
MASKS_STEP = 1.0  # masks take seconds to interpolate and judge


def equal_quality(
    truth: Truth, generation: Mapping[str, Any], neighbours: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any] | None:
    """The least evenly spaced keyframes, both ends among them, from which interpolation is as good as the method.

    Each is judged on the frames that its people did not touch. Quality is QUALITY of the task; the method's is that of the
    micro-model or of the hybrid, the better one. A quality that interpolation never reaches costs drawing everything.

    `ratio` is what people did for the method, by the ledger, over the drawing of those keyframes. `ratio_with_looks` adds one
    look at every other frame to both, as `e_time` does. `motion_not_linear` is true where FEW keyframes give less than LINEAR.

    Args:
        generation, neighbours: of `judge` and `baselines`, after the same work of people.
    Returns:
        None for a scene, whose tiles have no order, and where one of the numbers does not exist.
    """
    measure, frames = QUALITY[truth.ontology.task], [frame.frame_index for frame in truth.labels]
    if truth.shard.kind == "scene" or measure not in generation:
        return None
    by, answer = better_answer(measure, generation, neighbours)
    quality, spent = float(answer[measure]), float(generation["human_seconds"])
    reached = cache(lambda count: _interpolated(truth, count))
    step = MASKS_STEP if truth.ontology.task == "segmentation" else STEP
    keyframes = _fewest(lambda count: reached(count) >= quality, len(frames), step)
    keys = _keys(truth, keyframes)
    drawing = truth.num_objects_of(keys) * truth.seconds.draw
    ours_looking = spent + generation["frames_scored"] * truth.seconds.look
    theirs_looking = drawing + (len(frames) - len(keys)) * truth.seconds.look
    return {
        "measure": measure,
        "by": by,
        "quality": quality,
        "human_seconds": spent,
        "interpolation_keyframes": len(keys),
        "interpolation_quality": reached(keyframes),
        "interpolation_seconds": drawing,
        "ratio": spent / drawing if drawing else None,
        "ratio_with_looks": ours_looking / theirs_looking if theirs_looking else None,
        "interpolation_from_few": reached(FEW),
        "motion_not_linear": reached(FEW) < LINEAR,
    }


def better_answer(
    measure: str, generation: Mapping[str, Any], neighbours: Mapping[str, Mapping[str, Any]]
) -> tuple[str, Mapping[str, Any]]:
    """Name and numbers of what would be exported: the micro-model or, where it is better, the hybrid."""
    answers = {"micro-model": generation} | {name: neighbours[name] for name in ("hybrid",) if name in neighbours}
    return max(answers.items(), key=lambda named: float(named[1][measure]))


def _interpolated(truth: Truth, count: int) -> float:
    """Quality of interpolation between so many keyframes, on the other frames; 1 if there are none."""
    keys = _keys(truth, count)
    rest = [frame for frame in truth.labels if frame.frame_index not in set(keys)]
    if not rest:
        return 1.0
    size = truth.shard.height, truth.shard.width
    said = interpolate(truth.of(keys), [frame.frame_index for frame in rest], size)
    return float(task_for(truth.ontology).measure(rest, said, [size] * len(rest))[QUALITY[truth.ontology.task]])


def _keys(truth: Truth, count: int) -> list[int]:
    places = evenly_spaced(len(truth.labels), count, with_ends=True)
    return [truth.labels[place].frame_index for place in places]


def _fewest(enough: Callable[[int], bool], most: int, step: float) -> int:
    """About the least number from 2 that is enough, `most` at the latest.

    One more is not always better, so numbers are tried upwards; only inside the last step is it taken to be so.
    """
    low, high = 1, min(2, most)
    while high < most and not enough(high):
        low, high = high, min(high + max(int(high * step), 1), most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
