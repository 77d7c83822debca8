"""Label many clips: a manifest streams through a pool of actors, and each writes its own Parquet.

One manifest row in is one receipt row out: frames never pass through the object store, a failed clip is a column
and not an exception (which would drop its whole block), and a retried clip writes the same object again.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any, Protocol

import pyarrow as pa
import ray
import torch
from ray.data import ActorPoolStrategy, DataContext, Dataset

from cluster.actors import start_keeper
from cluster.coordinator import MAX_ATTEMPTS, Attempts
from cluster.metrics import LabelMetrics
from cluster.progress import Progress
from cluster.resources import WorkerShape, plan_workers
from training.errors import named
from training.learning.labelling import Clip, ClipReceipt, Labeller
from training.models.device import best_device
from training.store.store import Store

__all__ = ["label_fleet"]

_CLIPS_PER_BLOCK = 4  # of one micro-model, so that an actor loads it once and a retry repeats little

_RECEIPT_SCHEMA = pa.schema(
    [
        pa.field("shard_id", pa.string()),
        pa.field("ontology", pa.string()),
        pa.field("generation", pa.int64()),
        pa.field("start", pa.int64()),
        pa.field("stop", pa.int64()),
        pa.field("num_frames", pa.int64()),
        pa.field("num_objects", pa.int64()),
        pa.field("num_errors", pa.int64()),
        pa.field("decode_seconds", pa.float64()),
        pa.field("model_seconds", pa.float64()),
        pa.field("key", pa.string()),
        pa.field("error", pa.string()),
    ]
)


class ClipLabeller(Protocol):
    """Labels clips, one after the other; what goes wrong with one is in its receipt."""

    def label(self, clip: Clip) -> ClipReceipt: ...


class MakeLabeller(Protocol):
    """Made once in each actor; it travels there by pickle."""

    def __call__(self, store: Store, *, device: torch.device) -> ClipLabeller: ...


def label_fleet(
    store_url: str,
    clips: Sequence[Clip],
    *,
    num_workers: int,
    progress: Progress | None = None,
    labeller: MakeLabeller = Labeller,
) -> list[ClipReceipt]:
    """Label `clips` on the connected cluster and return one receipt for each.

    A clip that fails, or whose actor died three times, is a receipt with an error. What is written stays written:
    after a crash or Ctrl-C only the missing clips are planned again.

    Args:
        labeller: makes what labels a clip, from a store and a device; every micro-model's own by default.
    """
    if not clips:
        return []
    attempts, metrics, failed = start_keeper(Attempts), LabelMetrics(len(clips)), 0
    receipts: list[ClipReceipt] = []
    for batch in _stream(store_url, clips, attempts, plan_workers(num_workers, len(clips)), labeller):
        news = [ClipReceipt(**row) for row in batch.to_pylist()]
        receipts += news
        failed += sum(receipt.error is not None for receipt in news)
        metrics.add(news)
        if progress is not None:
            progress.update(len(receipts), failed=failed)
    return receipts


def _stream(
    store_url: str, clips: Sequence[Clip], attempts: Any, shape: WorkerShape, labeller: MakeLabeller
) -> Iterator[pa.Table]:
    _quiet()
    dataset: Dataset = ray.data.from_arrow(list(_blocks(clips, shape.num_workers))).map_batches(
        _ClipActor,
        fn_constructor_args=(store_url, attempts, shape.cpus, labeller),
        batch_size=1,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(size=shape.num_workers),
        num_cpus=shape.cpus,
        num_gpus=shape.gpus or None,
        runtime_env={"env_vars": shape.thread_env},
        udf_modifying_row_count=False,
    )
    yield from dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)


class _ClipActor:
    """Holds one labeller (its model cache) and labels the clips it is handed."""

    def __init__(self, store_url: str, attempts: Any, cpus: int, labeller: MakeLabeller) -> None:
        torch.set_num_threads(cpus)
        self._attempts = attempts
        self._labeller = labeller(Store.open(store_url), device=best_device())

    def __call__(self, manifest: pa.Table) -> pa.Table:
        receipts = [self._label(Clip(**row)) for row in manifest.to_pylist()]
        return pa.Table.from_pylist([asdict(receipt) for receipt in receipts], schema=_RECEIPT_SCHEMA)

    def _label(self, clip: Clip) -> ClipReceipt:
        name = f"{clip.shard_id}/{clip.ontology}/{clip.generation}/{clip.start}"
        if ray.get(self._attempts.begin.remote(name)) > MAX_ATTEMPTS:
            return _failed(clip, f"quarantined: its worker process died in each of {MAX_ATTEMPTS} attempts")
        try:
            return self._labeller.label(clip)
        except Exception as error:
            return _failed(clip, named(error))


def _failed(clip: Clip, error: str) -> ClipReceipt:
    return ClipReceipt(**asdict(clip), error=error)


def _blocks(clips: Sequence[Clip], num_workers: int) -> Iterator[pa.Table]:
    """The manifest as small blocks, each of one micro-model; single clips where there are too few to share out."""
    size = max(1, min(_CLIPS_PER_BLOCK, len(clips) // (2 * num_workers)))
    ordered = sorted(clips, key=lambda clip: (clip.shard_id, clip.ontology, clip.start))
    for _, same in groupby(ordered, key=lambda clip: (clip.shard_id, clip.ontology)):
        rows = [asdict(clip) for clip in same]
        for first in range(0, len(rows), size):
            yield pa.Table.from_pylist(rows[first : first + size])


def _quiet() -> None:
    """Ray Data's own bars and plans off: progress is shown by the verb, one line for all operators."""
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
