"""`rollback`: let another generation answer, all requests or a share of them, or take back one that is on trial."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.cli.output import JsonOption, StoreOption, finish

if TYPE_CHECKING:
    from training.store.registry import Registry

__all__ = ["rollback"]


def rollback(
    shard: Annotated[str, typer.Argument(metavar="SHARD", help="Whose micro-model.")],
    store: StoreOption,
    to: Annotated[int | None, typer.Option(min=1, metavar="N", help="The published generation that answers from now on.")] = None,
    canary: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Only this share of the requests, 0..1, and on trial.")
    ] = None,
    ontology: Annotated[str | None, typer.Option(help="Which ontology, if the shard has models of several.")] = None,
    json: JsonOption = None,
) -> int:
    """Make a published generation live, whatever the gate said of it. Nothing is deleted, and `fit` does not undo it.

    With --canary it is on trial beside the live one, and goes by itself if it does worse. Without --to the one on trial goes.

    Example: micromodels rollback harbour --to 2 --store ./store
    """
    from training.store.store import Store

    registry = Store.open(store).registry
    if to is None:
        row = _withdraw(registry, shard, ontology, canary)
    elif canary is not None:
        row = _try(registry, shard, ontology, to, canary)
    else:
        row = _promote(registry, shard, ontology, to)
    return finish({"shards": [row], "failures": []}, json, rows=[row])


def _promote(registry: "Registry", shard: str, ontology: str | None, to: int) -> dict[str, Any]:
    from training.errors import AlreadyLive
    from training.loop.canary import promote_canary, running_canary

    card = registry.resolve(f"{shard}@{to}", ontology)
    live = registry.live(shard, card.ontology)
    if live == to:
        raise AlreadyLive(f"{card.ref} {card.ontology}: is live, needed another of {registry.generations(shard, card.ontology)}")
    canary = running_canary(registry, shard, card.ontology)
    if canary is not None and canary.generation == to:
        promote_canary(registry, canary)
    else:
        registry.promote(shard, card.ontology, to, f"rolled back from {live}" if live else "rolled back")
    return {"shard_id": shard, "ontology": card.ontology, "generation": to, "was": live}


def _try(registry: "Registry", shard: str, ontology: str | None, to: int, share: float) -> dict[str, Any]:
    from training.loop.canary import start_canary

    canary = start_canary(registry, shard, ontology, to, share)
    return {
        "shard_id": shard,
        "ontology": canary.ontology,
        "generation": canary.against,
        "was": canary.against,
        "canary": to,
        "share": share,
    }


def _withdraw(registry: "Registry", shard: str, ontology: str | None, share: float | None) -> dict[str, Any]:
    from training.errors import ConflictingCanary
    from training.loop.canary import end_canary, running_canary

    if share is not None:
        raise ConflictingCanary(f"{shard}: --canary {share} without --to, needed the generation to try")
    card = registry.resolve(shard, ontology)
    canary = running_canary(registry, shard, card.ontology)
    if canary is None:
        raise ConflictingCanary(f"{shard} {card.ontology}: no generation is on trial, needed --to N")
    end_canary(registry, canary, "withdrawn", "withdrawn")
    return {
        "shard_id": shard,
        "ontology": card.ontology,
        "generation": card.generation,
        "was": card.generation,
        "withdrawn": canary.generation,
    }
