"""What goes out comes back: per format and task; what a format cannot hold is refused by name and leaves nothing behind."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training.data.annotations import Annotation, FrameLabels
from training.data.formats.reading import find_source, read_labels
from training.data.formats.records import Part
from training.data.formats.table import FORMATS
from training.data.formats.writing import write_labels
from training.data.ontology import Ontology
from training.data.rle import encode, mask_box
from training.data.shards import SceneGrid, Shard
from training.errors import BadAnnotation, BadInput

WIDTH, HEIGHT = 96, 64
SHARD = Shard(
    shard_id="pond.1", uri="/v/pond.mp4", kind="video", num_frames=40, width=WIDTH, height=HEIGHT, content_hash="sha256:0"
)
OTHER = replace(SHARD, shard_id="lake", num_frames=9)
ODD = 'great <crested> & "grebe" ü'
ONTOLOGIES = {
    "classification": Ontology(name="light", task="classification", classes=("unused", "day", ODD)),
    "detection": Ontology(name="birds", task="detection", classes=("unused", "duck", ODD)),
    "segmentation": Ontology(name="shapes", task="segmentation", classes=("unused", "duck", ODD)),
    "keypoints": Ontology(
        name="pose",
        task="keypoints",
        classes=("unused", "duck", ODD),
        keypoints=("beak", "left eye", "tail"),
        skeleton=((0, 1), (1, 2)),
    ),
}
Say = Callable[..., Annotation]


def mask(x1: int, y1: int, x2: int, y2: int, *, hole: bool = False) -> str:
    mask_HW = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask_HW[y1:y2, x1:x2] = True
    mask_HW[y1:y2, x1] = np.arange(y2 - y1) % 2 == 0
    if hole:
        mask_HW[y1 + 1 : y2 - 1, x1 + 2 : x2 - 1] = False
    return encode(mask_HW)


def said(task: str, position: int, name: str, **more: object) -> Annotation:
    """One annotation of a task; another place for another position."""
    x, y = 1.25 + 22 * position, 3.5 + 1 / 3
    box = (x, y, x + 18.7, y + 40.1)
    what: dict[str, object] = {}
    if task == "classification":
        what = {"level": "image"}
    elif task == "detection":
        what = {"bbox_xyxy": box}
    elif task == "segmentation":
        counts = mask(22 * position, 2 * position, 22 * position + 20, 50, hole=position == 1)
        what = {"rle_counts": counts, "bbox_xyxy": mask_box(counts, HEIGHT, WIDTH)}
    else:
        what = {"bbox_xyxy": box, "keypoints_xyv": (x + 1.1, y + 2.2, 2.0, 0.0, 0.0, 0.0, x + 3.3, y + 4.4, 1.0)}
    return Annotation(class_name=name, provenance="imported", **what, **more)  # type: ignore[arg-type]


def labels(task: str, shard: Shard, **more: object) -> list[FrameLabels]:
    """Frames 0, 3, 4 and 7: two objects, one object, nothing, three objects with two of one class."""
    several = [said(task, 0, "duck" if task != "classification" else "day", **more), said(task, 1, ODD)]
    crowd = [*several, *([] if task == "classification" else [said(task, 2, ODD)])]
    found = {0: several, 3: several[1:], 4: [], 7: crowd}
    return [FrameLabels(shard_id=shard.shard_id, frame_index=n, annotations=tuple(one)) for n, one in found.items()]


def close(a: Annotation, b: Annotation) -> bool:
    numbers = [(one.bbox_xyxy or ()) + (one.keypoints_xyv or ()) for one in (a, b)]
    same = replace(a, bbox_xyxy=None, keypoints_xyv=None) == replace(b, bbox_xyxy=None, keypoints_xyv=None)
    return same and len(numbers[0]) == len(numbers[1]) and bool(np.allclose(*numbers, rtol=0, atol=1e-9))


def assert_same(found: list[FrameLabels], wanted: list[FrameLabels]) -> None:
    assert [frame.frame_index for frame in found] == [frame.frame_index for frame in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert len(one.annotations) == len(other.annotations)
        left = list(one.annotations)
        for annotation in other.annotations:
            match = next((candidate for candidate in left if close(candidate, annotation)), None)
            assert match is not None, f"frame {other.frame_index}: {annotation} not among {left}"
            left.remove(match)


def round_trip(name: str, out: Path, ontology: Ontology, wanted: dict[Shard, list[FrameLabels]]) -> None:
    parts = [Part(shard, ontology, frames) for shard, frames in wanted.items()]
    assert write_labels(name, out, lambda: parts) == sum(len(f.annotations) for frames in wanted.values() for f in frames)
    for shard, frames in wanted.items():
        source = find_source(name, out, shard, alone=len(wanted) == 1)
        assert source is not None
        found = read_labels(name, source).labels
        assert list(found) == [ontology.task]
        assert found[ontology.task][0] == ontology
        assert_same(list(found[ontology.task][1]), frames)


NEEDS = {
    "classification": {"classes of whole frames"},
    "detection": {"boxes"},
    "segmentation": {"masks"},
    "keypoints": {"keypoints"},
}
READABLE = [name for name, form in FORMATS.items() if form.reads]
HELD = [(name, task) for name in READABLE for task in NEEDS if NEEDS[task] <= FORMATS[name].holds]
EXTRAS = [
    ("tracks", {"track_id": "17"}),
    ("scores", {"score": 0.1 + 0.2}),
    ("ambiguous", {"ambiguous": True}),
]


@pytest.mark.parametrize(("name", "task"), HELD)
def test_labels_of_two_shards_come_back_as_they_went(name: str, task: str, tmp_path: Path) -> None:
    wanted = {SHARD: labels(task, SHARD), OTHER: labels(task, OTHER)[1:]}
    round_trip(name, tmp_path / "out", ONTOLOGIES[task], wanted)


@pytest.mark.parametrize(("name", "task"), HELD)
@pytest.mark.parametrize(("what", "more"), EXTRAS)
def test_tracks_scores_and_doubts_come_back_or_are_refused_by_name(
    name: str, task: str, what: str, more: dict[str, object], tmp_path: Path
) -> None:
    wanted = labels(task, SHARD, **more)
    if what in FORMATS[name].holds:
        round_trip(name, tmp_path / "out", ONTOLOGIES[task], {SHARD: wanted})
        return
    parts = [Part(SHARD, ONTOLOGIES[task], wanted)]
    with pytest.raises(BadInput, match=f"{name}: cannot hold {what} \\(pond.1 frame 0\\).*--leave-out {what}"):
        write_labels(name, tmp_path / "out", lambda: parts)
    assert list(tmp_path.iterdir()) == []
    write_labels(name, tmp_path / "out", lambda: parts, leave_out={what})
    source = find_source(name, tmp_path / "out", SHARD, alone=True)
    assert source is not None
    assert_same(list(read_labels(name, source).labels[ONTOLOGIES[task].task][1]), labels(task, SHARD))


@pytest.mark.parametrize(
    ("name", "task"), [(name, task) for name in FORMATS for task in NEEDS if not NEEDS[task] <= FORMATS[name].holds]
)
def test_a_task_that_a_format_cannot_hold_is_refused_and_nothing_written(name: str, task: str, tmp_path: Path) -> None:
    grid = SceneGrid(width=WIDTH, height=HEIGHT, tile=WIDTH, stride=WIDTH, bands=(1, 2, 3), dtype="uint8")
    shard = replace(SHARD, kind="scene", num_frames=1, scene=grid) if name == "geojson" else SHARD
    parts = [Part(shard, ONTOLOGIES[task], labels(task, shard)[:1])]
    with pytest.raises(BadInput, match=f"{name}: cannot hold {next(iter(NEEDS[task]))}"):
        write_labels(name, tmp_path / "out", lambda: parts)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [name for name, form in FORMATS.items() if "scenes" not in form.holds])
def test_scenes_are_refused_by_formats_of_frames(name: str, tmp_path: Path) -> None:
    grid = SceneGrid(width=500, height=500, tile=WIDTH, stride=WIDTH, bands=(1, 2, 3), dtype="uint8")
    parts = [Part(replace(SHARD, kind="scene", scene=grid), ONTOLOGIES["detection"], [])]
    with pytest.raises(BadInput, match=f"{name}: cannot hold scenes"):
        write_labels(name, tmp_path / "out", lambda: parts)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["davis", "mots"])
def test_masks_that_overlap_are_refused_by_pictures_of_numbers(name: str, tmp_path: Path) -> None:
    both = (said("segmentation", 0, "duck"), replace(said("segmentation", 0, ODD)))
    parts = [Part(SHARD, ONTOLOGIES["segmentation"], [FrameLabels(shard_id="pond.1", frame_index=5, annotations=both)])]
    with pytest.raises(BadInput, match=f"{name}: cannot hold masks that overlap \\(pond.1 frame 5\\)"):
        write_labels(name, tmp_path / "out", lambda: parts)


@pytest.mark.parametrize("name", [name for name in READABLE if "masks that overlap" in FORMATS[name].holds])
def test_masks_that_overlap_come_back(name: str, tmp_path: Path) -> None:
    both = (said("segmentation", 0, "duck"), said("segmentation", 0, ODD))
    wanted = [FrameLabels(shard_id="pond.1", frame_index=5, annotations=both)]
    round_trip(name, tmp_path / "out", ONTOLOGIES["segmentation"], {SHARD: wanted})


@pytest.mark.parametrize("name", [name for name in READABLE if "boxes beside masks" in FORMATS[name].holds])
def test_a_box_that_is_not_the_one_around_its_mask_comes_back(name: str, tmp_path: Path) -> None:
    one = replace(said("segmentation", 1, "duck"), bbox_xyxy=(20.5, 1.5, 60.25, 55.0))
    round_trip(
        name,
        tmp_path / "out",
        ONTOLOGIES["segmentation"],
        {SHARD: [FrameLabels(shard_id="pond.1", frame_index=5, annotations=(one,))]},
    )


@pytest.mark.parametrize("name", [name for name in READABLE if "keypoints without a box" in FORMATS[name].holds])
def test_keypoints_without_a_box_come_back_with_the_box_around_those_that_are_placed(name: str, tmp_path: Path) -> None:
    far = Annotation(class_name=ODD, keypoints_xyv=(10.0, 20.0, 2.0, 0.0, 0.0, 0.0, 50.0, 30.0, 1.0), provenance="imported")
    one = replace(far, keypoints_xyv=(0.0, 0.0, 0.0, 90.5, 40.0, 2.0, 0.0, 0.0, 0.0))
    labels_of_one = [FrameLabels(shard_id="pond.1", frame_index=5, annotations=(far, one))]
    write_labels(name, tmp_path / "out", lambda: [Part(SHARD, ONTOLOGIES["keypoints"], labels_of_one)])
    source = find_source(name, tmp_path / "out", SHARD, alone=True)
    assert source is not None
    found = read_labels(name, source)
    assert (list(found.labels), found.boxed) == (["keypoints"], 2)
    boxed = (
        replace(far, bbox_xyxy=(4.0, 14.0, 56.0, 36.0)),  # 0.15 of 40 pixels on every side
        replace(one, bbox_xyxy=(88.58, 38.08, 92.42, 41.92)),  # 0.02 of the frame's 96
    )
    assert_same(list(found.labels["keypoints"][1]), [replace(labels_of_one[0], annotations=boxed)])


@pytest.mark.parametrize("name", ["coco", "datumaro"])
def test_keypoints_without_a_box_and_without_a_placed_point_are_refused(name: str, tmp_path: Path) -> None:
    nowhere = Annotation(class_name="duck", keypoints_xyv=(0.0,) * 9)
    frames = [FrameLabels(shard_id="pond.1", frame_index=5, annotations=(nowhere,))]
    write_labels(name, tmp_path / "out", lambda: [Part(SHARD, ONTOLOGIES["keypoints"], frames)])
    source = find_source(name, tmp_path / "out", SHARD, alone=True)
    assert source is not None
    with pytest.raises(BadAnnotation, match=r"keypoints of which none is placed \(v > 0\) and no box"):
        read_labels(name, source)


@pytest.mark.parametrize("name", ["coco", "datumaro"])
def test_the_generation_and_the_score_of_a_prelabel_are_numbers_though_they_are_nought(name: str, tmp_path: Path) -> None:
    prelabel = said("detection", 0, "duck", generation=0, score=0.0)
    frames = [FrameLabels(shard_id="pond.1", frame_index=5, annotations=(prelabel,))]
    round_trip(name, tmp_path / "out", ONTOLOGIES["detection"], {SHARD: frames})


@pytest.mark.parametrize("name", [name for name in READABLE if "tracks" in FORMATS[name].holds and name != "mot"])
def test_tracks_with_names_come_back(name: str, tmp_path: Path) -> None:
    task = "segmentation" if "masks" in FORMATS[name].holds else "detection"
    two = [said(task, place, ODD, track_id=f"t <{place}>") for place in (0, 1)]
    frames = [FrameLabels(shard_id="pond.1", frame_index=n, annotations=tuple(two)) for n in (1, 2, 9)]
    round_trip(name, tmp_path / "out", ONTOLOGIES[task], {SHARD: frames})


def test_mot_refuses_a_track_that_is_no_number(tmp_path: Path) -> None:
    parts = [Part(SHARD, ONTOLOGIES["detection"], labels("detection", SHARD, track_id="left one"))]
    with pytest.raises(BadInput, match=r"mot: cannot hold track 'left one' \(pond.1 frame 0\)"):
        write_labels("mot", tmp_path / "out", lambda: parts)
    assert list(tmp_path.iterdir()) == []


def test_davis_refuses_a_shard_of_more_objects_than_it_has_numbers(tmp_path: Path) -> None:
    frames = [
        FrameLabels(shard_id="many", frame_index=n, annotations=(said("segmentation", 0, "duck", track_id=str(n)),))
        for n in range(255)
    ]
    parts = [Part(replace(SHARD, shard_id="many", num_frames=300), ONTOLOGIES["segmentation"], frames)]
    with pytest.raises(BadInput, match=r"davis: cannot hold more than 254 objects in one sequence \(many frame 254\)"):
        write_labels("davis", tmp_path / "out", lambda: parts)


@pytest.mark.parametrize("name", [name for name, form in FORMATS.items() if form.is_folder])
def test_two_ontologies_are_refused_by_formats_that_hold_one(name: str, tmp_path: Path) -> None:
    other = replace(ONTOLOGIES["detection"], name="second")
    parts = [Part(SHARD, ONTOLOGIES["detection"], []), Part(SHARD, other, [])]
    with pytest.raises(BadInput, match=f"{name}: cannot hold several ontologies \\(birds, second\\)"):
        write_labels(name, tmp_path / "out", lambda: parts)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [name for name, form in FORMATS.items() if form.is_folder])
def test_a_folder_that_holds_something_is_left_alone(name: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    parts = [Part(SHARD, ONTOLOGIES["detection"], [])]
    with pytest.raises(BadInput, match="is there already"):
        write_labels(name, tmp_path / "out", lambda: parts)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("name", [name for name in READABLE if "boxes" in FORMATS[name].holds])
def test_frames_of_a_folder_keep_the_names_of_their_pictures(name: str, tmp_path: Path) -> None:
    from PIL import Image

    folder = tmp_path / "pictures"
    folder.mkdir()
    for stem in ("b 2", "b 10", "ä.x"):
        Image.new("RGB", (WIDTH, HEIGHT)).save(folder / f"{stem}.png")
    shard = replace(SHARD, kind="images", uri=str(folder), num_frames=3)
    wanted = [FrameLabels(shard_id="pond.1", frame_index=n, annotations=(said("detection", n, "duck"),)) for n in range(3)]
    round_trip(name, tmp_path / "out", ONTOLOGIES["detection"], {shard: wanted})
