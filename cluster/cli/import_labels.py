"""`import-labels`: labels in any format for shards that are in the store."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cluster.cli.output import Failure, JsonOption, StoreOption, failure, finish
from training.errors import BadInput, MicroModelError

if TYPE_CHECKING:
    from cluster.importing import Imported
    from training.data.formats.records import Source
    from training.loop.corrections import Corrections
    from training.store.store import Store

__all__ = ["import_labels"]


def import_labels(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="File or folder of labels.")],
    store: StoreOption,
    shards: Annotated[
        list[str] | None, typer.Argument(metavar="SHARD", help="Only these; all that PATH is about by default.")
    ] = None,
    format: Annotated[  # noqa: A002
        str,
        typer.Option(metavar="NAME", help="coco, cvat, datumaro, davis, labelme, mot, mots, voc, yolo; others need datumaro."),
    ] = "coco",
    ontology: Annotated[str | None, typer.Option(help="Import under this name; if the store has it, labels must fit it.")] = None,
    task: Annotated[str | None, typer.Option(help="Import only labels of this task.")] = None,
    generation: Annotated[
        int | None,
        typer.Option(min=0, help="Whose proposals the labels correct; by default they say so."),
    ] = None,
    confirm_unchanged: Annotated[
        bool, typer.Option("--confirm-unchanged", help="Frames that say what was proposed were looked at too.")
    ] = False,
    who: Annotated[str, typer.Option(help="Who corrected the labels.")] = "import-labels",
    json: JsonOption = None,
) -> int:
    """Import labels for shards that were added before. Frames a person has worked on since keep their labels.

    Exported predictions that were corrected become reviews of the generation that proposed them.

    Example: micromodels import-labels ./cvat.xml pond --store ./store --format cvat
    """
    from cluster.importing import Reviewer, import_labels_of
    from training.store.store import Store

    opened = Store.open(store)
    reviewer = Reviewer(who=who, generation=generation, confirm_unchanged=confirm_unchanged)
    done: list[Imported] = []
    failures: list[Failure] = []
    errors: list[MicroModelError] = []
    for source in _sources(opened, format, path.absolute(), shards or [], ontology, failures):
        try:
            done.append(import_labels_of(opened, format, source, task=task, ontology=ontology, reviewer=reviewer))
        except MicroModelError as error:
            errors.append(error)
            failures.append(failure(source.shard.shard_id, error))
    if len(errors) == 1 and not done:
        raise errors[0]
    _remarks(done)
    rows = [{"shard": one.shard_id, "frames": sum(one.imported.values()), "objects": one.objects} for one in done]
    code = finish({"shards": [one.to_json() for one in done], "failures": failures, "format": format}, json, rows=rows)
    return code if done else 2


def _sources(
    store: "Store", name: str, path: Path, asked: list[str], ontology: str | None, failures: list[Failure]
) -> "list[Source]":
    """Where the labels of each shard are; a shard that was asked for and has none is a failure."""
    from cluster.importing import known_ontology
    from training.data.formats.reading import find_source
    from training.data.formats.table import FORMATS

    shards = [store.shard(shard_id) for shard_id in asked] or store.shards()
    form = FORMATS.get(name)
    framed = [one for one in shards if asked or one.scene is None or form is None or "scenes" in form.holds]
    vocabulary = known_ontology(store, ontology)
    found = {one.shard_id: find_source(name, path, one, alone=len(shards) == 1, vocabulary=vocabulary) for one in framed}
    sources = [source for source in found.values() if source is not None]
    if not sources:
        raise BadInput(f"{path}: no {name} labels of {', '.join(asked) or 'any shard of the store'}")
    missing = [shard_id for shard_id, source in found.items() if source is None]
    if asked:
        failures.extend(failure(shard_id, f"no {name} labels in {path}") for shard_id in missing)
    elif len(sources) < len(shards):
        typer.echo(f"{path}: nothing about {len(shards) - len(sources)} other shards of the store", err=True)
    return sources


def _remarks(done: "list[Imported]") -> None:
    for one in done:
        counts = {
            "frames keep the labels they got since": one.kept,
            "boxes or keypoints moved to the edge of their picture": one.clipped,
            "annotations said again what another one says and were left out": one.repeated,
            "objects lie in no tile and were left": one.unplaced,
            "objects had keypoints and no box and got the one around their points": one.boxed,
            "objects have a box alone and are ambiguous where others have more": one.unshaped,
        }
        _say(one.shard_id, counts)
        for found in one.corrections.values():
            _remark_corrections(one.shard_id, found)
        if one.not_imported:
            typer.echo(f"{one.shard_id}: {', '.join(one.not_imported)} labels not imported", err=True)


def _remark_corrections(shard_id: str, found: "Corrections") -> None:
    counts = {
        "frames reviewed": found.reviewed,
        "corrected frames known already": found.known,
        "frames say what was proposed and are left; --confirm-unchanged makes them reviewed": found.unchanged,
        "audit frames keep their labels": found.audits,
    }
    _say(shard_id, counts)


def _say(shard_id: str, counts: dict[str, int]) -> None:
    for what, count in counts.items():
        if count:
            typer.echo(f"{shard_id}: {count} {what}", err=True)
