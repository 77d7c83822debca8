"""What assembly lines say of whole shards: Parquet like that of predictions, with the stage and micro-model of every row."""

import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from training.data.annotations import annotation_from_row, labels_to_table
from training.data.identifiers import check_identifier
from training.data.line_labels import LineLabels, StageModel
from training.store.clip_cost import with_seconds
from training.store.clips import check_clip, clip_key, clips_in
from training.store.objects import ObjectStore, read_each
from training.store.parquet import read_parquet
from training.store.predictions import PREDICTION_SCHEMA, with_errors

__all__ = ["LINE_SCHEMA", "LinePredictions"]

_PLACE_FIELDS = (
    pa.field("place", pa.int64()),  # of the annotation within its frame, from 0
    pa.field("parent", pa.int64()),  # the place of the one that was cropped; null where the stage saw the whole picture
)
_MADE_BY_FIELDS = tuple(pa.field(name, pa.string()) for name in ("line", "stage", "model_shard_id", "model_ontology"))
LINE_SCHEMA = pa.schema([*PREDICTION_SCHEMA, *_PLACE_FIELDS, *_MADE_BY_FIELDS])


class LinePredictions:
    """Of one store; where other generations answer in a stage, that is another folder.

    All methods take a line ('parcels@2') and which micro-model answers in each of its stages, in their order.
    """

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def write(
        self,
        line: str,
        models: Sequence[StageModel],
        shard_id: str,
        start: int,
        stop: int,
        labels: Sequence[LineLabels],
        errors: Mapping[int, str] | None = None,
        seconds: Mapping[str, float] | None = None,
    ) -> str:
        """Write what the line says about frames start..stop-1 of a shard; returns the key. As Predictions.write.

        Raises:
            UnknownFrame: a frame outside the clip or of another shard, or one of the clip that is missing or said twice.
            StoreFull: no room; an earlier object of the clip stays.
        """
        errors = errors or {}
        check_clip(shard_id, start, stop, labels, errors)
        key = clip_key(_folder(line, models, shard_id), start, stop)
        rows = with_errors(_table(line, models, labels), shard_id, errors).sort_by(
            [("frame_index", "ascending"), ("place", "ascending")]
        )
        buffer = io.BytesIO()
        pq.write_table(with_seconds(rows, seconds or {}), buffer, compression="zstd")
        self._objects.put(key, buffer.getvalue())
        return key

    def done(self, line: str, models: Sequence[StageModel], shard_id: str) -> list[tuple[int, int]]:
        """Clips written so far, as (start, stop) in order; reads no object."""
        return [clip for clip, _ in clips_in(self._objects, _folder(line, models, shard_id))]

    def read(self, line: str, models: Sequence[StageModel], shard_id: str) -> tuple[list[LineLabels], dict[int, str]]:
        """What the line says, by frame, and the frames that could not be read with the reason. Raises CorruptLabels."""
        labels: dict[int, LineLabels] = {}
        errors: dict[int, str] = {}
        keys = [key for _, key in clips_in(self._objects, _folder(line, models, shard_id))]
        for key, data in zip(keys, read_each(self._objects, keys), strict=True):
            table = read_parquet(data, key, LINE_SCHEMA)
            failed = pc.equal(table["level"], "error")
            errors.update((row["frame_index"], row["error"]) for row in table.filter(failed).to_pylist())
            labels.update((frame.frame_index, frame) for frame in _frames(table.filter(pc.invert(failed)).to_pylist()))
        unread = {index: errors[index] for index in sorted(errors) if index not in labels}
        return [labels[index] for index in sorted(labels)], unread


def _folder(line: str, models: Sequence[StageModel], shard_id: str) -> str:
    """No ontology has an '@' in its name, so no line's folder is an ontology's."""
    name, _, version = line.partition("@")
    check_identifier(name, "line name")
    check_identifier(shard_id, "shard id")
    generations = "-".join(f"{model.generation:04d}" for model in models)
    return f"predictions/{name}@{int(version)}/shard_id={shard_id}/gen-{generations}/"


def _table(line: str, models: Sequence[StageModel], labels: Sequence[LineLabels]) -> pa.Table:
    made_by = {model.stage: model for model in models}
    more: list[dict[str, Any]] = []
    for frame in labels:
        more += [{"line": line}] if not frame.annotations else []
        for place, (stage, parent) in enumerate(zip(frame.stages, frame.parents, strict=True)):
            model = made_by[stage]
            by = {"line": line, "stage": stage, "model_shard_id": model.shard_id, "model_ontology": model.ontology}
            more.append({"place": place, "parent": parent, **by})
    added = pa.Table.from_pylist(more, schema=pa.schema([*_PLACE_FIELDS, *_MADE_BY_FIELDS]))
    said = labels_to_table(labels).append_column(PREDICTION_SCHEMA.field("error"), pa.nulls(len(more), pa.string()))
    return pa.Table.from_arrays([*said.columns, *added.columns], schema=LINE_SCHEMA)


def _frames(rows: Iterable[Mapping[str, Any]]) -> Iterable[LineLabels]:
    found: dict[tuple[str, int], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        found[row["shard_id"], row["frame_index"]] += [row] if row["level"] != "empty" else []
    for (shard_id, index), said in found.items():
        yield LineLabels(
            shard_id=shard_id,
            frame_index=index,
            annotations=tuple(annotation_from_row(row) for row in said),
            stages=tuple(row["stage"] for row in said),
            parents=tuple(row["parent"] for row in said),
        )
