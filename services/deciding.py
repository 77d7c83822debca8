"""Which micro-model each picture of a request goes to, and what is said of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.answering import Answer
from services.catalogue import Catalogue, reference
from services.looking import Looked
from services.routing_schemas import AbstentionOut, NearOut, RoutedImage, RouteOut
from services.schemas import ImageLabels, ModelUsed
from training.domain.candidates import Chosen
from training.domain.metadata import Metadata
from training.domain.nearest import Abstention
from training.domain.rules import Rule, Rules
from training.errors import UnknownModel
from training.store.card import Card

__all__ = ["Decision", "Group", "by_looks", "by_rules", "grouped", "shaped"]

Group = tuple[Card, list[int]]  # a micro-model, and which pictures it is to label


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """About one picture: the micro-model of `card` by `route`, or an abstention. size_wh: in pixels, if it was decoded."""

    card: Card | None = None
    route: RouteOut | None = None
    abstention: AbstentionOut | None = None
    size_wh: tuple[int, int] | None = None


def by_rules(catalogue: Catalogue, rules: Rules, about: Sequence[Metadata], ontology: str | None) -> dict[int, Decision]:
    """By the position of the picture; of those alone for which a rule holds. May block on the store.

    Raises:
        StoreUnusable: the store cannot be read now.
    """
    matched = ((place, rules.match(one, ontology=ontology)) for place, one in enumerate(about))
    return {place: _ruled(catalogue, rule, ontology) for place, rule in matched if rule is not None}


def by_looks(catalogue: Catalogue, places: Sequence[int], looked: Looked) -> dict[int, Decision]:
    """By the position of the picture, of those that were looked at. May block on the store, and raises as by_rules."""
    answers = zip(places, looked.answers, looked.sizes_wh, strict=True)
    return {place: _found(catalogue, answer, size_wh) for place, answer, size_wh in answers}


def grouped(decided: Mapping[int, Decision]) -> list[Group]:
    """Each micro-model once, with its pictures in order."""
    groups: dict[tuple[str, str], Group] = {}
    for place in sorted(decided):
        card = decided[place].card
        if card is not None:
            groups.setdefault((card.ref, card.ontology), (card, []))[1].append(place)
    return list(groups.values())


def shaped(
    decided: Mapping[int, Decision], groups: Sequence[Group], answers: Sequence[Answer], min_score: float
) -> list[RoutedImage]:
    """What is said of each picture, in order."""
    images = {place: _unanswered(one) for place, one in decided.items()}
    for (card, places), answer in zip(groups, answers, strict=True):
        for place, labels, size_wh in zip(places, answer.labels, answer.sizes_wh, strict=True):
            shown = ImageLabels.of(labels, size_wh, min_score, answer.keypoint_names)
            images[place] = RoutedImage(**dict(shown), model=ModelUsed.of(card), route=decided[place].route)
    return [images[place] for place in sorted(images)]


def _ruled(catalogue: Catalogue, rule: Rule, ontology: str | None) -> Decision:
    try:
        card = catalogue.resolve(reference(rule.shard_id, "live", rule.ontology or ontology))
    except UnknownModel as error:
        return Decision(abstention=AbstentionOut(reason="no-model", rule=rule.name, detail=str(error)))
    return Decision(card=card, route=RouteOut(by="rule", rule=rule.name))


def _found(catalogue: Catalogue, answer: Chosen | Abstention, size_wh: tuple[int, int]) -> Decision:
    if isinstance(answer, Abstention):
        return Decision(abstention=AbstentionOut.of(answer), size_wh=size_wh)
    try:
        card = catalogue.resolve(reference(answer.shard_id, "live", answer.ontology))
    except UnknownModel as error:  # it went since the host looked
        near = [] if answer.distance is None else [NearOut(shard_id=answer.shard_id, distance=answer.distance)]
        return Decision(abstention=AbstentionOut(reason="no-model", nearest=near, detail=str(error)), size_wh=size_wh)
    return Decision(card=card, route=RouteOut.of(answer), size_wh=size_wh)


def _unanswered(one: Decision) -> RoutedImage:
    width, height = one.size_wh or (None, None)
    return RoutedImage(width=width, height=height, abstention=one.abstention)
