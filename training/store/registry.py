"""Where generations are published, resolved, promoted and traced.

A generation is two objects: weights.safetensors, created exclusively and carrying the whole card inside, then card.json,
a copy of that card. It is published when card.json exists. Whoever finds weights without a card finishes the job from the
weights, so a publisher may die at any moment and lose nothing that was written. What it shares with other micro-models is a
base, written before.
"""

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from itertools import count

import torch

from training.data.identifiers import check_identifier
from training.errors import AlreadyExists, BadShardId, MissingObject, UnknownModel
from training.store.bases import Base, Bases
from training.store.canaries import Canaries
from training.store.card import Card
from training.store.decisions import Decision, Decisions
from training.store.documents import from_json_bytes, to_json_bytes
from training.store.numbered import numbered_key
from training.store.objects import ObjectStore, read_each
from training.store.weights import card_inside, pack, unpack

__all__ = ["Registry"]

_CARD = re.compile(r"gen-(\d+)/card\.json")
_WEIGHTS = re.compile(r"gen-(\d+)/weights\.safetensors")
_NUMBER = re.compile("[0-9]{1,9}")
_POINTER = re.compile(r"live/(\d+)\.json")


class Registry:
    """The micro-models of one store, in `bases` the trunks that they share, in `canaries` the generations on trial."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self.bases = Bases(objects)
        self.canaries = Canaries(objects)
        self._checked: set[tuple[str, str, int, str]] = set()  # whose weights were

    def publish(self, card: Card, tensors: Mapping[str, torch.Tensor], base: Base | None = None) -> Card:
        """Commit one generation, whole or not at all; returns the card as published.

        With generation 0 it takes the next free one. Work that is already published (an equal, non-empty fit_key) is not
        published again: its card is returned. A published generation never changes.

        Args:
            tensors: its own; what it shares is in the base.
            base: written unless it is there. Without it, one that the card names must be there.
        Raises:
            AlreadyExists: a generation was asked for by number and is other work.
            UnknownModel: the card names a base that is not there.
            StoreFull: no room; nothing is visible.
        """
        same = self.find(card.shard_id, card.ontology, card.fit_key)
        if same is not None and card.generation in (0, same.generation):
            return same
        if base is not None:
            self.bases.add(base)
            card = replace(card, base=base.name)
        elif card.base is not None:
            self.bases.check(card.base)
        first = card.generation or 1 + max(self.generations(card.shard_id, card.ontology), default=0)
        for generation in count(first):
            taken = self._try_publish(replace(card, generation=generation), tensors)
            if taken is None:
                return self.card(card.shard_id, card.ontology, generation)
            if card.fit_key and taken.fit_key == card.fit_key:
                return taken
            if card.generation:
                raise AlreadyExists(f"{card.ref} {card.ontology}: already published as other work, needed a free generation")
        raise AssertionError("count() ended")

    def promote(self, shard_id: str, ontology: str, generation: int, reason: str) -> None:
        """Make one published generation the one that answers; rolling back is promoting an older one.

        Raises:
            UnknownModel: it is not published.
        """
        self.decide(shard_id, ontology, Decision(generation=generation, promoted=True, reason=reason))

    def decide(self, shard_id: str, ontology: str, decision: Decision) -> None:
        """Make a published generation live, or remember that it was refused.

        Raises:
            UnknownModel: it is not published.
        """
        self.card(shard_id, ontology, decision.generation)
        self._decisions(shard_id, ontology).add(decision)

    def decision(self, shard_id: str, ontology: str, generation: int) -> Decision | None:
        """What was last decided about a generation; None when nothing was."""
        return self._decisions(shard_id, ontology).about(generation)

    def live(self, shard_id: str, ontology: str) -> int | None:
        """The generation that answers, None if none was promoted."""
        promotions = self.promotions(shard_id, ontology, last=1)
        return promotions[-1].generation if promotions else None

    def promotions(self, shard_id: str, ontology: str, last: int | None = None) -> list[Decision]:
        """How generations were made live, in order, the last `last` of them; one may come several times."""
        return self._decisions(shard_id, ontology).promotions(last)

    def generations(self, shard_id: str, ontology: str) -> list[int]:
        """Published generations, oldest first."""
        return self._numbers(shard_id, ontology, _CARD)

    def card(self, shard_id: str, ontology: str, generation: int) -> Card:
        """Raises UnknownModel when that generation is not published."""
        key = f"{_generation(shard_id, ontology, generation)}card.json"
        try:
            return Card.from_json(from_json_bytes(self._objects.read(key), key))
        except MissingObject as error:
            there = self.generations(shard_id, ontology)
            raise UnknownModel(f"{shard_id}@{generation} {ontology}: not published, there is {there or 'nothing'}") from error

    def resolve(self, ref: str, ontology: str | None = None) -> Card:
        """The card that 'shard', 'shard@live' or 'shard@3' means; without an ontology, the only one that has models.

        Raises:
            UnknownModel: nothing published fits; names the choices.
        """
        shard_id, _, which = ref.partition("@")
        which = which or "live"
        if which != "live" and not _NUMBER.fullmatch(which):
            raise UnknownModel(f"{ref!r}: generation {which!r}, needed 'live' or a number")
        name = self._only_ontology(shard_id) if ontology is None else ontology
        try:
            generation = self.live(shard_id, name) if which == "live" else int(which)
            if generation is None:
                there = self.generations(shard_id, name)
                raise UnknownModel(f"{shard_id} {name}: no live generation, published are {there or 'none'}")
            return self.card(shard_id, name, generation)
        except UnknownModel:
            choices = self.ontologies(shard_id)
            if name in choices:
                raise
            raise _needed_one(f"{shard_id} {name}", choices) from None

    def ontologies(self, shard_id: str) -> list[str]:
        """Ontologies that this shard has published generations for."""
        shard_id = _checked(shard_id)
        names = (key.split("/") for key in self._objects.keys(f"models/{shard_id}/") if key.endswith("/card.json"))
        return sorted({parts[2] for parts in names})

    def live_cards(self) -> Iterator[Card]:
        """The card of every live micro-model of the store, by shard and ontology.

        One listing, then one pointer and one card are read for each.
        """
        last = self._last_pointers()
        models = sorted(last)
        pointers = [numbered_key(f"{_folder(*model)}live/", last[model], ".json") for model in models]
        generations = [int(from_json_bytes(data, "live")["generation"]) for data in read_each(self._objects, pointers)]
        cards = [f"{_generation(*model, number)}card.json" for model, number in zip(models, generations, strict=True)]
        for key, data in zip(cards, read_each(self._objects, cards), strict=True):
            yield Card.from_json(from_json_bytes(data, key))

    def live_models(self) -> list[tuple[str, str]]:
        """(shard id, ontology) of every live micro-model of the store, sorted; one listing, and nothing is read."""
        return sorted(self._last_pointers())

    def live_state(self, ontologies: Collection[str]) -> str:
        """16 characters that change when another generation of any micro-model of these ontologies goes live; reads nothing."""
        last = sorted((*model, number) for model, number in self._last_pointers().items() if model[1] in ontologies)
        return hashlib.sha256(repr(last).encode()).hexdigest()[:16]

    def load(self, card: Card) -> dict[str, torch.Tensor]:
        """The tensors of a published card, on the CPU: with a base, those that differ from it.

        Their hash is checked the first time: a published generation never changes.

        Raises:
            UnknownModel: there are none.
            CorruptModel: they are not the tensors the card was published with.
        """
        try:
            file = self._objects.read(f"{_generation(card.shard_id, card.ontology, card.generation)}weights.safetensors")
        except MissingObject as error:
            raise UnknownModel(f"{card.ref} {card.ontology}: no weights") from error
        key = card.shard_id, card.ontology, card.generation, card.weights_sha256
        tensors = unpack(file, card, known=key in self._checked)
        self._checked.add(key)
        return tensors

    def find(self, shard_id: str, ontology: str, fit_key: str) -> Card | None:
        """The newest generation that is the result of this very work; finishes what a crashed publisher left."""
        if not fit_key:
            return None
        for generation in reversed(self._numbers(shard_id, ontology, _WEIGHTS)):
            card = self._complete(shard_id, ontology, generation)
            if card.fit_key == fit_key:
                return card
        return None

    def _try_publish(self, card: Card, tensors: Mapping[str, torch.Tensor]) -> Card | None:
        """None when published; else the card of whoever has this generation."""
        card, file = pack(card, tensors)
        folder = _generation(card.shard_id, card.ontology, card.generation)
        try:
            self._objects.create(f"{folder}weights.safetensors", file)
        except AlreadyExists:
            return self._complete(card.shard_id, card.ontology, card.generation)
        self._commit(card)
        return None

    def _complete(self, shard_id: str, ontology: str, generation: int) -> Card:
        folder = _generation(shard_id, ontology, generation)
        try:
            return Card.from_json(from_json_bytes(self._objects.read(f"{folder}card.json"), folder))
        except MissingObject:
            card = card_inside(self._objects.read(f"{folder}weights.safetensors"), folder)
        self._commit(card)
        return card

    def _commit(self, card: Card) -> None:
        key = f"{_generation(card.shard_id, card.ontology, card.generation)}card.json"
        try:
            self._objects.create(key, to_json_bytes(card.to_json(), card.ref))
        except AlreadyExists:  # somebody finished it from the same weights: the same bytes
            return

    def _last_pointers(self) -> dict[tuple[str, str], int]:
        last: dict[tuple[str, str], int] = {}
        for key in self._objects.keys("models/"):
            _, shard_id, ontology, rest = (*key.split("/", 3), "", "")[:4]  # other software leaves files of its own anywhere
            if found := _POINTER.fullmatch(rest):
                last[shard_id, ontology] = max(int(found[1]), last.get((shard_id, ontology), 0))
        return last

    def _decisions(self, shard_id: str, ontology: str) -> Decisions:
        return Decisions(self._objects, _folder(_checked(shard_id), _checked(ontology)))

    def _numbers(self, shard_id: str, ontology: str, pattern: re.Pattern[str]) -> list[int]:
        folder = _folder(_checked(shard_id), _checked(ontology))
        found = (pattern.fullmatch(key[len(folder) :]) for key in self._objects.keys(folder))
        return sorted(int(match[1]) for match in found if match)

    def _only_ontology(self, shard_id: str) -> str:
        """Of most shards the only folder tells it, and what is in there need not be listed."""
        there = self._objects.children(f"models/{_checked(shard_id)}/")
        folders = [name.rstrip("/") for name in there if name.endswith("/")]
        choices = folders if len(folders) == 1 else self.ontologies(shard_id)
        if len(choices) != 1:
            raise _needed_one(shard_id, choices)
        return choices[0]


def _needed_one(what: str, choices: Collection[str]) -> UnknownModel:
    return UnknownModel(f"{what}: needed one ontology that has models: {', '.join(choices) or 'there is none'}")


def _folder(shard_id: str, ontology: str) -> str:
    return f"models/{shard_id}/{ontology}/"


def _generation(shard_id: str, ontology: str, generation: int) -> str:
    return f"{_folder(shard_id, ontology)}gen-{generation:04d}/"


def _checked(name: str) -> str:
    try:
        return check_identifier(name, "micro-model")
    except BadShardId as error:
        raise UnknownModel(str(error)) from error
