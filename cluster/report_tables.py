"""The numbers of `simulate --json` as rows of text: one table over all shards, and one for each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

__all__ = ["Cell", "Overview", "Table", "overview", "scoreboard"]

_NAMES = {
    "precision": "precision",
    "recall": "recall",
    "tight_recall": "tight recall",
    "mean_iou": "mean IoU",
    "e_count": "e_count",
    "e_time": "e_time",
    "fit_seconds": "fit, s",
    "label_seconds": "label, s",
}
_COUNTS = ("generation", "frames_touched", "frames_scored")
_TROUBLE = ("frames_unreadable",)  # not worth a column where there is none
_COMPARED = ("recall", "tight_recall", "precision")


@dataclass(frozen=True, slots=True)
class Cell:
    """A number of the micro-model beside the same number of interpolation, both 0..1 or absent."""

    model: float | None
    interpolation: float | None


@dataclass(frozen=True, slots=True)
class Overview:
    """One row a shard, and medians over the shards (None if there is none)."""

    rows: list[dict[str, Any]]
    medians: dict[str, float | None]
    compared: dict[str, str]


@dataclass(frozen=True, slots=True)
class Table:
    """Headings, and rows of cells that are already text."""

    head: list[str]
    rows: list[list[str]]


def overview(result: Mapping[str, Any]) -> Overview:
    """What the last generation of every shard reached, beside interpolation of as many hand-drawn frames."""
    rows = [_overview_row(entry) for entry in result["shards"]]
    medians = {name: _median([row["cells"][name].model for row in rows]) for name in _COMPARED}
    medians |= {name: _median([row[name] for row in rows]) for name in ("share_by_hand", "e_count", "e_time", "fit_seconds")}
    return Overview(rows, medians, {name: _NAMES[name] for name in _COMPARED})


def scoreboard(entry: Mapping[str, Any]) -> Table:
    """Every generation of one shard and every baseline; whatever numbers its task has become columns."""
    generations = [(f"generation {one['generation']}", one) for one in entry["generations"]]
    named = [*generations, *((name, values) for name, values in entry.get("baselines", {}).items())]
    measures = _measures([values for _, values in named])
    actions = list(dict.fromkeys(action for _, values in named for action in values.get("actions", {})))
    head = ["", "by hand", "scored", *(_NAMES.get(name, name.replace("_", " ")) for name in measures)]
    rows = [
        [
            name,
            _text(values.get("frames_touched")),
            _text(values.get("frames_scored")),
            *(_measure(measure, values.get(measure), entry, values) for measure in measures),
            *(_text(values.get("actions", {}).get(action)) for action in actions),
        ]
        for name, values in named
    ]
    return Table([*head, *actions], rows)


def _overview_row(entry: Mapping[str, Any]) -> dict[str, Any]:
    last = entry["generations"][-1] if entry["generations"] else {}
    baseline = entry.get("baselines", {}).get("interpolation", {})
    touched = last.get("frames_touched")
    return {
        "shard_id": entry["shard_id"],
        "task": entry["task"],
        "frames": entry["frames"],
        "frames_touched": touched,
        "share_by_hand": None if touched is None else touched / entry["frames"],
        "cells": {name: Cell(last.get(name), baseline.get(name)) for name in _COMPARED},
        "ceiling": None if touched is None else 1 - touched / entry["frames"],
        **{name: last.get(name) for name in ("e_count", "e_time", "fit_seconds", "label_seconds")},
    }


def _measures(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of plain numbers: those that have a place first, in their order, then what a task adds."""
    found = dict.fromkeys(
        name
        for row in rows
        for name, value in row.items()
        if name not in _COUNTS
        and (value or name not in _TROUBLE)
        and isinstance(value, int | float)
        and not isinstance(value, bool)
    )
    return [*(name for name in _NAMES if name in found), *(name for name in found if name not in _NAMES)]


def _measure(name: str, value: Any, entry: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    if name == "e_count" and value is not None and values.get("frames_touched"):
        return f"{_text(value)} (≤ {1 - values['frames_touched'] / entry['frames']:.2f})"
    return f"{value:.1f}" if name.endswith("_seconds") and value is not None else _text(value)


def _text(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
