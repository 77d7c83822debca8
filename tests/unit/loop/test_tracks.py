from training.data.annotations import Annotation, FrameLabels
from training.loop.tracks import link


def box(x: float, name: str = "car", track: str | None = None) -> Annotation:
    return Annotation(class_name=name, bbox_xyxy=(x, 0.0, x + 10, 10.0), track_id=track)


def frames(*rows: tuple[Annotation, ...]) -> list[FrameLabels]:
    return [FrameLabels(shard_id="s", frame_index=index, annotations=row) for index, row in enumerate(rows)]


def lefts(rows: list[FrameLabels], keyframes: set[int]) -> list[dict[int, float]]:
    found = [{index: a.bbox_xyxy[0] for index, a in track.seen.items() if a.bbox_xyxy} for track in link(rows, keyframes)]
    return sorted(found, key=lambda track: (min(track), track[min(track)]))


def test_objects_are_followed_past_each_other() -> None:
    rows = frames(*((box(4.0 * i), box(40 - 4.0 * i)) for i in range(11)))
    assert lefts(rows, {0}) == [{i: 4.0 * i for i in range(11)}, {i: 40 - 4.0 * i for i in range(11)}]


def test_a_missed_frame_does_not_break_a_track() -> None:
    rows = frames((box(0),), (box(3),), (), (), (box(12),))
    assert lefts(rows, {0}) == [{0: 0, 1: 3, 4: 12}]


def test_classes_never_share_a_track() -> None:
    assert len(link(frames((box(0),), (box(0, "bus"),)), set())) == 2


def test_ids_of_people_decide() -> None:
    rows = frames((box(0, track="a"), box(8, track="b")), (box(8, track="a"), box(0, track="b")))
    assert [track.track_id for track in link(rows, {0, 1})] == ["a", "b"]
    assert lefts(rows, {0, 1}) == [{0: 0, 1: 8}, {0: 8, 1: 0}]


def test_a_keyframe_without_the_object_ends_its_track() -> None:
    assert lefts(frames((box(0),), (), (box(0),)), {1}) == [{0: 0}, {2: 0}]


def test_keyframes_are_paired_as_interpolation_pairs_them_where_the_model_lost_the_object() -> None:
    rows = frames((box(0),), (), (), (box(25),))
    assert lefts(rows, {0, 3}) == [{0: 0, 3: 25}]
    assert lefts(rows, {0}) == [{0: 0}, {3: 25}]


def test_every_box_is_in_one_track() -> None:
    rows = frames((box(0), box(1), box(300)), (box(0), box(150)), (box(0), box(2), box(301), box(4, "bus")))
    tracks = link(rows, {0})
    found = [annotation for track in tracks for annotation in track.seen.values()]
    assert sorted(map(id, found)) == sorted(id(annotation) for row in rows for annotation in row.annotations)


def test_a_wrong_box_does_not_break_a_track() -> None:
    rows = frames((box(0),), (box(1),), (box(7),), (box(3),), (box(4),))
    assert lefts(rows, {0}) == [{0: 0, 1: 1, 2: 7, 3: 3, 4: 4}]
