"""`rollback`: let an older generation answer again."""

from typing import Annotated

import typer

from cluster.cli.output import JsonOption, StoreOption, finish

__all__ = ["rollback"]


def rollback(
    shard: Annotated[str, typer.Argument(metavar="SHARD", help="Whose micro-model.")],
    store: StoreOption,
    to: Annotated[int, typer.Option(min=1, metavar="N", help="The published generation that answers from now on.")],
    ontology: Annotated[str | None, typer.Option(help="Which ontology, if the shard has models of several.")] = None,
    json: JsonOption = None,
) -> int:
    """Make a published generation live, whatever the gate said of it. Nothing is deleted, and `fit` does not undo it.

    Example: micromodels rollback harbour --to 2 --store ./store
    """
    from training.errors import AlreadyLive
    from training.store.store import Store

    registry = Store.open(store).registry
    card = registry.resolve(f"{shard}@{to}", ontology)
    live = registry.live(shard, card.ontology)
    if live == to:
        raise AlreadyLive(f"{card.ref} {card.ontology}: is live, needed another of {registry.generations(shard, card.ontology)}")
    registry.promote(shard, card.ontology, to, f"rolled back from {live}" if live else "rolled back")
    row = {"shard_id": shard, "ontology": card.ontology, "generation": to, "was": live}
    return finish({"shards": [row], "failures": []}, json, rows=[row])
