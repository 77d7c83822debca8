"""A domain reaches as far as its own frames need it, and no further than other shards let it."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from training.domain.reach import MAX_WITNESSES, own_reach, reaches
from training.store.descriptors import Descriptor

OnACircle = Callable[..., Descriptor]


def chord(degrees: float) -> float:
    return float(2 * np.sin(np.radians(degrees) / 2))


def test_nine_of_ten_frames_are_inside_and_one_unlike_all_others_is_not() -> None:
    own_VK = np.array([[*np.linspace(0.01, 0.24, 24), 0.9]], np.float32)
    assert own_reach(own_VK) == pytest.approx(0.24)  # the 24th of 25, as 0.9 * 26 rounds up to


def test_the_view_that_needs_most_counts() -> None:
    own_VK = np.stack([np.full(25, 0.1), np.full(25, 0.3), np.full(25, 0.2)]).astype(np.float32)
    assert own_reach(own_VK) == pytest.approx(0.3)


def test_of_few_frames_the_farthest_counts() -> None:
    assert own_reach(np.array([[0.1, 0.5]], np.float32)) == pytest.approx(0.5)


def test_a_domain_is_never_so_small_that_nothing_is_inside() -> None:
    assert own_reach(np.zeros((3, 25), np.float32)) > 0


def test_alone_a_domain_reaches_as_far_as_its_own_frames(on_a_circle: OnACircle) -> None:
    assert reaches([on_a_circle("one", 0, 2, own=0.4)]) == pytest.approx([0.4])
    assert len(reaches([])) == 0


def test_frames_of_other_shards_end_a_domain_that_would_take_them_in(on_a_circle: OnACircle) -> None:
    """`wide` would reach to 0.9, about 53 degrees; `other`, whose own domain is small, is 20 degrees away."""
    wide, other = on_a_circle("wide", 0, own=0.9), on_a_circle("other", 20, 21, own=0.05)
    assert reaches([wide, other]) == pytest.approx([chord(20), 0.05], rel=1e-3)


def test_no_domain_reaches_farther_than_shards_of_this_store_are_apart(on_a_circle: OnACircle) -> None:
    """`wide` has nobody near, but it is known how near a shard may come to one that it has nothing to do with."""
    pair = [on_a_circle("left", 90, own=0.05), on_a_circle("right", 100, own=0.05)]
    assert reaches([on_a_circle("wide", 0, own=0.9), *pair]) == pytest.approx([chord(10), 0.05, 0.05], rel=1e-3)


def test_shards_that_show_the_same_do_not_end_each_other(on_a_circle: OnACircle) -> None:
    monday, tuesday = (on_a_circle(name, *degrees, own=0.3) for name, degrees in {"mo": (0, 4), "tu": (1, 5)}.items())
    assert reaches([monday, tuesday, on_a_circle("far", 180)]) == pytest.approx([0.3, 0.3, 0.1])


def test_a_domain_that_would_hold_everything_does_not_look_like_everything(on_a_circle: OnACircle) -> None:
    """One side alone does not make two shards show the same."""
    everything, small = on_a_circle("everything", 0, own=2.0), on_a_circle("small", 30, own=0.01)
    assert reaches([everything, small])[0] == pytest.approx(chord(30), rel=1e-3)


def test_black_frames_in_every_shard_end_none_of_them(on_a_circle: OnACircle) -> None:
    """Each is as near to those of other shards as to the other one of its own."""
    shards = []
    for number, degrees in enumerate((0, 60, 120)):
        usual = [degrees + tenth / 10 for tenth in range(12)]
        shard = on_a_circle(f"shard-{number}", *usual, 300, 300, own=0.1)
        shard.own_VK[:, -2:] = 0
        shards.append(shard)
    assert reaches(shards) == pytest.approx([0.1, 0.1, 0.1])


def test_more_shards_than_can_be_asked_are_still_all_given_a_reach(
    on_a_circle: OnACircle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.domain.reach.MAX_WITNESSES", 4)
    shards = [on_a_circle(f"shard-{number}", 40 * number, own=0.3) for number in range(9)]
    twin = replace(shards[0], shard_id="twin")
    assert reaches([*shards, twin]) == pytest.approx([0.3] * 10)
    assert MAX_WITNESSES > 4
