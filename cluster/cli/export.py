"""`export`: annotations or machine labels out of the store, in a common format."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from cluster.cli.output import Failure, JsonOption, StoreOption, failure, finish
from training.errors import BadInput

if TYPE_CHECKING:
    from training.data.annotations import FrameLabels
    from training.data.formats.records import Part
    from training.store.store import Store

__all__ = ["Format", "Leave", "What", "export"]

_MOST_NAMED = 5


class Format(StrEnum):
    """Formats that can be written; training.data.formats.table has what each holds."""

    coco = "coco"
    cvat = "cvat"
    datumaro = "datumaro"
    davis = "davis"
    geojson = "geojson"
    labelme = "labelme"
    mot = "mot"
    mots = "mots"
    voc = "voc"
    yolo = "yolo"


class Leave(StrEnum):
    """What can be left out when a format cannot hold it."""

    tracks = "tracks"
    scores = "scores"
    ambiguous = "ambiguous"


class What(StrEnum):
    """Whose labels: people's (and imported ones), the live micro-model's, both of them together, or a pre-trained detector's."""

    annotations = "annotations"
    predictions = "predictions"
    hybrid = "hybrid"
    prelabels = "prelabels"


class _Part(NamedTuple):
    shard_id: str
    ontology: str
    generation: int | None
    with_people: bool

    def is_written(self, store: "Store") -> bool:
        return self.generation is None or bool(store.predictions.done(self.shard_id, self.ontology, self.generation))


def export(
    store: StoreOption,
    out: Annotated[Path, typer.Option(metavar="PATH", help="File or folder to write; it appears when it is complete.")],
    shards: Annotated[list[str] | None, typer.Argument(metavar="SHARD", help="Only these; all by default.")] = None,
    what: Annotated[
        What, typer.Option(help="People's labels, the live micro-models', both, or a detector's.")
    ] = What.annotations,
    format: Annotated[  # noqa: A002
        Format, typer.Option(help="COCO holds everything; GeoJSON (lon/lat) one scene; the others are folders.")
    ] = Format.coco,
    leave_out: Annotated[list[Leave] | None, typer.Option(help="Go without these if the format cannot hold them.")] = None,
    ontology: Annotated[str | None, typer.Option(help="Only this ontology; all by default.")] = None,
    json: JsonOption = None,
) -> int:
    """Write labels in a common format. What it cannot hold is refused, by name, before anything is written.

    Example: micromodels export --store ./store --what predictions --out labels.coco.json
    """
    from training.data.formats.table import FORMATS
    from training.data.formats.writing import write_labels
    from training.store.store import Store

    opened = Store.open(store)
    for shard_id in shards or ():
        opened.shard(shard_id)
    found = list(_parts(opened, what, shards or opened.shard_ids(), ontology))
    written = {part: part.is_written(opened) for part in found}
    parts = [part for part in found if written[part]]
    if not parts:
        raise BadInput(f"{opened.url}: no {what} of {', '.join(shards or ['any shard'])}{f' for {ontology}' if ontology else ''}")
    missing = sorted(set(shards or ()) - {part.shard_id for part in found})
    failures = [failure(shard_id, f"no {what}") for shard_id in missing]
    failures += [
        failure(part.shard_id, f"{part.ontology}: no frame is labelled, needed `label`") for part in found if not written[part]
    ]
    if what in (What.predictions, What.hybrid) and not shards and ontology is None:
        _tell_without(sorted(set(opened.shard_ids()) - {part.shard_id for part in found}))
    done = _Reading(opened, parts)
    write_labels(format.value, out, done.read, leave_out=frozenset(one.value for one in leave_out or ()))
    left_out = sorted({one.value for one in leave_out or ()} | ({"provenance"} - FORMATS[format.value].holds))
    if left_out:
        typer.echo(f"{format.value}: written without {', '.join(left_out)}", err=True)
    document = {"shards": done.written, "failures": failures + done.failures, "out": str(out), "format": format.value}
    return finish({**document, "left_out": left_out}, json, rows=done.written)


def _parts(store: "Store", what: What, shard_ids: Iterable[str], ontology: str | None) -> Iterator[_Part]:
    from training.store.predictions import PRELABELS

    registry, everything = store.registry, [one.name for one in store.ontologies()]
    names: Callable[[str], list[str]] = {
        What.annotations: store.labelled,
        What.predictions: registry.ontologies,
        What.hybrid: registry.ontologies,
        What.prelabels: lambda shard_id: everything,
    }[what]
    for shard_id in shard_ids:
        for name in (one for one in names(shard_id) if ontology in (None, one)):
            if what is What.annotations:
                yield _Part(shard_id, name, None, with_people=True)
            elif what is What.prelabels:
                if store.predictions.done(shard_id, name, PRELABELS):  # for an ontology that a detector was not asked for, none
                    yield _Part(shard_id, name, PRELABELS, with_people=False)
            elif (live := registry.live(shard_id, name)) is not None:
                yield _Part(shard_id, name, live, with_people=what is What.hybrid)


def _tell_without(shard_ids: list[str]) -> None:
    if shard_ids:
        some = ", ".join(shard_ids[:_MOST_NAMED]) + (", …" if len(shard_ids) > _MOST_NAMED else "")
        typer.echo(f"{len(shard_ids)} shards without a live micro-model are not in it: {some}", err=True)


class _Reading:
    """Hands out one part after the other and notes what was read of each."""

    def __init__(self, store: "Store", parts: list[_Part]) -> None:
        self._store, self._parts = store, parts
        self._read: list[_Labels] = []

    def read(self) -> "Iterator[Part]":
        from training.data.formats.records import Part

        self._read.clear()  # a format is checked first and written then: only the last reading counts
        for part in self._parts:
            labels = _Labels(self._store, part)
            self._read.append(labels)
            yield Part(self._store.shard(part.shard_id), self._store.ontology(part.ontology), labels)

    @property
    def written(self) -> list[dict[str, Any]]:
        return [
            {"shard_id": one.part.shard_id, "ontology": one.part.ontology, "frames": one.frames, "objects": one.objects}
            for one in self._read
        ]

    @property
    def failures(self) -> list[Failure]:
        """Frames that could not be read when they were to be labelled, and frames that nobody has labelled yet."""
        return [failure(one.part.shard_id, why) for one in self._read for why in self._short_of(one)]

    def _short_of(self, one: "_Labels") -> Iterator[str]:
        if one.errors:
            yield f"{one.errors} frames have no labels; frame {one.first_error}"
        shard = self._store.shard(one.part.shard_id)
        if one.part.generation is not None and (missing := shard.num_frames - one.frames - one.errors):
            yield f"{one.part.ontology}: {missing} of {shard.num_frames} frames are not labelled, needed `label`"


class _Labels:
    """The labels of one part, read again whenever they are gone through; only people's, and a hybrid, are held as a whole."""

    def __init__(self, store: "Store", part: _Part) -> None:
        self._store, self.part = store, part
        self.frames = self.objects = self.errors = 0
        self.first_error = ""

    def __iter__(self) -> "Iterator[FrameLabels]":
        self.frames = self.objects = self.errors = 0
        for labels, errors in self._clips():
            if errors and not self.errors:
                first = min(errors)
                self.first_error = f"{first}: {errors[first]}"
            self.errors += len(errors)
            for frame in labels:
                self.frames += 1
                self.objects += len(frame.annotations)
                yield frame

    def _clips(self) -> "Iterator[tuple[list[FrameLabels], dict[int, str]]]":
        shard_id, ontology, generation, with_people = self.part
        if generation is None:
            return iter([(self._store.labels(shard_id, ontology), {})])
        if with_people:
            return iter([self._hybrid(shard_id, ontology, generation)])
        return self._store.predictions.clips(shard_id, ontology, generation)

    def _hybrid(self, shard_id: str, ontology: str, generation: int) -> "tuple[list[FrameLabels], dict[int, str]]":
        from training.loop.hybrid import hybrid

        predicted, errors = self._store.predictions.read(shard_id, ontology, generation)
        people = self._store.labels(shard_id, ontology)
        unsigned = [_unsigned(frame) for frame in predicted]
        together = hybrid(self._store.shard(shard_id), self._store.ontology(ontology), people, unsigned)
        return together, {index: why for index, why in errors.items() if index not in {frame.frame_index for frame in people}}


def _unsigned(frame: "FrameLabels") -> "FrameLabels":
    """What a generation says, smoothed, is not its proposal any more."""
    return replace(frame, annotations=tuple(replace(one, generation=None) for one in frame.annotations))
