"""Two networks of one identity see the same, whatever process they are in."""

import numpy as np
import torch

from training.data.frames import Frame
from training.models.backbones import Backbone
from training.models.eye import Eye

SCRATCH = Backbone(weights="none")


def frame(height: int = 48, width: int = 80) -> Frame:
    random = np.random.default_rng(0)
    return Frame(shard_id="noise", frame_index=0, image_HW3=random.integers(0, 256, (height, width, 3), np.uint8))


def test_a_network_without_weights_sees_the_same_each_time_and_disturbs_no_random_numbers() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    first, second = Eye(SCRATCH), Eye(SCRATCH)
    assert torch.equal(torch.rand(3), expected)
    assert first.identity == second.identity
    np.testing.assert_array_equal(first.glance(frame()), second.glance(frame()))


def test_other_networks_have_other_identities() -> None:
    assert Eye(SCRATCH).identity != Eye(Backbone(name="resnet18", weights="none")).identity


def test_a_glance_has_length_one() -> None:
    eye = Eye(SCRATCH)
    seen_D = eye.glance(frame())
    assert seen_D.shape == (eye.num_features,)
    assert abs(np.linalg.norm(seen_D) - 1) < 1e-5


def test_a_map_covers_the_frame_and_not_its_padding() -> None:
    assert Eye(SCRATCH).feature_map(frame(height=96, width=256)).shape[1:] == (6, 16)
    assert Eye(SCRATCH).feature_map(frame(height=96, width=128), long_side=256).shape[1:] == (6, 8)
