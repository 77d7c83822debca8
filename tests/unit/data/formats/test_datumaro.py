"""Datumaro as the judge of what we write, and as a reader of what we do not know; skipped where the extra is not installed."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from training.data.annotations import Annotation, FrameLabels
from training.data.formats.reading import find_source, read_labels
from training.data.formats.records import Part
from training.data.formats.writing import write_labels
from training.data.ontology import Ontology
from training.data.rle import encode, mask_box
from training.data.shards import Shard
from training.errors import MissingExtra

SHARD = Shard(shard_id="pond", uri="/v/pond.mp4", kind="video", num_frames=9, width=96, height=64, content_hash="sha256:0")
BOXES = Ontology(name="birds", task="detection", classes=("duck", "grebe"))
MASKS = Ontology(name="shapes", task="segmentation", classes=("duck", "grebe"))
BOX = (10.25, 20.5, 40.75, 60.25)
there = pytest.mark.skipif(importlib.util.find_spec("datumaro") is None, reason="the extra 'formats' is not installed")


def written(name: str, out: Path, ontology: Ontology, **what: Any) -> None:
    said = Annotation(class_name="grebe", track_id=what.pop("track_id", None), **what)
    frames = [FrameLabels(shard_id="pond", frame_index=3, annotations=(said,))]
    write_labels(name, out, lambda: [Part(SHARD, ontology, frames)])


@there
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "theirs", "place"),
    [("cvat", "cvat", "pond.xml"), ("datumaro", "datumaro", ""), ("mot", "mot_seq", "pond"), ("voc", "voc", "")],
)
def test_datumaro_finds_the_box_that_we_wrote(name: str, theirs: str, place: str, tmp_path: Path) -> None:
    from datumaro.components.dataset import Dataset

    written(name, tmp_path / "out", BOXES, bbox_xyxy=BOX, track_id=None if name == "voc" else "7")
    dataset = Dataset.import_from(str(tmp_path / "out" / place), theirs)
    boxes = [one for item in dataset for one in item.annotations if one.type.name == "bbox" and not one.attributes.get("outside")]
    assert [one.get_bbox() for one in boxes] == [pytest.approx([10.25, 20.5, 30.5, 39.75])]
    from datumaro.components.annotation import AnnotationType

    assert dataset.categories()[AnnotationType.label][boxes[0].label].name == "grebe"


@there
@pytest.mark.filterwarnings("ignore")
def test_datumaro_finds_the_mots_mask_that_we_wrote(tmp_path: Path) -> None:
    import numpy as np
    from datumaro.components.dataset import Dataset

    mask_HW = np.zeros((64, 96), np.bool_)
    mask_HW[5:20, 7:30] = True
    counts = encode(mask_HW)
    written("mots", tmp_path / "out", MASKS, rle_counts=counts, bbox_xyxy=mask_box(counts, 64, 96))
    (item,) = Dataset.import_from(str(tmp_path / "out"), "mots")
    (one,) = item.annotations
    assert (one.image == mask_HW).all()


@there
@pytest.mark.filterwarnings("ignore")
def test_a_format_that_only_datumaro_knows_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "training" / "label_2"
    folder.mkdir(parents=True)
    from PIL import Image

    pictures = tmp_path / "training" / "image_2"
    pictures.mkdir()
    Image.new("RGB", (96, 64)).save(pictures / "000003.png")
    folder.joinpath("000003.txt").write_text("Car 0.0 0 0.0 10.25 20.5 40.75 60.25 0 0 0 0 0 0 0\n")
    source = find_source("kitti_detection", tmp_path, SHARD, alone=True)
    assert source is not None
    ((ontology, frames),) = read_labels("kitti_detection", source).labels.values()
    assert ontology.task == "detection"
    assert [(frame.frame_index, one.class_name, one.bbox_xyxy) for frame in frames for one in frame.annotations] == [
        (3, "Car", pytest.approx(BOX))
    ]


@pytest.mark.skipif(importlib.util.find_spec("datumaro") is not None, reason="the extra 'formats' is installed")
def test_a_format_that_only_datumaro_knows_asks_for_the_extra(tmp_path: Path) -> None:
    source = find_source("kitti_detection", tmp_path, SHARD, alone=True)
    assert source is not None
    with pytest.raises(MissingExtra, match="install the extra 'formats'"):
        read_labels("kitti_detection", source)
