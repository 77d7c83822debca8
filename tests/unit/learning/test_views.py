"""Augmentation and resolution: a picture and its boxes must move together, to the pixel."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from training.errors import BadRecipe
from training.learning.augment import Chance, Scenes, crop_size, random_placements, reach
from training.learning.recipes import RECIPES, quality, recipe
from training.learning.resolution import input_scale
from training.models.geometry import Placement
from training.models.inputs import view, warp
from training.models.placements import Placements, inverse


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
    seen = view([image], np.array([[0, 0, 100, 60]]), Placements.of([place]))[0, 0].numpy() > 0.5
    rows, columns = np.nonzero(seen)
    found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    (x1, y1, x2, y2) = place.boxes_to_input(np.array([[10, 20, 30, 40]], np.float32))[0]
    np.testing.assert_allclose(found, (x1, y1, x2, y2), atol=1)
    corners = place.points_to_frame(np.array([[x1, y1], [x2, y2]], np.float32))
    np.testing.assert_allclose([*corners.min(axis=0), *corners.max(axis=0)], [10, 20, 30, 40], atol=1e-3)


def scenes(
    count: int, *, size: tuple[int, int] = (1280, 720), focus: Sequence[Sequence[float]] = (), turn: float = 0.0
) -> Scenes:
    """Views of one frame, at its own scale."""
    return Scenes(
        frame_V2=np.array([size] * count),
        scale_V=np.ones(count),
        turn_V=np.full(count, turn),
        bounded_V=np.ones(count, np.bool_),
        focus_X2=np.array(focus).reshape(-1, 2),
        first_focus_V=np.zeros(count, np.int64),
        num_focus_V=np.full(count, len(focus)),
    )


def test_crops_look_at_objects_most_of_the_time() -> None:
    chance = np.random.default_rng(0).random((200, len(Chance)))
    places = random_placements(chance, scenes(200, focus=[(900.5, 100.5)]), (256, 224), quality())
    at = places.points_to_input(np.full((200, 2), (900.5, 100.5)), np.arange(200))
    assert 130 <= int(((at >= 0) & (at < (256, 224))).all(axis=1).sum()) <= 190


def test_crops_of_a_large_frame_without_objects_lie_all_over_it_and_within_it() -> None:
    chance = np.random.default_rng(0).random((200, len(Chance)))
    places = random_placements(chance, scenes(200), (256, 224), replace(quality(), jitter=0.0))
    assert places.inside(7, 8).all()
    middle = inverse(places.matrices()) @ np.array([128, 112, 1])
    assert (np.ptp(middle, axis=0) > (800, 350)).all()


def test_a_small_frame_stays_whole_within_its_view_but_for_the_jitter() -> None:
    chance = np.random.default_rng(0).random((200, len(Chance)))
    recipe = replace(quality(), zoom=1.0, jitter=0.0)
    places = random_placements(chance, scenes(200, size=(90, 50), focus=[(5, 5)]), (96, 64), recipe)
    corners = places.boxes_to_input(np.array([[0, 0, 90, 50]] * 200), np.arange(200))
    assert (corners[:, :2] >= -1e-9).all()
    assert (corners[:, 2:] <= np.array([96, 64]) + 1e-9).all()


def placed(count: int) -> list[Placement]:
    random = np.random.default_rng(3)
    return [
        Placement(
            frame_width=int(random.integers(60, 200)),
            frame_height=int(random.integers(60, 200)),
            width=64,
            height=96,
            scale_x=float(random.uniform(0.5, 2)),
            scale_y=float(random.uniform(0.5, 2)),
            shift_x=float(random.uniform(-50, 10)),
            shift_y=float(random.uniform(-50, 10)),
            mirror=bool(random.integers(2)),
            turn=float(random.uniform(-180, 180)),
            bounded=False,
        )
        for _ in range(count)
    ]


def shows_the_frame(place: Placement, rows: int, columns: int) -> NDArray[np.bool_]:
    """Whether the centre of each cell of a grid over the input does, point by point."""
    y, x = np.mgrid[:rows, :columns] + 0.5
    centres = np.stack([x.ravel() * place.width / columns, y.ravel() * place.height / rows], axis=1)
    in_frame = place.points_to_frame(centres)
    return ((in_frame >= 0) & (in_frame < [place.frame_width, place.frame_height])).all(axis=1).reshape(rows, columns)


def test_many_placements_are_each_placement_alone() -> None:
    places, boxes = placed(8), np.random.default_rng(0).uniform(0, 50, (8, 4))
    boxes[:, 2:] += boxes[:, :2]
    together, every = Placements.of(places), np.arange(8)
    points = together.points_to_input(boxes[:, :2], every)
    for index, place in enumerate(places):
        np.testing.assert_allclose(points[index], place.points_to_input(boxes[index, :2])[0], rtol=1e-5)
        np.testing.assert_allclose(together.boxes_to_input(boxes, every)[index], place.boxes_to_input(boxes[index])[0], rtol=1e-5)
        np.testing.assert_array_equal(together.inside(6, 4)[index], shows_the_frame(place, 6, 4))
        np.testing.assert_allclose(
            inverse(together.matrices())[index, :, :2], np.linalg.inv(place.matrix())[:2, :2], rtol=1e-9, atol=1e-12
        )


@pytest.mark.parametrize("span", [None, 240])
def test_views_of_pictures_of_any_sizes_are_each_view_alone(span: int | None) -> None:
    places = [replace(place, scale_x=(zoom := 0.9 + index / 40), scale_y=zoom) for index, place in enumerate(placed(8))]
    random = np.random.default_rng(0)
    sizes = [(300, 400) if index % 2 else (place.frame_height, place.frame_width) for index, place in enumerate(places)]
    images = [torch.from_numpy(random.integers(0, 255, (3, *size), np.uint8)) for size in sizes]
    extents = np.array([(-5.0, -9.0, width - 5, height - 9) for height, width in sizes])
    together = view(images, extents, Placements.of(places), reach=span)
    for index, place in enumerate(places):
        alone = view(images[index : index + 1], extents[index : index + 1], Placements.of([place]), reach=span)
        assert torch.equal(together[index], alone[0])
        reference = warp(images[index], tuple(extents[index]), place)[0] / 255
        torch.testing.assert_close(together[index], reference, atol=2e-3, rtol=0)
    assert together.std() > 0.1


def test_no_view_reaches_further_than_is_looked_at() -> None:
    recipe, crop = quality(), (256, 224)
    chance = np.random.default_rng(0).random((300, len(Chance)))
    places = random_placements(chance, scenes(300, turn=180.0), crop, recipe)
    corners = np.array([[0, 0, 1], [crop[0], 0, 1], [0, crop[1], 1], [*crop, 1]]).T
    spans = np.ptp(inverse(places.matrices()) @ corners, axis=2)
    assert spans.max() + 3 <= reach(crop, recipe) <= 1.1 * spans.max()


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
