"""Where a crop's pixels come from, and where what is said of it goes."""

from typing import Any

import numpy as np
import pytest

from training.data import rle
from training.data.annotations import Annotation
from training.data.frames import Frame
from training.lines.crop import Crop, cut

WIDTH, HEIGHT = 120, 80
SIZES = [(64, 64), (96, 40), (20, 50), None]
BOXES = [(30, 20, 60, 50), (0, 0, 20, 70), (100, 60, 120, 80), (50.3, 10.7, 54.1, 40.2), (10, 30, 110, 35)]


def noise(width: int = WIDTH, height: int = HEIGHT) -> Frame:
    image_HW3 = np.random.default_rng(0).integers(1, 256, (height, width, 3), np.uint8)
    return Frame(shard_id="yard", frame_index=0, image_HW3=image_HW3)


def crop_of(*args: Any, **values: Any) -> Crop:
    made = cut(*args, **values)
    assert made is not None
    return made


def test_a_box_as_large_as_the_crop_is_cut_out_as_it_is() -> None:
    frame = noise()
    for size_wh in ((30, 20), None):
        crop = crop_of(frame, (10, 40, 40, 60), size_wh=size_wh)
        np.testing.assert_array_equal(crop.frame.image_HW3, frame.image_HW3[40:60, 10:40])


@pytest.mark.parametrize("size_wh", SIZES)
@pytest.mark.parametrize("box", BOXES)
def test_what_is_drawn_on_the_picture_is_found_in_the_crop_where_its_place_says(
    box: tuple[float, ...], size_wh: tuple[int, int] | None
) -> None:
    x1, y1, x2, y2 = box
    image_HW3 = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    left, top = round(x1 + 0.25 * (x2 - x1)), round(y1 + 0.25 * (y2 - y1))
    right, bottom = max(left + 1, round(x1 + 0.75 * (x2 - x1))), max(top + 1, round(y1 + 0.75 * (y2 - y1)))
    image_HW3[top:bottom, left:right] = 255
    crop = crop_of(Frame(shard_id="yard", frame_index=0, image_HW3=image_HW3), box, padding=0.3, size_wh=size_wh)
    if size_wh is not None:
        assert (crop.frame.width, crop.frame.height) == size_wh
    bright = crop.frame.image_HW3[..., 0]
    rows, columns = np.nonzero(bright > bright.max() / 2)
    seen = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    wanted = crop.place.boxes_to_input(np.array([[left, top, right, bottom]]))[0]
    np.testing.assert_allclose(seen, wanted, atol=1.0)
    back = crop.back(Annotation(class_name="x", bbox_xyxy=tuple(float(value) for value in wanted)))
    assert back is not None
    assert back.bbox_xyxy == pytest.approx((left, top, right, bottom), abs=1e-3)


def test_a_crop_of_another_shape_shows_what_lies_around_the_box_undistorted_and_black_beyond_the_picture() -> None:
    frame = noise()
    crop = crop_of(frame, (0, 0, 40, 20), size_wh=(64, 64))
    assert crop.place.scale_x == pytest.approx(64 / 40)
    assert crop.place.scale_y == pytest.approx(64 / 40)
    assert (crop.frame.image_HW3[:16] == 0).all(), "10 rows above the picture"
    assert (crop.frame.image_HW3[16:] > 0).any(axis=2).all(), "what lies below the box is there"


@pytest.mark.parametrize("size_wh", SIZES)
def test_a_box_without_any_pixel_of_the_picture_has_no_crop_and_the_smallest_has_one(size_wh: tuple[int, int] | None) -> None:
    frame = noise()
    for box in ((130, 10, 140, 20), (-20, 0, 0, 10), (0, 80, 10, 90)):
        assert cut(frame, box, size_wh=size_wh) is None
    for tiny in ((5, 5, 5.001, 5.001), (119.9, 79.9, 121, 81), (3, 3, 3.01, 79)):
        assert crop_of(frame, tiny, size_wh=size_wh).frame.image_HW3.any()


def test_a_narrow_box_in_a_wide_crop_takes_no_more_memory_than_the_picture_and_the_crop() -> None:
    crop = crop_of(noise(30, 3000), (10, 0, 11, 3000), size_wh=(4000, 2))
    assert crop.frame.image_HW3.shape == (2, 4000, 3)


def test_what_is_centred_outside_of_the_padded_box_is_left_out_and_what_sticks_out_of_the_picture_is_cut() -> None:
    crop = crop_of(noise(), (0, 20, 20, 60), size_wh=(64, 64), padding=0.1)
    assert crop.asked == (0, 16, 22, 64)

    def back(*box: float) -> Annotation | None:
        in_crop = crop.place.boxes_to_input(np.array([box]))[0]
        return crop.back(Annotation(class_name="x", bbox_xyxy=tuple(float(value) for value in in_crop)))

    assert back(30, 30, 40, 40) is None, "beside the box, where the square crop shows what lies there"
    assert back(16, 30, 30, 40) is None
    found = back(-4, 30, 10, 40)
    assert found is not None
    assert found.bbox_xyxy == pytest.approx((0, 30, 10, 40), abs=1e-3)


@pytest.mark.parametrize("size_wh", [(64, 64), (128, 32), None])
def test_a_mask_comes_back_as_a_mask_of_the_whole_picture_cut_at_the_padded_box(size_wh: tuple[int, int] | None) -> None:
    frame, asked = noise(), (20, 10, 80, 70)
    crop = crop_of(frame, asked, size_wh=size_wh)
    y, x = np.mgrid[: crop.frame.height, : crop.frame.width] + 0.5
    in_frame = crop.place.points_to_frame(np.stack([x.ravel(), y.ravel()], axis=1)).reshape(*x.shape, 2)
    disc = np.hypot(in_frame[..., 0] - 70, in_frame[..., 1] - 40) < 20
    said = Annotation(class_name="x", bbox_xyxy=(0, 0, 1, 1), rle_counts=rle.encode(disc))
    back = crop.back(said)
    assert back is not None
    assert back.rle_counts is not None
    got = rle.decode(back.rle_counts, HEIGHT, WIDTH)
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    wanted = (np.hypot(x - 70, y - 40) < 20) & (x < 80)
    assert (got & wanted).sum() / (got | wanted).sum() > 0.95
    assert not got[:, 80:].any()
    assert back.bbox_xyxy == rle.mask_box(back.rle_counts, HEIGHT, WIDTH)


def test_a_mask_of_which_nothing_lies_in_the_box_is_left_out() -> None:
    crop = crop_of(noise(), (50, 30, 60, 34), size_wh=(64, 64))
    mask = np.zeros((64, 64), bool)
    mask[:10] = True
    assert crop.back(Annotation(class_name="x", bbox_xyxy=(0, 0, 64, 10), rle_counts=rle.encode(mask))) is None


def test_keypoints_come_back_and_keep_their_visibility() -> None:
    crop = crop_of(noise(), (20, 10, 80, 70), size_wh=(90, 90))
    placed = crop.place.points_to_input(np.array([[30, 20], [70, 60]]))
    points = (float(placed[0, 0]), float(placed[0, 1]), 2.0, float(placed[1, 0]), float(placed[1, 1]), 1.0)
    box = tuple(float(value) for value in crop.place.boxes_to_input(np.array([[25, 15, 75, 65]]))[0])
    back = crop.back(Annotation(class_name="x", bbox_xyxy=box, keypoints_xyv=points))
    assert back is not None
    assert back.keypoints_xyv == pytest.approx((30, 20, 2, 70, 60, 1), abs=1e-3)


def test_a_crop_at_the_edge_of_a_tile_shows_the_tiles_surroundings() -> None:
    around = noise(100, 100)
    tile = Frame(
        shard_id="town",
        frame_index=3,
        image_HW3=around.image_HW3[20:60, 30:70],
        around_HW3=around.image_HW3,
        origin_xy=(30, 20),
    )
    crop = crop_of(tile, (-10, 0, 10, 20))
    np.testing.assert_array_equal(crop.frame.image_HW3, around.image_HW3[20:40, 20:40])
    back = crop.back(Annotation(class_name="x", bbox_xyxy=(2, 2, 12, 12)))
    assert back is not None
    assert back.bbox_xyxy == pytest.approx((-8, 2, 2, 12), abs=1e-4)
