"""Files as other programs leave them: pictures of another size, stray spaces, lists of classes among the labels."""

from pathlib import Path

import pytest
from PIL import Image

from training.data.formats.reading import find_source, read_labels
from training.data.formats.records import ReadLabels
from training.data.ontology import Ontology
from training.data.shards import Shard
from training.errors import BadInput, UnknownFrame

SHARD = Shard(shard_id="pond", uri="/v/pond.mp4", kind="video", num_frames=9, width=100, height=80, content_hash="sha256:0")


def read(name: str, path: Path, shard: Shard = SHARD, vocabulary: Ontology | None = None) -> ReadLabels:
    source = find_source(name, path, shard, alone=True, vocabulary=vocabulary)
    assert source is not None
    return read_labels(name, source)


def cvat(size: str) -> str:
    task = f"<task><labels><label><name>duck</name></label></labels>{size}</task>"
    box = '<box frame="3" outside="0" xtl="10" ytl="20" xbr="30" ybr="40"/>'
    return f'<annotations><meta>{task}</meta><track id="0" label="duck">{box}</track></annotations>'


def test_a_cvat_file_of_another_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pond.xml"
    path.write_text(cvat("<original_size><width>200</width><height>160</height></original_size>"))
    with pytest.raises(BadInput, match=r"pond\.xml: 200x160, needed 100x80 like pond"):
        read("cvat", path)


@pytest.mark.parametrize("size", ["", "<original_size><width> 100\n</width><height>80</height></original_size>"])
def test_a_cvat_file_of_the_same_size_or_none_is_read(size: str, tmp_path: Path) -> None:
    path = tmp_path / "pond.xml"
    path.write_text(cvat(size))
    assert list(read("cvat", path).labels) == ["detection"]


def mot(root: Path, seqinfo: str | None) -> Path:
    root.joinpath("pond", "gt").mkdir(parents=True)
    root.joinpath("pond", "gt", "gt.txt").write_text("4,7,10,20,20,20,1,1,1\n")
    if seqinfo is not None:
        root.joinpath("pond", "seqinfo.ini").write_text(seqinfo)
    return root


@pytest.mark.parametrize("place", ["", "pond", "pond/gt/gt.txt"])
def test_a_mot_sequence_of_another_size_is_refused_wherever_it_is_named(place: str, tmp_path: Path) -> None:
    mot(tmp_path, "[Sequence]\nname=50%\nimWidth=200\nimHeight=160\n")
    with pytest.raises(BadInput, match=r"seqinfo\.ini: 200x160, needed 100x80 like pond"):
        read("mot", tmp_path / place)


@pytest.mark.parametrize("seqinfo", [None, "[Sequence]\nname=pond\n", "\ufeff[Sequence]\nimWidth = 100\nimHeight = 80\n"])
def test_a_mot_sequence_of_the_same_size_or_none_is_read(seqinfo: str | None, tmp_path: Path) -> None:
    assert list(read("mot", mot(tmp_path, seqinfo)).labels) == ["detection"]


def test_a_damaged_seqinfo_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"seqinfo\.ini: .*, needed MOT's \[Sequence\]"):
        read("mot", mot(tmp_path, "imWidth=200\n"))


def voc(folder: Path, frame: int, name: str, size: str = "") -> None:
    corners = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox>"
    text = f"<annotation>{size}<object><name>{name}</name>{corners}</object></annotation>"
    folder.joinpath(f"frame_{frame:06d}.xml").write_text(text)


def test_spaces_around_a_voc_name_are_no_part_of_it(tmp_path: Path) -> None:
    voc(tmp_path, 1, "\n dog\n", "<size><width>\n100\n</width><height>80</height></size>")
    voc(tmp_path, 2, "dog")
    ((ontology, frames),) = read("voc", tmp_path).labels.values()
    assert ontology.classes == ("dog",)
    assert [one.class_name for frame in frames for one in frame.annotations] == ["dog", "dog"]


def test_a_voc_name_with_spaces_that_the_ontology_has_keeps_them(tmp_path: Path) -> None:
    voc(tmp_path, 1, " dog ")
    vocabulary = Ontology(name="spaced", task="detection", classes=("dog", " dog "))
    ((_, (frame,)),) = read("voc", tmp_path, vocabulary=vocabulary).labels.values()
    assert [one.class_name for one in frame.annotations] == [" dog "]


def yolo(folder: Path) -> Path:
    folder.joinpath("data.yaml").write_text("names: [duck]")
    folder.joinpath("labels").mkdir()
    folder.joinpath("labels", "frame_000003.txt").write_text("0 0.5 0.5 0.25 0.25\n")
    folder.joinpath("labels", "classes.txt").write_text("duck\nreed\n")
    return folder


def test_the_list_of_classes_that_labelimg_leaves_among_yolo_labels_is_passed_over(tmp_path: Path) -> None:
    ((ontology, frames),) = read("yolo", yolo(tmp_path)).labels.values()
    assert ontology.classes == ("duck",)
    assert [frame.frame_index for frame in frames] == [3]


def test_another_text_among_yolo_labels_is_still_refused(tmp_path: Path) -> None:
    yolo(tmp_path).joinpath("labels", "notes.txt").write_text("duck\n")
    with pytest.raises(UnknownFrame, match=r"notes\.txt"):
        read("yolo", tmp_path)


def test_yolo_labels_of_a_picture_named_classes_are_read(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    Image.new("RGB", (100, 80)).save(pictures / "classes.png")
    tmp_path.joinpath("data.yaml").write_text("names: [duck]")
    tmp_path.joinpath("classes.txt").write_text("0 0.5 0.5 0.25 0.25\n")
    shard = Shard(shard_id="pond", uri=str(pictures), kind="images", num_frames=1, width=100, height=80, content_hash="sha256:0")
    ((_, (frame,)),) = read("yolo", tmp_path, shard).labels.values()
    assert len(frame.annotations) == 1
