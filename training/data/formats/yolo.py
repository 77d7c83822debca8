"""YOLO (Ultralytics): one text file a picture, a box or a box with keypoints a line, numbers as shares of the picture.

data.yaml, labels/<shard_id>/<picture>.txt with `class cx cy w h [x y v …]`; an empty file: looked at, nothing there. The
classes.txt that LabelImg writes among them is no labels of a picture.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from training.data.annotations import Annotation
from training.data.formats.frame_names import files_of_frames, frame_namer
from training.data.formats.records import Found, Part, ReadLabels, Source
from training.data.formats.texts import read_text
from training.data.formats.vocabulary import first_ontology, write_vocabulary
from training.data.ontology import Ontology
from training.data.shards import Shard
from training.errors import BadAnnotation, BadInput, UnknownClass

__all__ = ["read_yolo", "write_yolo"]

_BESIDE = frozenset({"classes.txt"})


def write_yolo(out: Path, parts: Iterable[Part]) -> int:
    """Write a folder and return how many annotations it holds; one shard is in memory at a time."""
    ontology, rest = first_ontology("yolo", parts)
    out.mkdir()
    write_vocabulary(out, ontology)
    out.joinpath("data.yaml").write_text(_data_yaml(ontology), encoding="utf-8")
    number = {name: index for index, name in enumerate(ontology.classes)}
    num_annotations = 0
    for shard, _, labels in rest:
        folder = out / "labels" / shard.shard_id
        folder.mkdir(parents=True)
        name_of = frame_namer(shard)
        for frame in labels:
            lines = [_line(annotation, number[annotation.class_name], shard) for annotation in frame.annotations]
            folder.joinpath(f"{name_of(frame.frame_index)}.txt").write_text("".join(lines), encoding="utf-8")
            num_annotations += len(lines)
    return num_annotations


def read_yolo(source: Source) -> ReadLabels:
    """Read the labels of one shard from a folder of text files; class names are those of data.yaml.

    Raises:
        BadAnnotation: a line that is not a box, or a box with keypoints; names file and line.
        UnknownClass: a class number without a name.
        UnknownFrame: a file that belongs to no frame.  BadInput: a file that is not text.
    """
    found = Found(source)
    if source.vocabulary is None:
        found.classes, num_keypoints = _names(source)
        found.keypoints = [f"keypoint_{index}" for index in range(num_keypoints)]
    for frame_index, path in files_of_frames(source.place, ".txt", source.shard, beside=_BESIDE):
        found.look(frame_index, str(path))
        for number, line in enumerate(read_text(path).splitlines(), 1):
            if line.strip():
                where = f"{path} line {number}"
                found.say(frame_index, _annotation(line, found, where), where)
    return found.result()


def _data_yaml(ontology: Ontology) -> str:
    lines = ["path: .", "train: images", "val: images", "names:"]
    lines += [f"  {index}: {json.dumps(name, ensure_ascii=False)}" for index, name in enumerate(ontology.classes)]
    if ontology.keypoints:
        lines += [f"kpt_shape: [{len(ontology.keypoints)}, 3]", "kpt_names:"]
        names = json.dumps(list(ontology.keypoints), ensure_ascii=False)
        lines += [f"  {index}: {names}" for index in range(len(ontology.classes))]
    return "\n".join(lines) + "\n"


def _line(annotation: Annotation, number: int, shard: Shard) -> str:
    assert annotation.bbox_xyxy is not None
    x1, y1, x2, y2 = annotation.bbox_xyxy
    width, height = shard.width, shard.height
    values = [(x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height]
    points = annotation.keypoints_xyv or ()
    for x, y, v in zip(points[0::3], points[1::3], points[2::3], strict=True):
        values += [x / width, y / height, int(v)] if v else [0, 0, 0]
    return " ".join([str(number), *map(repr, values)]) + "\n"


def _annotation(line: str, found: Found, where: str) -> Annotation:
    try:
        number, *values = (float(word) for word in line.split())
    except ValueError as error:
        raise BadAnnotation(f"{where}: {line[:40]!r}, needed numbers") from error
    wanted = 4 + 3 * len(found.keypoints)
    if len(values) != wanted:
        raise BadAnnotation(
            f"{where}: {len(values)} numbers after the class, needed {wanted} (box{' and keypoints' * (wanted > 4)})"
        )
    if number not in range(len(found.classes)):
        raise UnknownClass(f"{where}: class {number:g}, needed 0..{len(found.classes) - 1}")
    width, height = found.source.shard.width, found.source.shard.height
    cx, cy, w, h = values[0] * width, values[1] * height, values[2] * width, values[3] * height
    box = found.box(cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2, where)
    triples = [(x * width, y * height, v) for x, y, v in zip(values[4::3], values[5::3], values[6::3], strict=True)]
    points = found.points(triples, where) if triples else None
    name = found.classes[int(number)]
    return Annotation(class_name=name, bbox_xyxy=box, keypoints_xyv=points, provenance="imported")


def _names(source: Source) -> tuple[list[str], int]:
    """Class names and the number of keypoints, from the nearest data.yaml at or above the labels."""
    for folder in (source.root, source.root.parent, source.place, *list(source.place.parents)[:3]):
        for path in (folder / "data.yaml", folder / "dataset.yaml"):
            if path.is_file():
                return _read_yaml(path)
    raise BadInput(f"{source.root}: no data.yaml, needed it for the names of classes (or an --ontology that is in the store)")


def _read_yaml(path: Path) -> tuple[list[str], int]:
    try:
        document: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        names = document["names"]
        pairs = sorted(names.items()) if isinstance(names, dict) else list(enumerate(names))
        if [number for number, _ in pairs] != list(range(len(pairs))):
            raise ValueError("names are not numbered 0, 1, 2, …")
        shape = document.get("kpt_shape") or [0, 3]
        if shape[1] != 3:
            raise ValueError(f"kpt_shape {shape}, needed three numbers a keypoint")
        return [str(name) for _, name in pairs], int(shape[0])
    except (yaml.YAMLError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(f"{path}: {' '.join(str(error).split())}, needed the names of classes") from error
