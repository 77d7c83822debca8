"""A user's own seconds per action, in the place of the table's: from a small file, or from what was measured."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from statistics import mean
from typing import Any, get_args

from training.data.human_actions import HumanAction
from training.data.ontology import Ontology, TaskName
from training.errors import BadInput
from training.models.actions import Seconds
from training.models.tasks import TASKS, task_for
from training.store.store import Store

__all__ = ["Timings", "charged_seconds", "measured_seconds", "read_timings", "seconds_for", "where_from"]

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


def charged_seconds(
    store: Store, shard_ids: Sequence[str] | None, ontology: str | None, timings: Timings | None
) -> dict[str, Seconds]:
    """Of each ontology, what every action is charged: the timings, else what its ledger measured often enough, else the table.

    Args:
        shard_ids: whose ledgers to read; None for every shard.
        ontology: None for every one of a task that has seconds.
    Raises:
        UnknownShard, UnknownOntology: not in the store.
    """
    found = store.ontologies() if ontology is None else [store.ontology(ontology)]
    shards = store.shard_ids() if shard_ids is None else list(shard_ids)
    charged: dict[str, Seconds] = {}
    for one in found:
        if one.task in TASKS:
            done = (action for shard in shards for action in store.ledger.read(shard, one.name, damaged=_known_elsewhere))
            said = (timings or {}).get(one.task, {})
            charged[one.name] = replace(measured_seconds(done, seconds_for(one)), **said)
    return charged


def where_from(charged: Seconds, ontology: Ontology, timings: Timings | None) -> dict[str, dict[str, Any]]:
    """Of every action its seconds, and whether they are from 'timings', 'measured' or 'table', as JSON says it."""
    said, table = (timings or {}).get(ontology.task, {}), asdict(seconds_for(ontology))

    def source(action: str, value: float) -> str:
        return "timings" if action in said else "table" if value == table[action] else "measured"

    return {action: {"seconds": value, "from": source(action, value)} for action, value in asdict(charged).items()}


def _known_elsewhere(damage: str) -> None:
    """What a ledger lost is told by those who read it for its own sake."""


def _entries(document: Any, names: Iterable[str], where: str) -> Mapping[str, Any]:
    if not isinstance(document, dict):
        raise BadInput(f"{where}: a JSON {type(document).__name__}, needed an object with some of {', '.join(names)}")
    unknown = sorted(set(document) - set(names))
    if unknown:
        raise BadInput(f"{where}: unknown {unknown[0]!r}, needed some of {', '.join(names)}")
    return document
