"""Which shards a search of recipes is judged on: a seeded sample, as even over the ontologies as there are shards for it."""

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.data.shards import Shard
from training.errors import NothingToLearn
from training.models.tasks import TASKS
from training.store.store import Store

__all__ = ["Sample", "sample_shards"]

_NEEDED = 2  # labelled frames with annotations: one to hold out, one to learn from


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """shards: each with the ontology it is judged on. passed_over: those with too few labels that were met on the way."""

    shards: tuple[tuple[Shard, str], ...]
    passed_over: int


def sample_shards(store: Store, count: int, ontology: str | None, *, seed: int) -> Sample:
    """At most `count` labelled shards, dealt in turn from the ontologies; a shard with several can come more than once.

    Raises:
        UnknownOntology: named and not in the store.
        NothingToLearn: no shard has two labelled frames with annotations.
    """
    strata = _shuffled(store, ontology, np.random.default_rng(seed))
    found: list[tuple[Shard, str]] = []
    counts: list[int] = []
    while strata and len(found) < count:
        name = next(iter(strata))
        waiting = strata.pop(name)
        while waiting:
            shard = waiting.popleft()
            annotated = sum(bool(frame.annotations) for frame in store.labels_to_fit(shard.shard_id, name))
            counts.append(annotated)
            if annotated >= _NEEDED:
                found.append((shard, name))
                break
        if waiting:
            strata[name] = waiting  # to the end of the row
    if not found:
        raise NothingToLearn(_too_few(store, ontology, counts))
    return Sample(shards=tuple(found), passed_over=sum(annotated < _NEEDED for annotated in counts))


def _shuffled(store: Store, ontology: str | None, random: np.random.Generator) -> dict[str, deque[Shard]]:
    """Labelled shards of each ontology that can be fitted, in random order."""
    names = [one.name for one in store.ontologies() if one.task in TASKS]
    if ontology is not None:
        names = [store.ontology(ontology).name]
    strata: dict[str, list[Shard]] = defaultdict(list)
    for shard in store.shards():
        for name in store.labelled(shard.shard_id):
            if name in names:
                strata[name].append(shard)
    order = sorted(strata)
    return {name: deque(strata[name][int(at)] for at in random.permutation(len(strata[name]))) for name in order}


def _too_few(store: Store, ontology: str | None, counts: Sequence[int]) -> str:
    of = f" of {ontology}" if ontology else ""
    most = f"{len(counts)} shards with annotations{of}, at most {max(counts)} annotated frames a shard" if counts else "none"
    return f"{store.url}: {most}, needed a shard with {_NEEDED} annotated frames{of}: one is held out of each fit"
