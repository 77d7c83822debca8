"""Trunks that micro-models share: one object each, named after its content, written before whoever needs it."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from training.errors import BadShardId, CorruptModel, StoreFull, UnknownModel
from training.store.bases import Base, Bases
from training.store.card import Card
from training.store.local import LocalObjects
from training.store.store import Store

OWN = {"head.weight": torch.full((2, 2), 3.0)}


def base(value: float = 1.0) -> Base:
    return Base.of("tiny", {"stages.0.weight": torch.full((4,), value), "stages.0.count": torch.tensor(7)})


class CountedObjects(LocalObjects):
    """Objects that remember what was asked of a backbone, and may have no room for one."""

    def __init__(self, root: str, *, full: bool = False) -> None:
        super().__init__(root)
        self.asked: Counter[str] = Counter()
        self._is_full = full

    def exists(self, key: str) -> bool:
        self.asked["exists"] += key.startswith("backbones/")
        return super().exists(key)

    def create(self, key: str, data: bytes) -> None:
        self.asked["create"] += key.startswith("backbones/")
        if self._is_full and key.startswith("backbones/"):
            raise StoreFull(f"{key}: no space")
        super().create(key, data)

    def read(self, key: str) -> bytes:
        self.asked["read"] += key.startswith("backbones/")
        return super().read(key)


def test_equal_trunks_have_one_name_and_others_another() -> None:
    assert base().name == base().name
    assert base().name.startswith("tiny-")
    assert base(1.0).name != base(2.0).name
    assert base(0.0).name != base(-0.0).name, "bit by bit"


def test_a_base_comes_back_as_it_was_and_the_store_is_asked_once(store: Store) -> None:
    objects = CountedObjects(store.url)
    bases = Bases(objects)
    for _ in range(3):
        bases.add(base())
    assert objects.asked == Counter(exists=1, create=1)
    again = Bases(objects)
    for _ in range(3):
        loaded = again.load(base().name)
        assert all(torch.equal(loaded.tensors[name], tensor) for name, tensor in base().tensors.items())
    again.add(base())
    assert objects.asked == Counter(exists=1, create=1, read=1)
    assert store.objects.keys("backbones/") == [f"backbones/{base().name}.safetensors"]


def test_two_who_write_the_same_base_at_once_are_both_content(store: Store) -> None:
    class Late(CountedObjects):
        def exists(self, key: str) -> bool:
            return False  # the other one comes in between

    for _ in range(2):
        Bases(Late(store.url)).add(base())
    assert len(store.objects.keys("backbones/")) == 1


def test_a_generation_names_its_base_which_is_written_before_it(store: Store, card: Card) -> None:
    published = store.registry.publish(card, OWN, base())
    assert published.base == base().name
    assert store.registry.card("dog", "detection.dog", 1) == published
    assert set(store.registry.load(published)) == set(OWN)
    assert published.num_bytes == 16, "its own"
    full = Store(CountedObjects(store.url, full=True))
    with pytest.raises(StoreFull):
        full.registry.publish(replace(card, fit_key="2"), OWN, base(2.0))
    assert store.registry.generations("dog", "detection.dog") == [1]


def test_a_card_may_not_name_a_base_that_is_not_there(store: Store, card: Card) -> None:
    with pytest.raises(UnknownModel, match=f"{base().name}: not in .*needed backbones/"):
        store.registry.publish(replace(card, base=base().name), OWN)
    store.registry.bases.add(base())
    assert Store.open(store.url).registry.publish(replace(card, base=base().name), OWN).generation == 1
    with pytest.raises(BadShardId, match="backbone"):
        replace(card, base="../elsewhere")


def test_a_card_from_before_there_were_bases_has_none(card: Card) -> None:
    old = {name: value for name, value in card.to_json().items() if name != "base"}
    assert Card.from_json(old) == card


def test_a_base_that_is_damaged_another_or_gone_is_named(store: Store) -> None:
    store.registry.bases.add(base())
    path = Path(store.url) / "backbones" / f"{base().name}.safetensors"
    whole = path.read_bytes()
    Bases(LocalObjects(store.url)).add(base(2.0))
    other = (path.parent / f"{base(2.0).name}.safetensors").read_bytes()
    for damaged in (whole[:-1] + b"\x07", whole[:-4], b"", b"\xff" * 40, other):
        path.write_bytes(damaged)
        with pytest.raises(CorruptModel, match="backbone tiny"):
            Bases(LocalObjects(store.url)).load(base().name)
    path.unlink()
    with pytest.raises(UnknownModel, match=base().name):
        Bases(LocalObjects(store.url)).load(base().name)
