import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from training.data.annotations import Annotation, FrameLabels
from training.data.coco import CocoLabels, ontology_name, read_coco, write_coco
from training.data.ontology import Ontology
from training.data.rle import decode, encode
from training.data.shards import SceneGrid, Shard
from training.errors import BadAnnotation, BadInput, NotCoco, UnknownClass, UnknownFrame

SHARED = Path(__file__).parents[4] / "shared" / "data"
VIDEO = Shard(
    shard_id="dog", uri="/v/dog.mp4", kind="video", num_frames=10, width=64, height=48, content_hash="sha256:1", fps=5.0
)
GRID = SceneGrid(width=300, height=200, tile=128, stride=128, bands=(1, 2, 3), dtype="uint8")
SCENE = Shard(
    shard_id="field", uri="/s/field.png", kind="scene", num_frames=6, width=128, height=128, content_hash="sha256:2", scene=GRID
)
Write = Callable[..., Path]


def image(number: int, **changes: Any) -> dict[str, Any]:
    return {"id": number, "file_name": f"dog.mp4#{number}", "frame_index": number, "width": 64, "height": 48, **changes}


def box(number: int = 1, **changes: Any) -> dict[str, Any]:
    return {"id": number, "image_id": 3, "category_id": 1, "bbox": [10.0, 12.0, 20.0, 8.0], **changes}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(annotations: list[Any] = (), *, images: Any = None, categories: Any = None, **more: Any) -> Path:
        path = tmp_path / "dog.coco.json"
        document = {
            "images": [image(3), image(4)] if images is None else images,
            "annotations": list(annotations),
            "categories": [{"id": 1, "name": "dog"}, {"id": 7, "name": "cat"}] if categories is None else categories,
        }
        path.write_text(json.dumps({**document, **more}))
        return path

    return write


def through_a_file(path: Path, shard: Shard, labels: CocoLabels) -> CocoLabels:
    with path.open("w", encoding="utf-8") as out:
        write_coco(out, [(shard, ontology, frames) for ontology, frames in labels.labels.values()])
    return read_coco(path, shard)


def test_boxes_become_detection_and_pictures_without_any_are_empty_frames(write: Write) -> None:
    found = read_coco(write([box(track_id=5, ambiguous=1), box(2, category_id=7, iscrowd=1, score=0.25)]), VIDEO)
    ontology, frames = found.labels["detection"]
    assert list(found.labels) == ["detection"]
    assert ontology == Ontology(name="detection.dog-cat", task="detection", classes=("dog", "cat"))
    xyxy = (10.0, 12.0, 30.0, 20.0)
    assert frames == (
        FrameLabels(
            shard_id="dog",
            frame_index=3,
            annotations=(
                Annotation(class_name="dog", bbox_xyxy=xyxy, track_id="5", ambiguous=True, provenance="imported"),
                Annotation(class_name="cat", bbox_xyxy=xyxy, ambiguous=True, provenance="imported", score=0.25),
            ),
        ),
        FrameLabels(shard_id="dog", frame_index=4),
    )
    assert (found.clipped, found.unplaced) == (0, 0)


def test_a_file_without_annotations_says_that_nothing_is_there(write: Write) -> None:
    ontology, frames = read_coco(write(), VIDEO).labels["detection"]
    assert ontology.classes == ("dog", "cat")
    assert [(frame.frame_index, frame.annotations) for frame in frames] == [(3, ()), (4, ())]


def test_image_level_classes_become_classification_and_stay_apart_from_objects(write: Write) -> None:
    found = read_coco(write([box(), {"id": 2, "image_id": 4, "category_id": 7, "level": "image", "ambiguous": 1}]), VIDEO)
    assert {task: ontology.classes for task, (ontology, _) in found.labels.items()} == {
        "detection": ("dog",),
        "classification": ("cat",),
    }
    (annotation,) = found.labels["classification"][1][1].annotations
    assert (annotation.level, annotation.class_name, annotation.ambiguous, annotation.bbox_xyxy) == ("image", "cat", True, None)


def test_keypoints_keep_their_names_order_and_a_zero_based_skeleton(write: Write) -> None:
    categories = [{"id": 1, "name": "dog", "keypoints": ["nose", "tail"], "skeleton": [[1, 2]]}]
    found = read_coco(write([box(keypoints=[11.5, 13, 2, 0, 0, 0])], categories=categories), VIDEO)
    ontology, frames = found.labels["keypoints"]
    assert (ontology.keypoints, ontology.skeleton) == (("nose", "tail"), ((0, 1),))
    assert frames[0].annotations[0].keypoints_xyv == (11.5, 13.0, 2.0, 0.0, 0.0, 0.0)
    assert frames[0].annotations[0].bbox_xyxy == (10.0, 12.0, 30.0, 20.0)
    assert found.labels["detection"][0].keypoints == ()


def test_polygons_and_runs_become_masks_of_the_frames_size(write: Write) -> None:
    mask_HW = np.zeros((48, 64), dtype=bool)
    mask_HW[10:20, 5:15] = True
    runs = [5 * 48 + 10, *[10, 38] * 9, 10, 48 * 64 - 14 * 48 - 20]
    spellings = [
        [[5, 10, 15, 10, 15, 20, 5, 20]],
        {"size": [48, 64], "counts": runs},
        {"size": [48, 64], "counts": encode(mask_HW)},
    ]
    rows = [{"id": number, "image_id": 3, "category_id": 1, "segmentation": mask} for number, mask in enumerate(spellings)]
    found = read_coco(write(rows), VIDEO)
    assert list(found.labels) == ["segmentation"]
    for annotation in found.labels["segmentation"][1][0].annotations:
        assert np.array_equal(decode(annotation.rle_counts or "", 48, 64), mask_HW)
        assert annotation.bbox_xyxy == (5.0, 10.0, 15.0, 20.0)


def test_an_object_with_a_box_alone_is_ambiguous_where_others_have_more(write: Write) -> None:
    dog = {"id": 1, "name": "dog", "keypoints": ["nose"], "skeleton": []}
    masked = box(1, segmentation=[[10, 12, 30, 12, 30, 20, 10, 20]], keypoints=[15, 15, 2])
    path = write([masked, box(2, bbox=[40, 30, 10, 6]), box(3, image_id=4)], categories=[dog])
    found = read_coco(path, VIDEO)
    assert found.unshaped == 2, "objects, though it is in two tasks"
    for task in ("segmentation", "keypoints"):
        first, second = found.labels[task][1]  # type: ignore[index]
        assert [one.ambiguous for one in first.annotations] == [False, True]
        assert [one.ambiguous for one in second.annotations] == [True]
    unsure = found.labels["segmentation"][1][0].annotations[1]
    assert unsure.rle_counts is not None
    assert decode(unsure.rle_counts, 48, 64).sum() == 60
    assert decode(unsure.rle_counts, 48, 64)[30:36, 40:50].all()
    assert not any(one.ambiguous for frame in found.labels["detection"][1] for one in frame.annotations)
    again = through_a_file(path, VIDEO, found)
    assert (again.labels, again.unshaped) == (found.labels, 0)


def test_a_box_alone_smaller_than_a_pixel_is_ambiguous_over_the_pixel_it_is_in(write: Write) -> None:
    masked = box(1, segmentation=[[10, 12, 30, 12, 30, 20, 10, 20]])
    found = read_coco(write([masked, box(2, bbox=[30.6, 30.6, 0.3, 0.3])]), VIDEO)
    tiny = found.labels["segmentation"][1][0].annotations[1]
    assert tiny.rle_counts is not None
    assert np.argwhere(decode(tiny.rle_counts, 48, 64)).tolist() == [[30, 30]]


def test_masks_of_another_shard_in_the_file_make_no_boxes_ambiguous(write: Write) -> None:
    elsewhere = image(9, file_name="other.mp4#0", shard_id="other", frame_index=0)
    masked = box(1, image_id=9, segmentation=[[10, 12, 30, 12, 30, 20, 10, 20]])
    found = read_coco(write([masked, box(2)], images=[image(3, shard_id="dog"), elsewhere]), VIDEO)
    assert (list(found.labels), found.unshaped) == (["detection"], 0)


def test_boxes_alone_are_detection_and_nothing_else(write: Write) -> None:
    found = read_coco(write([box(1), box(2, image_id=4)]), VIDEO)
    assert (list(found.labels), found.unshaped) == (["detection"], 0)


def test_sticking_out_by_up_to_a_pixel_is_clipped_and_counted(write: Write) -> None:
    rows = [box(bbox=[-0.5, 0, 10, 10]), box(2, bbox=[60, 40, 5.0, 8.5]), box(3, bbox=[0, 0, 64, 48])]
    found = read_coco(write(rows), VIDEO)
    assert [annotation.bbox_xyxy for annotation in found.labels["detection"][1][0].annotations] == [
        (0.0, 0.0, 9.5, 10.0),
        (60.0, 40.0, 64.0, 48.0),
        (0.0, 0.0, 64.0, 48.0),
    ]
    assert found.clipped == 2


NAN = float("nan")
POINTS = [{"id": 1, "name": "dog", "keypoints": ["nose"]}]


@pytest.mark.parametrize(
    ("row", "error", "message"),
    [
        ({"bbox": [60, 12, 20, 8]}, BadAnnotation, "leaves its 64x48 picture by 16 pixels"),
        ({"bbox": [-2, 12, 20, 8]}, BadAnnotation, "by 2 pixels"),
        ({"bbox": [64.0, 12, 0.5, 8]}, BadAnnotation, "no area inside"),
        ({"bbox": [NAN, 12, 20, 8]}, BadAnnotation, "nan, needed finite"),
        ({"bbox": [1, 12, float("inf"), 8]}, BadAnnotation, "inf, needed finite"),
        ({"bbox": [1, 12, -3, 8]}, BadAnnotation, "no area"),
        ({"bbox": [1, 12, 3, 0]}, BadAnnotation, "no area"),
        ({"bbox": [1, 12, 3]}, BadAnnotation, "needed 4 numbers"),
        ({"bbox": [1, 12, 3, "4"]}, BadAnnotation, "'4', needed finite"),
        ({"bbox": {"x": 1}}, BadAnnotation, "needed 4 numbers"),
        ({"bbox": None}, BadAnnotation, "no bbox, segmentation, keypoints or level"),
        ({"segmentation": [[1, 1, 2, 2]]}, BadAnnotation, "polygon"),
        ({"segmentation": {"size": [48, 60], "counts": [48 * 60]}}, BadAnnotation, r"size \[48, 60\], needed \[48, 64\]"),
        ({"segmentation": {"size": [48, 64], "counts": [48 * 64]}}, BadAnnotation, "mask without area"),
        ({"segmentation": [[1, 1, 9e9, 2, 3, 5]]}, BadAnnotation, "polygon leaves"),
        ({"segmentation": "abc"}, BadAnnotation, "needed polygons or run lengths"),
        ({"keypoints": [1, 2, 2]}, BadAnnotation, "'dog' names none"),
        ({"category_id": 9}, UnknownClass, "category_id 9 is not in categories, needed one of 1 dog, 7 cat"),
        ({"category_id": "1"}, NotCoco, "category_id is '1'"),
        ({"image_id": 5}, UnknownFrame, "image_id 5 is not in images"),
        ({"score": NAN}, BadAnnotation, "score holds nan"),
        ({"provenance": "rumour"}, BadAnnotation, "rumour"),
        ({"author": 5}, BadAnnotation, "author 5"),
    ],
)
def test_a_bad_annotation_is_named_with_its_file_and_id(
    write: Write, row: dict[str, Any], error: type[Exception], message: str
) -> None:
    path = write([box(), box(17, **row)])
    with pytest.raises(error, match=message) as raised:
        read_coco(path, VIDEO)
    assert str(raised.value).startswith(f"{path}: annotation 17: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("keypoints", "message"),
    [
        ([1, 2], "needed 3 numbers"),
        ([1, 2, 3], "visibility 3"),
        ([99, 2, 1], r"\(99, 2\) outside"),
        ([NAN, 2, 1], "finite"),
    ],
)
def test_bad_keypoints_are_named(write: Write, keypoints: list[float], message: str) -> None:
    with pytest.raises(BadAnnotation, match=f"annotation 1: keypoint.*{message}"):
        read_coco(write([box(keypoints=keypoints)], categories=POINTS), VIDEO)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("\x00\x01", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "a JSON list"),
        ("{}", "no key 'images'"),
        ('{"images": [], "categories": []}', "no key 'annotations'"),
        ('{"images": [], "annotations": []}', "no key 'categories'"),
        ('{"images": {}, "annotations": [], "categories": []}', "list of objects under 'images'"),
        ('{"images": [3], "annotations": [], "categories": []}', "list of objects under 'images'"),
        ('{"images": [], "annotations": [], "categories": []}', "no categories"),
    ],
)
def test_a_file_that_is_not_coco_says_what_is_missing(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.coco.json"
    path.write_text(text)
    with pytest.raises(NotCoco, match=message) as raised:
        read_coco(path, VIDEO)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_bytes_that_are_no_text_are_not_coco(tmp_path: Path) -> None:
    path = tmp_path / "x.coco.json"
    path.write_bytes(b"\xff\xfe\xff\x80")
    with pytest.raises(NotCoco, match="not JSON"):
        read_coco(path, VIDEO)
    with pytest.raises(BadInput, match="No such file"):
        read_coco(tmp_path / "absent.json", VIDEO)


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        ([image(3), image(3)], NotCoco, "image id 3 appears twice"),
        ([image(3), image(4, frame_index=3)], NotCoco, "images 3 and 4 are both frame 3"),
        ([image(10)], UnknownFrame, r"image 10: frame_index 10, needed 0\.\.9 of dog"),
        ([image(3, frame_index=-1)], UnknownFrame, "frame_index -1"),
        ([image(3, frame_index=2.0)], NotCoco, r"frame_index is 2\.0"),
        ([{"id": 3, "file_name": "dog.mp4"}], NotCoco, "image 3: no key 'frame_index'"),
        ([{"file_name": "dog.mp4"}], NotCoco, r"image 'dog\.mp4': no key 'id'"),
        ([image(3, width=640, height=480)], BadInput, "image 3: 640x480, needed 64x48 like dog"),
        ([], UnknownFrame, "no image of dog among 0"),
        ([image(3, shard_id="cat")], UnknownFrame, "no image of dog among 1"),
    ],
)
def test_bad_pictures_are_named(write: Write, images: list[Any], error: type[Exception], message: str) -> None:
    path = write(images=images)
    with pytest.raises(error, match=message) as raised:
        read_coco(path, VIDEO)
    assert str(raised.value).startswith(str(path))


@pytest.mark.parametrize(
    ("categories", "message"),
    [
        ([{"id": 1, "name": "a"}, {"id": 1, "name": "b"}], "category 1 appears twice"),
        ([{"id": 1, "name": "a"}, {"id": 2, "name": "a"}], "class 'a' appears twice"),
        ([{"id": 1}], "name None"),
        ([{"name": "a"}], "no key 'id'"),
        ([{"id": 1, "name": "a", "keypoints": ["n"], "skeleton": [[0, 1]]}], r"bone \[0, 1\], needed keypoint numbers 1\.\.1"),
        ([{"id": 1, "name": "a", "keypoints": "nose"}], "needed a list of names"),
        ([{"id": 1, "name": "a", "ontology": "x", "task": "dreaming"}], "dreaming"),
    ],
)
def test_bad_categories_are_named(write: Write, categories: list[Any], message: str) -> None:
    with pytest.raises(NotCoco, match=message):
        read_coco(write(categories=categories), VIDEO)


def test_pictures_of_a_folder_are_found_by_name(tmp_path: Path, write: Write) -> None:
    folder = tmp_path / "dog"
    folder.mkdir()
    for name in ("p10.png", "p2.png", "p1.png"):
        Image.new("RGB", (64, 48)).save(folder / name)
    shard = Shard(shard_id="dog", uri=str(folder), kind="images", num_frames=3, width=64, height=48, content_hash="x")
    images = [{"id": 3, "file_name": "some/where/p10.png"}, {"id": 1, "file_name": "p1.png", "frame_index": 0}]
    found = read_coco(write([box()], images=images), shard)
    assert [(frame.frame_index, len(frame.annotations)) for frame in found.labels["detection"][1]] == [(0, 0), (2, 1)]
    out = io.StringIO()
    write_coco(out, [(shard, *found.labels["detection"])])
    assert [row["file_name"] for row in json.loads(out.getvalue())["images"]] == ["p1.png", "p10.png"]
    with pytest.raises(UnknownFrame, match=r"p7\.png"):
        read_coco(write(images=[{"id": 3, "file_name": "p7.png"}]), shard)


def scene_file(write: Write, *rows: dict[str, Any]) -> Path:
    images = [{"id": 1, "file_name": "field.png", "width": 300, "height": 200}]
    return write([{"id": number, "image_id": 1, "category_id": 1, **row} for number, row in enumerate(rows)], images=images)


def test_an_object_of_a_scene_belongs_whole_to_the_tile_of_its_centre(write: Write) -> None:
    path = scene_file(write, {"bbox": [120, 10, 20, 10]}, {"bbox": [110, 120, 20, 10]}, {"bbox": [290, 190, 10, 10]})
    _, frames = read_coco(path, SCENE).labels["detection"]
    assert [frame.frame_index for frame in frames] == [0, 1, 2, 3, 4, 5]
    assert [[annotation.bbox_xyxy for annotation in frame.annotations] for frame in frames] == [
        [(110.0, 120.0, 130.0, 130.0)],
        [(-8.0, 10.0, 12.0, 20.0)],
        [],
        [],
        [],
        [(34.0, 62.0, 44.0, 72.0)],
    ]


@pytest.mark.parametrize("spelling", ["polygon", "runs"])
def test_a_mask_of_a_scene_is_divided_among_its_tiles(write: Write, spelling: str) -> None:
    mask_HW = np.zeros((200, 300), dtype=bool)
    mask_HW[100:150, 100:140] = True
    polygon = [[100, 100, 140, 100, 140, 150, 100, 150]]
    segmentation = polygon if spelling == "polygon" else {"size": [200, 300], "counts": encode(mask_HW)}
    _, frames = read_coco(scene_file(write, {"segmentation": segmentation}), SCENE).labels["segmentation"]
    for frame in frames:
        window = GRID.window(frame.frame_index)
        part = mask_HW[window.row : window.row + window.height, window.column : window.column + window.width]
        masks = [decode(annotation.rle_counts or "", window.height, window.width) for annotation in frame.annotations]
        assert len(masks) == part.any()
        assert all(np.array_equal(mask, part) for mask in masks)


def test_a_class_of_a_whole_scene_is_refused(write: Write) -> None:
    with pytest.raises(BadAnnotation, match="annotation 0: a class of a whole scene"):
        read_coco(scene_file(write, {"level": "image"}), SCENE)


def test_objects_between_the_tiles_of_a_grid_with_gaps_are_counted(write: Write) -> None:
    gaps = replace(SCENE, scene=replace(GRID, tile=100, stride=150), num_frames=4, width=100, height=100)
    found = read_coco(scene_file(write, {"bbox": [110, 10, 20, 10]}, {"bbox": [10, 10, 20, 10]}), gaps)
    assert found.unplaced == 1


def odd_boxes(shard_id: str, num_frames: int, size: tuple[float, float]) -> Iterator[FrameLabels]:
    """Boxes whose corners are no round binary numbers."""
    random = np.random.default_rng(4)
    for index in range(num_frames):
        annotations = []
        for number in range(index % 4):
            x1, y1 = random.random(2) * np.array(size) * 0.5
            x2, y2 = x1 + random.random() * size[0] * 0.4 + 0.1, y1 + random.random() * size[1] * 0.4 + 0.1
            annotations.append(
                Annotation(
                    class_name=("dog", "cat")[number % 2],
                    bbox_xyxy=(float(x1), float(y1), float(x2), float(y2)),
                    track_id=str(number),
                    ambiguous=number == 2,
                    provenance="model",
                    author="m",
                    generation=3,
                    score=float(random.random()),
                    confirmed_at="2026-01-01T00:00:00Z" if number else None,
                )
            )
        yield FrameLabels(shard_id=shard_id, frame_index=index, annotations=tuple(annotations))


DETECTION = Ontology(name="my.boxes", task="detection", classes=("dog", "cat"))


@pytest.mark.parametrize("shard", [VIDEO, SCENE], ids=["video", "scene"])
def test_boxes_and_provenance_survive_exactly(tmp_path: Path, shard: Shard) -> None:
    size = (40.0, 40.0) if shard is VIDEO else (44.0, 72.0)
    frames = tuple(odd_boxes(shard.shard_id, shard.num_frames, size))
    labels = CocoLabels(labels={"detection": (DETECTION, frames)})
    assert through_a_file(tmp_path / "x.json", shard, labels) == labels


def test_every_task_of_a_shard_survives_in_one_file(tmp_path: Path) -> None:
    mask = encode(np.pad(np.ones((5, 6), dtype=bool), ((20, 23), (30, 28))))

    def frame(index: int, *annotations: Annotation) -> FrameLabels:
        return FrameLabels(shard_id="dog", frame_index=index, annotations=annotations)

    labels = CocoLabels(
        labels={
            "detection": (DETECTION, (frame(0), frame(2, Annotation(class_name="dog", bbox_xyxy=(1 / 3, 2, 5, 7.1))))),
            "segmentation": (
                Ontology(name="masks", task="segmentation", classes=("dog",)),
                (frame(2, Annotation(class_name="dog", rle_counts=mask)), frame(4)),
            ),
            "keypoints": (
                Ontology(name="points", task="keypoints", classes=("dog",), keypoints=("a", "b"), skeleton=((0, 1),)),
                (frame(5, Annotation(class_name="dog", bbox_xyxy=(0, 0, 9, 9), keypoints_xyv=(1 / 3, 2, 2, 0, 0, 0))),),
            ),
            "classification": (
                Ontology(name="kinds", task="classification", classes=("indoors", "outdoors")),
                (frame(2, Annotation(class_name="outdoors", level="image")), frame(9)),
            ),
        }
    )
    assert through_a_file(tmp_path / "x.json", VIDEO, labels) == labels


def test_masks_of_a_scene_survive(tmp_path: Path) -> None:
    mask_HW = np.zeros((128, 128), dtype=bool)
    mask_HW[50:, 60:] = True
    annotation = Annotation(class_name="dog", rle_counts=encode(mask_HW), bbox_xyxy=(60.0, 50.0, 128.0, 128.0))
    frames = (
        FrameLabels(shard_id="field", frame_index=0, annotations=(annotation,)),
        FrameLabels(shard_id="field", frame_index=5),
    )
    labels = CocoLabels(labels={"segmentation": (Ontology(name="m", task="segmentation", classes=("dog",)), frames)})
    assert through_a_file(tmp_path / "x.json", SCENE, labels) == labels


def test_a_box_edited_elsewhere_is_believed_over_the_exact_one(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    frames = (FrameLabels(shard_id="dog", frame_index=0, annotations=(Annotation(class_name="dog", bbox_xyxy=(1, 2, 5, 6)),)),)
    with path.open("w") as out:
        assert write_coco(out, [(VIDEO, DETECTION, frames)]) == 1
    document = json.loads(path.read_text())
    document["annotations"][0]["bbox"] = [10, 10, 5, 5]
    path.write_text(json.dumps(document))
    assert read_coco(path, VIDEO).labels["detection"][1][0].annotations[0].bbox_xyxy == (10.0, 10.0, 15.0, 15.0)


def test_several_shards_share_a_file_and_are_read_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "all.json"
    shards = [replace(VIDEO, shard_id=name) for name in ("one", "two")]
    labels = {shard.shard_id: tuple(odd_boxes(shard.shard_id, 5, (40.0, 40.0))) for shard in shards}
    with path.open("w") as out:
        write_coco(out, ((shard, DETECTION, iter(labels[shard.shard_id])) for shard in shards))
    document = json.loads(path.read_text())
    assert [row["id"] for row in document["images"]] == [1, 2, 3, 4, 5, 11, 12, 13, 14, 15]
    assert len({row["id"] for row in document["annotations"]}) == len(document["annotations"]) == 12
    for shard in shards:
        assert read_coco(path, shard).labels["detection"][1] == labels[shard.shard_id]


def test_what_we_write_is_coco_that_pycocotools_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pycocotools.coco import COCO

    path = tmp_path / "x.json"
    with path.open("w") as out:
        write_coco(out, [(VIDEO, DETECTION, odd_boxes("dog", 10, (40.0, 40.0)))])
    coco = COCO(str(path))
    capsys.readouterr()
    assert len(coco.getImgIds()) == 10
    assert [row["name"] for row in coco.loadCats(coco.getCatIds())] == ["dog", "cat"]
    assert len(coco.getAnnIds(imgIds=[4])) == 3


def test_nothing_to_write_is_an_empty_coco_file() -> None:
    out = io.StringIO()
    assert write_coco(out, []) == 0
    assert json.loads(out.getvalue()) == {"annotations": [], "images": [], "categories": []}


def test_labels_are_written_as_they_come() -> None:
    out = io.StringIO()
    written: list[int] = []

    def frames() -> Iterator[FrameLabels]:
        for frame in odd_boxes("dog", 10, (40.0, 40.0)):
            written.append(out.getvalue().count("bbox_xyxy"))
            yield frame

    write_coco(out, [(VIDEO, DETECTION, frames())])
    assert written == [0, 0, 1, 3, 6, 6, 7, 9, 12, 12]  # 0, 1, 2, 3, 0, 1, … boxes a frame


def test_labels_that_do_not_belong_are_refused() -> None:
    stranger = Annotation(class_name="bird", bbox_xyxy=(0, 0, 1, 1))
    for labels, error in (
        ([FrameLabels(shard_id="dog", frame_index=10)], UnknownFrame),
        ([FrameLabels(shard_id="cat", frame_index=1)], UnknownFrame),
        ([FrameLabels(shard_id="dog", frame_index=1, annotations=(stranger,))], UnknownClass),
    ):
        with pytest.raises(error, match="dog"):
            write_coco(io.StringIO(), [(VIDEO, DETECTION, labels)])
    with pytest.raises(BadInput, match="comes again"):
        write_coco(io.StringIO(), [(VIDEO, DETECTION, []), (SCENE, DETECTION, []), (VIDEO, DETECTION, [])])
    with pytest.raises(BadInput, match="two meanings"):
        write_coco(io.StringIO(), [(VIDEO, DETECTION, []), (SCENE, replace(DETECTION, classes=("x",)), [])])


def test_names_of_ontologies_are_safe_and_tell_classes_apart() -> None:
    assert ontology_name("detection", ["dog", "big-cat"]) == "detection.dog-big-cat"
    odd, other = ontology_name("detection", ["a/b"]), ontology_name("detection", ["a b"])
    assert odd != other
    assert odd.startswith("detection.a_b-")
    long = ontology_name("detection", [f"class{number}" for number in range(90)])
    assert len(long) == 200
    assert long != ontology_name("detection", [f"class{number}" for number in range(91)])
    assert Ontology(name=long, task="detection", classes=("x",)).name == long


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real sequences are not here")
@pytest.mark.parametrize(
    ("name", "tasks"),
    [
        ("davis_dog", {"detection": 60, "segmentation": 60}),
        ("otb_crossing", {"detection": 120}),
        ("uav123_truck4_2", {"detection": 229}),
        ("camvid_0016e5_15hz_boxes", {"detection": 535}),
        ("cls_dlc_openfield_zone", {"classification": 116}),
        ("sleap_flies_clip", {"detection": 600, "keypoints": 600}),
        ("deepforest_osbs029", {"detection": 61}),
        ("dota_p1888", {"detection": 64, "segmentation": 81}),
    ],
)
def test_real_files_are_read_and_survive_being_written(tmp_path: Path, name: str, tasks: dict[str, int]) -> None:
    path = SHARED / f"{name}.coco.json"
    rows = json.loads(path.read_text())["images"]
    width, height = rows[0]["width"], rows[0]["height"]
    shard = Shard(shard_id=name, uri=name, kind="video", num_frames=len(rows), width=width, height=height, content_hash="x")
    if (SHARED / f"{name}.png").exists():
        grid = SceneGrid(width=width, height=height, tile=128, stride=128, bands=(1, 2, 3), dtype="uint8")
        shard = replace(shard, kind="scene", scene=grid, num_frames=grid.rows * grid.columns, width=128, height=128)
    found = read_coco(path, shard)
    assert {task: sum(len(frame.annotations) for frame in frames) for task, (_, frames) in found.labels.items()} == tasks
    assert through_a_file(tmp_path / "x.json", shard, found).labels == found.labels
