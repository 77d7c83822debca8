"""`status`: one line for every micro-model of the store."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.cli.output import JsonOption, StoreOption, TimingsOption, failure, finish

if TYPE_CHECKING:
    from cluster.status import ShardStatus

__all__ = ["status"]


def status(
    store: StoreOption,
    shards: Annotated[list[str] | None, typer.Argument(metavar="SHARD", help="Only these; all by default.")] = None,
    ontology: Annotated[str | None, typer.Option(help="Only this ontology; all by default.")] = None,
    timings: TimingsOption = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write one HTML page: will it work on the rest, at what cost?")
    ] = None,
    json: JsonOption = None,
) -> int:
    """Show what people did, which generation answers and how sure that is, and what the machine labelled.

    Example: micromodels status --store ./store --report page.html
    """
    from cluster.report import write_prospects
    from cluster.status import statuses
    from training.loop.timings import charged_seconds, read_timings, where_from
    from training.store.store import Store

    opened, said = Store.open(store), None if timings is None else read_timings(timings)
    seconds = charged_seconds(opened, shards or None, ontology, said)
    found = list(statuses(opened, shards or None, ontology, seconds))
    if report is not None:
        write_prospects(report, [one.prospect for one in found if one.prospect is not None])
    document = {
        "seconds": {name: where_from(charged, opened.ontology(name), said) for name, charged in seconds.items()},
        "shards": [one.to_json() for one in found],
        "failures": [failure(one.shard_id, damage) for one in found for damage in one.damage],
    }
    return finish(document, json, rows=[_row(one) for one in found])


def _row(one: "ShardStatus") -> dict[str, Any]:
    refused = f"; {one.refused} was refused" if one.refused else ""
    trial = f"; {one.canary} on trial: {one.trial}" if one.trial else ""
    return {
        "shard": one.shard_id,
        "ontology": one.ontology,
        "labelled": f"{one.labelled}/{one.frames}",
        "audits": one.audits,
        "generations": one.generations,
        "live": one.live,
        "machine": f"{one.machine}/{one.frames}",
        "drawn": one.drawn,
        "corrected": one.corrected,
        "seconds": round(one.human_seconds),
        "gate": f"{one.status}: {one.reason}{refused}{trial}" if one.status else None,
    }
