"""Which micro-model each picture of a request goes to, and what is said of each."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.answering import Answer
from services.asking import Hosts
from services.canaries import is_live
from services.catalogue import Catalogue, reference
from services.looking import Asked, Looked
from services.payload import Picture
from services.routing_schemas import AbstentionOut, NearOut, RoutedImage, RouteOut
from services.schemas import ImageLabels, ModelUsed
from training.domain.candidates import Chosen
from training.domain.metadata import Metadata
from training.domain.nearest import Abstention
from training.domain.rules import Rule, Rules
from training.errors import UnknownModel
from training.store.card import Card

__all__ = ["Decision", "Group", "decide", "grouped", "shaped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """About one picture: the micro-model of `card` by `route`, or an abstention.

    live: whichever generation is live, and not this one by its number. size_wh: in pixels, if it was decoded.
    """

    card: Card | None = None
    live: bool = True
    route: RouteOut | None = None
    abstention: AbstentionOut | None = None
    size_wh: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A micro-model, and the pictures, by their positions, that it is to label. live: as of a Decision."""

    card: Card
    live: bool
    places: list[int]


async def decide(
    catalogue: Catalogue,
    hosts: Hosts,
    rules: Rules,
    pictures: Sequence[Picture],
    about: Sequence[Metadata],
    ontology: str | None,
) -> tuple[dict[int, Decision], Looked | None]:
    """By the position of the picture: by rules, else by place and looks; and what hosts said of those that they looked at.

    Args:
        about: what is known of each picture.
    Raises:
        StoreUnusable: the store cannot be read now.
        MicroModelError: as Hosts.look.
    """
    decided = await asyncio.to_thread(_by_rules, catalogue, rules, about, ontology)
    left = [place for place in range(len(pictures)) if place not in decided]
    if not left:
        return decided, None
    looked = await hosts.look([Asked(picture=pictures[place], place=about[place].place) for place in left], ontology)
    return decided | await asyncio.to_thread(_by_looks, catalogue, left, looked), looked


def grouped(decided: Mapping[int, Decision]) -> list[Group]:
    """Each micro-model once, with its pictures in order."""
    groups: dict[tuple[str, str, bool], Group] = {}
    for place in sorted(decided):
        card, live = decided[place].card, decided[place].live
        if card is not None:
            groups.setdefault((card.ref, card.ontology, live), Group(card=card, live=live, places=[])).places.append(place)
    return list(groups.values())


def shaped(
    decided: Mapping[int, Decision], groups: Sequence[Group], answers: Sequence[tuple[Card, Answer]], min_score: float
) -> list[RoutedImage]:
    """What is said of each picture, in order. answers: who answered for each group, and what."""
    images = {place: _unanswered(one) for place, one in decided.items()}
    for group, (card, answer) in zip(groups, answers, strict=True):
        for place, labels, size_wh in zip(group.places, answer.labels, answer.sizes_wh, strict=True):
            shown = ImageLabels.of(labels, size_wh, min_score, answer.keypoint_names)
            images[place] = RoutedImage(**dict(shown), model=ModelUsed.of(card), route=decided[place].route)
    return [images[place] for place in sorted(images)]


def _by_rules(catalogue: Catalogue, rules: Rules, about: Sequence[Metadata], ontology: str | None) -> dict[int, Decision]:
    """Of those pictures alone for which a rule holds. May block on the store."""
    matched = ((place, rules.match(one, ontology=ontology)) for place, one in enumerate(about))
    return {place: _ruled(catalogue, rule, ontology) for place, rule in matched if rule is not None}


def _by_looks(catalogue: Catalogue, places: Sequence[int], looked: Looked) -> dict[int, Decision]:
    """Of those that were looked at. May block on the store."""
    answers = zip(places, looked.answers, looked.sizes_wh, strict=True)
    return {place: _found(catalogue, answer, size_wh) for place, answer, size_wh in answers}


def _ruled(catalogue: Catalogue, rule: Rule, ontology: str | None) -> Decision:
    try:
        wanted = reference(rule.shard_id, "live", rule.ontology or ontology)
        card = catalogue.resolve(wanted)
    except UnknownModel as error:
        return Decision(abstention=AbstentionOut(reason="no-model", rule=rule.name, detail=str(error)))
    return Decision(card=card, live=is_live(wanted), route=RouteOut(by="rule", rule=rule.name))


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
