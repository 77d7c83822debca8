"""Where every micro-model of a store stands: what people did, which generation answers and why, and what it labelled."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from training.data.shards import Shard
from training.errors import CorruptLabels, StoreUnusable, named
from training.loop.efficiency import Spent
from training.loop.prospect import Prospect, prospect
from training.models.actions import Seconds
from training.store.canaries import Canary
from training.store.store import Store

__all__ = ["ShardStatus", "statuses"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardStatus:
    """One shard and ontology; ontology is None where nobody labelled anything yet.

    labelled: frames to be fitted on. audits: frames that are not. machine: frames the live generation labelled.
    status, reason: the last decision about the live generation. refused: the newest generation, if the gate refused it.
    canary: the generation of the last trial. trial: 'running', or how and why it ended.
    drawn, corrected: objects, and human_seconds the time, by the ledger.
    damage: what the ledger lost, and labels or a trial that cannot be read, of which nothing is counted then.
    prospect: what the rest will be like; None without a live generation, or of a task whose actions have no seconds.
    """

    shard_id: str
    ontology: str | None
    frames: int
    labelled: int = 0
    audits: int = 0
    generations: int = 0
    live: int | None = None
    status: str | None = None
    reason: str | None = None
    refused: int | None = None
    canary: int | None = None
    trial: str | None = None
    machine: int = 0
    drawn: int = 0
    corrected: int = 0
    human_seconds: float = 0.0
    prospect: Prospect | None = None
    damage: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        prospect = self.prospect.to_json() if self.prospect else None
        return asdict(self) | {"damage": list(self.damage), "prospect": prospect}


def statuses(
    store: Store, shard_ids: Sequence[str] | None, ontology: str | None, seconds: Mapping[str, Seconds]
) -> Iterator[ShardStatus]:
    """By shard and ontology.

    Args:
        seconds: of each ontology whose task has some, what every action is charged.
        shard_ids: None for every shard.
        ontology: None for every one that the shard has annotations or models of.
    Raises:
        UnknownShard, UnknownOntology: named explicitly and not in the store.
    """
    if ontology is not None:
        store.ontology(ontology)
    for shard in store.shards() if shard_ids is None else [store.shard(shard_id) for shard_id in shard_ids]:
        names = {*store.labelled(shard.shard_id), *store.registry.ontologies(shard.shard_id)}
        for name in sorted(names if ontology is None else names & {ontology}):
            yield _status(store, shard, name, seconds.get(name))
        if not names and ontology is None:
            yield ShardStatus(shard_id=shard.shard_id, ontology=None, frames=shard.num_frames)


def _status(store: Store, shard: Shard, ontology: str, seconds: Seconds | None) -> ShardStatus:
    shard_id, registry = shard.shard_id, store.registry
    generations, live = registry.generations(shard_id, ontology), registry.promotions(shard_id, ontology, last=1)
    newest = registry.decision(shard_id, ontology, generations[-1]) if generations else None
    answering = live[-1] if live else None
    damage: list[str] = []
    trial = None
    try:
        trial = registry.canaries.newest(shard_id, ontology)
    except StoreUnusable as error:
        damage.append(named(error))
    actions = store.ledger.read(shard_id, ontology, damaged=lambda what: damage.append(f"ledger: {what}"))
    spent = Spent.from_ledger(actions, seconds) if seconds else None
    labelled = audits = 0
    rest = None
    try:
        labelled, audits = len(store.labels_to_fit(shard_id, ontology)), len(store.audit_labels(shard_id, ontology))
        rest = prospect(store, shard_id, ontology, spent, seconds) if spent and seconds else None
    except CorruptLabels as error:
        damage.append(named(error))
    return ShardStatus(
        shard_id=shard_id,
        ontology=ontology,
        frames=shard.num_frames,
        labelled=labelled,
        audits=audits,
        generations=len(generations),
        live=answering.generation if answering else None,
        status=answering.status if answering else None,
        reason=answering.reason if answering else None,
        refused=newest.generation if newest and not newest.promoted else None,
        canary=trial.generation if trial else None,
        trial=_trial(trial, answering.generation if answering else None) if trial else None,
        machine=store.predictions.num_frames(shard_id, ontology, answering.generation) if answering else 0,
        drawn=spent.drawn if spent else 0,
        corrected=spent.corrected.due if spent else 0,
        human_seconds=spent.seconds if spent else 0.0,
        prospect=rest,
        damage=tuple(damage),
    )


def _trial(canary: Canary, live: int | None) -> str:
    if canary.running:
        return f"running with {canary.share:.0%}" if canary.against == live else f"over, since {live} is live"
    return f"{canary.outcome}: {canary.reason}"
