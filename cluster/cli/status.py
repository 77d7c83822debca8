"""`status`: one line for every micro-model of the store."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.cli.output import JsonOption, StoreOption, failure, finish

if TYPE_CHECKING:
    from cluster.status import ShardStatus

__all__ = ["status"]


def status(
    store: StoreOption,
    shards: Annotated[list[str] | None, typer.Argument(metavar="SHARD", help="Only these; all by default.")] = None,
    ontology: Annotated[str | None, typer.Option(help="Only this ontology; all by default.")] = None,
    json: JsonOption = None,
) -> int:
    """Show what people did, which generation answers and how sure that is, and what the machine labelled.

    Example: micromodels status --store ./store
    """
    from cluster.status import statuses
    from training.store.store import Store

    found = list(statuses(Store.open(store), shards or None, ontology))
    document = {
        "shards": [one.to_json() for one in found],
        "failures": [failure(one.shard_id, f"ledger: {damage}") for one in found for damage in one.damage],
    }
    return finish(document, json, rows=[_row(one) for one in found])


def _row(one: "ShardStatus") -> dict[str, Any]:
    refused = f"; {one.refused} was refused" if one.refused else ""
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
        "gate": f"{one.status}: {one.reason}{refused}" if one.status else None,
    }
