"""Labels that are wrong are refused by name; what is converted instead is what docs/labels.md says, and counted."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from training.data.annotations import Annotation, FrameLabels
from training.data.coco import CocoLabels, read_coco
from training.data.rle import decode, encode
from training.data.shards import Shard
from training.data.sources import open_frames, probe
from training.errors import BadAnnotation, BadInput, NotCoco, UnknownFrame
from training.learning.generation import fit_jobs, plan_fits
from training.learning.recipes import smoke
from training.models.backbones import Backbone
from training.store.store import Store

HEIGHT, WIDTH = 48, 64
VIDEO = Shard(shard_id="dog", uri="/v/dog.mp4", kind="video", num_frames=10, width=WIDTH, height=HEIGHT, content_hash="x", fps=5)
CATEGORIES = [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}]
Read = Callable[..., CocoLabels]


def row(number: int, **changes: Any) -> dict[str, Any]:
    return {"id": number, "image_id": 3, "category_id": 1, **changes}


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Annotations -> what is read of them."""

    def read(annotations: list[Any], *, categories: Any = CATEGORIES, images: Any = None, shard: Shard = VIDEO) -> CocoLabels:
        path = tmp_path / "dog.coco.json"
        pictures = [{"id": 3, "frame_index": 3}] if images is None else images
        path.write_text(json.dumps({"images": pictures, "annotations": annotations, "categories": categories}))
        return read_coco(path, shard)

    return read


def mask_of(found: CocoLabels) -> np.ndarray:
    (annotation,) = found.labels["segmentation"][1][0].annotations
    return decode(annotation.rle_counts or "", HEIGHT, WIDTH)


@pytest.mark.parametrize("size", [(HEIGHT - 1, WIDTH), (WIDTH, HEIGHT)], ids=["a row short", "width first"])
def test_a_mask_of_another_size_is_refused(read: Read, size: tuple[int, int]) -> None:
    mask = {"size": list(size), "counts": encode(np.ones(size, dtype=bool))}
    with pytest.raises(BadAnnotation, match=r"annotation 5: mask of size .*, needed \[48, 64\]"):
        read([row(5, segmentation=mask)])


def test_a_polygon_that_crosses_itself_is_filled_by_the_even_odd_rule(read: Read) -> None:
    bow_tie = mask_of(read([row(1, segmentation=[[10, 10, 30, 30, 30, 10, 10, 30]])]))
    assert bow_tie[20, 12]
    assert bow_tie[20, 28]
    assert not bow_tie[12, 20]
    assert bow_tie.sum() == pytest.approx(200, abs=15), "two triangles of 20 by 10"
    twice_around = mask_of(read([row(1, segmentation=[[2, 2, 20, 2, 20, 20, 2, 20, 2, 2, 10, 2, 10, 10, 2, 10]])]))
    assert not twice_around[5, 5], "wound around twice"
    assert twice_around[15, 5]


def test_several_polygons_are_one_mask(read: Read) -> None:
    both = mask_of(read([row(1, segmentation=[[0, 0, 10, 0, 10, 10, 0, 10], [5, 0, 20, 0, 20, 10, 5, 10]])]))
    assert both.sum() == 200


def test_a_polygon_up_to_a_pixel_outside_is_cut_at_the_edge_and_counted(read: Read) -> None:
    found = read([row(1, segmentation=[[-1, -0.5, 10, -0.5, 10, 10, -1, 10]])])
    assert found.clipped == 1
    assert mask_of(found)[:10, :10].all()
    assert mask_of(found).sum() == 100
    assert read([row(1, segmentation=[[0, 0, WIDTH, 0, WIDTH, HEIGHT, 0, HEIGHT]])]).clipped == 0


def test_a_polygon_further_outside_is_refused(read: Read) -> None:
    with pytest.raises(BadAnnotation, match=r"annotation 1: polygon leaves its 64x48 picture by 1.5 pixels, needed at most 1"):
        read([row(1, segmentation=[[5, 5, 65.5, 5, 10, 20]])])


def test_keypoints_that_the_ontology_does_not_have_are_refused(read: Read) -> None:
    named = [{"id": 1, "name": "dog", "keypoints": ["nose", "tail"]}, {"id": 2, "name": "cat"}]
    box = [1, 1, 20, 20]
    with pytest.raises(BadAnnotation, match=r"annotation 1: keypoints .* needed 6 numbers"):
        read([row(1, bbox=box, keypoints=[5, 5, 2] * 3)], categories=named)
    with pytest.raises(BadAnnotation, match="annotation 2: keypoints, but category 'cat' names none"):
        read([row(2, bbox=box, category_id=2, keypoints=[5, 5, 2])], categories=named)
    other = [named[0], {"id": 2, "name": "cat", "keypoints": ["nose", "ear"]}]
    with pytest.raises(NotCoco, match="category 'cat' has other keypoints than 'dog'"):
        read([row(1, bbox=box, keypoints=[5, 5, 2] * 2)], categories=other)


def test_keypoints_without_a_box_get_the_one_around_the_placed_ones_and_are_counted(read: Read) -> None:
    named = [{"id": 1, "name": "dog", "keypoints": ["nose", "ear", "tail"]}]
    given = row(1, bbox=[1, 1, 20, 20], keypoints=[5, 5, 2, 9, 9, 1, 0, 0, 0])
    bare = row(2, keypoints=[2, 10, 2, 22, 14, 1, 60, 44, 0])
    found = read([given, bare], categories=named)
    assert found.boxed == 1
    for task in ("keypoints", "detection"):
        boxes = [annotation.bbox_xyxy for annotation in found.labels[task][1][0].annotations]
        assert boxes == [(1, 1, 21, 21), (0, 7, 25, 17)], "0.15 of 20 pixels on every side, cut at the edge"
    with pytest.raises(BadAnnotation, match="annotation 2: keypoints of which none is placed"):
        read([row(2, keypoints=[2, 10, 0, 22, 14, 0, 60, 44, 0])], categories=named)


@pytest.mark.parametrize("other", ["Dog", "DOG", " dog", "dog "])
def test_classes_that_differ_in_case_or_spaces_only_are_refused(read: Read, other: str) -> None:
    categories = [{"id": 1, "name": "dog"}, {"id": 8, "name": other}]
    with pytest.raises(NotCoco, match=f"category 8: name {other!r} differs from category 1 'dog'"):
        read([row(1, bbox=[1, 1, 5, 5])], categories=categories)


@pytest.mark.parametrize("nameless", [{}, {"name": None}, {"name": ""}, {"name": "  "}, {"name": 7}])
def test_a_class_without_a_name_is_refused(read: Read, nameless: dict[str, Any]) -> None:
    with pytest.raises(NotCoco, match=r"category 1: name .*, needed a text"):
        read([row(1, bbox=[1, 1, 5, 5])], categories=[{"id": 1, **nameless}])


def test_an_annotation_that_repeats_another_is_left_out_and_counted(read: Read) -> None:
    found = read([row(1, bbox=[1, 1, 5, 5]), row(2, bbox=[1, 1, 5, 5]), row(3, bbox=[1, 1, 5, 6])])
    assert found.repeated == 1
    assert [a.bbox_xyxy for a in found.labels["detection"][1][0].annotations] == [(1, 1, 6, 6), (1, 1, 6, 7)]
    said = read([row(number, level="image") for number in (1, 2)])
    assert (said.repeated, len(said.labels["classification"][1][0].annotations)) == (1, 1)


def test_the_same_box_on_another_frame_or_of_another_class_or_track_is_no_repetition(read: Read) -> None:
    images = [{"id": 3, "frame_index": 3}, {"id": 4, "frame_index": 4}]
    others: list[dict[str, Any]] = [{"image_id": 4}, {"category_id": 2}, {"track_id": "b"}]
    found = read(
        [row(1, bbox=[1, 1, 5, 5]), *(row(n, bbox=[1, 1, 5, 5], **change) for n, change in enumerate(others, 2))], images=images
    )
    assert found.repeated == 0
    assert sum(len(frame.annotations) for frame in found.labels["detection"][1]) == 4


def test_two_different_labels_for_one_object_on_one_frame_are_refused(read: Read) -> None:
    with pytest.raises(BadAnnotation, match="annotation 2: a second detection label of track 7 on frame 3, needed one"):
        read([row(1, bbox=[1, 1, 5, 5], track_id=7), row(2, bbox=[9, 9, 5, 5], track_id=7)])


def test_an_id_that_two_annotations_have_is_refused(read: Read) -> None:
    with pytest.raises(NotCoco, match="annotation 4: an id that another annotation has"):
        read([row(4, bbox=[1, 1, 5, 5]), row(4, bbox=[9, 9, 5, 5])])


def test_a_file_without_ids_is_read(read: Read) -> None:
    rows = [{"image_id": 3, "category_id": 1, "bbox": [x, 1, 5, 5]} for x in (1, 9)]
    assert len(read(rows).labels["detection"][1][0].annotations) == 2


def test_an_empty_label_file_says_so(tmp_path: Path, read: Read) -> None:
    path = tmp_path / "empty.coco.json"
    path.write_bytes(b"")
    with pytest.raises(NotCoco, match=r"empty\.coco\.json: not JSON"):
        read_coco(path, VIDEO)
    with pytest.raises(NotCoco, match="no categories"):
        read([], categories=[])
    with pytest.raises(UnknownFrame, match="no image of dog among 0"):
        read([], images=[])


def test_one_class_only_is_an_ontology_of_one_class(read: Read) -> None:
    found = read([row(1, bbox=[1, 1, 5, 5])], categories=CATEGORIES[:1])
    assert found.labels["detection"][0].classes == ("dog",)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five grey pictures."""
    folder = tmp_path / "dog"
    folder.mkdir()
    for index in range(5):
        Image.new("L", (WIDTH, HEIGHT), 40 * index).save(folder / f"{index}.png")
    return folder


def test_five_labelled_frames_that_are_all_empty_are_nothing_to_learn_from_and_stop_no_other(
    tmp_path: Path, folder: Path, read: Read
) -> None:
    store = Store.create(str(tmp_path / "store"))
    how: dict[str, Any] = {
        "recipe": replace(smoke(), steps=2, batch_size=2), "backbone": Backbone(name="resnet18", weights="none"), "seed": 0
    }  # fmt: skip
    images = [{"id": index, "file_name": f"{index}.png"} for index in range(5)]
    for shard_id in ("blank", "dog"):
        shard = probe(folder, shard_id=shard_id)
        ontology, labels = read([], images=images, shard=shard).labels["detection"]
        assert [frame.annotations for frame in labels] == [()] * 5
        store.add_shard(shard)
        store.add_ontology(ontology)
        store.annotate(shard_id, ontology.name, labels)
    seen = FrameLabels(shard_id="dog", frame_index=0, annotations=(Annotation(class_name="dog", bbox_xyxy=(5, 5, 30, 30)),))
    store.annotate("dog", ontology.name, [seen])
    blank, dog = fit_jobs(store, plan_fits(store, None, None, **how).jobs, **how)
    assert blank.error == "NothingToLearn: blank: 5 labelled frames without any annotation, needed one"
    assert (dog.error, dog.generation) == (None, 1)


@pytest.mark.parametrize(
    ("picture", "rgb"),
    [
        (Image.new("L", (WIDTH, HEIGHT), 90), (90, 90, 90)),
        (Image.new("RGBA", (WIDTH, HEIGHT), (200, 100, 50, 128)), (100, 50, 25)),
        (Image.new("CMYK", (WIDTH, HEIGHT), (0, 255, 255, 0)), (255, 0, 0)),
        (Image.fromarray(np.full((HEIGHT, WIDTH), 90 * 256 + 7, np.uint16)), (90, 90, 90)),
    ],
    ids=["grey", "alpha", "CMYK", "16-bit grey"],
)
def test_labels_of_a_folder_of_other_pictures_lie_on_rgb_frames(
    write_picture: Any, read: Read, picture: Image.Image, rgb: tuple[int, int, int]
) -> None:
    path = write_picture(f"odd/0.{'tif' if picture.mode == 'CMYK' else 'png'}", picture)
    shard = probe(path.parent)
    found = read([row(1, bbox=[0, 0, WIDTH, HEIGHT])], images=[{"id": 3, "file_name": path.name}], shard=shard)
    assert found.labels["detection"][1][0].frame_index == 0
    with open_frames(shard) as frames:
        (frame,) = frames.read()
    np.testing.assert_allclose(frame.image_HW3.reshape(-1, 3).mean(0), rgb, atol=2)


def test_labels_of_a_picture_that_exif_turns_are_those_of_the_upright_one(write_picture: Any, read: Read) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    path = write_picture("turned/0.jpg", Image.new("RGB", (WIDTH, HEIGHT)), exif=exif)
    shard = probe(path.parent)
    upright = {"id": 3, "file_name": "0.jpg", "width": HEIGHT, "height": WIDTH}
    tall = row(1, bbox=[0, 0, 10, WIDTH])
    assert read([tall], images=[upright], shard=shard).labels["detection"][1][0].annotations[0].bbox_xyxy == (0, 0, 10, WIDTH)
    lying = {**upright, "width": WIDTH, "height": HEIGHT}
    with pytest.raises(BadInput, match="image 3: 64x48, needed 48x64 like turned"):
        read([tall], images=[lying], shard=shard)


def test_a_scene_of_six_16_bit_bands_is_three_bytes_a_pixel_alike_in_every_tile(tmp_path: Path, read: Read) -> None:
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "field.tif"
    ramp = np.linspace(0, 60_000, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
    bands = np.stack([ramp * (band + 1) / 6 for band in range(6)]).astype(np.uint16)
    where = rasterio.Affine(1, 0, 500_000, 0, -1, 5_000_000)
    with rasterio.open(
        path, "w", driver="GTiff", width=WIDTH, height=HEIGHT, count=6, dtype="uint16", crs="EPSG:32633", transform=where
    ) as out:
        out.write(bands)
    shard = probe(path, shard_id="field", tile=32, bands=(4, 3, 2))
    assert shard.scene is not None
    assert (shard.scene.bands, shard.scene.dtype) == ((4, 3, 2), "uint16")
    picture = {"id": 3, "width": WIDTH, "height": HEIGHT}
    labels = read([row(1, bbox=[34, 34, 10, 10])], images=[picture], shard=shard).labels["detection"][1]
    assert [frame.frame_index for frame in labels if frame.annotations] == [3]
    with open_frames(Shard.from_json(json.loads(json.dumps(shard.to_json())))) as frames:
        tiles = list(frames.read())
    whole = np.concatenate([np.concatenate([t.image_HW3 for t in tiles[n : n + 2]], axis=1) for n in (0, 2)])
    assert (whole.min(), whole.max()) == (0, 255)
    steps = np.diff(whole.reshape(-1, 3).astype(int), axis=0)
    assert (steps.min(), steps.max()) == (0, 1), "one ramp through all tiles: no seams, nothing wraps around"
