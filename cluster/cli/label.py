"""`label`: every frame of every fitted shard through its own micro-model, or frames of some through an assembly line."""

import time
from collections.abc import Iterable
from dataclasses import asdict
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.cli.outcome import JobOption, job_outcome
from cluster.cli.output import Failure, JsonOption, StoreOption, WorkersOption, failure, finish
from training.errors import BadInput
from training.models.precision import Precision

if TYPE_CHECKING:
    from cluster.label import MakeLabeller
    from training.learning.clip import ClipReceipt
    from training.lines.ready import ReadyLine
    from training.store.store import Store

__all__ = ["by_shard", "clip_failures", "label"]


def label(
    store: StoreOption,
    shards: Annotated[
        list[str] | None, typer.Argument(metavar="SHARD", help="Only these; all with a live model by default.")
    ] = None,
    ontology: Annotated[str | None, typer.Option(help="Only this ontology; all with a live model by default.")] = None,
    line: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="Run an assembly line instead; a .json file is saved first.")
    ] = None,
    frames_per_clip: Annotated[int, typer.Option(min=1, help="Frames in one output file.")] = 64,
    precision: Annotated[
        Precision, typer.Option(help="Of trunks; auto: bfloat16 on processors with instructions for it, else float32.")
    ] = Precision.auto,
    workers: WorkersOption = None,
    job: JobOption = None,
    json: JsonOption = None,
) -> int:
    """Label every frame with its shard's live micro-model; the labels land in the store as Parquet.

    With --line, the frames of its own shards, or of those named, go through an assembly line. Clips that are written
    already are skipped, so run it again after anything went wrong.

    Example: micromodels label --store ./store
    """
    from training.errors import UnknownModel
    from training.learning.labeller import Labeller
    from training.learning.labelling import plan_clips
    from training.lines.labelling import LineLabeller, plan_line
    from training.store.store import Store

    started = time.monotonic()
    opened = Store.open(store)
    with job_outcome(opened, job) as tell:
        ready = None if line is None else _line(opened, line, ontology)
        make: MakeLabeller = partial(Labeller, precision=precision)
        if ready is None:
            plan = plan_clips(opened, shards or None, ontology, frames_per_clip=frames_per_clip)
        else:
            plan = plan_line(opened, ready, shards or None, frames_per_clip=frames_per_clip)
            make = partial(LineLabeller, line=ready, precision=precision)
        receipts: list[ClipReceipt] = []
        if plan.clips:
            from cluster.label import label_fleet
            from cluster.progress import Progress
            from cluster.resources import cluster_workers
            from cluster.session import ray_session

            with ray_session(num_cpus=workers), Progress("label: clips", len(plan.clips)) as progress:
                num_workers = workers or cluster_workers()
                receipts = label_fleet(opened.url, plan.clips, num_workers=num_workers, progress=progress, labeller=make)
        elif not plan.skipped and not plan.failures:
            raise UnknownModel(f"{opened.url}: no live micro-model{f' of {ontology}' if ontology else ''}, needed a fit first")
        results = list(by_shard(receipts)) if ready is None else [_of_line(one, ready) for one in by_shard(receipts)]
        document = {
            "shards": results,
            "skipped_clips": plan.skipped,
            "failures": [failure(shard_id, error) for shard_id, error in plan.failures.items()] + list(clip_failures(receipts)),
            "seconds": time.monotonic() - started,
            **({} if ready is None else {"line": _made_by(ready)}),
        }
        tell(document)
    if plan.skipped:
        typer.echo(f"{plan.skipped} clips were labelled before", err=True)
    return finish(document, json, rows=results)


def _line(store: "Store", name_or_file: str, ontology: str | None) -> "ReadyLine":
    """The line, saved first if it is a file, with the generations that answer in it from now on."""
    from training.lines.ready import ready_in
    from training.lines.save import read_line, save_line

    if ontology is not None:
        raise BadInput(f"--ontology {ontology} with --line {name_or_file}: a line has its own, needed only one of them")
    is_file = name_or_file.endswith(".json")
    line = save_line(store, read_line(Path(name_or_file))) if is_file else store.lines.get(name_or_file)
    if is_file:
        typer.echo(f"{name_or_file}: {line.ref}", err=True)
    return ready_in(store, line)


def _made_by(ready: "ReadyLine") -> dict[str, Any]:
    return {"name": ready.line.name, "version": ready.line.version, "models": [asdict(one) for one in ready.models]}


def _of_line(row: dict[str, Any], ready: "ReadyLine") -> dict[str, Any]:
    """A row of `by_shard` of a line: its clips have the line's name for an ontology and its version for a generation."""
    numbers = {name: value for name, value in row.items() if name not in ("shard_id", "ontology", "generation")}
    return {"shard_id": row["shard_id"], "line": ready.line.ref, **numbers}


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
