"""Datumaro's own JSON: one file a shard, one item a frame; what it has no key for goes into its free `attributes`.

annotations/<shard_id>.json; written item by item, without datumaro.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from training.data.annotations import Annotation, FrameLabels
from training.data.formats.frame_names import frame_finder, frame_namer
from training.data.formats.parts_of_objects import alike, one_mask, polygon_mask, same_object, the_box
from training.data.formats.records import Found, Part, ReadLabels, Source
from training.data.formats.vocabulary import first_ontology, write_vocabulary
from training.data.ontology import Ontology
from training.data.rle import rle_to_string
from training.data.shards import Shard
from training.errors import BadAnnotation, BadInput, UnknownClass

__all__ = ["annotations_of", "read_datumaro", "write_datumaro"]

Row = dict[str, Any]
_EXACT_PX = 1e-6
_ATTRIBUTES = ("track_id", "score", "ambiguous", "provenance", "author", "generation", "confirmed_at")


def write_datumaro(out: Path, parts: Iterable[Part]) -> int:
    """Write a folder and return how many annotations it holds; frame by frame."""
    ontology, rest = first_ontology("datumaro", parts)
    out.joinpath("annotations").mkdir(parents=True)
    write_vocabulary(out, ontology)
    head = json.dumps({"dm_format_version": "1.0", "media_type": 2, "infos": {}, "categories": _categories(ontology)})
    num_annotations = 0
    for shard, _, labels in rest:
        name_of = frame_namer(shard)
        with out.joinpath("annotations", f"{shard.shard_id}.json").open("w", encoding="utf-8") as stream:
            stream.write(head[:-1] + ', "items": [')
            for position, frame in enumerate(labels):
                item = _item(frame, shard, ontology, name_of(frame.frame_index))
                stream.write((",\n" if position else "\n") + json.dumps(item, allow_nan=False, ensure_ascii=False))
                num_annotations += len(frame.annotations)
            stream.write("\n]}\n")
    return num_annotations


def read_datumaro(source: Source) -> ReadLabels:
    """Read the labels of one shard; boxes, masks, polygons, points and labels, grouped as datumaro groups them.

    Raises:
        BadInput: not datumaro's JSON.  UnknownFrame: an item of no frame.
        BadAnnotation: an annotation of a kind that is no label of ours (caption, polyline, cuboid, …).
    """
    found = Found(source)
    try:
        document = json.loads(source.place.read_text(encoding="utf-8-sig"))
        classes = _vocabulary(document, found)
        find = frame_finder(source.shard)
        for item in document["items"]:
            where = f"{source.place} item {item['id']}"
            frame_index = (item.get("attr") or {}).get("frame")
            if not isinstance(frame_index, int):
                frame_index = find(str(item["id"]).replace("\\", "/").rsplit("/", 1)[-1], where)
            found.look(frame_index, where)
            for annotation in annotations_of(item["annotations"], classes, found, where):
                found.say(frame_index, annotation, where)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, OSError) as error:
        raise BadInput(f"{source.place}: {type(error).__name__} {error}, needed Datumaro's JSON") from error
    return found.result()


def _categories(ontology: Ontology) -> Row:
    labels = [{"name": name, "parent": "", "attributes": []} for name in ontology.classes]
    found: Row = {"label": {"labels": labels, "label_groups": [], "attributes": []}}
    if ontology.keypoints:
        joints = [[a + 1, b + 1] for a, b in ontology.skeleton]
        item = {"labels": list(ontology.keypoints), "joints": joints, "positions": []}
        found["points"] = {"items": [{"label_id": number, **item} for number in range(len(labels))]}
    return found


def _item(frame: FrameLabels, shard: Shard, ontology: Ontology, name: str) -> Row:
    image = {"path": f"{name}.jpg", "size": [shard.height, shard.width]}
    rows: list[Row] = []
    for group, annotation in enumerate(frame.annotations, 1):
        rows.extend(_rows(annotation, group, shard, ontology))
    for number, row in enumerate(rows):
        row["id"] = number
    return {"id": f"{shard.shard_id}/{name}", "annotations": rows, "attr": {"frame": frame.frame_index}, "image": image}


def _rows(annotation: Annotation, group: int, shard: Shard, ontology: Ontology) -> Iterator[Row]:
    said = {key: getattr(annotation, key) for key in _ATTRIBUTES}
    attributes = {key: value for key, value in said.items() if value is not None and value is not False}
    head = {"attributes": attributes, "group": group, "label_id": ontology.classes.index(annotation.class_name)}
    box = annotation.bbox_xyxy
    if annotation.level == "image":
        yield {"type": "label", **head}
        return
    if annotation.rle_counts is not None:
        size = [shard.height, shard.width]
        yield {"type": "mask", **head, "rle": {"counts": annotation.rle_counts, "size": size}, "z_order": 0}
    if annotation.keypoints_xyv is not None:
        points = annotation.keypoints_xyv
        flat = [value for x, y in zip(points[0::3], points[1::3], strict=True) for value in (x, y)]
        yield {"type": "points", **head, "points": flat, "visibility": [int(v) for v in points[2::3]], "z_order": 0}
    if box is not None:
        ours = {**attributes, "bbox_xyxy": json.dumps(box)}
        bbox = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
        yield {"type": "bbox", **head, "attributes": ours, "bbox": bbox, "z_order": 0}


def _vocabulary(document: Row, found: Found) -> list[str]:
    """The names of the file's own numbers; they are the vocabulary where there is no other."""
    classes = [row["name"] for row in document["categories"]["label"]["labels"]]
    if found.source.vocabulary is None:
        found.classes = list(classes)
        items = (document["categories"].get("points") or {}).get("items") or []
        if items:
            found.keypoints = list(items[0]["labels"])
            found.skeleton = tuple((int(a) - 1, int(b) - 1) for a, b in items[0].get("joints") or ())
    return classes


def annotations_of(rows: list[Row], classes: list[str], found: Found, where: str) -> Iterator[Annotation]:
    """What an item's rows say. Of one group and label, masks and polygons are one object, and a box is the box of that
    object, or of the one set of points, and no object of its own."""

    def group(placed: tuple[int, Row]) -> tuple[str, Any]:
        position, row = placed
        return ("group", row["group"]) if row.get("group") else ("single", position)

    for placed in alike(enumerate(rows), group):
        for same in same_object((row for _, row in placed), lambda row: row.get("label_id"), _track):
            yield from _object(same, classes, found, where)


def _object(rows: list[Row], classes: list[str], found: Found, where: str) -> Iterator[Annotation]:
    boxes, masks, points, rest = ([row for row in rows if _kind(row) == kind] for kind in ("bbox", "mask", "points", "other"))
    boxed = the_box(boxes, where) if masks else boxes[0] if len(boxes) == len(points) == 1 else None
    if masks:
        yield _masked(masks, boxed, classes, found, where)
    for row in points:
        box = _box(boxed, found, where) if boxed is not None and len(points) == 1 else None
        yield Annotation(bbox_xyxy=box, keypoints_xyv=_points(row, found, where), **_said([row], classes, where))
    for row in (row for row in boxes if row is not boxed):
        yield Annotation(bbox_xyxy=_box(row, found, where), **_said([row], classes, where))
    for row in rest:
        if row["type"] != "label":
            raise BadAnnotation(f"{where}: a {row['type']}, needed bbox, mask, polygon, points or label")
        yield Annotation(level="image", **_said([row], classes, where))


def _kind(row: Row) -> str:
    kind = str(row["type"])
    return "mask" if kind == "polygon" else kind if kind in ("bbox", "mask", "points") else "other"


def _track(row: Row) -> str | None:
    track = (row.get("attributes") or {}).get("track_id")
    return None if track is None else str(track)


def _said(rows: list[Row], classes: list[str], where: str) -> Row:
    """Class and attributes of one object: of every attribute, the first that a row has."""
    number: Any = rows[0].get("label_id")
    if number not in range(len(classes)):
        raise UnknownClass(f"{where}: label_id {number!r}, needed 0..{len(classes) - 1}")
    said: Row = {"provenance": "imported", "class_name": classes[number]}
    for attributes in (row.get("attributes") or {} for row in reversed(rows)):
        said.update({key: attributes[key] for key in _ATTRIBUTES if attributes.get(key) is not None})
    track = next((track for track in map(_track, rows) if track is not None), None)
    return {**said, "track_id": track, "ambiguous": any((row.get("attributes") or {}).get("ambiguous") for row in rows)}


def _points(row: Row, found: Found, where: str) -> tuple[float, ...]:
    visible = row.get("visibility") or [2] * (len(row["points"]) // 2)
    points = found.points(zip(row["points"][0::2], row["points"][1::2], visible, strict=True), where)
    if len(points) != 3 * len(found.keypoints):
        raise BadAnnotation(f"{where}: {len(points) // 3} keypoints, needed {len(found.keypoints)}")
    return points


def _masked(masks: list[Row], boxed: Row | None, classes: list[str], found: Found, where: str) -> Annotation:
    counts, around = one_mask([_part(row, found, where) for row in masks], masks[0]["type"], found, where)
    box = around if boxed is None else _box(boxed, found, where)
    said = _said(masks if boxed is None else [*masks, boxed], classes, where)
    return Annotation(bbox_xyxy=box, rle_counts=counts, **said)


def _part(row: Row, found: Found, where: str) -> str:
    if row["type"] == "polygon":
        return polygon_mask([float(value) for value in row["points"]], found, where)
    try:
        return rle_to_string(row["rle"], found.source.shard.height, found.source.shard.width)
    except BadAnnotation as error:
        raise BadAnnotation(f"{where}: {error}") from error


def _box(row: Row, found: Found, where: str) -> tuple[float, float, float, float]:
    x, y, w, h = (float(value) for value in row["bbox"])
    x2, y2 = x + w, y + h
    exact = json.loads((row.get("attributes") or {}).get("bbox_xyxy", "null")) or (x, y, x2, y2)
    if all(abs(a - b) <= _EXACT_PX for a, b in zip(exact, (x, y, x2, y2), strict=True)):  # else somebody moved it since
        x, y, x2, y2 = exact
    return found.box(x, y, x2, y2, where)
