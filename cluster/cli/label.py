"""`label`: every frame of every fitted shard through its own micro-model."""

import time
from collections.abc import Iterable
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.cli.outcome import JobOption, job_outcome
from cluster.cli.output import Failure, JsonOption, StoreOption, WorkersOption, failure, finish

if TYPE_CHECKING:
    from training.learning.clip import ClipReceipt

__all__ = ["by_shard", "clip_failures", "label"]


def label(
    store: StoreOption,
    shards: Annotated[
        list[str] | None, typer.Argument(metavar="SHARD", help="Only these; all with a live model by default.")
    ] = None,
    ontology: Annotated[str | None, typer.Option(help="Only this ontology; all with a live model by default.")] = None,
    frames_per_clip: Annotated[int, typer.Option(min=1, help="Frames in one output file.")] = 64,
    workers: WorkersOption = None,
    job: JobOption = None,
    json: JsonOption = None,
) -> int:
    """Label every frame with its shard's live micro-model; the labels land in the store as Parquet.

    Clips that are written already are skipped, so run it again after anything went wrong.

    Example: micromodels label --store ./store
    """
    from training.errors import UnknownModel
    from training.learning.labelling import plan_clips
    from training.store.store import Store

    started = time.monotonic()
    opened = Store.open(store)
    with job_outcome(opened, job) as tell:
        plan = plan_clips(opened, shards or None, ontology, frames_per_clip=frames_per_clip)
        receipts: list[ClipReceipt] = []
        if plan.clips:
            from cluster.label import label_fleet
            from cluster.progress import Progress
            from cluster.resources import cluster_workers
            from cluster.session import ray_session

            with ray_session(num_cpus=workers), Progress("label: clips", len(plan.clips)) as progress:
                receipts = label_fleet(opened.url, plan.clips, num_workers=workers or cluster_workers(), progress=progress)
        elif not plan.skipped and not plan.failures:
            raise UnknownModel(f"{opened.url}: no live micro-model{f' of {ontology}' if ontology else ''}, needed a fit first")
        results = list(by_shard(receipts))
        document = {
            "shards": results,
            "skipped_clips": plan.skipped,
            "failures": [failure(shard_id, error) for shard_id, error in plan.failures.items()] + list(clip_failures(receipts)),
            "seconds": time.monotonic() - started,
        }
        tell(document)
    if plan.skipped:
        typer.echo(f"{plan.skipped} clips were labelled before", err=True)
    return finish(document, json, rows=results)


def by_shard(receipts: Iterable["ClipReceipt"]) -> Iterable[dict[str, Any]]:
    """One row for each shard and ontology: what its clips add up to."""
    ordered = sorted(receipts, key=lambda one: (one.shard_id, one.ontology, one.start))
    for (shard_id, ontology), group in groupby(ordered, key=lambda one: (one.shard_id, one.ontology)):
        clips = list(group)
        yield {
            "shard_id": shard_id,
            "ontology": ontology,
            "generation": clips[0].generation,
            "clips": len(clips),
            "frames": sum(clip.num_frames for clip in clips),
            "objects": sum(clip.num_objects for clip in clips),
            "errors": sum(clip.num_errors for clip in clips),
            "decode_seconds": sum(clip.decode_seconds for clip in clips),
            "model_seconds": sum(clip.model_seconds for clip in clips),
        }


def clip_failures(receipts: Iterable["ClipReceipt"]) -> Iterable[Failure]:
    """Clips that failed, and clips with frames that could not be read."""
    for clip in receipts:
        where = f"{clip.ontology} frames {clip.start}..{clip.stop - 1}"
        if clip.error is not None:
            yield failure(clip.shard_id, f"{where}: {clip.error}")
        elif clip.num_errors:
            yield failure(clip.shard_id, f"{where}: {clip.num_errors} could not be read; their rows say why")
