"""The synthetic world draws the same thing twice, and its ground truth is exact."""

import json
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from training.data.world import draw_scene, draw_video, draw_world
from training.data.world.canvas import Canvas, Pose, Thing
from training.data.world.looks import OUTLINES, PATTERNS, Look
from training.data.world.scene import METRES_PER_PIXEL, SCENE_CRS, draw_town
from training.data.world.video import CAMERAS, draw_frames

BOAT = Look(class_name="boat", outline="hull", pattern="stripes", colours=((200, 60, 40), (240, 240, 230)), aspect=0.5)


def _thing(number: int, x: float, y: float, *, look: Look = BOAT, length: float = 40, angle: float = 0.4) -> Thing:
    return Thing(number=number, look=look, pose=Pose(x=x, y=y, length=length, angle=angle))


def _canvas() -> Canvas:
    return Canvas(np.full((96, 128, 3), 90.0))


def _boxes(document: dict) -> dict[int, list[tuple[str, list[float]]]]:
    names = {category["id"]: category["name"] for category in document["categories"]}
    found: dict[int, list[tuple[str, list[float]]]] = {image["id"]: [] for image in document["images"]}
    for item in document["annotations"]:
        found[item["image_id"]].append((names[item["category_id"]], item["bbox"]))
    return found


def test_the_same_seed_draws_the_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first = draw_video(tmp_path / "a" / "v.mp4", seed=3, num_frames=6)
    again = draw_video(tmp_path / "b" / "v.mp4", seed=3, num_frames=6)
    other = draw_video(tmp_path / "b" / "w.mp4", seed=4, num_frames=6)
    assert first == again
    assert (tmp_path / "a" / "v.mp4").read_bytes() == (tmp_path / "b" / "v.mp4").read_bytes()
    assert (tmp_path / "b" / "w.mp4").read_bytes() != (tmp_path / "b" / "v.mp4").read_bytes()
    assert other["annotations"] != first["annotations"]


def test_the_video_has_the_frames_that_its_labels_speak_of(tmp_path: Path) -> None:
    document = draw_video(tmp_path / "v.mp4", seed=0, num_frames=8, width=160, height=96, camera="meadow")
    with av.open(str(tmp_path / "v.mp4")) as container:
        sizes = [(frame.width, frame.height) for frame in container.decode(video=0)]
    assert sizes == [(160, 96)] * 8
    assert [image["frame_index"] for image in document["images"]] == list(range(8))
    assert json.loads((tmp_path / "v.coco.json").read_text()) == document


def test_a_decoded_picture_is_the_picture_that_was_labelled(tmp_path: Path) -> None:
    draw_video(tmp_path / "v.mp4", seed=1, num_frames=5)
    drawn = [picture for picture, _ in draw_frames(seed=1, num_frames=5, width=320, height=192, camera=CAMERAS["pond"])]
    with av.open(str(tmp_path / "v.mp4")) as container:
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    for before, after in zip(drawn, decoded, strict=True):
        assert np.abs(before.astype(float) - after).mean() < 6


@pytest.mark.parametrize("camera", sorted(CAMERAS))
def test_every_box_is_tight_around_what_is_seen_of_its_thing(camera: str) -> None:
    num_boxes = 0
    for _, canvas in draw_frames(seed=2, num_frames=12, width=320, height=192, camera=CAMERAS[camera]):
        for thing, (x1, y1, x2, y2), area in canvas.labels():
            mask = canvas.mask(thing.number)
            assert mask[y1:y2, x1:x2].sum() == mask.sum() == area
            assert mask[y1].any()
            assert mask[y2 - 1].any()
            assert mask[:, x1].any()
            assert mask[:, x2 - 1].any()
            num_boxes += 1
    assert num_boxes > 12


def test_what_is_painted_is_where_the_mask_says() -> None:
    canvas = _canvas()
    canvas.paint(_thing(0, 60, 40))
    changed = np.abs(canvas.picture_HW3 - 90).max(axis=-1) > 40
    mask = canvas.mask(0)
    assert (changed & mask).sum() / (changed | mask).sum() > 0.9


def test_look_alikes_are_painted_and_not_labelled() -> None:
    for name, camera in CAMERAS.items():
        labelled = [look for look, _ in camera.looks if look.class_name]
        alikes = [look for look, _ in camera.looks if look.class_name is None]
        assert alikes, name
        assert {look.outline for look in alikes} <= {look.outline for look in labelled}
        _, canvas = next(draw_frames(seed=0, num_frames=1, width=320, height=192, camera=camera))
        unnamed = [thing for thing, _ in canvas.things if thing.look.class_name is None]
        assert sum(canvas.mask(thing.number).sum() for thing in unnamed) > 100
        assert not {thing.number for thing in unnamed} & {thing.number for thing, _, _ in canvas.labels()}


@pytest.mark.parametrize(("x", "labelled"), [(60.0, True), (0.0, True), (-14.0, False), (-60.0, False)])
def test_a_thing_is_labelled_only_while_a_third_of_it_is_in_the_picture(x: float, labelled: bool) -> None:
    canvas = _canvas()
    canvas.paint(_thing(0, x, 48, angle=0.0))
    assert bool(canvas.labels()) is labelled


def test_a_box_is_cut_where_another_thing_hides_part() -> None:
    alone, behind = _canvas(), _canvas()
    for canvas in (alone, behind):
        canvas.paint(_thing(0, 60, 48, angle=0.0))
    behind.paint(_thing(1, 80, 48, angle=np.pi / 2))
    (_, whole, _), (_, cut, _) = alone.labels()[0], behind.labels()[0]
    assert cut[2] < whole[2]
    assert cut[0] == whole[0]


@pytest.mark.parametrize("camera", sorted(CAMERAS))
def test_something_leaves_every_camera_and_comes_back(camera: str) -> None:
    frames = draw_frames(seed=0, num_frames=72, width=320, height=192, camera=CAMERAS[camera])
    seen = [{thing.number for thing, _, _ in canvas.labels()} for _, canvas in frames]
    visits = {number: [number in numbers for numbers in seen] for number in set().union(*seen)}
    assert any(sum(now and not before for before, now in pairwise([False, *visit])) >= 2 for visit in visits.values())


def test_straight_lines_between_five_keyframes_miss_the_motion() -> None:
    camera = CAMERAS["meadow"]
    boxes = [
        {thing.number: box for thing, box, _ in canvas.labels()}
        for _, canvas in draw_frames(seed=1, num_frames=72, width=320, height=192, camera=camera)
    ]
    keys = np.linspace(0, 71, 5).round().astype(int)
    overlaps = []
    for start, stop in pairwise(keys):
        for number in boxes[start].keys() & boxes[stop].keys():
            for index in range(start + 1, stop):
                if number in boxes[index]:
                    share = (index - start) / (stop - start)
                    guess = np.asarray(boxes[start][number]) * (1 - share) + np.asarray(boxes[stop][number]) * share
                    overlaps.append(_iou(guess, np.asarray(boxes[index][number])))
    assert np.mean(np.asarray(overlaps) >= 0.5) < 0.7


def test_the_town_is_a_georeferenced_scene_with_many_small_vehicles(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    document = draw_scene(tmp_path / "town.tif", seed=0)
    picture_HW3, canvas = draw_town(seed=0, width=512, height=512)
    with rasterio.open(tmp_path / "town.tif") as scene:
        assert scene.crs.to_string() == SCENE_CRS
        assert scene.transform.a == METRES_PER_PIXEL
        assert np.array_equal(scene.read().transpose(1, 2, 0), picture_HW3)
    (boxes,) = _boxes(document).values()
    assert len(boxes) > 60
    assert {name for name, _ in boxes} == {"vehicle"}
    assert max(max(width, height) for _, (_, _, width, height) in boxes) < 30
    assert len(boxes) < len(canvas.things) - 20


def test_a_world_is_labelled_sources_in_one_directory(tmp_path: Path) -> None:
    paths = draw_world(tmp_path / "world", num_frames=3, scene_size=192)
    assert len(paths) == len(CAMERAS) + 1
    for path in paths:
        document = json.loads(path.with_suffix(".coco.json").read_text())
        assert document["annotations"], path
        assert path.stat().st_size > 1000


def test_no_outline_or_pattern_is_there_for_nothing() -> None:
    looks = [look for camera in CAMERAS.values() for look, _ in camera.looks]
    town = [thing.look for thing, _ in draw_town(seed=0, width=256, height=256)[1].things]
    assert {look.pattern for look in [*looks, *town]} == set(PATTERNS)
    assert {look.outline for look in [*looks, *town]} == set(OUTLINES)


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    sides = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None)
    shared = float(np.prod(sides))
    return shared / float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared)
