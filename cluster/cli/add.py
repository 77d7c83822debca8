"""`add`: videos, folders of pictures and scenes, with their labels, into the store."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cluster.cli.output import Failure, JsonOption, StoreOption, failure, finish
from training.errors import BadInput, MicroModelError

if TYPE_CHECKING:
    from cluster.adding import Added
    from training.data.folder import SourceWithLabels

__all__ = ["add"]


def add(
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Videos, pictures, GeoTIFFs, folders of any of them.")],
    store: StoreOption,
    labels: Annotated[str | None, typer.Option(metavar="FILE", help="COCO labels of the one PATH given.")] = None,
    shard_id: Annotated[str | None, typer.Option(help="Name of the one PATH given; its file name by default.")] = None,
    task: Annotated[str | None, typer.Option(help="Import only labels of this task.")] = None,
    ontology: Annotated[str | None, typer.Option(help="Name of the ontology; made from task and classes by default.")] = None,
    tile: Annotated[int, typer.Option(min=16, help="Side of the tiles that a scene is cut into, pixels.")] = 512,
    bands: Annotated[
        str | None, typer.Option(metavar="N,N,N", help="Bands of a scene that are red, green and blue, from 1; one is repeated.")
    ] = None,
    json: JsonOption = None,
) -> int:
    """Add shards, and the labels that come with them. The store is made if there is none.

    A folder of labelled data holds NAME.mp4 (or NAME.tif, or a folder NAME/) with NAME.coco.json beside it.

    Example: micromodels add ./videos --store ./store

    Near infrared as red: micromodels add ./field.tif --bands 4,3,2 --store ./store
    """
    from cluster.adding import add_source
    from training.store.store import Store

    chosen = None if bands is None else _numbers(bands)
    errors: list[tuple[str, MicroModelError]] = []
    sources = _only(_found(paths, errors), len(errors), labels=labels, shard_id=shard_id)
    opened = Store.create(store)
    added: list[Added] = []
    for source in sources:
        try:
            added.append(add_source(opened, source, task=task, ontology=ontology, tile=tile, bands=chosen))
        except MicroModelError as error:
            errors.append((source.shard_id, error))
    failures: list[Failure] = [failure(name, error) for name, error in errors]
    if len(errors) == 1 and not added:
        raise errors[0][1]
    _remarks(added)
    code = finish({"shards": [one.to_json() for one in added], "failures": failures}, json, rows=_rows(added))
    return code if added else 2


def _numbers(bands: str) -> tuple[int, ...]:
    try:
        return tuple(int(band) for band in bands.split(","))
    except ValueError as error:
        raise BadInput(f"--bands: {bands!r}, needed one or three band numbers from 1, like 4,3,2") from error


def _found(paths: list[str], errors: list[tuple[str, MicroModelError]]) -> "list[SourceWithLabels]":
    from training.data.folder import labelled_folder, left_over

    found: list[SourceWithLabels] = []
    for path in paths:
        try:
            found_here, unused = labelled_folder(path), left_over(path)
        except MicroModelError as error:
            errors.append((path, error))
            continue
        found.extend(found_here)
        if unused:
            some = ", ".join(one.name for one in unused[:3])
            typer.echo(f"{path}: {len(unused)} files are neither sources nor labels and were left ({some})", err=True)
    return found


def _only(
    sources: "list[SourceWithLabels]", num_bad: int, *, labels: str | None, shard_id: str | None
) -> "list[SourceWithLabels]":
    """Apply the options that are about one source."""
    if labels is None and shard_id is None:
        return sources
    if len(sources) + num_bad != 1:
        option = "--shard-id" if labels is None else "--labels"
        raise BadInput(f"{option}: {len(sources)} sources, needed exactly one video, scene or folder of pictures")
    return [
        replace(one, labels=Path(labels).absolute() if labels else one.labels, shard_id=shard_id or one.shard_id)
        for one in sources
    ]


def _remarks(added: "list[Added]") -> None:
    for one in added:
        if one.not_imported:
            typer.echo(f"{one.shard.shard_id}: {', '.join(one.not_imported)} labels not imported", err=True)
        if one.kept:
            typer.echo(f"{one.shard.shard_id}: {one.kept} frames keep the labels they got since", err=True)
        if one.clipped:
            typer.echo(
                f"{one.shard.shard_id}: {one.clipped} boxes, polygons or points cut at the edge of their picture", err=True
            )
        if one.repeated:
            typer.echo(f"{one.shard.shard_id}: {one.repeated} annotations repeat another one and were left out", err=True)
        if one.unplaced:
            typer.echo(f"{one.shard.shard_id}: {one.unplaced} objects lie in no tile and were left", err=True)
        if one.boxed:
            typer.echo(
                f"{one.shard.shard_id}: {one.boxed} objects had keypoints and no box and got the one around their points",
                err=True,
            )
        if one.unshaped:
            typer.echo(
                f"{one.shard.shard_id}: {one.unshaped} objects have a box alone and are ambiguous where others have more",
                err=True,
            )


def _rows(added: "list[Added]") -> list[dict[str, object]]:
    return [
        {
            "shard": one.shard.shard_id,
            "kind": one.shard.kind,
            "frames": one.shard.num_frames,
            "size": f"{one.shard.width}x{one.shard.height}",
            "labelled": ", ".join(f"{name}: {count} new" for name, count in one.imported.items()) or None,
        }
        for one in added
    ]
