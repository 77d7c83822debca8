"""Descriptors of domains are written once, and read back as they are."""

from dataclasses import replace

import numpy as np
import pytest

from training.errors import BadShardId, MissingObject, StoreUnusable, WrongShape
from training.store.descriptors import Descriptor
from training.store.store import Store

EYE = "mobilenet_v2-0123"


def descriptor(shard_id: str = "dog", *, seed: int = 0) -> Descriptor:
    rows_KD = np.random.default_rng(seed).normal(size=(4, 6)).astype(np.float32)
    rows_KD /= np.linalg.norm(rows_KD, axis=1, keepdims=True)
    return Descriptor(shard_id=shard_id, eye=EYE, frames_K=np.array([0, 3, 5, 9]), seen_KD=rows_KD, spread=0.25)


def test_a_descriptor_comes_back_to_half_precision(store: Store) -> None:
    given = descriptor()
    store.descriptors.add(given)
    found = Store.open(store.url).descriptors.get(EYE, "dog")
    assert found is not None
    assert (found.shard_id, found.eye, found.spread, found.frames_K.tolist()) == ("dog", EYE, 0.25, [0, 3, 5, 9])
    np.testing.assert_allclose(found.seen_KD, given.seen_KD, atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(found.seen_KD, axis=1), 1, atol=1e-6)


def test_who_comes_second_gets_what_the_first_one_wrote(store: Store) -> None:
    first = store.descriptors.add(descriptor(seed=0))
    second = store.descriptors.add(descriptor(seed=1))
    np.testing.assert_array_equal(first.seen_KD, second.seen_KD)


def test_networks_have_descriptors_of_their_own(store: Store) -> None:
    store.descriptors.add(descriptor("dog"))
    store.descriptors.add(descriptor("cat"))
    store.descriptors.add(replace(descriptor("cow"), eye="resnet18-4567"))
    assert store.descriptors.shard_ids(EYE) == ["cat", "dog"]
    assert store.descriptors.get(EYE, "cow") is None
    assert [one.shard_id for one in store.descriptors.read(EYE, ["dog", "cat"])] == ["cat", "dog"]
    with pytest.raises(MissingObject):
        list(store.descriptors.read(EYE, ["cow"]))


def test_a_damaged_descriptor_is_named(store: Store) -> None:
    store.objects.create(f"domains/{EYE}/dog.safetensors", b"not tensors")
    with pytest.raises(StoreUnusable, match=f"domains/{EYE}/dog"):
        store.descriptors.get(EYE, "dog")


@pytest.mark.parametrize("name", ["../dog", "", "a/b"])
def test_no_name_leads_out_of_the_folder(store: Store, name: str) -> None:
    with pytest.raises(BadShardId):
        store.descriptors.get(EYE, name)


@pytest.mark.parametrize(("rows", "spread"), [(0, 0.1), (3, 0.1), (4, 0.0), (4, float("nan"))])
def test_what_cannot_be_compared_with_is_refused(rows: int, spread: float) -> None:
    with pytest.raises(WrongShape):
        replace(descriptor(), seen_KD=descriptor().seen_KD[:rows], spread=spread)
