"""Label many clips: a manifest streams through a pool of actors, and each writes its own Parquet.

An actor labels a block of clips as one stream. One manifest row in is one receipt row out: frames never pass through the
object store, a failed clip is a column and not an exception (which would drop its whole block). When an actor dies, its block
comes again: clips that were over only hand in their receipt, those it was at come alone, so that a poisonous one is found.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, Protocol

import pyarrow as pa
import ray
import torch
from ray.data import ActorPoolStrategy, DataContext, Dataset

from cluster.actors import start_keeper
from cluster.attempts import Attempt, Attempts
from cluster.blocks import blocks
from cluster.coordinator import MAX_ATTEMPTS
from cluster.metrics import LabelMetrics
from cluster.progress import Progress
from cluster.resources import WorkerShape, plan_workers
from cluster.watchdog import STILL_S, ended_at_a_standstill
from training.errors import named
from training.learning.clip import Clip, ClipReceipt
from training.learning.label_stream import Begin
from training.learning.labeller import Labeller
from training.models.device import best_device, compute_with, ready_to_last
from training.store.store import Store

__all__ = ["label_fleet"]

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
    """Labels clips as one stream; what goes wrong with one is in its receipt."""

    def label(self, clips: Sequence[Clip], *, begin: Begin) -> Iterator[ClipReceipt]: ...


class MakeLabeller(Protocol):
    """Made once in each actor; it travels there by pickle. threads: that decode."""

    def __call__(self, store: Store, *, device: torch.device, threads: int) -> ClipLabeller: ...


def label_fleet(
    store_url: str,
    clips: Sequence[Clip],
    *,
    num_workers: int,
    progress: Progress | None = None,
    labeller: MakeLabeller = Labeller,
    still_s: float = STILL_S,
) -> list[ClipReceipt]:
    """Label `clips` on the connected cluster and return one receipt for each.

    A clip that fails, that hangs, or whose actor died three times, is a receipt with an error. What is written stays written:
    after a crash or Ctrl-C only the missing clips are planned again.

    Args:
        labeller: makes what labels clips, from a store, a device and threads; every micro-model's own by default.
        still_s: seconds at a standstill after which an actor hangs: it ends, and is replaced. What hangs alone is given up.
    """
    if not clips:
        return []
    attempts, metrics, failed = start_keeper(Attempts), LabelMetrics(len(clips)), 0
    receipts: list[ClipReceipt] = []
    about = {"store_url": store_url, "attempts": attempts, "labeller": labeller, "still_s": still_s}
    for batch in _stream(clips, plan_workers(num_workers, len(clips)), **about):
        news = [ClipReceipt(**row) for row in batch.to_pylist()]
        attempts.forget.remote([_name(receipt) for receipt in news])
        receipts += news
        failed += sum(receipt.error is not None for receipt in news)
        metrics.add(news)
        if progress is not None:
            progress.update(len(receipts), failed=failed)
    return receipts


def _stream(clips: Sequence[Clip], shape: WorkerShape, **about: Any) -> Iterator[pa.Table]:
    """Rows of receipts; about: what an actor is made with."""
    _quiet()
    dataset: Dataset = ray.data.from_arrow(list(_manifest(clips, shape.num_workers))).map_batches(
        _ClipActor,
        fn_constructor_kwargs={"shape": shape, **about},
        batch_size=None,
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

    def __init__(self, *, store_url: str, attempts: Any, shape: WorkerShape, labeller: MakeLabeller, still_s: float) -> None:
        compute_with(1 if shape.gpus else shape.cpus)  # beside a GPU the threads decode
        self._attempts, self._still_s = attempts, still_s
        self._labeller = labeller(Store.open(store_url), device=best_device(), threads=shape.decoders)
        ready_to_last()

    def __call__(self, manifest: pa.Table) -> pa.Table:
        receipts = self._receipts([Clip(**row) for row in manifest.to_pylist()])
        return pa.Table.from_pylist([asdict(receipt) for receipt in receipts], schema=_RECEIPT_SCHEMA)

    def _receipts(self, clips: Sequence[Clip]) -> Iterator[ClipReceipt]:
        known: list[Attempt] = ray.get(self._attempts.known.remote([_name(clip) for clip in clips]))
        attempts = list(zip(clips, known, strict=True))
        yield from (ClipReceipt(**attempt.receipt) for _, attempt in attempts if attempt.receipt is not None)
        for clip, attempt in attempts:  # first: a shard that is given up for one of its clips is not tried with the others
            if attempt.receipt is None and attempt.deaths >= MAX_ATTEMPTS:
                yield _failed(clip, f"quarantined: its worker process died in each of {MAX_ATTEMPTS} attempts")
            elif attempt.receipt is None and attempt.deaths:
                yield from self._label([clip])
        yield from self._label([clip for clip, attempt in attempts if attempt.receipt is None and not attempt.deaths])

    def _label(self, clips: Sequence[Clip]) -> Iterator[ClipReceipt]:
        """One receipt each, whatever happens."""
        given_up: dict[str, str] = ray.get(self._attempts.given_up.remote())
        yield from (_failed(clip, given_up[clip.shard_id]) for clip in clips if clip.shard_id in given_up)
        waiting = {_name(clip): clip for clip in clips if clip.shard_id not in given_up}
        todo = list(waiting.values())

        def begin(clip: Clip) -> None:
            moved()
            ray.get(self._attempts.begin.remote(_name(clip)))

        try:
            with ended_at_a_standstill(
                f"labelling {len(todo)} clips", self._still_s, last_words=lambda: self._blame(todo)
            ) as moved:
                for receipt in self._labeller.label(todo, begin=begin):
                    moved()
                    self._attempts.end.remote(_name(receipt), asdict(receipt))
                    del waiting[_name(receipt)]
                    yield receipt
        except Exception as error:
            yield from (_failed(clip, named(error)) for clip in waiting.values())

    def _blame(self, clips: Sequence[Clip]) -> None:
        """Give up the shard of a clip that hangs alone: each of its clips would take as long. Of several, each comes alone."""
        if len(clips) == 1:
            ray.get(self._attempts.give_up.remote(clips[0].shard_id, f"given up: at a standstill for {self._still_s:.0f} s"))


def _failed(clip: Clip, error: str) -> ClipReceipt:
    return ClipReceipt(**asdict(clip), error=error)


def _name(clip: Clip | ClipReceipt) -> str:
    return f"{clip.shard_id}/{clip.ontology}/{clip.generation}/{clip.start}"


def _manifest(clips: Sequence[Clip], num_workers: int) -> Iterator[pa.Table]:
    """Blocks of clips; those of one micro-model are together, so that few actors load it and a video is decoded on and on."""
    ordered = sorted(clips, key=lambda clip: (clip.shard_id, clip.ontology, clip.start))
    for block in blocks([clip.stop - clip.start for clip in ordered], num_workers):
        yield pa.Table.from_pylist([asdict(ordered[position]) for position in block])


def _quiet() -> None:
    """Ray Data's own bars and plans off: progress is shown by the verb, one line for all operators."""
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
