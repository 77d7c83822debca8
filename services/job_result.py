"""The labels of a job's shards as one text, a piece at a time: memory does not grow with them."""

from collections.abc import Iterable, Iterator, Mapping

from services.job_schemas import FrameLine, JobOut, JobShard, ResultFormat
from services.schemas import AnnotationOut
from training.data.annotations import FrameLabels
from training.data.coco_writer import CocoText
from training.data.ontology import Ontology
from training.data.shards import Shard
from training.store.store import Store

__all__ = ["MEDIA_TYPES", "result_pieces"]

MEDIA_TYPES: Mapping[ResultFormat, str] = {"coco": "application/json", "ndjson": "application/x-ndjson"}
PIECE_BYTES = 1 << 16


def result_pieces(store: Store, job: JobOut, form: ResultFormat) -> Iterator[bytes]:
    """What the micro-models of the job's shards say, as far as they said it.

    Raises, while it is gone through:
        StoreUnusable: the store cannot be read.
    """
    labelled = [one for one in job.shards if one.generation is not None and one.done]
    lines = CocoText(_parts(store, labelled)) if form == "coco" else _lines(store, labelled)
    held: list[str] = []
    size = 0
    for line in lines:
        held.append(line)
        size += len(line)
        if size >= PIECE_BYTES:
            yield "".join(held).encode()
            held, size = [], 0
    yield "".join(held).encode()


def _parts(store: Store, labelled: Iterable[JobShard]) -> Iterator[tuple[Shard, Ontology, Iterator[FrameLabels]]]:
    for one in labelled:
        clips = store.predictions.clips(one.shard_id, one.ontology, one.generation or 0)
        yield store.shard(one.shard_id), store.ontology(one.ontology), (frame for labels, _ in clips for frame in labels)


def _lines(store: Store, labelled: Iterable[JobShard]) -> Iterator[str]:
    for one in labelled:
        shard, ontology = store.shard(one.shard_id), store.ontology(one.ontology)
        for labels, errors in store.predictions.clips(one.shard_id, one.ontology, one.generation or 0):
            for frame in labels:
                yield _line(shard, ontology, one, frame)
            for index, reason in errors.items():
                yield _line(shard, ontology, one, FrameLabels(shard_id=one.shard_id, frame_index=index), reason)


def _line(shard: Shard, ontology: Ontology, of: JobShard, frame: FrameLabels, error: str | None = None) -> str:
    height, width = shard.size_hw(frame.frame_index)
    said = FrameLine(
        shard_id=of.shard_id,
        ontology=of.ontology,
        generation=of.generation or 0,
        frame_index=frame.frame_index,
        width=width,
        height=height,
        annotations=[AnnotationOut.of(one, (width, height), ontology.keypoints) for one in frame.annotations],
        error=error,
    )
    return said.model_dump_json(exclude_none=True) + "\n"
