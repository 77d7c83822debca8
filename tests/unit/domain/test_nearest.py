"""A picture is in the nearest domain, or in none, and then there is a reason."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from training.data.frames import Frame
from training.data.pictures import decode_picture, encode_jpeg
from training.data.shards import Shard
from training.data.sources import open_frames
from training.domain.describe import describe
from training.domain.nearest import Abstention, Domains, Found, Near
from training.errors import BadInput
from training.store.descriptors import Descriptor

OnACircle = Callable[..., Descriptor]


@pytest.fixture(scope="module")
def descriptors(shards: dict[str, Shard], quick_eye: Any) -> list[Descriptor]:
    return [describe(shard, quick_eye) for shard in shards.values()]


def others(shard: Shard, descriptor: Descriptor) -> list[NDArray[np.uint8]]:
    """Frames that were not looked at."""
    left = sorted(set(range(shard.num_frames)) - set(descriptor.frames_K.tolist()))
    with open_frames(shard) as source:
        return [frame.image_HW3 for frame in source.read(left)]


def seen(eye: Any, picture_HW3: NDArray[np.uint8]) -> NDArray[np.float32]:
    return eye.glance(Frame(shard_id="picture", frame_index=0, image_HW3=picture_HW3))


def point(degrees: float) -> NDArray[np.float32]:
    return np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], np.float32)


def chord(degrees: float) -> float:
    return float(2 * np.sin(np.radians(degrees) / 2))


def test_frames_that_nobody_looked_at_are_in_their_own_shard_also_smaller_and_as_jpeg(
    shards: dict[str, Shard], descriptors: list[Descriptor], quick_eye: Any
) -> None:
    domains = Domains(quick_eye.identity, descriptors)
    for one in descriptors:
        for picture_HW3 in others(shards[one.shard_id], one):
            worse_HW3 = decode_picture(encode_jpeg(picture_HW3[::2, ::2], quality=60), name="worse")
            for asked_HW3 in (picture_HW3, worse_HW3):
                answer = domains.nearest_to(seen(quick_eye, asked_HW3))
                assert isinstance(answer, Found)
                assert answer.shard_id == one.shard_id
                assert answer.distance <= 1


def test_frames_of_a_shard_that_is_not_described_are_in_none(
    shards: dict[str, Shard], descriptors: list[Descriptor], quick_eye: Any
) -> None:
    pond, road = descriptors
    for known, unknown in ((pond, road), (road, pond)):
        domains = Domains(quick_eye.identity, [known])
        answers = [domains.nearest_to(seen(quick_eye, picture)) for picture in others(shards[unknown.shard_id], unknown)]
        assert {one.reason for one in answers if isinstance(one, Abstention)} == {"outside"}
        assert all(isinstance(one, Abstention) for one in answers)


def test_without_domains_the_answer_says_so(on_a_circle: OnACircle) -> None:
    assert Domains("circle", []).nearest_to(point(0)) == Abstention(reason="no-domains")
    assert Domains("circle", [on_a_circle("one", 0)]).nearest_to(point(0), ["nobody"]) == Abstention(reason="no-domains")


def test_the_distance_is_in_units_of_the_domains_own_reach(on_a_circle: OnACircle) -> None:
    domains = Domains("circle", [on_a_circle("narrow", 40, own=0.1), on_a_circle("wide", 0, own=0.4)])
    answer = domains.nearest_to(point(12))
    assert isinstance(answer, Found)
    assert answer.shard_id == "wide"
    assert answer.distance == pytest.approx(chord(12) / 0.4, rel=1e-3)
    assert answer.next == Near(shard_id="narrow", distance=pytest.approx(chord(28) / 0.1, rel=1e-3))
    assert answer.margin == pytest.approx(chord(28) / 0.1 - chord(12) / 0.4, rel=1e-3)


def test_outside_of_all_domains_the_two_nearest_are_named(on_a_circle: OnACircle) -> None:
    domains = Domains("circle", [on_a_circle("left", 0), on_a_circle("far", 180), on_a_circle("right", 90)])
    answer = domains.nearest_to(point(40))
    assert isinstance(answer, Abstention)
    assert answer.reason == "outside"
    assert [near.shard_id for near in answer.nearest] == ["left", "right"]
    assert answer.nearest[0].distance == pytest.approx(chord(40) / 0.1, rel=1e-3)


def test_in_two_domains_the_nearest_frames_have_to_agree(on_a_circle: OnACircle) -> None:
    """Both reach 30 degrees; the rows of `left` are at 0 and 1, those of `right` at 10 and 11, each twice."""
    both = [on_a_circle("left", 0, 1, own=chord(30)), on_a_circle("right", 10, 11, own=chord(30))]
    domains = Domains("circle", both)
    answer, decided = domains.nearest_to(point(5.6)), domains.nearest_to(point(9))
    assert isinstance(answer, Abstention)
    assert (answer.reason, [near.shard_id for near in answer.nearest]) == ("undecided", ["right", "left"])
    assert isinstance(decided, Found)
    assert (decided.shard_id, decided.next.shard_id if decided.next else None) == ("right", "left")


def test_the_same_video_twice_is_decided_by_nobody_unless_one_is_asked_for(on_a_circle: OnACircle) -> None:
    domains = Domains("circle", [on_a_circle("boxes", 0, 2, 4), on_a_circle("masks", 0, 2, 4), on_a_circle("far", 90)])
    answer = domains.nearest_to(point(2.1))
    assert isinstance(answer, Abstention)
    assert answer.reason == "undecided"
    chosen = domains.nearest_to(point(2.1), {"masks", "far"})
    assert isinstance(chosen, Found)
    assert (chosen.shard_id, chosen.next.shard_id if chosen.next else None) == ("masks", "far")


def test_what_another_network_saw_is_refused(on_a_circle: OnACircle) -> None:
    with pytest.raises(BadInput, match="resnet18-0"):
        Domains("circle", [replace(on_a_circle("one", 0), eye="resnet18-0")])


def test_a_shard_that_comes_twice_is_refused(on_a_circle: OnACircle) -> None:
    with pytest.raises(BadInput, match="2 descriptors of 1 shards"):
        Domains("circle", [on_a_circle("one", 0), on_a_circle("one", 1)])
