"""Will it work, and what will it cost? The answers of `simulate` and `status` in words and tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cluster.report_tables import Table, named
from training.loop.prospect import Estimate, Prospect

__all__ = ["Answer", "answer_held_out", "answers_simulated", "duration"]

_COSTS = {
    "human_seconds": "people, to this quality",
    "human_seconds_due": "then to check and correct the rest",
    "interpolation_seconds": "interpolation, to this quality",
    "drawing_seconds": "drawing everything",
    "machine_seconds": "machine",
}
_MINUTE, _HOUR = 60, 3600


@dataclass(frozen=True, slots=True)
class Answer:
    """One section of a page. works: nothing is bad about the verdict. tables: caption and table."""

    title: str
    verdict: str
    works: bool
    sentences: Sequence[str] = ()
    warnings: Sequence[str] = ()
    tables: Sequence[tuple[str, Table]] = field(default_factory=list)


def answers_simulated(feasibility: Sequence[Mapping[str, Any]]) -> list[Answer]:
    """For each task of `simulate`'s `feasibility`: quality beside the neighbours, costs, costs of further shards."""
    return [_simulated(one, several=len(feasibility) > 1) for one in feasibility]


def answer_held_out(prospects: Sequence[Prospect]) -> Answer:
    """What held-out labels say of every shard of a store, and what the frames that nobody touched are expected to cost."""
    working = sum(one.verdict == "works" for one in prospects)
    return Answer(
        "Will it work on the rest, and what will the rest cost?",
        f"Held-out labels say that it works on {working} of {len(prospects)} micro-models.",
        bool(prospects) and working == len(prospects),
        [
            "Nobody knows the truth of the other frames. Each labelled frame was held out of a fit and compared with its labels; "
            "in brackets is where the true number lies with 95 % confidence, if objects fail one by one. Objects of one frame "
            "often fail together, so be less sure than that.",
        ],
        [f"{one.shard_id} {one.ontology}: {warning}" for one in prospects for warning in one.warnings],
        [("Quality on held-out labels", _held_out_table(prospects)), ("People and machine", _remaining_table(prospects))],
    )


def duration(seconds: float | None) -> str:
    """'45 s', '12 min', '3.4 h'; '–' for None."""
    if seconds is None:
        return "–"
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"  # two digits either way
    return f"{seconds / _MINUTE:.0f} min" if seconds < 2 * _HOUR else f"{seconds / _HOUR:.1f} h"


def _simulated(answer: Mapping[str, Any], *, several: bool) -> Answer:
    measure, (low, high) = named(answer["measure"]), answer["quality_interval"]
    medians = answer["medians"]
    beside = f", interpolation to the same quality {duration(medians['interpolation_seconds'])}"
    return Answer(
        "Will it work, and what will it cost?" + (f" ({answer['task']})" if several else ""),
        answer["verdict"],
        answer["num_works"] == len(answer["shards"]),
        [
            f"Median {measure} {answer['quality']:.2f}; the median of shards like these lies between {low:.2f} and {high:.2f} "
            f"with {answer['confidence']:.0%} confidence. It works where {measure} is 0.9 or more.",
            f"In the median a shard took people {duration(medians['human_seconds'])} to come there, and "
            f"{duration(medians['human_seconds_due'])} more until every label is right; drawing everything takes "
            f"{duration(medians['drawing_seconds'])}{'' if medians['interpolation_seconds'] is None else beside}. "
            f"The machine took {duration(medians['machine_seconds'])}.",
        ],
        [*answer["warnings"], *(f"{one['shard_id']}: {text}" for one in answer["shards"] for text in one["warnings"])],
        [
            (
                f"{measure[:1].upper()}{measure[1:]} after each generation, beside the neighbours",
                _quality_table(answer["shards"]),
            ),
            ("Time for each shard", _cost_table(answer)),
            ("Time for further shards like these: mean, and the least and most seen", _further_table(answer)),
        ],
    )


def _quality_table(shards: Sequence[Mapping[str, Any]]) -> Table:
    names = list(dict.fromkeys(name for shard in shards for one in shard["generations"] for name in one if name != "generation"))
    rows = [
        [shard["shard_id"], str(one["generation"]), *(_share(one.get(name)) for name in names), _share(shard.get("prelabel"))]
        for shard in shards
        for one in shard["generations"]
    ]
    if not any("prelabel" in shard for shard in shards):
        return Table(["shard", "generation", *names], [row[:-1] for row in rows])
    return Table(["shard", "generation", *names, "prelabel, untouched"], rows)


def _cost_table(answer: Mapping[str, Any]) -> Table:
    rows = [[one["shard_id"], str(one["frames"]), *(duration(one[name]) for name in _COSTS)] for one in answer["shards"]]
    rows.append(["median", "", *(duration(answer["medians"][name]) for name in _COSTS)])
    rows.append(["each frame, mean", "", *(duration(answer["per_frame"][name]) for name in _COSTS)])
    return Table(["shard", "frames", *_COSTS.values()], rows)


def _further_table(answer: Mapping[str, Any]) -> Table:
    rows = [[str(one["shards"]), *(_range(one[name]) for name in _COSTS)] for one in answer["further"]]
    return Table(["shards", *_COSTS.values()], rows)


def _range(cost: Mapping[str, float] | None) -> str:
    return "–" if cost is None else f"{duration(cost['mean'])} ({duration(cost['least'])} to {duration(cost['most'])})"


def _held_out_table(prospects: Sequence[Prospect]) -> Table:
    names = list(dict.fromkeys(name for one in prospects for name in one.shares))
    rows = [
        [
            f"{one.shard_id} {one.ontology}",
            str(one.generation),
            str(one.held_out_frames),
            str(one.held_out_objects),
            *(_between(one.shares.get(name)) for name in names),
            one.verdict,
        ]
        for one in prospects
    ]
    return Table(["micro-model", "generation", "frames", "objects", *map(named, names), "verdict"], rows)


def _remaining_table(prospects: Sequence[Prospect]) -> Table:
    head = ["micro-model", "touched", "people so far", "expected for the rest", "drawing everything", "fits so far"]
    rows = [
        [
            f"{one.shard_id} {one.ontology}",
            f"{one.touched} of {one.frames}",
            duration(one.human_seconds),
            "–"
            if (left := one.remaining_seconds) is None
            else f"{duration(left.value)} ({duration(left.low)} to {duration(left.high)})",
            duration(one.drawing_seconds),
            duration(one.machine_seconds),
        ]
        for one in prospects
    ]
    return Table(head, rows)


def _between(share: Estimate | None) -> str:
    return "–" if share is None else f"{share.value:.2f} ({share.low:.2f} to {share.high:.2f})"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
