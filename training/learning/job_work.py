"""What a job has to do, and how far it is: both read from the store, whoever does the work and wherever."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from training.data.annotations import labels_hash
from training.errors import NothingToLearn, UnknownModel
from training.learning.recipes import recipe
from training.models.backbones import Backbone
from training.models.tasks import TASKS
from training.store.ahead import ahead
from training.store.card import Card
from training.store.jobs import JobRecord, JobTarget, Verb
from training.store.store import Store

__all__ = ["TargetDone", "job_targets", "job_work"]

DEFAULT_RECIPE, DEFAULT_WEIGHTS = "quality", "auto"  # of the verb


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetDone:
    """How far one micro-model of a job is.

    generation: that was fitted, or labels; None of a fit that is not at its end.
    done, total: frames that are labelled, of all; of a fit 0 or 1, of 1.
    """

    shard_id: str
    ontology: str
    generation: int | None
    done: int
    total: int


def job_targets(
    store: Store, verb: Verb, shard_ids: Sequence[str], ontology: str | None, options: Mapping[str, str | int]
) -> tuple[JobTarget, ...]:
    """The micro-models that a job is about, by shard and ontology.

    Raises:
        UnknownShard, UnknownOntology: the store has no such thing.
        UnknownModel: nothing labels one of the shards; names it.
        NothingToLearn: one of the shards has no annotations to fit on; names it.
        BadRecipe: no recipe has that name.
    """
    if ontology is not None:
        store.ontology(ontology)
    fittable = [one.name for one in store.ontologies() if one.task in TASKS and ontology in (None, one.name)]
    wanted = _wanted(options)

    def look(shard_id: str) -> list[JobTarget]:
        store.shard(shard_id)
        if verb == "label":
            return list(_to_label(store, shard_id, ontology))
        return list(_to_fit(store, shard_id, fittable, wanted))

    return tuple(target for found in ahead(look, list(dict.fromkeys(shard_ids))) for target in found)


def job_work(store: Store, job: JobRecord) -> list[TargetDone]:
    """How far each micro-model of the job is now."""
    outcome = store.jobs.outcome(job.job_id) or {}
    said = {(row["shard_id"], row["ontology"]): int(row["generation"]) for row in outcome.get("shards", [])}
    look = _labelled if job.verb == "label" else _fitted
    return list(ahead(lambda target: look(store, target, said.get((target.shard_id, target.ontology))), job.targets))


def _to_label(store: Store, shard_id: str, ontology: str | None) -> Iterator[JobTarget]:
    names = [name for name in store.registry.ontologies(shard_id) if ontology in (None, name)]
    live = {name: generation for name in names if (generation := store.registry.live(shard_id, name)) is not None}
    if not live:
        raise UnknownModel(f"{shard_id}{f' {ontology}' if ontology else ''}: no live micro-model, needed a fit first")
    for name, generation in live.items():
        yield JobTarget(shard_id=shard_id, ontology=name, generation=generation)


def _to_fit(store: Store, shard_id: str, fittable: Sequence[str], wanted: Mapping[str, Any]) -> Iterator[JobTarget]:
    names = [name for name in store.labelled(shard_id) if name in fittable]
    found = {name: labels for name in names if (labels := store.labels_to_fit(shard_id, name))}
    if not found:
        raise NothingToLearn(f"{shard_id}: no annotations of {', '.join(fittable) or 'any ontology'}, needed some to fit on")
    for name, labels in found.items():
        generations, digest = store.registry.generations(shard_id, name), labels_hash(labels)
        cards = (store.registry.card(shard_id, name, generation) for generation in reversed(generations))
        known = next((card.generation for card in cards if card.labels_hash == digest and _is(card, wanted)), None)
        newest = max(generations, default=0)
        yield JobTarget(shard_id=shard_id, ontology=name, generation=newest, known=known, labels_hash=digest)


def _wanted(options: Mapping[str, str | int]) -> dict[str, Any]:
    """What the card of a fit with these options says."""
    name, weights = str(options.get("recipe", DEFAULT_RECIPE)), str(options.get("weights", DEFAULT_WEIGHTS))
    return {"recipe": recipe(name).to_json(), "backbone": asdict(Backbone(weights=weights)), "seed": int(options.get("seed", 0))}


def _is(card: Card, wanted: Mapping[str, Any]) -> bool:
    return all(_plain(getattr(card, name)) == _plain(value) for name, value in wanted.items())


def _plain(value: Any) -> Any:
    """Lists for tuples, as JSON has them."""
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def _labelled(store: Store, target: JobTarget, said: int | None) -> TargetDone:
    generation = target.generation if said is None else said
    return TargetDone(
        shard_id=target.shard_id,
        ontology=target.ontology,
        generation=generation,
        done=store.predictions.num_frames(target.shard_id, target.ontology, generation),
        total=store.shard(target.shard_id).num_frames,
    )


def _fitted(store: Store, target: JobTarget, said: int | None) -> TargetDone:
    generations = store.registry.generations(target.shard_id, target.ontology)
    newer = max((one for one in generations if one > target.generation), default=None)
    generation = said or newer or target.known
    done = int(generation is not None)
    return TargetDone(shard_id=target.shard_id, ontology=target.ontology, generation=generation, done=done, total=1)
