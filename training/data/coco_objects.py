"""One COCO annotation as what it says about frames: the numbers checked, a scene's objects handed to their tiles."""

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from training.data.annotations import Annotation
from training.data.coco_document import Category, Picture
from training.data.keypoint_box import box_around
from training.data.ontology import TaskName
from training.data.rle import cut, mask_box, polygon_bounds, polygons_to_rle, rle_to_string
from training.data.shards import Shard, Window
from training.data.tiles import tiles_at, tiles_touching
from training.errors import BadAnnotation

__all__ = ["ObjectReader"]

Box = tuple[float, float, float, float]
Points = tuple[float, ...]
Found = Iterator[tuple[TaskName, int, Annotation]]

_STICKS_OUT_PX = 1.0
_EXACT_PX = 1e-6


@dataclass(slots=True)
class ObjectReader:
    """Reads annotations of one shard and counts what it had to change.

    clipped: boxes, polygons and keypoints cut at the edge of their picture.  unplaced: objects in no tile of a scene.
    boxed: objects with keypoints and without a box, which got the one around their points.
    unshaped: objects with a box alone where `tasks` want a mask or keypoints too: nobody knows what is in the box, so that it
        is ambiguous there.
    tasks: that objects of the file have labels for.
    """

    shard: Shard
    tasks: Collection[TaskName] = ()
    clipped: int = field(default=0)
    unplaced: int = field(default=0)
    boxed: int = field(default=0)
    unshaped: int = field(default=0)

    def read(self, row: Mapping[str, Any], category: Category, picture: Picture) -> Found:
        """Yield (task, frame index, annotation), one for each task the row has labels for.

        Raises:
            BadAnnotation: an impossible number, or nothing this software can use.
        """
        said = _provenance(row, category)
        if row.get("level") == "image":
            if picture.frame_index is None:
                raise BadAnnotation("a class of a whole scene, needed boxes or masks: it says nothing about single tiles")
            yield "classification", picture.frame_index, Annotation(level="image", **said)
            return
        if not any(row.get(key) for key in ("bbox", "segmentation", "keypoints")):
            raise BadAnnotation("no bbox, segmentation, keypoints or level 'image', needed one of them")
        given = self._box(row["bbox"], picture) if row.get("bbox") else None
        points = self._keypoints(row["keypoints"], category, picture) if row.get("keypoints") else None
        box = self._around(points, picture) if given is None and points is not None else given
        lacks_points = points is None and bool(category.keypoints) and self._wanted("keypoints", category)
        lacks_mask = not row.get("segmentation") and category.task is None and "segmentation" in self.tasks
        self.unshaped += box is not None and (lacks_points or lacks_mask) and not said["ambiguous"]
        if box is not None:
            if lacks_points:
                points = (0.0,) * (3 * len(category.keypoints))  # none of them placed
            yield from self._boxed(row, category, picture, box, points, said, unsure=lacks_points)
        if row.get("segmentation") and category.task in (None, "segmentation"):
            yield from self._segmentation(row, picture, given, said)
        elif box is not None and lacks_mask:
            yield from self._segmentation({**row, "segmentation": [_corners(box)]}, picture, box, {**said, "ambiguous": True})

    def _boxed(
        self,
        row: Mapping[str, Any],
        category: Category,
        picture: Picture,
        box: Box,
        points: Points | None,
        said: Any,
        *,
        unsure: bool,
    ) -> Found:
        """unsure: nobody knows where the points are."""
        for frame_index, origin in self._homes(row, picture, _centre(box)):
            tile_box = _exact(row, _moved(box, origin))
            if category.task in (None, "detection"):
                yield "detection", frame_index, Annotation(bbox_xyxy=tile_box, **said)
            if points is not None and category.task in (None, "keypoints"):
                moved = _exact_keypoints(row, _moved_keypoints(points, origin))
                of_points = {**said, "ambiguous": said["ambiguous"] or unsure}
                yield "keypoints", frame_index, Annotation(bbox_xyxy=tile_box, keypoints_xyv=moved, **of_points)

    def _wanted(self, task: TaskName, category: Category) -> bool:
        return category.task == task or (category.task is None and task in self.tasks)

    def _around(self, points: Points, picture: Picture) -> Box:
        self.boxed += 1
        frame = float(self.shard.width), float(self.shard.height)
        return box_around(points, (float(picture.width), float(picture.height)), frame)

    def _segmentation(self, row: Mapping[str, Any], picture: Picture, box: Box | None, said: Any) -> Found:
        whole = Window(column=0, row=0, width=picture.width, height=picture.height)
        mask = row["segmentation"]
        if isinstance(mask, list):
            self._check_polygons(mask, picture)
        if picture.frame_index is not None:
            counts = _counts(mask, whole, whole)
            found = mask_box(counts, whole.height, whole.width)
            if found is None:
                raise BadAnnotation("a mask without area, needed at least one pixel")
            exact = _exact(row, found if box is None else box)
            yield "segmentation", picture.frame_index, Annotation(bbox_xyxy=exact, rle_counts=counts, **said)
            return
        parts = 0
        for frame_index, window in self._touched(row, mask, whole):
            counts = _counts(mask, whole, window)
            part = mask_box(counts, window.height, window.width)
            if part is not None:
                parts += 1
                kept = part if row.get("frame_index") is None or box is None else _moved(box, (window.column, window.row))
                yield "segmentation", frame_index, Annotation(bbox_xyxy=_exact(row, kept), rle_counts=counts, **said)
        if not parts:
            raise BadAnnotation("a mask without area in any tile, needed at least one pixel")

    def _check_polygons(self, polygons: list[Any], picture: Picture) -> None:
        """Where polygons leave the picture their mask ends at its edge."""
        beyond = _beyond(polygon_bounds(polygons), picture)
        if beyond > _STICKS_OUT_PX:
            raise BadAnnotation(
                f"polygon leaves its {picture.width}x{picture.height} picture by {beyond:g} pixels, needed at most 1"
            )
        self.clipped += beyond > _EXACT_PX

    def _touched(self, row: Mapping[str, Any], mask: Any, whole: Window) -> Iterator[tuple[int, Window]]:
        assert self.shard.scene is not None
        if row.get("frame_index") is not None:
            indices = [self._own_tile(row)]
        elif isinstance(mask, list):
            indices = tiles_touching(self.shard.scene, *polygon_bounds(mask))
        else:
            found = mask_box(_counts(mask, whole, whole), whole.height, whole.width)
            indices = tiles_touching(self.shard.scene, *found) if found else []
        for frame_index in indices:
            yield frame_index, self.shard.scene.window(frame_index)

    def _homes(self, row: Mapping[str, Any], picture: Picture, centre: tuple[float, float]) -> list[tuple[int, tuple[int, int]]]:
        """Frames that an object belongs to, with their origin in the picture."""
        if picture.frame_index is not None:
            return [(picture.frame_index, (0, 0))]
        assert self.shard.scene is not None
        own = row.get("frame_index") is not None
        indices = [self._own_tile(row)] if own else tiles_at(self.shard.scene, *centre)
        self.unplaced += not indices
        windows = [(index, self.shard.scene.window(index)) for index in indices]
        return [(index, (window.column, window.row)) for index, window in windows]

    def _own_tile(self, row: Mapping[str, Any]) -> int:
        index = row["frame_index"]
        if not isinstance(index, int) or not 0 <= index < self.shard.num_frames:
            raise BadAnnotation(f"frame_index {index!r}, needed a tile 0..{self.shard.num_frames - 1}")
        return index

    def _box(self, xywh: Any, picture: Picture) -> Box:
        x, y, w, h = _numbers(xywh, "bbox", 4)
        if w <= 0 or h <= 0:
            raise BadAnnotation(f"bbox {[x, y, w, h]} has no area, needed a width and height above 0")
        x1, y1, x2, y2 = x, y, x + w, y + h
        beyond = _beyond((x1, y1, x2, y2), picture)
        if beyond > _STICKS_OUT_PX:
            raise BadAnnotation(
                f"bbox {[x, y, w, h]} leaves its {picture.width}x{picture.height} picture by {beyond:g} pixels, needed at most 1"
            )
        if beyond > _EXACT_PX:
            self.clipped += 1
        x1, y1, x2, y2 = max(0.0, x1), max(0.0, y1), min(float(picture.width), x2), min(float(picture.height), y2)
        if x2 <= x1 or y2 <= y1:
            raise BadAnnotation(f"bbox {[x, y, w, h]} has no area inside its {picture.width}x{picture.height} picture")
        return x1, y1, x2, y2

    def _keypoints(self, values: Any, category: Category, picture: Picture) -> tuple[float, ...]:
        if not category.keypoints:
            raise BadAnnotation(f"keypoints, but category {category.name!r} names none")
        numbers = _numbers(values, "keypoints", 3 * len(category.keypoints))
        points: list[float] = []
        for x, y, v in zip(numbers[0::3], numbers[1::3], numbers[2::3], strict=True):
            if v not in (0, 1, 2):
                raise BadAnnotation(f"keypoint visibility {v:g}, needed 0, 1 or 2")
            inside = min(max(x, 0.0), float(picture.width)), min(max(y, 0.0), float(picture.height))
            beyond = max(abs(x - inside[0]), abs(y - inside[1])) if v else 0.0
            if beyond > _STICKS_OUT_PX:
                raise BadAnnotation(f"keypoint ({x:g}, {y:g}) outside its {picture.width}x{picture.height} picture")
            self.clipped += beyond > 0
            points.extend((*inside, v) if v else (x, y, v))
        return tuple(points)


def _provenance(row: Mapping[str, Any], category: Category) -> dict[str, Any]:
    """What is kept of every annotation, whatever its task."""
    track, score, generation = row.get("track_id"), row.get("score"), row.get("generation")
    if generation is not None and (isinstance(generation, bool) or not isinstance(generation, int)):
        raise BadAnnotation(f"generation {generation!r}, needed a whole number")
    return {
        "class_name": category.name,
        "track_id": None if track is None else str(track),
        "ambiguous": bool(row.get("ambiguous")) or bool(row.get("iscrowd")),
        "provenance": row.get("provenance", "imported"),
        "author": _text(row, "author"),
        "generation": generation,
        "score": None if score is None else _numbers([score], "score", 1)[0],
        "confirmed_at": _text(row, "confirmed_at"),
    }


def _text(row: Mapping[str, Any], key: str) -> str | None:
    value = row.get(key)
    if value is not None and not isinstance(value, str):
        raise BadAnnotation(f"{key} {value!r}, needed a text")
    return value


def _beyond(box: Box, picture: Picture) -> float:
    """How far a rectangle sticks out of its picture, in pixels; negative when it does not."""
    x1, y1, x2, y2 = box
    return max(-x1, -y1, x2 - picture.width, y2 - picture.height)


def _numbers(values: Any, what: str, count: int) -> list[float]:
    if not isinstance(values, list) or len(values) != count:
        raise BadAnnotation(f"{what} {str(values)[:60]}, needed {count} numbers")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise BadAnnotation(f"{what} holds {value!r}, needed finite numbers")
    return [float(value) for value in values]


def _counts(mask: Any, whole: Window, window: Window) -> str:
    if isinstance(mask, list):
        return polygons_to_rle(mask, window)
    if not isinstance(mask, dict):
        raise BadAnnotation(f"segmentation {str(mask)[:60]}, needed polygons or run lengths")
    counts = rle_to_string(mask, whole.height, whole.width)
    return counts if window == whole else cut(counts, whole.height, whole.width, window)


def _exact(row: Mapping[str, Any], box: Box) -> Box | None:
    """The unrounded box that this software wrote beside COCO's x, y, width and height, if nobody edited those since."""
    if "bbox_xyxy" not in row:
        return box
    if row["bbox_xyxy"] is None:
        return None
    exact = tuple(_numbers(row["bbox_xyxy"], "bbox_xyxy", 4))
    close = all(abs(a - b) <= _EXACT_PX for a, b in zip(exact, box, strict=True))
    return (exact[0], exact[1], exact[2], exact[3]) if close else box


def _exact_keypoints(row: Mapping[str, Any], points: tuple[float, ...]) -> tuple[float, ...]:
    if "keypoints_xyv" not in row:
        return points
    exact = tuple(_numbers(row["keypoints_xyv"], "keypoints_xyv", len(points)))
    return exact if all(abs(a - b) <= _EXACT_PX for a, b in zip(exact, points, strict=True)) else points


def _moved(box: Box, origin: tuple[int, int]) -> Box:
    x, y = origin
    return box[0] - x, box[1] - y, box[2] - x, box[3] - y


def _moved_keypoints(points: tuple[float, ...], origin: tuple[int, int]) -> tuple[float, ...]:
    offsets = (*origin, 0)
    return tuple(
        value - offsets[position % 3] * bool(points[position - position % 3 + 2]) for position, value in enumerate(points)
    )


def _corners(box: Box) -> list[float]:
    """Of the whole pixels that have any part in it."""
    x1, y1, x2, y2 = math.floor(box[0]), math.floor(box[1]), math.ceil(box[2]), math.ceil(box[3])
    return [x1, y1, x2, y1, x2, y2, x1, y2]


def _centre(box: Box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
