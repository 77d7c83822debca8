"""The ground truth as a judge: how right the machine is where nobody looked, and what people did and still have to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from statistics import median
from typing import Any

from training.data.annotations import FrameLabels
from training.data.ontology import Ontology
from training.data.shards import Shard
from training.learning.merge import merge_tiles
from training.loop.efficiency import Spent, human_seconds
from training.loop.interpolate import interpolate
from training.loop.sample import evenly_spaced
from training.loop.timings import Timings, seconds_for
from training.models.actions import Actions, Seconds
from training.models.tasks import task_for

__all__ = ["Truth", "baselines", "drawn_by_hand", "judge", "medians", "regret"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """Everything true of one shard and ontology; frames without a FrameLabels are neither labelled nor scored."""

    shard: Shard
    ontology: Ontology
    labels: tuple[FrameLabels, ...]
    timings: Timings | None = None

    @property
    def seconds(self) -> Seconds:
        """What each action costs a person: the table, with the timings in the place of what they name."""
        return seconds_for(self.ontology, self.timings)

    @property
    def key(self) -> tuple[str, str]:
        """Shard id and ontology name."""
        return self.shard.shard_id, self.ontology.name

    @property
    def num_objects(self) -> int:
        return self.num_objects_of([frame.frame_index for frame in self.labels])

    def num_objects_of(self, frame_indices: Sequence[int]) -> int:
        task = task_for(self.ontology)
        return sum(task.num_objects(frame) for frame in self.of(frame_indices))

    def of(self, frame_indices: Sequence[int]) -> list[FrameLabels]:
        wanted = set(frame_indices)
        return [frame for frame in self.labels if frame.frame_index in wanted]


def drawn_by_hand(truth: Truth, touched: Sequence[int]) -> Spent:
    """What it cost people to draw everything on these frames, and nothing else."""
    drawn = truth.num_objects_of(touched)
    return Spent(
        drawn=drawn,
        corrected=Actions(),
        looks=0,
        seconds=human_seconds(Actions(draw=drawn), looks=0, seconds=truth.seconds),
        num_measured=0,
        labelled=frozenset(touched),
        reviewed=frozenset(),
        audited=frozenset(),
    )


def judge(truth: Truth, predicted: Sequence[FrameLabels], spent: Spent) -> dict[str, Any]:
    """Quality on the frames nobody touched, and what people did and still have to do.

    predicted: at least every untouched frame; a frame that is missing counts as one where nothing was found.
    spent: what people did to come this far, and on which frames.
    """
    task = task_for(truth.ontology)
    untouched = [frame.frame_index for frame in truth.labels if frame.frame_index not in spent.touched]
    said = {frame.frame_index: frame for frame in predicted}
    empty = [FrameLabels(shard_id=truth.shard.shard_id, frame_index=index) for index in untouched]
    answers = [said.get(frame.frame_index, frame) for frame in empty]
    true, answers = merge_tiles(truth.shard, truth.of(untouched)), merge_tiles(truth.shard, answers)
    size = _size(truth.shard)
    due = reduce(lambda a, b: a + b, (task.actions(t, p, size) for t, p in zip(true, answers, strict=True)), Actions())
    objects, seconds = truth.num_objects, truth.seconds
    done = replace(spent.corrected, draw=spent.corrected.draw + spent.drawn)
    return {
        "frames_touched": len(truth.labels) - len(untouched),
        "frames_scored": len(untouched),
        **task.measure(true, answers, [size] * len(true)),
        "e_count": spent.e_count(due=due, objects=objects),
        "e_count_ceiling": spent.e_count(due=Actions(), objects=objects),
        "e_time": spent.e_time(due=due, looks_due=len(untouched), objects=objects, seconds=seconds),
        "human_seconds": spent.seconds,
        "human_seconds_due": human_seconds(due, looks=len(untouched), seconds=seconds),
        "actions": (done + due).to_json(),
    }


def baselines(truth: Truth, touched: Sequence[int]) -> dict[str, dict[str, Any]]:
    """Interpolation: the better of the same frames and as many evenly spaced ones with both ends among them.

    None for a scene, whose tiles have no order.
    """
    if truth.shard.kind == "scene":
        return {}
    known = [frame.frame_index for frame in truth.labels]
    with_ends = [known[position] for position in evenly_spaced(len(known), len(touched), with_ends=True)]
    tried = [
        judge(truth, interpolate(truth.of(keys), known, _size(truth.shard)), drawn_by_hand(truth, keys))
        for keys in (list(touched), with_ends)
    ]
    return {"interpolation": max(tried, key=lambda result: float(result["e_count"]))}


def regret(generation: Mapping[str, Any], neighbours: Mapping[str, Mapping[str, Any]]) -> float | None:
    """How much tight recall the hybrid gives away against the better of micro-model and interpolation; negative: it gains."""
    if "hybrid" not in neighbours:
        return None
    better = max(generation["tight_recall"], neighbours["interpolation"]["tight_recall"])
    return float(better - neighbours["hybrid"]["tight_recall"])


def medians(entries: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Median over shards of every number of the last generation, of the baselines under 'interpolation.…', and of ratios.

    'equal_quality.ratio' and 'equal_quality.ratio_with_looks' are over the shards whose motion is not linear.
    """
    found: dict[str, list[float]] = {}
    for entry in entries:
        sources = {"": entry["generations"][-1]} | {f"{name}.": result for name, result in entry["baselines"].items()}
        for prefix, result in sources.items():
            for name, value in result.items():
                if _is_number(value) and name not in ("generation", "frames_touched", "frames_scored"):
                    found.setdefault(prefix + name, []).append(value)
        equal = entry.get("equal_quality") or {}
        for name in ("ratio", "ratio_with_looks"):
            if equal.get("motion_not_linear") and equal[name] is not None:
                found.setdefault(f"equal_quality.{name}", []).append(equal[name])
    return {name: median(values) for name, values in sorted(found.items())}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _size(shard: Shard) -> tuple[int, int]:
    """Height and width of what is judged: a frame, or the whole scene."""
    return (shard.height, shard.width) if shard.scene is None else (shard.scene.height, shard.scene.width)
