from training.data.annotations import Annotation, FrameLabels
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
