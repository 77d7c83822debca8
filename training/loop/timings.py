"""A user's own seconds per action, in the place of the table's: from a small file, or from what was measured."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from statistics import mean
from typing import Any, get_args

from training.data.human_actions import HumanAction
from training.data.ontology import Ontology, TaskName
from training.errors import BadInput
from training.models.actions import Seconds
from training.models.tasks import task_for

__all__ = ["Timings", "measured_seconds", "read_timings", "seconds_for"]

Timings = Mapping[str, Mapping[str, float]]
"""Task -> action -> seconds."""

_ACTIONS = tuple(one.name for one in fields(Seconds))


def read_timings(path: Path) -> Timings:
    """Read a file like {"detection": {"draw": 5.2, "look": 1.1}}; what it does not say stays the table's.

    Raises:
        BadInput: no such file, not JSON, an unknown task or action, or seconds that are not a finite number above 0.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: {error}, needed a JSON file of seconds by task and action") from error
    for task, seconds in _entries(document, get_args(TaskName), str(path)).items():
        for action, value in _entries(seconds, _ACTIONS, f"{path}: {task}").items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
                raise BadInput(f"{path}: {task} {action} takes {value!r} seconds, needed a finite number above 0")
    return {task: dict(seconds) for task, seconds in document.items()}


def seconds_for(ontology: Ontology, timings: Timings | None = None) -> Seconds:
    """The table of this ontology's task, with the user's timings in the place of what they name."""
    return replace(task_for(ontology).seconds, **(timings or {}).get(ontology.task, {}))


def measured_seconds(actions: Iterable[HumanAction], table: Seconds, *, at_least: int = 20) -> Seconds:
    """The table with the mean of what was measured in the place of every action measured at least that often."""
    taken: dict[str, list[float]] = defaultdict(list)
    for action in actions:
        if action.seconds is not None and action.action in _ACTIONS:
            taken[action.action].append(action.seconds)
    return replace(table, **{name: mean(seconds) for name, seconds in taken.items() if len(seconds) >= at_least and any(seconds)})


def _entries(document: Any, names: Iterable[str], where: str) -> Mapping[str, Any]:
    if not isinstance(document, dict):
        raise BadInput(f"{where}: a JSON {type(document).__name__}, needed an object with some of {', '.join(names)}")
    unknown = sorted(set(document) - set(names))
    if unknown:
        raise BadInput(f"{where}: unknown {unknown[0]!r}, needed some of {', '.join(names)}")
    return document
