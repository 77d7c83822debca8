"""Whatever is wrong with a file of labels, the error has a name and says which file, and which line, frame or object."""

import json
from pathlib import Path

import pytest

from training.data.formats.reading import find_source, read_labels
from training.data.shards import Shard
from training.errors import BadAnnotation, BadInput

SHARD = Shard(shard_id="pond", uri="/v/pond.mp4", kind="video", num_frames=9, width=96, height=64, content_hash="sha256:0")


def read(name: str, path: Path) -> None:
    source = find_source(name, path, SHARD, alone=True)
    assert source is not None
    read_labels(name, source)


@pytest.mark.parametrize("frame", ["nan", "inf", "-inf", "1.5"])
def test_a_mot_frame_that_is_no_whole_number_is_refused(frame: str, tmp_path: Path) -> None:
    path = tmp_path / "gt.txt"
    path.write_text(f"1,1,10,20,20,20,1,1,1\n{frame},1,10,20,20,20,1,1,1\n")
    with pytest.raises(BadAnnotation, match=rf"gt\.txt line 2: frame {frame}, needed a whole number from 1"):
        read("mot", path)


@pytest.mark.parametrize("column", [3, 4, 5])
def test_a_mot_box_with_nan_is_refused(column: int, tmp_path: Path) -> None:
    row = ["1", "1", "10", "20", "20", "20", "1", "1", "1"]
    row[column] = "nan"
    path = tmp_path / "gt.txt"
    path.write_text(",".join(row))
    with pytest.raises(BadAnnotation, match=r"gt\.txt line 1: box .*nan"):
        read("mot", path)


def test_a_mot_field_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gt.txt"
    path.write_text("1" * 200_000)
    with pytest.raises(BadInput, match=r"gt\.txt line 1: field larger"):
        read("mot", path)


@pytest.mark.parametrize("damaged", ["gt.txt", "labels.txt", "looked_at.txt"])
def test_mot_files_that_are_not_utf_8_are_named(damaged: str, tmp_path: Path) -> None:
    tmp_path.joinpath("gt.txt").write_text("1,1,10,20,20,20,1,1,1\n")
    tmp_path.joinpath(damaged).write_bytes("1,ü".encode("latin-1"))
    with pytest.raises(BadInput, match=rf"{damaged}: .*, needed text in UTF-8"):
        read("mot", tmp_path / "gt.txt")


def test_a_yolo_text_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    tmp_path.joinpath("data.yaml").write_text("names: [duck]")
    tmp_path.joinpath("frame_000002.txt").write_text("0 0.5 0.5 0.25 0.25\n")
    tmp_path.joinpath("frame_000003.txt").write_text("0 0.5 0.5 0.25 0.25\n", encoding="utf-16")
    with pytest.raises(BadInput, match=r"frame_000003\.txt: .*, needed text in UTF-8"):
        read("yolo", tmp_path)


def test_a_folder_where_a_text_should_be_is_named(tmp_path: Path) -> None:
    tmp_path.joinpath("data.yaml").write_text("names: [duck]")
    tmp_path.joinpath("frame_000003.txt").mkdir()
    with pytest.raises(BadInput, match=r"frame_000003\.txt: .*, needed a readable file"):
        read("yolo", tmp_path)


def test_a_yolo_shape_of_keypoints_with_one_number_is_named(tmp_path: Path) -> None:
    tmp_path.joinpath("data.yaml").write_text("names: [duck]\nkpt_shape: [3]")
    tmp_path.joinpath("frame_000003.txt").write_text("")
    with pytest.raises(BadInput, match=r"data\.yaml"):
        read("yolo", tmp_path)


def test_a_yolo_keypoint_with_nan_is_refused(tmp_path: Path) -> None:
    tmp_path.joinpath("data.yaml").write_text("names: [duck]\nkpt_shape: [1, 3]")
    tmp_path.joinpath("frame_000003.txt").write_text("0 0.5 0.5 0.25 0.25 0.5 nan 2\n")
    with pytest.raises(BadAnnotation, match=r"frame_000003\.txt line 1: keypoint \(48, nan\)"):
        read("yolo", tmp_path)


def cvat(path: Path, shape: str) -> Path:
    meta = "<meta><task><labels><label><name>duck</name></label></labels></task></meta>"
    path.write_text(f'<annotations>{meta}<track id="5" label="duck">{shape}</track></annotations>')
    return path


@pytest.mark.parametrize("bbox", ["1 2 3", "1 2 3 4 5"])
def test_a_cvat_bbox_without_four_numbers_is_refused(bbox: str, tmp_path: Path) -> None:
    mask = f'<mask frame="3" rle="0, 4" left="1" top="1" width="2" height="2"><attribute name="bbox">{bbox}</attribute></mask>'
    with pytest.raises(BadAnnotation, match=rf"pond\.xml track 5 frame 3: bbox '{bbox}', needed four numbers"):
        read("cvat", cvat(tmp_path / "pond.xml", mask))


def test_a_cvat_run_that_no_computer_holds_is_refused(tmp_path: Path) -> None:
    mask = f'<mask frame="3" rle="{10**30}" left="1" top="1" width="2" height="2"/>'
    with pytest.raises(BadAnnotation, match=r"pond\.xml track 5 frame 3: "):
        read("cvat", cvat(tmp_path / "pond.xml", mask))


@pytest.mark.parametrize("name", ["cvat", "voc"])
@pytest.mark.parametrize("encoding", ["klingon", "utf-32"])
def test_xml_of_an_encoding_that_nobody_can_read_is_named(name: str, encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "frame_000003.xml"
    path.write_text(f'<?xml version="1.0" encoding="{encoding}"?><annotation/>')
    with pytest.raises(BadInput, match=r"frame_000003\.xml: not XML \(.*\), needed "):
        read(name, path if name == "cvat" else tmp_path)


def labelme(folder: Path, text: str) -> Path:
    folder.joinpath("frame_000003.json").write_text(text)
    return folder


@pytest.mark.parametrize("label", [5, None, ["duck"]])
def test_a_labelme_label_that_is_no_text_is_refused(label: object, tmp_path: Path) -> None:
    shape = {"label": label, "shape_type": "rectangle", "points": [[1, 2], [30, 40]]}
    polygon = {**shape, "shape_type": "polygon", "points": [[1, 2], [30, 2], [30, 40]]}
    for position, one in enumerate((shape, polygon)):
        folder = tmp_path / str(position)
        folder.mkdir()
        with pytest.raises(BadAnnotation, match=r"frame_000003\.json object 1: label .*, needed a text"):
            read("labelme", labelme(folder, json.dumps({"shapes": [one]})))


@pytest.mark.parametrize("points", ["[]", "[[Infinity, 1]]"])
def test_a_labelme_mask_at_no_place_is_refused(points: str, tmp_path: Path) -> None:
    png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTuBlAAAAABJRU5ErkJggg=="
    shape = f'{{"label": "duck", "shape_type": "mask", "points": {points}, "mask": "{png}"}}'
    with pytest.raises(BadAnnotation, match=r"frame_000003\.json"):
        read("labelme", labelme(tmp_path, f'{{"shapes": [{shape}]}}'))


@pytest.mark.parametrize("rows", [[], [{"type": "bbox", "label_id": 0, "bbox": [1, 2, 30, 40]}]])
def test_a_datumaro_class_that_is_no_text_is_refused(rows: list[object], tmp_path: Path) -> None:
    document = {"categories": {"label": {"labels": [{"name": 5}]}}, "items": [{"id": "frame_000003", "annotations": rows}]}
    path = tmp_path / "pond.json"
    path.write_text(json.dumps(document))
    with pytest.raises(BadInput, match=r"pond\.json.* 5, needed a text"):
        read("datumaro", path)


def test_an_error_of_a_mask_names_the_datumaro_file(tmp_path: Path) -> None:
    row = {"type": "mask", "label_id": 0, "rle": {"counts": [1, 2], "size": [64, 96]}}
    document = {"categories": {"label": {"labels": [{"name": "duck"}]}}, "items": [{"id": "frame_000003", "annotations": [row]}]}
    path = tmp_path / "pond.json"
    path.write_text(json.dumps(document))
    with pytest.raises(BadAnnotation, match=r"pond\.json item frame_000003: mask runs that add up to 3 pixels"):
        read("datumaro", path)
