"""The simulated annotator: labels frames from the ground truth, then judges what the machine said about the rest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from statistics import median
from typing import Any

from training.data.annotations import FrameLabels
from training.data.ontology import Ontology
from training.data.shards import Shard
from training.learning.merge import merge_tiles
from training.loop.efficiency import e_count, e_time, human_seconds
from training.loop.interpolate import interpolate
from training.loop.sample import evenly_spaced
from training.models.actions import Actions
from training.models.tasks import task_for
from training.store.store import Store

__all__ = ["Truth", "baselines", "draw_labels", "judge", "medians"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """Everything true of one shard and ontology; frames without a FrameLabels are neither labelled nor scored."""

    shard: Shard
    ontology: Ontology
    labels: tuple[FrameLabels, ...]

    @property
    def num_objects(self) -> int:
        return self.num_objects_of([frame.frame_index for frame in self.labels])

    def num_objects_of(self, frame_indices: Sequence[int]) -> int:
        task = task_for(self.ontology)
        return sum(task.num_objects(frame) for frame in self.of(frame_indices))

    def of(self, frame_indices: Sequence[int]) -> list[FrameLabels]:
        wanted = set(frame_indices)
        return [frame for frame in self.labels if frame.frame_index in wanted]


def draw_labels(store: Store, truth: Truth, frame_indices: Sequence[int]) -> None:
    """Draw everything on these frames, as a person would."""
    drawn = [
        replace(
            frame,
            annotations=tuple(
                replace(annotation, provenance="human", author="simulated annotator") for annotation in frame.annotations
            ),
        )
        for frame in truth.of(frame_indices)
    ]
    store.annotate(truth.shard.shard_id, truth.ontology.name, drawn)


def judge(truth: Truth, predicted: Sequence[FrameLabels], touched: Sequence[int]) -> dict[str, Any]:
    """Quality on the frames nobody touched, and what people did and still have to do.

    predicted: at least every untouched frame; a frame that is missing counts as one where nothing was found.
    touched: frames drawn by hand.
    """
    task = task_for(truth.ontology)
    untouched = [frame.frame_index for frame in truth.labels if frame.frame_index not in set(touched)]
    said = {frame.frame_index: frame for frame in predicted}
    empty = [FrameLabels(shard_id=truth.shard.shard_id, frame_index=index) for index in untouched]
    answers = [said.get(frame.frame_index, frame) for frame in empty]
    true, answers = merge_tiles(truth.shard, truth.of(untouched)), merge_tiles(truth.shard, answers)
    size = _size(truth.shard)
    due = reduce(lambda a, b: a + b, (task.actions(t, p, size) for t, p in zip(true, answers, strict=True)), Actions())
    drawn = truth.num_objects_of(touched)
    everything = replace(due, draw=due.draw + drawn)
    spent = human_seconds(everything, looks=len(untouched), seconds=task.seconds)
    return {
        "frames_touched": len(touched),
        "frames_scored": len(untouched),
        **task.measure(true, answers, size),
        "e_count": e_count(drawn=drawn, corrected=Actions(), due=due, objects=truth.num_objects),
        "e_time": e_time(spent_seconds=spent, objects=truth.num_objects, seconds=task.seconds),
        "actions": everything.to_json(),
    }


def baselines(truth: Truth, touched: Sequence[int]) -> dict[str, dict[str, Any]]:
    """Interpolation: the better of the same frames and as many evenly spaced ones with both ends among them.

    None for a scene, whose tiles have no order.
    """
    if truth.shard.kind == "scene":
        return {}
    known = [frame.frame_index for frame in truth.labels]
    with_ends = [known[position] for position in evenly_spaced(len(known), len(touched), with_ends=True)]
    tried = [judge(truth, interpolate(truth.of(keys), known, _size(truth.shard)), keys) for keys in (list(touched), with_ends)]
    return {"interpolation": max(tried, key=lambda result: float(result["e_count"]))}


def medians(entries: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Median over shards of every number of the last generation, and of the baselines under 'interpolation.…'."""
    found: dict[str, list[float]] = {}
    for entry in entries:
        sources = {"": entry["generations"][-1]} | {f"{name}.": result for name, result in entry["baselines"].items()}
        for prefix, result in sources.items():
            for name, value in result.items():
                if isinstance(value, int | float) and name not in ("generation", "frames_touched", "frames_scored"):
                    found.setdefault(prefix + name, []).append(value)
    return {name: median(values) for name, values in sorted(found.items())}


def _size(shard: Shard) -> tuple[int, int]:
    """Height and width of what is judged: a frame, or the whole scene."""
    return (shard.height, shard.width) if shard.scene is None else (shard.scene.height, shard.scene.width)
