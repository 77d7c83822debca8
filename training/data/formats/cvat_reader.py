"""CVAT for video read as a stream: a track is forgotten as soon as it is understood."""

from collections.abc import Iterator
from xml.etree.ElementTree import Element

import numpy as np

from training.data.annotations import Annotation
from training.data.formats.looked_at import frames_from_text
from training.data.formats.parts_of_objects import one_mask, polygon_mask
from training.data.formats.records import Box, Found, ReadLabels, Source
from training.data.formats.texts import xml_events
from training.data.rle import encode
from training.errors import BadAnnotation, BadInput

__all__ = ["read_cvat"]

_CORNERS = ("xtl", "ytl", "xbr", "ybr")


def read_cvat(source: Source) -> ReadLabels:
    """Read boxes, masks, polygons and skeletons of all tracks, where they are not `outside`.

    Frames without a shape count as looked at only in files this software wrote.
    Raises:
        BadInput: not CVAT's XML for video, or its pictures are not of the shard's size.
        BadAnnotation: a shape that is no label of ours, or impossible numbers; names track and frame.
    """
    found = Found(source)
    depth = 0
    root: Element | None = None
    for event, element in xml_events(source.place, "CVAT for video"):
        depth += 1 if event == "start" else -1
        if root is None:
            root = element
            if root.tag != "annotations":
                raise BadInput(f"{source.place}: <{root.tag}>, needed CVAT's <annotations>")
        if event == "end" and depth == 1:
            _top_level(element, found)
            root.clear()
    return found.result()


def _top_level(element: Element, found: Found) -> None:
    place = found.source.place
    if element.tag == "meta":
        _meta(element, found)
    elif element.tag == "track":
        for shape in element:
            where = f"{place} track {element.get('id')} frame {shape.get('frame')}"
            try:
                _say(shape, element.get("label", ""), element.get("id"), found, where)
            except (TypeError, ValueError, OverflowError) as error:
                raise BadAnnotation(f"{where}: {error}, needed CVAT's numbers") from error
    elif element.tag != "version":
        raise BadInput(f"{place}: <{element.tag}>, needed tracks (CVAT for video; not CVAT for images)")


def _meta(meta: Element, found: Found) -> None:
    labels = list(meta.iter("label"))
    if found.source.vocabulary is None:
        found.classes = [label.findtext("name") or "" for label in labels if label.find("parent") is None]
        parts = [label for label in labels if label.findtext("parent") == (found.classes[0] if found.classes else None)]
        found.keypoints = [label.findtext("name") or "" for label in parts]
    where = str(found.source.place)
    for size in meta.iter("original_size"):
        found.size(size.findtext("width"), size.findtext("height"), where)
    for index in frames_from_text(meta.findtext("looked_at") or "", found.source.shard.num_frames, where):
        found.look(index, where)


def _say(shape: Element, label: str, track: str | None, found: Found, where: str) -> None:
    frame_index = int(shape.get("frame", ""))
    if shape.get("outside") == "1":
        return
    points = None
    if shape.tag == "skeleton":
        points = _keypoints(shape, found, where)
        if points is None:
            return
    ours = {one.get("name"): one.text or "" for one in shape.findall("attribute")}
    given = ours.get("track_id", track)
    box = _bbox(ours.get("bbox", ""), found, where)
    counts = None
    if shape.tag == "box":
        x1, y1, x2, y2 = (float(shape.get(corner, "")) for corner in _CORNERS)
        if float(shape.get("rotation", 0)):
            raise BadAnnotation(f"{where}: a rotated box, needed an upright one")
        box = found.box(x1, y1, x2, y2, where)
    elif shape.tag in ("mask", "polygon"):
        part = _mask(shape, found, where) if shape.tag == "mask" else _polygon(shape, found, where)
        counts, around = one_mask([part], shape.tag, found, where)
        box = box or around
    elif points is None:
        raise BadAnnotation(f"{where}: a {shape.tag}, needed box, mask, polygon or skeleton")
    annotation = Annotation(
        class_name=label,
        bbox_xyxy=box,
        rle_counts=counts,
        keypoints_xyv=points,
        track_id=given or None,
        ambiguous=ours.get("ambiguous") == "true",
        score=float(ours["score"]) if ours.get("score") else None,
        provenance="imported",
    )
    found.say(frame_index, annotation, where)


def _bbox(text: str, found: Found, where: str) -> Box | None:
    """The box that stands in an attribute, as this software writes it; None if there is none."""
    if not text.split():
        return None
    numbers = [float(word) for word in text.split()]
    if len(numbers) != 4:
        raise BadAnnotation(f"{where}: bbox {text!r}, needed four numbers")
    return found.box(numbers[0], numbers[1], numbers[2], numbers[3], where)


def _keypoints(skeleton: Element, found: Found, where: str) -> tuple[float, ...] | None:
    """Keypoints in the vocabulary's order; None if all of them are outside."""
    seen: dict[str, tuple[float, float, float]] = {}
    for point in skeleton.findall("points"):
        name = point.get("label", "")
        if name not in found.keypoints:
            raise BadAnnotation(f"{where}: keypoint {name!r}, needed one of {', '.join(found.keypoints)}")
        if point.get("outside") != "1":
            x, y = (float(value) for value in point.get("points", "").split(","))
            seen[name] = (x, y, 1 if point.get("occluded") == "1" else 2)
    return found.points([seen.get(name, (0.0, 0.0, 0)) for name in found.keypoints], where) if seen else None


def _mask(element: Element, found: Found, where: str) -> str:
    shard = found.source.shard
    x, y, width, height = (int(element.get(key, "")) for key in ("left", "top", "width", "height"))
    runs = np.array(list(_numbers(element.get("rle", ""))), dtype=np.int64)
    inside = 0 <= x <= x + width <= shard.width and 0 <= y <= y + height <= shard.height
    if not inside or runs.min(initial=0) < 0 or runs.sum() != width * height:
        raise BadAnnotation(
            f"{where}: a mask of {width}x{height} at ({x}, {y}) with {runs.sum()} pixels, needed one in its picture"
        )
    mask_HW = np.zeros((shard.height, shard.width), np.bool_)
    mask_HW[y : y + height, x : x + width] = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
    return encode(mask_HW)


def _polygon(element: Element, found: Found, where: str) -> str:
    flat = [float(value) for point in element.get("points", "").split(";") for value in point.split(",")]
    return polygon_mask(flat, found, where)


def _numbers(text: str) -> Iterator[int]:
    return (int(word) for word in text.split(","))
