"""`export`: annotations or machine labels out of the store, in a common format."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TextIO

import typer

from cluster.cli.output import Failure, JsonOption, StoreOption, failure, finish
from training.errors import BadInput

if TYPE_CHECKING:
    from training.data.annotations import FrameLabels
    from training.data.ontology import Ontology
    from training.data.shards import Shard
    from training.store.store import Store

__all__ = ["Format", "What", "export"]


class Format(StrEnum):
    """File formats that can be written."""

    coco = "coco"
    geojson = "geojson"


class What(StrEnum):
    """Whose labels: people's (and imported ones), or the live micro-model's."""

    annotations = "annotations"
    predictions = "predictions"


class _Part(NamedTuple):
    shard_id: str
    ontology: str
    generation: int | None


def export(
    store: StoreOption,
    out: Annotated[Path, typer.Option(metavar="FILE", help="File to write; it appears when it is complete.")],
    shards: Annotated[list[str] | None, typer.Argument(metavar="SHARD", help="Only these; all by default.")] = None,
    what: Annotated[What, typer.Option(help="People's annotations, or the live micro-models' predictions.")] = What.annotations,
    format: Annotated[Format, typer.Option(help="GeoJSON (lon/lat) holds one scene; COCO any number of shards.")] = Format.coco,  # noqa: A002
    ontology: Annotated[str | None, typer.Option(help="Only this ontology; all by default.")] = None,
    json: JsonOption = None,
) -> int:
    """Write labels as COCO or GeoJSON.

    Example: micromodels export --store ./store --what predictions --out labels.coco.json
    """
    from training.store.store import Store

    opened = Store.open(store)
    for shard_id in shards or ():
        opened.shard(shard_id)
    parts = list(_parts(opened, what, shards or opened.shard_ids(), ontology))
    if not parts:
        raise BadInput(f"{opened.url}: no {what} of {', '.join(shards or ['any shard'])}{f' for {ontology}' if ontology else ''}")
    missing = sorted(set(shards or ()) - {part.shard_id for part in parts})
    failures = [failure(shard_id, f"no {what}") for shard_id in missing]
    written: list[dict[str, Any]] = []
    with _whole(out) as stream:
        _write(stream, format, _read(opened, parts, written, failures))
    return finish({"shards": written, "failures": failures, "out": str(out), "format": format.value}, json, rows=written)


def _parts(store: "Store", what: What, shard_ids: Iterable[str], ontology: str | None) -> Iterator[_Part]:
    registry = store.registry
    for shard_id in shard_ids:
        names = store.labelled(shard_id) if what is What.annotations else registry.ontologies(shard_id)
        for name in (one for one in names if ontology in (None, one)):
            generation = None if what is What.annotations else registry.live(shard_id, name)
            if what is What.annotations or (generation is not None and store.predictions.done(shard_id, name, generation)):
                yield _Part(shard_id, name, generation)


def _read(
    store: "Store", parts: Iterable[_Part], written: list[dict[str, Any]], failures: list[Failure]
) -> "Iterator[tuple[Shard, Ontology, list[FrameLabels]]]":
    """One part after the other, so that memory does not grow with the store."""
    for part in parts:
        errors: dict[int, str] = {}
        if part.generation is None:
            labels = store.labels(part.shard_id, part.ontology)
        else:
            labels, errors = store.predictions.read(part.shard_id, part.ontology, part.generation)
        if errors:
            first = min(errors)
            failures.append(failure(part.shard_id, f"{len(errors)} frames have no labels; frame {first}: {errors[first]}"))
        objects = sum(len(frame.annotations) for frame in labels)
        written.append({"shard_id": part.shard_id, "ontology": part.ontology, "frames": len(labels), "objects": objects})
        yield store.shard(part.shard_id), store.ontology(part.ontology), labels


def _write(stream: TextIO, format: Format, parts: "Iterator[tuple[Shard, Ontology, list[FrameLabels]]]") -> None:  # noqa: A002
    if format is Format.coco:
        from training.data.coco import write_coco

        write_coco(stream, parts)
        return
    from training.data.geojson import write_geojson

    shard, ontology, labels = next(parts)
    if next(parts, None) is not None:
        raise BadInput("geojson: more than one shard and ontology, needed one (name a SHARD and an --ontology)")
    write_geojson(stream, shard, ontology, labels)


@contextmanager
def _whole(out: Path) -> Iterator[TextIO]:
    """A file that appears under its name only when it is complete."""
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        with partial.open("w", encoding="utf-8") as stream:
            yield stream
        partial.replace(out)
    except OSError as error:
        raise BadInput(f"{out}: cannot be written ({error.strerror})") from error
    finally:
        partial.unlink(missing_ok=True)
