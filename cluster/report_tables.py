"""The numbers of `simulate --json` as rows of text: one table over all shards, and one for each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

__all__ = ["Cell", "Group", "Overview", "Table", "Tile", "judged_by", "named", "overview", "scoreboard"]

_NAMES = {
    "macro_f1": "macro F1",
    "accuracy": "accuracy",
    "j": "J",
    "f": "F",
    "miou": "mIoU",
    "pck": "PCK@0.1",
    "rmse_px": "RMSE, px",
    "precision": "precision",
    "recall": "recall",
    "tight_recall": "tight recall",
    "mean_iou": "mean IoU",
    "ap": "AP",
    "ap50": "AP at 0.5",
    "oks": "OKS",
    "ap_oks": "AP by OKS",
    "e_count": "e_count",
    "e_time": "e_time",
    "fit_seconds": "fit, s",
    "label_seconds": "label, s",
}
_COUNTS = ("generation", "frames_touched", "frames_scored", "e_count_ceiling")
_TROUBLE = ("frames_unreadable", "num_ambiguous")  # not worth a column where there is none
_BOXES = ("recall", "tight_recall", "precision")
_COMPARED = {  # what each task is judged by, 0..1, the one that matters most first
    "classification": ("macro_f1", "accuracy"),
    "detection": _BOXES,
    "segmentation": ("miou", "j", "f"),
    "keypoints": ("pck", "recall", "precision"),
}
_PLAIN = {"keypoints": ("rmse_px",)}  # numbers that are no shares
_COSTS = ("e_count", "e_time", "fit_seconds", "label_seconds")


@dataclass(frozen=True, slots=True)
class Cell:
    """A number of the micro-model beside the same number of interpolation, both 0..1 or absent."""

    model: float | None
    interpolation: float | None


@dataclass(frozen=True, slots=True)
class Group:
    """The shards of one task, one row each, with medians over them (None if there is none); compared, plain: key -> heading."""

    task: str
    rows: list[dict[str, Any]]
    medians: dict[str, float | None]
    compared: dict[str, str]
    plain: dict[str, str]


@dataclass(frozen=True, slots=True)
class Tile:
    """One number and what it is."""

    text: str
    label: str


@dataclass(frozen=True, slots=True)
class Overview:
    """The numbers at the top, and a table for each task."""

    tiles: list[Tile]
    groups: list[Group]


@dataclass(frozen=True, slots=True)
class Table:
    """Headings, and rows of cells that are already text."""

    head: list[str]
    rows: list[list[str]]


def overview(result: Mapping[str, Any]) -> Overview:
    """What the last generation of every shard reached, beside interpolation of as many hand-drawn frames."""
    rows = [_overview_row(entry, number) for number, entry in enumerate(result["shards"], 1)]
    groups = [_group(task, [row for row in rows if row["task"] == task]) for task in dict.fromkeys(row["task"] for row in rows)]
    share, seconds = (_median([row[name] for row in rows]) for name in ("share_by_hand", "fit_seconds"))
    tiles = [
        Tile(
            str(len(rows)),
            "micro-models, one for each shard and task" if len(groups) > 1 else "shards, each with a micro-model of its own",
        ),
        Tile("–" if share is None else f"{100 * share:.0f} %", "of the frames labelled by hand"),
        *_quality(groups),
        Tile("–" if seconds is None else f"{seconds:.0f} s", "to fit one"),
    ]
    return Overview(tiles, groups)


def _group(task: str, rows: list[dict[str, Any]]) -> Group:
    compared, plain = _COMPARED.get(task, _BOXES), _PLAIN.get(task, ())
    medians = {name: _median([row["cells"][name].model for row in rows]) for name in compared}
    medians |= {name: _median([row[name] for row in rows]) for name in (*plain, "ceiling", *_COSTS)}
    return Group(task, rows, medians, {name: _NAMES[name] for name in compared}, {name: _NAMES[name] for name in plain})


def _quality(groups: Sequence[Group]) -> list[Tile]:
    """Everything a single task is judged by, or of several tasks what matters most in each."""
    if len(groups) == 1:
        (group,) = groups
        return [Tile(_short(group.medians[name]), f"{label} on the others") for name, label in group.compared.items()]
    first = [(group, *next(iter(group.compared.items()))) for group in groups]
    return [Tile(_short(group.medians[name]), f"{label}, {group.task}") for group, name, label in first]


def _short(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def judged_by(task: str) -> str:
    """The number, 0..1, that matters most in a task."""
    return _COMPARED.get(task, _BOXES)[0]


def named(measure: str) -> str:
    """What a page calls a number."""
    return _NAMES.get(measure, measure.replace("_", " "))


def scoreboard(entry: Mapping[str, Any]) -> Table:
    """Every generation of one shard and every baseline; whatever numbers its task has become columns."""
    generations = [(f"generation {one['generation']}", one) for one in entry["generations"]]
    answers = [*generations, *((name, values) for name, values in entry.get("baselines", {}).items())]
    measures = _measures([values for _, values in answers])
    actions = list(dict.fromkeys(action for _, values in answers for action in values.get("actions", {})))
    head = ["", "by hand", "scored", *(named(name) for name in measures)]
    rows = [
        [
            name,
            _text(values.get("frames_touched")),
            _text(values.get("frames_scored")),
            *(_measure(measure, values.get(measure), entry, values) for measure in measures),
            *(_text(values.get("actions", {}).get(action)) for action in actions),
        ]
        for name, values in answers
    ]
    return Table([*head, *actions], rows)


def _overview_row(entry: Mapping[str, Any], number: int) -> dict[str, Any]:
    last = entry["generations"][-1] if entry["generations"] else {}
    baseline = entry.get("baselines", {}).get("interpolation", {})
    touched = last.get("frames_touched")
    task = entry["task"]
    return {
        "anchor": f"shard-{number}",
        "shard_id": entry["shard_id"],
        "task": task,
        "frames": entry["frames"],
        "frames_touched": touched,
        "share_by_hand": None if touched is None else touched / entry["frames"],
        "cells": {name: Cell(last.get(name), baseline.get(name)) for name in _COMPARED.get(task, _BOXES)},
        "ceiling": _ceiling(entry, last),
        **{name: last.get(name) for name in (*_PLAIN.get(task, ()), *_COSTS)},
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
    ceiling = _ceiling(entry, values)
    if name == "e_count" and value is not None and ceiling is not None:
        return f"{_text(value)} (≤ {ceiling:.2f})"
    return f"{value:.1f}" if name.endswith("_seconds") and value is not None else _text(value)


def _ceiling(entry: Mapping[str, Any], values: Mapping[str, Any]) -> float | None:
    """What e_count could still become after what people did; told from the frames where the result does not say it."""
    touched = values.get("frames_touched")
    found: float | None = values.get("e_count_ceiling", None if touched is None else 1 - touched / entry["frames"])
    return found


def _text(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
