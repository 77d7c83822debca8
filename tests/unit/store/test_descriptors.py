"""Descriptors of domains are written once, and read back as they are."""

from dataclasses import replace

import numpy as np
import pytest

from training.errors import BadShardId, StoreUnusable, WrongShape
from training.store.descriptors import Descriptor
from training.store.store import Store

EYE = "mobilenet_v2-0123"


def descriptor(shard_id: str = "dog", *, seed: int = 0) -> Descriptor:
    rows_MD = np.random.default_rng(seed).normal(size=(8, 6)).astype(np.float32)
    rows_MD /= np.linalg.norm(rows_MD, axis=1, keepdims=True)
    return Descriptor(
        shard_id=shard_id,
        eye=EYE,
        frames_K=np.array([0, 3, 5, 9]),
        seen_MD=rows_MD,
        own_VK=np.array([[0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8]], np.float32),
        ring_P2=np.array([[9.9, 53.5], [10.0, 53.5], [10.0, 53.6]]),
    )


def test_a_descriptor_comes_back_with_its_rows_to_half_precision(store: Store) -> None:
    given = descriptor()
    store.descriptors.add(given)
    found = Store.open(store.url).descriptors.get(EYE, "dog")
    assert found is not None
    assert (found.shard_id, found.eye) == ("dog", EYE)
    for name in ("frames_K", "own_VK", "ring_P2"):
        np.testing.assert_array_equal(getattr(found, name), getattr(given, name))
    np.testing.assert_allclose(found.seen_MD, given.seen_MD, atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(found.seen_MD, axis=1), 1, atol=1e-6)


def test_the_frames_as_they_are_come_first() -> None:
    given = descriptor()
    np.testing.assert_array_equal(given.plain_KD, given.seen_MD[:4])
    np.testing.assert_array_equal(given.apart_K, given.own_VK[0])


def test_who_comes_second_gets_what_the_first_one_wrote(store: Store) -> None:
    first = store.descriptors.add(descriptor(seed=0))
    second = store.descriptors.add(descriptor(seed=1))
    np.testing.assert_array_equal(first.seen_MD, second.seen_MD)


def test_networks_have_descriptors_of_their_own(store: Store) -> None:
    store.descriptors.add(descriptor("dog"))
    store.descriptors.add(descriptor("cat"))
    store.descriptors.add(replace(descriptor("cow"), eye="resnet18-4567"))
    assert store.descriptors.shard_ids(EYE) == ["cat", "dog"]
    assert store.descriptors.get(EYE, "cow") is None
    assert store.descriptors.eyes() == [EYE, "resnet18-4567"]


def test_a_damaged_descriptor_is_named(store: Store) -> None:
    store.objects.create(f"domains/{EYE}/dog.safetensors", b"not tensors")
    with pytest.raises(StoreUnusable, match=f"domains/{EYE}/dog"):
        store.descriptors.get(EYE, "dog")


@pytest.mark.parametrize("name", ["../dog", "", "a/b"])
def test_no_name_leads_out_of_the_folder(store: Store, name: str) -> None:
    with pytest.raises(BadShardId):
        store.descriptors.get(EYE, name)


@pytest.mark.parametrize(
    "values",
    [
        {"frames_K": np.array([], np.int64)},
        {"frames_K": np.array([0, 3, 5])},
        {"seen_MD": np.zeros((4, 6), np.float32)},
        {"own_VK": np.zeros((2, 3), np.float32)},
        {"own_VK": np.full((2, 4), np.nan, np.float32)},
        {"ring_P2": np.zeros((4, 3))},
    ],
)
def test_what_cannot_be_compared_with_is_refused(values: dict[str, np.ndarray]) -> None:
    with pytest.raises(WrongShape):
        replace(descriptor(), **values)
