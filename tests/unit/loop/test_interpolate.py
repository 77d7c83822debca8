import numpy as np
import pytest
from numpy.typing import NDArray

from training.data import rle
from training.data.annotations import Annotation, FrameLabels
from training.errors import BadInput
from training.loop.interpolate import interpolate


def at(index: int, *annotations: Annotation) -> FrameLabels:
    return FrameLabels(shard_id="s", frame_index=index, annotations=annotations)


def box(x: float, name: str = "car", track: str | None = None) -> Annotation:
    return Annotation(class_name=name, bbox_xyxy=(x, 0.0, x + 10, 10.0), track_id=track)


def lefts(frame: FrameLabels) -> list[float]:
    return sorted(annotation.bbox_xyxy[0] for annotation in frame.annotations if annotation.bbox_xyxy)


def test_between_keyframes_an_object_moves_in_a_straight_line() -> None:
    (frame,) = interpolate([at(0, box(0)), at(10, box(20))], [4])
    assert lefts(frame) == [8.0]
    assert frame.annotations[0].provenance == "interpolation"


def test_outside_the_keyframes_nothing_moves() -> None:
    before, after = interpolate([at(5, box(1)), at(10, box(7))], [0, 30])
    assert (lefts(before), lefts(after)) == ([1.0], [7.0])


def test_tracks_are_followed_where_they_cross() -> None:
    first, last = at(0, box(0, track="a"), box(20, track="b")), at(10, box(20, track="a"), box(0, track="b"))
    (frame,) = interpolate([first, last], [5])
    assert lefts(frame) == [10.0, 10.0]


def test_without_tracks_the_nearest_of_the_same_class_are_paired() -> None:
    (frame,) = interpolate([at(0, box(0), box(20), box(0, "bus")), at(10, box(22), box(2), box(4, "bus"))], [5])
    assert lefts(frame) == [1.0, 2.0, 21.0]


def test_an_object_in_only_one_keyframe_stands_still_until_halfway() -> None:
    early, late = interpolate([at(0, box(0)), at(10)], [4, 6])
    assert (lefts(early), lefts(late)) == ([0.0], [])
    early, late = interpolate([at(0), at(10, box(0))], [4, 6])
    assert (lefts(early), lefts(late)) == ([], [0.0])


def test_what_is_far_away_is_another_object() -> None:
    (frame,) = interpolate([at(0, box(0)), at(10, box(500))], [2])
    assert lefts(frame) == [0.0]


def test_keyframes_come_back_as_they_are() -> None:
    keys = [at(0, box(0)), at(10, box(20))]
    assert [lefts(frame) for frame in interpolate(keys, [0, 10])] == [[0.0], [20.0]]


def test_keyframes_keep_who_made_them_and_what_lies_between_does_not() -> None:
    key, between = interpolate([at(0, box(0)), at(10, box(20))], [0, 5])
    assert [a.provenance for a in key.annotations] == ["human"]
    assert [a.provenance for a in between.annotations] == ["interpolation"]


def test_frames_come_back_in_the_order_asked_for() -> None:
    asked = [7, 0, 30, 7]
    assert [frame.frame_index for frame in interpolate([at(0, box(0)), at(10, box(20))], asked)] == asked


def test_a_track_that_one_keyframe_lacks_is_gone_around_it() -> None:
    keys = [at(0, box(0, track="a")), at(10), at(20, box(40, track="a"))]
    assert [lefts(frame) for frame in interpolate(keys, [4, 5, 10, 14, 15])] == [[0.0], [], [], [], [40.0]]


def pose(*points: float) -> Annotation:
    return Annotation(class_name="mouse", bbox_xyxy=(0.0, 0.0, 10.0, 10.0), keypoints_xyv=points)


def test_each_point_moves_in_a_straight_line_as_visible_as_in_the_nearer_keyframe() -> None:
    keys = [at(0, pose(0, 0, 2, 5, 5, 1)), at(10, pose(10, 20, 1, 5, 5, 2))]
    early, late = interpolate(keys, [2, 8])
    assert early.annotations[0].keypoints_xyv == pytest.approx((2, 4, 2, 5, 5, 1))
    assert late.annotations[0].keypoints_xyv == pytest.approx((8, 16, 1, 5, 5, 2))


def test_a_point_that_only_one_keyframe_has_stays_there() -> None:
    keys = [at(0, pose(0, 0, 0, 6, 6, 1)), at(10, pose(9, 9, 2, 0, 0, 0))]
    for frame in interpolate(keys, [2, 8]):
        assert frame.annotations[0].keypoints_xyv == (9, 9, 2, 6, 6, 1)


def test_a_class_of_the_frame_holds_until_the_next_keyframe() -> None:
    keys = [at(index, Annotation(class_name=name, level="image")) for index, name in ((2, "day"), (10, "night"))]
    names = [frame.annotations[0].class_name for frame in interpolate(keys, [0, 2, 9, 10, 12])]
    assert names == ["day", "day", "day", "night", "night"]


HW = (40, 60)


def square(x: int, y: int, width: int, height: int, name: str = "dog") -> Annotation:
    mask_HW = np.zeros(HW, dtype=np.bool_)
    mask_HW[y : y + height, x : x + width] = True
    return masked(mask_HW, name)


def masked(mask_HW: NDArray[np.bool_], name: str) -> Annotation:
    counts = rle.encode(mask_HW)
    return Annotation(class_name=name, bbox_xyxy=rle.mask_box(counts, *HW), rle_counts=counts)


def pixels(frame: FrameLabels, position: int = 0) -> NDArray[np.bool_]:
    counts = frame.annotations[position].rle_counts
    assert counts is not None
    return rle.decode(counts, *HW)


def test_a_mask_moves_with_its_box_and_keeps_its_shape() -> None:
    (frame,) = interpolate([at(0, square(2, 3, 8, 6)), at(10, square(18, 13, 8, 6))], [5], HW)
    wanted = square(10, 8, 8, 6)
    assert np.array_equal(pixels(frame), rle.decode(str(wanted.rle_counts), *HW))
    assert frame.annotations[0].bbox_xyxy == wanted.bbox_xyxy


def test_a_mask_grows_with_its_box() -> None:
    (frame,) = interpolate([at(0, square(10, 10, 8, 8)), at(10, square(6, 6, 16, 16))], [5], HW)
    assert frame.annotations[0].bbox_xyxy == (8, 8, 20, 20)
    assert pixels(frame).sum() == 12 * 12


def test_the_outline_of_what_does_not_move_goes_half_the_way() -> None:
    """A road 20 pixels high that becomes 10 high, over the whole width and down to the edge of the frame."""
    (frame,) = interpolate([at(0, square(0, 20, 60, 20, "road")), at(10, square(0, 30, 60, 10, "road"))], [5], HW)
    assert frame.annotations[0].bbox_xyxy == (0, 25, 60, 40)
    assert pixels(frame).sum() == 60 * 15


def test_parts_that_stay_are_not_stretched_when_another_part_leaves() -> None:
    """Two poles, one of which is gone in the second keyframe: laid box to box, the other one would fill half the frame."""
    both = rle.decode(str(square(5, 5, 4, 20).rle_counts), *HW) | rle.decode(str(square(50, 5, 4, 20).rle_counts), *HW)
    (frame,) = interpolate([at(0, masked(both, "pole")), at(10, square(5, 5, 4, 20, "pole"))], [4], HW)
    assert pixels(frame)[5:25, 5:9].all()
    assert not pixels(frame)[:, 10:48].any()


def test_masks_of_each_class_go_their_own_way() -> None:
    keys = [at(0, square(0, 0, 10, 10, "a"), square(30, 0, 10, 10, "b")), at(10, square(40, 0, 10, 10, "b"))]
    early, late = interpolate(keys, [2, 8], HW)
    assert sorted((a.class_name, a.bbox_xyxy) for a in early.annotations) == [("a", (0, 0, 10, 10)), ("b", (32, 0, 42, 10))]
    assert [(a.class_name, a.bbox_xyxy) for a in late.annotations] == [("b", (38, 0, 48, 10))]


def test_masks_that_share_nothing_leave_the_nearer_one_rather_than_none() -> None:
    """A frame's corner dots: neither their distances nor their boxes lead from one to the other."""
    first, last = np.zeros(HW, np.bool_), np.zeros(HW, np.bool_)
    first[[0, 39], [0, 59]] = True
    last[[0, 39], [59, 0]] = True
    early, late = interpolate([at(0, masked(first, "dots")), at(10, masked(last, "dots"))], [5, 6], HW)
    assert np.array_equal(pixels(early), first)
    assert np.array_equal(pixels(late), last)


def test_masks_need_the_size_of_a_frame() -> None:
    with pytest.raises(BadInput, match="dog: masks to interpolate, needed the height and width"):
        interpolate([at(0, square(0, 0, 9, 9)), at(10, square(3, 3, 9, 9))], [5])
