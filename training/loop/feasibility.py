"""Will this work on these shards, and what will further ones cost? Read off what `simulate` measured, with the doubts said."""

from collections.abc import Iterator, Mapping, Sequence
from math import comb
from statistics import mean, median
from typing import Any

from training.data.ontology import TaskName
from training.loop.equal_quality import QUALITY, better_answer

__all__ = ["FURTHER", "GOOD_ENOUGH", "SHORT", "feasibility", "median_interval"]

GOOD_ENOUGH = 0.9  # of the task's quality; below that, a person corrects too much to call it working
SHORT = 0.95  # a shard on which even a perfect machine would spare less than this of the drawing is short
FURTHER = (1, 10, 100, 1000)  # shards like these
CONFIDENCE = 0.95
_COSTS = ("human_seconds", "human_seconds_due", "drawing_seconds", "interpolation_seconds", "machine_seconds")


def feasibility(entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One answer for each task: quality, costs, costs of further shards, and what to be careful about.

    `shards` has for each shard the quality of every generation beside its neighbours, and seconds: `human_seconds` that
    people spent to come there, `human_seconds_due` to look at everything else and correct it, `drawing_seconds` to draw
    everything, `interpolation_seconds` to draw as many keyframes as interpolation needs to be as good (None where nothing
    can be interpolated), `machine_seconds` of fitting and labelling. `further` has the mean of each for so many shards,
    with the least and most seen, times that many; `per_frame` the mean for each frame.

    Args:
        entries: shards of `simulate --json`.
    """
    tasks = dict.fromkeys(entry["task"] for entry in entries)
    return [_answer(task, [_shard(entry) for entry in entries if entry["task"] == task]) for task in tasks]


def median_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """(low, high, confidence): where the median of all shards like these lies, and how sure that is.

    The narrowest pair of values, as far from the least as from the most, that holds it with 95 % confidence, whatever the
    distribution; least and most with less confidence where there are fewer than 6 values (sign test; Thompson, 1936).
    """
    ordered, num = sorted(values), len(values)
    best = (ordered[0], ordered[-1], 1 - 2 / 2**num)
    for dropped in range(1, (num - 1) // 2 + 1):
        confidence = 1 - 2 * sum(comb(num, below) for below in range(dropped + 1)) / 2**num
        if confidence >= CONFIDENCE:
            best = (ordered[dropped], ordered[-1 - dropped], confidence)
    return best


def _shard(entry: Mapping[str, Any]) -> dict[str, Any]:
    measure, last = QUALITY[entry["task"]], entry["generations"][-1]
    by, answer = better_answer(measure, last, entry["baselines"])
    course = [
        {"generation": one["generation"], "micro-model": one[measure]} | _qualities(measure, neighbours)
        for one, neighbours in zip(entry["generations"], entry["baselines_by_generation"], strict=True)
    ]
    equal = entry["equal_quality"] or {}
    found = {
        "shard_id": entry["shard_id"],
        "frames": entry["frames"],
        "frames_touched": last["frames_touched"],
        "generations": course,
        **_prelabel(measure, entry["baselines"].get("prelabel")),
        "by": by,
        "quality": answer[measure],
        "works": answer[measure] >= GOOD_ENOUGH,
        "human_seconds": last["human_seconds"],
        "human_seconds_due": answer["human_seconds_due"],
        "drawing_seconds": entry["drawing_seconds"],
        "interpolation_seconds": equal.get("interpolation_seconds"),
        "machine_seconds": sum(one["fit_seconds"] + one["label_seconds"] for one in entry["generations"]),
    }
    return found | {"warnings": list(_shard_warnings(found, last["e_count_ceiling"]))}


def _prelabel(measure: str, neighbour: Mapping[str, Any] | None) -> dict[str, Any]:
    """Its quality where it has one, and what is to be said of a pre-trained detector here; nothing where none was asked."""
    if neighbour is None:
        return {}
    check, unknown = neighbour.get("check"), neighbour.get("unknown")
    why_not = (neighbour["why_not"] or "").partition(";")[0]  # what it knows instead is long
    verdict = why_not or ("not checked" if check is None else check["verdict"])
    missing = f"; it cannot know {', '.join(unknown)}" if unknown else ""
    return _qualities(measure, {"prelabel": neighbour}) | {"prelabel_verdict": verdict + missing}


def _qualities(measure: str, neighbours: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    return {name: one[measure] for name, one in neighbours.items() if measure in one}


def _shard_warnings(shard: Mapping[str, Any], ceiling: float) -> Iterator[str]:
    if ceiling < SHORT:
        touched, frames = shard["frames_touched"], shard["frames"]
        yield f"short: people touched {touched} of {frames} frames, so at most {ceiling:.0%} of the objects could be spared"
    if "prelabel_verdict" in shard:
        yield f"a pre-trained detector, by a few labels: {shard['prelabel_verdict']}"
    if not shard["works"]:
        yield f"does not work yet: quality {shard['quality']:.2f}, needed {GOOD_ENOUGH:g}"
    elif shard["interpolation_seconds"] is not None and shard["interpolation_seconds"] <= shard["human_seconds"]:
        yield "interpolation alone is as good for less work"


def _answer(task: TaskName, shards: list[dict[str, Any]]) -> dict[str, Any]:
    qualities = [shard["quality"] for shard in shards]
    low, high, confidence = median_interval(qualities)
    return {
        "task": task,
        "measure": QUALITY[task],
        "shards": shards,
        "num_works": sum(shard["works"] for shard in shards),
        "quality": median(qualities),
        "quality_interval": [low, high],
        "confidence": confidence,
        "medians": _medians(shards),
        "per_frame": {name: _per_frame(shards, name) for name in _COSTS},
        "further": [{"shards": number} | {name: _times(number, shards, name) for name in _COSTS} for number in FURTHER],
        "verdict": _verdict(shards),
        "warnings": list(_warnings(shards, low, high, confidence)),
    }


def _medians(shards: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    known = {name: [shard[name] for shard in shards if shard[name] is not None] for name in _COSTS}
    return {name: median(values) if values else None for name, values in known.items()}


def _per_frame(shards: Sequence[Mapping[str, Any]], name: str) -> float | None:
    known = [shard for shard in shards if shard[name] is not None]
    return sum(shard[name] for shard in known) / sum(shard["frames"] for shard in known) if known else None


def _times(number: int, shards: Sequence[Mapping[str, Any]], name: str) -> dict[str, float] | None:
    known = [shard[name] for shard in shards if shard[name] is not None]
    return {"mean": number * mean(known), "least": number * min(known), "most": number * max(known)} if known else None


def _verdict(shards: Sequence[Mapping[str, Any]]) -> str:
    failing = [shard["shard_id"] for shard in shards if not shard["works"]]
    if not failing:
        return f"It works on all {len(shards)}."
    if len(failing) == len(shards):
        return f"It does not work yet for these: {', '.join(failing)}."
    return f"It works on {len(shards) - len(failing)} of {len(shards)}. It does not work yet for these: {', '.join(failing)}."


def _warnings(shards: Sequence[Mapping[str, Any]], low: float, high: float, confidence: float) -> Iterator[str]:
    if confidence < CONFIDENCE:
        yield (
            f"{len(shards)} shards say little about others: their median quality lies between {low:.2f} and {high:.2f} "
            f"with {confidence:.0%} confidence"
        )
    if any(warning.startswith("short:") for shard in shards for warning in shard["warnings"]):
        yield "Short shards cost nearly as much as drawing them: the share of work that is spared grows with their length."
