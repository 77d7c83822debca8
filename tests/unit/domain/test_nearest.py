"""A picture is in the nearest domain, or in none, and then there is a reason."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from training.data.pictures import decode_picture, encode_jpeg
from training.data.shards import Shard
from training.data.sources import open_frames
from training.domain.describe import describe, describe_missing
from training.domain.nearest import REACH, Abstention, Domains, Found
from training.errors import BadInput, WrongShape
from training.models.eye import Eye
from training.store.descriptors import Descriptor
from training.store.store import Store


@pytest.fixture(scope="module")
def descriptors(shards: dict[str, Shard], eye: Eye) -> list[Descriptor]:
    return [describe(shard, eye) for shard in shards.values()]


def others(shard: Shard, descriptor: Descriptor) -> list[NDArray[np.uint8]]:
    """Frames that were not looked at."""
    left = sorted(set(range(shard.num_frames)) - set(descriptor.frames_K.tolist()))
    with open_frames(shard) as source:
        return [frame.image_HW3 for frame in source.read(left)]


def at(eye: Eye, shard_id: str, degrees: float, spread: float = 0.1) -> Descriptor:
    return Descriptor(
        shard_id=shard_id, eye=eye.identity, frames_K=np.array([0]), seen_KD=direction(eye, degrees)[None], spread=spread
    )


def direction(eye: Eye, degrees: float) -> NDArray[np.float32]:
    seen_D = np.zeros(eye.num_features, np.float32)
    seen_D[:2] = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return seen_D


def test_frames_that_nobody_looked_at_are_in_their_own_shard(
    shards: dict[str, Shard], descriptors: list[Descriptor], eye: Eye
) -> None:
    domains = Domains(eye, descriptors)
    for one in descriptors:
        for picture_HW3 in others(shards[one.shard_id], one):
            answer = domains.nearest(picture_HW3)
            assert isinstance(answer, Found)
            assert answer.shard_id == one.shard_id
            assert answer.distance <= REACH


def test_a_jpeg_of_a_frame_is_still_in_its_shard(shards: dict[str, Shard], descriptors: list[Descriptor], eye: Eye) -> None:
    domains = Domains(eye, descriptors)
    for one in descriptors:
        jpeg_HW3 = decode_picture(encode_jpeg(others(shards[one.shard_id], one)[0], quality=75), name="jpeg")
        answer = domains.nearest(jpeg_HW3)
        assert isinstance(answer, Found)
        assert answer.shard_id == one.shard_id


def test_frames_of_a_shard_that_is_not_described_are_in_none(
    shards: dict[str, Shard], descriptors: list[Descriptor], eye: Eye
) -> None:
    pond, road = descriptors
    for known, unknown in ((pond, road), (road, pond)):
        answers = [Domains(eye, [known]).nearest(picture_HW3) for picture_HW3 in others(shards[unknown.shard_id], unknown)]
        assert all(isinstance(answer, Abstention) and answer.reason == "outside" for answer in answers)


def test_noise_and_flat_pictures_are_in_no_domain(descriptors: list[Descriptor], eye: Eye) -> None:
    domains, random = Domains(eye, descriptors), np.random.default_rng(0)
    flat = [np.full((96, 128, 3), grey, np.uint8) for grey in (0, 128, 255)]
    pictures = [random.integers(0, 256, (96, 128, 3), np.uint8), *flat]
    assert [type(domains.nearest(picture_HW3)) for picture_HW3 in pictures] == [Abstention] * 4


def test_without_domains_the_answer_says_so(eye: Eye) -> None:
    assert Domains(eye, []).nearest_to(direction(eye, 0)) == Abstention(reason="no-domains")


def test_the_distance_is_in_units_of_the_domains_own_spread(eye: Eye) -> None:
    wide, narrow = at(eye, "wide", 0, spread=0.4), at(eye, "narrow", 20, spread=0.1)
    answer = Domains(eye, [narrow, wide]).nearest_to(direction(eye, 12))
    assert isinstance(answer, Found)
    assert (answer.shard_id, answer.next_shard_id) == ("wide", "narrow")
    assert answer.distance == pytest.approx(2 * np.sin(np.radians(6)) / 0.4, rel=1e-3)
    assert answer.next_distance == pytest.approx(2 * np.sin(np.radians(4)) / 0.1, rel=1e-3)


def test_a_picture_in_two_domains_alike_is_decided_by_nobody(eye: Eye) -> None:
    domains = Domains(eye, [at(eye, "left", 0), at(eye, "right", 6), at(eye, "far", 90)])
    undecided, decided = domains.nearest_to(direction(eye, 3.1)), domains.nearest_to(direction(eye, 5))
    assert isinstance(undecided, Abstention)
    assert (undecided.reason, [shard_id for shard_id, _ in undecided.nearest]) == ("undecided", ["right", "left"])
    assert isinstance(decided, Found)
    assert decided.shard_id == "right"


def test_domains_come_from_the_store_without_looking_at_a_frame_again(store: Store, shards: dict[str, Shard], eye: Eye) -> None:
    for shard in shards.values():
        store.add_shard(shard)
    written = [one for one in describe_missing(store, eye, shards) if isinstance(one, Descriptor)]
    found = Domains.of(Store.open(store.url), eye)
    assert found.shard_ids == ("pond", "road")
    seen_D = written[1].seen_KD[3]
    np.testing.assert_array_equal(found.distances(seen_D), Domains(eye, written).distances(seen_D))
    assert Domains.of(store, eye, among=["road", "nobody"]).shard_ids == ("road",)


def test_what_another_network_saw_is_refused(descriptors: list[Descriptor], eye: Eye) -> None:
    with pytest.raises(BadInput, match="resnet18-0"):
        Domains(eye, [replace(descriptors[0], eye="resnet18-0")])


def test_a_shard_that_comes_twice_is_refused(descriptors: list[Descriptor], eye: Eye) -> None:
    with pytest.raises(BadInput, match="2 descriptors of 1 shards"):
        Domains(eye, [descriptors[0], descriptors[0]])


def test_what_is_no_picture_is_refused(descriptors: list[Descriptor], eye: Eye) -> None:
    with pytest.raises(WrongShape):
        Domains(eye, descriptors).nearest(np.zeros((8, 8), np.uint8))
