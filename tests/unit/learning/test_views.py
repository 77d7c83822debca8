"""Augmentation and resolution: a picture and its boxes must move together, to the pixel."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from training.errors import BadRecipe
from training.learning.augment import crop_size, random_placement
from training.learning.recipes import RECIPES, quality, recipe
from training.learning.resolution import input_scale
from training.models.geometry import Placement
from training.models.inputs import view


@pytest.mark.parametrize("turn", [0.0, 90.0, 180.0, 270.0])
@pytest.mark.parametrize("mirror", [False, True])
def test_a_box_lands_on_the_pixels_it_was_drawn_around(mirror: bool, turn: float) -> None:
    image = torch.zeros(3, 60, 100, dtype=torch.uint8)
    image[:, 20:40, 10:30] = 255
    place = Placement(
        frame_width=100,
        frame_height=60,
        width=192,
        height=160,
        scale_x=1.5,
        scale_y=1.5,
        shift_x=8,
        shift_y=36,
        mirror=mirror,
        turn=turn,
    )
    seen = view([image], [(0, 0, 100, 60)], [place])[0, 0].numpy() > 0.5
    rows, columns = np.nonzero(seen)
    found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    (x1, y1, x2, y2) = place.boxes_to_input(np.array([[10, 20, 30, 40]], np.float32))[0]
    np.testing.assert_allclose(found, (x1, y1, x2, y2), atol=1)
    corners = place.points_to_frame(np.array([[x1, y1], [x2, y2]], np.float32))
    np.testing.assert_allclose([*corners.min(axis=0), *corners.max(axis=0)], [10, 20, 30, 40], atol=1e-3)


def test_crops_look_at_objects_most_of_the_time() -> None:
    random = np.random.default_rng(0)
    focus = np.array([[900.0, 100.0]], np.float32)
    inside = 0
    for _ in range(200):
        place = random_placement(
            frame_size=(1280, 720),
            scale=1.0,
            crop=(256, 224),
            focus_N2=focus,
            recipe=quality(),
            turn=0.0,
            bounded=True,
            random=random,
        )
        x, y, _, _ = place.boxes_to_input(np.array([[900, 100, 901, 101]], np.float32))[0]
        inside += 0 <= x < 256 and 0 <= y < 224
    assert 130 <= inside <= 190


@pytest.mark.parametrize(("size", "expected"), [((288, 162), (288, 192)), ((1280, 720), (256, 256)), ((2000, 64), (928, 64))])
def test_a_crop_is_the_whole_input_or_a_piece_of_the_area_allowed(size: tuple[int, int], expected: tuple[int, int]) -> None:
    width, height = crop_size(*size, 65_000)
    assert (width, height) == expected or width * height <= 65_000
    assert width % 32 == height % 32 == 0
    assert crop_size(288, 162, 65_000) == (288, 192)


def test_small_objects_are_enlarged_and_large_ones_shrunk_within_the_bounds() -> None:
    policy = replace(quality(), object_pixels=40.0, min_long_side=288, max_long_side=1280)
    assert input_scale([20.0] * 4, width=640, height=480, recipe=policy) == 2.0
    assert input_scale([400.0], width=1280, height=720, recipe=policy) == 288 / 1280
    assert input_scale([5.0], width=1280, height=720, recipe=policy) == 1.0
    assert input_scale([], width=576, height=324, recipe=policy) == 0.5


def test_a_recipe_survives_its_json_and_an_unknown_one_is_refused_by_name() -> None:
    for name in RECIPES:
        assert type(recipe(name)).from_json(recipe(name).to_json()) == recipe(name)
    with pytest.raises(BadRecipe, match="'best', needed one of quality"):
        recipe("best")
    with pytest.raises(BadRecipe, match="warmth"):
        type(quality()).from_json({"name": "mine", "warmth": 3})
