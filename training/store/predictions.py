"""Machine labels: one deterministically named Parquet object for each clip of a shard."""

import io
from collections.abc import Collection, Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from training.data.annotations import ANNOTATION_SCHEMA, FrameLabels, labels_from_table, labels_to_table
from training.data.identifiers import check_identifier
from training.store.clip_cost import ClipCost, with_seconds
from training.store.clips import check_clip, clip_key, clips_in
from training.store.objects import ObjectStore, read_each
from training.store.parquet import read_parquet

__all__ = ["PREDICTION_SCHEMA", "PRELABELS", "Predictions", "with_errors"]

# A frame that could not be read is one row of level 'error' that says why.
PREDICTION_SCHEMA = ANNOTATION_SCHEMA.append(pa.field("error", pa.string()))

PRELABELS = 0  # the generation of labels by a pre-trained detector; micro-models count from 1


class Predictions:
    """The machine labels of one store; writing the same clip again gives the same object.

    Whatever reads objects raises CorruptLabels where one is damaged.
    """

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def write(
        self,
        shard_id: str,
        ontology: str,
        generation: int,
        start: int,
        stop: int,
        labels: Sequence[FrameLabels],
        errors: Mapping[int, str] | None = None,
        seconds: Mapping[str, float] | None = None,
    ) -> str:
        """Write what one generation says about frames start..stop-1, marked as its own; returns the key.

        Every frame of the clip must be in `labels` or in `errors` (frame index to reason), none in both.

        Args:
            seconds: what it took, by stage; `cost` tells.
        Raises:
            UnknownFrame: a frame outside the clip or of another shard, or one of the clip that is missing or said twice.
            StoreFull: no room; an earlier object of the clip stays.
        """
        errors = errors or {}
        check_clip(shard_id, start, stop, labels, errors)
        key = clip_key(_folder(shard_id, ontology, generation), start, stop)
        buffer = io.BytesIO()
        table = with_seconds(_table(shard_id, generation, labels, errors), seconds or {})
        pq.write_table(table, buffer, compression="zstd")
        self._objects.put(key, buffer.getvalue())
        return key

    def done(self, shard_id: str, ontology: str, generation: int) -> list[tuple[int, int]]:
        """Clips written so far, as (start, stop) in order; reads no object."""
        return [clip for clip, _ in self._parts(shard_id, ontology, generation)]

    def num_frames(self, shard_id: str, ontology: str, generation: int) -> int:
        """How many frames the clips have that are written so far; reads no object."""
        reached = total = 0
        for start, stop in self.done(shard_id, ontology, generation):  # which may overlap
            total += max(0, stop - max(start, reached))
            reached = max(reached, stop)
        return total

    def cost(self, shard_id: str, ontology: str, generation: int) -> ClipCost | None:
        """Of one clip in the middle, where nothing is warming up any more; None when nothing is written. Reads one object."""
        parts = self._parts(shard_id, ontology, generation)
        if not parts:
            return None
        (start, stop), key = parts[len(parts) // 2]
        return ClipCost.of(self._objects.read(key), stop - start)

    def read(self, shard_id: str, ontology: str, generation: int) -> tuple[list[FrameLabels], dict[int, str]]:
        """All labels by frame, and the frames that could not be read with the reason."""
        labels: list[FrameLabels] = []
        errors: dict[int, str] = {}
        for some, failed in self.clips(shard_id, ontology, generation):
            labels.extend(some)
            errors.update(failed)
        return labels, errors

    def of(self, shard_id: str, ontology: str, generation: int, frame_indices: Collection[int]) -> dict[int, FrameLabels]:
        """What one generation says about some frames, by frame; reads only the clips that have them.

        A frame that was not labelled, or could not be read, is not among them.
        """
        parts = self._parts(shard_id, ontology, generation)
        keys = [key for (start, stop), key in parts if any(start <= index < stop for index in frame_indices)]
        found = (frame for key, data in zip(keys, read_each(self._objects, keys), strict=True) for frame in _read(data, key)[0])
        return {frame.frame_index: frame for frame in found if frame.frame_index in frame_indices}

    def clips(self, shard_id: str, ontology: str, generation: int) -> Iterator[tuple[list[FrameLabels], dict[int, str]]]:
        """What `read` returns, a clip at a time in the order of frames: memory does not grow with the shard.

        Clips that overlap come as one; a frame that several of them have is that of the last that could read it.
        """
        parts = self._parts(shard_id, ontology, generation)
        labels: dict[int, FrameLabels] = {}
        errors: dict[int, str] = {}
        end = 0
        for ((start, stop), key), data in zip(parts, read_each(self._objects, [key for _, key in parts]), strict=True):
            if start >= end and (labels or errors):
                yield _by_frame(labels, errors)
                labels, errors = {}, {}
            end = max(end, stop)
            some, failed = _read(data, key)
            labels.update((frame.frame_index, frame) for frame in some)
            errors.update(failed)
        if labels or errors:
            yield _by_frame(labels, errors)

    def _parts(self, shard_id: str, ontology: str, generation: int) -> list[tuple[tuple[int, int], str]]:
        return clips_in(self._objects, _folder(shard_id, ontology, generation))


def _folder(shard_id: str, ontology: str, generation: int) -> str:
    check_identifier(shard_id, "shard id")
    check_identifier(ontology, "ontology name")
    return f"predictions/{ontology}/shard_id={shard_id}/gen-{generation:04d}/"


def with_errors(said: pa.Table, shard_id: str, errors: Mapping[int, str]) -> pa.Table:
    """The same rows, and one for each frame that could not be read (frame index to reason)."""
    rows = [
        {"shard_id": shard_id, "frame_index": index, "level": "error", "error": reason}
        for index, reason in sorted(errors.items())
    ]
    return pa.concat_tables([said, pa.Table.from_pylist(rows, schema=said.schema)])


def _table(shard_id: str, generation: int, labels: Sequence[FrameLabels], errors: Mapping[int, str]) -> pa.Table:
    said = labels_to_table(labels)
    made_by = pa.array([generation] * said.num_rows, pa.int64())
    said = said.set_column(said.schema.get_field_index("generation"), PREDICTION_SCHEMA.field("generation"), made_by)
    said = said.append_column(PREDICTION_SCHEMA.field("error"), pa.nulls(said.num_rows, pa.string()))
    return with_errors(said, shard_id, errors).sort_by("frame_index")


def _read(data: bytes, key: str) -> tuple[list[FrameLabels], dict[int, str]]:
    table = read_parquet(data, key, PREDICTION_SCHEMA)
    failed = pc.equal(table["level"], "error")
    errors = {row["frame_index"]: row["error"] for row in table.filter(failed).to_pylist()}
    return labels_from_table(table.filter(pc.invert(failed))), errors


def _by_frame(labels: Mapping[int, FrameLabels], errors: Mapping[int, str]) -> tuple[list[FrameLabels], dict[int, str]]:
    unread = {index: errors[index] for index in sorted(errors) if index not in labels}
    return [labels[index] for index in sorted(labels)], unread
