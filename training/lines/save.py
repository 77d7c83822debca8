"""A line is checked against the store it will run in, then saved."""

import json
from dataclasses import replace
from pathlib import Path

from training.data.line import PICTURE, Line, Stage
from training.data.ontology import Ontology
from training.errors import BadLine, BadShardId, UnknownModel, UnknownOntology, UnknownShard
from training.store.store import Store

__all__ = ["checked_line", "read_line", "save_line"]

_CROPPED = ("detection", "segmentation", "keypoints")  # tasks that say where things are


def save_line(store: Store, line: Line) -> Line:
    """The line as the store has it from now on, with its version; one that is the current version already stays it.

    Raises:
        BadLine: it could not run in this store; nothing is saved.
        StoreFull: no room.
    """
    return store.lines.save(checked_line(store, line))


def checked_line(store: Store, line: Line) -> Line:
    """The same line, with the ontology of every stage and 'live' where no generation is pinned.

    Raises:
        BadLine: a shard, ontology or generation that is not there, a crop of answers that are nowhere, or a class filter
            with a class that the cropped stage cannot say; names the stage.
    """
    stages = tuple(_known(store, line, stage) for stage in line.stages)
    ontologies = {stage.name: store.ontology(stage.ontology or "") for stage in stages}
    for stage in stages:
        if stage.input != PICTURE:
            _check_input(f"line {line.name}: stage {stage.name!r}", stage, ontologies[stage.input])
    return replace(line, stages=stages)


def read_line(path: Path) -> Line:
    """The line in a JSON file.

    Raises:
        BadLine: no such file, not JSON, or no line; names the file.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else f"not JSON ({error})"
        raise BadLine(f"{path}: {said}, needed a line as JSON") from error
    return Line.from_json(document, str(path))


def _known(store: Store, line: Line, stage: Stage) -> Stage:
    shard_id, _, which = stage.model.partition("@")
    try:
        store.shard(shard_id)
        card = store.registry.resolve(stage.model, stage.ontology)
        store.ontology(card.ontology)
    except (BadShardId, UnknownShard, UnknownModel, UnknownOntology) as error:
        raise BadLine(f"line {line.name}: stage {stage.name!r}: {error}") from error
    return replace(stage, model=f"{shard_id}@{which or 'live'}", ontology=card.ontology)


def _check_input(where: str, stage: Stage, said: Ontology) -> None:
    if said.task not in _CROPPED:
        raise BadLine(
            f"{where}: crops the answers of {stage.input!r}, which is {said.task} and says nothing about places;"
            f" needed a stage of {', '.join(_CROPPED)}"
        )
    for name in stage.classes:
        if name not in said.classes:
            raise BadLine(f"{where}: class {name!r} of {stage.input!r}, needed some of {', '.join(said.classes)}")
