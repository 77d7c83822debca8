"""The rules of a store: the newest hold, and every one of them leads somewhere when it is saved."""

from training.domain.rules import Rule, Rules
from training.errors import MicroModelError, StoreUnusable, UnknownModel
from training.store.store import Store

__all__ = ["read_rules", "save_rules"]


def read_rules(store: Store) -> Rules:
    """The newest rules of a store.

    Raises:
        StoreUnusable: they are not what this software writes.
    """
    saved = store.routes.read()
    try:
        return Rules.from_json(saved.rules, number=saved.number, saved_at=saved.saved_at)
    except MicroModelError as error:
        raise StoreUnusable(f"routes/{saved.number:04d}.json: {error}") from error


def save_rules(store: Store, rules: Rules, *, replaces: int | None = None) -> Rules:
    """From now on these rules hold and no others; returned as they are in the store.

    Args:
        replaces: number of the rules that they are to replace; None for whichever are the newest.
    Raises:
        UnknownShard, UnknownOntology, UnknownModel: a rule leads nowhere; nothing is saved.
        ConflictingRules: others are the newest by now; nothing is saved.
        StoreFull: no room; nothing is saved.
    """
    for rule in rules.rules:
        store.shard(rule.shard)
        if rule.ontology is not None:
            store.ontology(rule.ontology)
        if rule.generation is not None:
            _check_published(store, rule, rule.generation)
    store.routes.replace(rules.to_json(), number=replaces)
    return read_rules(store)


def _check_published(store: Store, rule: Rule, generation: int) -> None:
    ontologies = store.registry.ontologies(rule.shard) if rule.ontology is None else [rule.ontology]
    if not any(generation in store.registry.generations(rule.shard, ontology) for ontology in ontologies):
        raise UnknownModel(f"rule {rule.name}: {rule.shard_id} is not published, needed a generation that is")
