"""LabelMe: one JSON file a picture; rectangles, masks (a PNG of the box), polygons and points, and flags for whole pictures.

<shard_id>/<picture>.json. Keypoints of one object are points of one group_id, labelled with the keypoint's name; the rectangle of
that group is their box. Polygons and masks of one group_id and label are one object too, a rectangle of both its box. Beside
LabelMe's keys stand `track_id`, `score` and, where no rectangle says it, `class`.
"""

import base64
import binascii
import io
import json
import math
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.data.annotations import Annotation, FrameLabels
from training.data.formats.frame_names import files_of_frames, frame_namer
from training.data.formats.parts_of_objects import alike, one_mask, polygon_mask, same_object, the_box
from training.data.formats.records import Found, Part, ReadLabels, Source
from training.data.formats.vocabulary import first_ontology, write_vocabulary
from training.data.ontology import Ontology
from training.data.rle import decode, encode, mask_box
from training.data.shards import Shard
from training.errors import BadAnnotation, BadInput

__all__ = ["read_labelme", "write_labelme"]

Shape = dict[str, Any]


def write_labelme(out: Path, parts: Iterable[Part]) -> int:
    """Write a folder and return how many annotations it holds; one shard is in memory at a time."""
    ontology, rest = first_ontology("labelme", parts)
    out.mkdir()
    write_vocabulary(out, ontology)
    num_annotations = 0
    for shard, _, labels in rest:
        folder = out / shard.shard_id
        folder.mkdir()
        name_of = frame_namer(shard)
        for frame in labels:
            name = name_of(frame.frame_index)
            text = json.dumps(_document(frame, shard, ontology, name), allow_nan=False, ensure_ascii=False, indent=1)
            folder.joinpath(f"{name}.json").write_text(text + "\n", encoding="utf-8")
            num_annotations += len(frame.annotations)
    return num_annotations


def read_labelme(source: Source) -> ReadLabels:
    """Read the labels of one shard from a folder of JSON files; circles and lines are refused, they are no label of ours.

    Raises:
        BadInput: a file that is not LabelMe's, or of another size than the shard.
        BadAnnotation: a shape that cannot be one of our labels.
    """
    found = Found(source)
    for frame_index, path in files_of_frames(source.place, ".json", source.shard):
        found.look(frame_index, str(path))
        document = _read(path)
        found.size(document.get("imageWidth"), document.get("imageHeight"), str(path))
        try:
            for annotation in _annotations(document, found, str(path)):
                found.say(frame_index, annotation, str(path))
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise BadAnnotation(
                f"{path}: {type(error).__name__} {error}, needed shapes with label, shape_type and points"
            ) from error
    return found.result()


def _document(frame: FrameLabels, shard: Shard, ontology: Ontology, name: str) -> dict[str, Any]:
    flags: dict[str, Any] = {}
    shapes: list[Shape] = []
    image_classes: list[dict[str, Any]] = []
    for group, annotation in enumerate(frame.annotations, 1):
        if annotation.level == "image":
            flags[annotation.class_name] = True
            image_classes.append({"class": annotation.class_name, **_extra(annotation)})
        else:
            shapes.extend(_shapes(annotation, group, shard, ontology))
    size = {"imageHeight": shard.height, "imageWidth": shard.width}
    ours = {"image_classes": image_classes} if image_classes else {}
    path = {"imagePath": f"{name}.jpg", "imageData": None}
    return {"version": "5.5.0", "flags": flags, "shapes": shapes, **path, **size, **ours}


def _shapes(annotation: Annotation, group: int, shard: Shard, ontology: Ontology) -> Iterator[Shape]:
    extra, box = _extra(annotation), annotation.bbox_xyxy
    if annotation.rle_counts is not None:
        yield _shape(annotation.class_name, "mask", *_mask(annotation.rle_counts, shard), None, extra)
    elif box is not None:
        grouped = group if annotation.keypoints_xyv is not None else None
        yield _shape(annotation.class_name, "rectangle", [list(box[:2]), list(box[2:])], None, grouped, extra)
    points = annotation.keypoints_xyv or ()
    triples = zip(ontology.keypoints, points[0::3], points[1::3], points[2::3], strict=True) if points else ()
    for name, x, y, v in triples:
        if v:
            ours = {"class": annotation.class_name, **({} if box is not None else extra)}
            hidden = {"hidden": True} if v == 1 else {}
            shape = _shape(name, "point", [[x, y]], None, group, ours)
            yield {**shape, "flags": {**shape["flags"], **hidden}}


def _shape(label: str, kind: str, points: Any, mask: str | None, group: int | None, extra: Shape) -> Shape:
    flags = {"ambiguous": True} if extra.get("ambiguous") else {}
    ours = {key: value for key, value in extra.items() if key != "ambiguous"}
    head = {"label": label, "points": points, "group_id": group, "description": "", "shape_type": kind}
    return {**head, "flags": flags, "mask": mask, **ours}


def _extra(annotation: Annotation) -> Shape:
    extra = {"track_id": annotation.track_id, "score": annotation.score, "ambiguous": annotation.ambiguous or None}
    return {key: value for key, value in extra.items() if value is not None}


def _mask(counts: str, shard: Shard) -> tuple[list[list[int]], str]:
    box = mask_box(counts, shard.height, shard.width)
    if box is None:
        raise BadAnnotation(f"{shard.shard_id}: a mask without area, needed at least one pixel")
    x1, y1, x2, y2 = (int(value) for value in box)
    buffer = io.BytesIO()
    part_HW = decode(counts, shard.height, shard.width)[y1:y2, x1:x2]
    Image.fromarray(part_HW.astype(np.uint8) * 255).save(buffer, "PNG")
    return [[x1, y1], [x2 - 1, y2 - 1]], base64.b64encode(buffer.getvalue()).decode()


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise BadInput(f"{path}: not JSON ({error}), needed LabelMe's") from error
    if not isinstance(document, dict) or not isinstance(document.get("shapes"), list):
        raise BadInput(f"{path}: no shapes, needed LabelMe's JSON")
    return document


def _annotations(document: dict[str, Any], found: Found, where: str) -> Iterator[Annotation]:
    ours = {row["class"]: row for row in document.get("image_classes", [])}
    for name in (name for name, said in (document.get("flags") or {}).items() if said is True):
        row = ours.get(name, {})
        yield Annotation(class_name=name, level="image", **_said([{**row, "flags": row}]))
    for number, shapes in enumerate(_groups(document["shapes"]), 1):
        place = f"{where} object {number}"
        points = [shape for shape in shapes if shape["shape_type"] == "point"]
        rest = [shape for shape in shapes if shape["shape_type"] != "point"]
        if points:
            yield _keypoints(points, [shape for shape in rest if shape["shape_type"] == "rectangle"], found, place)
        for same in same_object(rest, partial(_label, where=place), _track):
            yield from _object(same, found, place, boxed=bool(points))


def _groups(shapes: list[Shape]) -> list[list[Shape]]:
    """Shapes of one group_id together, points without one too; every other shape without one alone."""

    def key(placed: tuple[int, Shape]) -> tuple[str, Any]:
        position, shape = placed
        grouped = shape["shape_type"] == "point" or shape.get("group_id") is not None
        return ("group", shape.get("group_id")) if grouped else ("single", position)

    return [[shape for _, shape in placed] for placed in alike(enumerate(shapes), key)]


def _object(shapes: list[Shape], found: Found, where: str, *, boxed: bool) -> Iterator[Annotation]:
    """What shapes of one group and label say, points aside; boxed: the group's rectangle is the box of its points already."""
    boxes = [shape for shape in shapes if shape["shape_type"] == "rectangle"]
    masks = [shape for shape in shapes if shape["shape_type"] != "rectangle"]
    if masks:
        yield _masked(masks, the_box(boxes, where), found, where)
    elif not boxed:
        for shape in boxes:
            yield Annotation(class_name=shape["label"], bbox_xyxy=_box(shape, found, where), **_said([shape]))


def _masked(masks: list[Shape], boxed: Shape | None, found: Found, where: str) -> Annotation:
    counts, around = one_mask([_part(shape, found, where) for shape in masks], masks[0]["shape_type"], found, where)
    box = around if boxed is None else _box(boxed, found, where)
    said = _said(masks if boxed is None else [*masks, boxed])
    return Annotation(class_name=masks[0]["label"], bbox_xyxy=box, rle_counts=counts, **said)


def _part(shape: Shape, found: Found, where: str) -> str:
    kind = shape["shape_type"]
    if kind == "polygon":
        return polygon_mask([float(value) for point in shape["points"] for value in point], found, where)
    if kind == "mask":
        return encode(_mask_of(shape, found.source.shard, where))
    raise BadAnnotation(f"{where}: a shape of type {kind!r}, needed rectangle, polygon, mask or point")


def _label(shape: Shape, where: str) -> str:
    label = shape["label"]
    if not isinstance(label, str):
        raise BadAnnotation(f"{where}: label {label!r}, needed a text")
    return label


def _track(shape: Shape) -> str | None:
    track = shape.get("track_id")
    return None if track is None else str(track)


def _mask_of(shape: Shape, shard: Shard, where: str) -> NDArray[np.bool_]:
    try:
        with Image.open(io.BytesIO(base64.b64decode(shape["mask"], validate=True))) as picture:
            part_HW = np.asarray(picture.convert("L")) > 0
    except (OSError, binascii.Error, Image.DecompressionBombError) as error:
        raise BadAnnotation(f"{where}: a mask that is no PNG ({error})") from error
    x, y = (math.floor(value) for value in shape["points"][0])
    height, width = part_HW.shape
    if x < 0 or y < 0 or x + width > shard.width or y + height > shard.height:
        raise BadAnnotation(f"{where}: a mask of {width}x{height} at ({x}, {y}) outside its {shard.width}x{shard.height} picture")
    mask_HW = np.zeros((shard.height, shard.width), np.bool_)
    mask_HW[y : y + height, x : x + width] = part_HW
    return mask_HW


def _keypoints(points: list[Shape], boxes: list[Shape], found: Found, where: str) -> Annotation:
    if len(boxes) > 1:
        raise BadAnnotation(f"{where}: {len(boxes)} rectangles in one group with points, needed one at most")
    names = [shape["label"] for shape in points]
    if len(set(names)) != len(names):
        raise BadAnnotation(f"{where}: keypoints {', '.join(names)}, needed each name once in a group (group_id)")
    for name in (name for name in names if name not in found.keypoints):
        raise BadAnnotation(
            f"{where}: keypoint {name!r}, needed one of {', '.join(found.keypoints) or 'an --ontology that names them'}"
        )
    seen = {shape["label"]: (*shape["points"][0], 1 if (shape.get("flags") or {}).get("hidden") else 2) for shape in points}
    flat = found.points([seen.get(name, (0.0, 0.0, 0)) for name in found.keypoints], where)
    head = boxes[0] if boxes else points[0]
    box = _box(boxes[0], found, where) if boxes else None
    name = head["label"] if boxes else points[0].get("class", found.classes[0] if found.classes else "object")
    return Annotation(class_name=name, bbox_xyxy=box, keypoints_xyv=flat, **_said([head]))


def _box(shape: Shape, found: Found, where: str) -> tuple[float, float, float, float]:
    (xa, ya), (xb, yb) = shape["points"]
    return found.box(float(min(xa, xb)), float(min(ya, yb)), float(max(xa, xb)), float(max(ya, yb)), where)


def _said(shapes: list[Shape]) -> dict[str, Any]:
    """Track and score of the first shape that has one; one ambiguous shape makes the object so."""
    scores = (float(shape["score"]) for shape in shapes if shape.get("score") is not None)
    return {
        "track_id": next((track for track in map(_track, shapes) if track is not None), None),
        "score": next(scores, None),
        "ambiguous": any((shape.get("flags") or {}).get("ambiguous") for shape in shapes),
        "provenance": "imported",
    }
