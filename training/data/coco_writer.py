"""COCO's JSON out of a store, one annotation at a time."""

import json
import tempfile
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, TextIO

from training.data.annotations import Annotation, FrameLabels
from training.data.images import pictures_in
from training.data.ontology import Ontology
from training.data.rle import decode, mask_box, paste
from training.data.shards import Shard
from training.errors import BadInput, UnknownClass, UnknownFrame

__all__ = ["CocoText", "write_coco"]

Box = tuple[float, float, float, float]
_PIECE = 1 << 16  # characters


def write_coco(out: TextIO, shards_and_labels: Iterable[tuple[Shard, Ontology, Iterable[FrameLabels]]]) -> int:
    """Write one COCO file and return how many annotations it holds; CocoText says more, and what is raised."""
    text = CocoText(shards_and_labels)
    for piece in text:
        out.write(piece)
    return text.num_annotations


class CocoText:
    """The text of one COCO file, a row at a time; can be gone through once.

    The ontologies of one shard come one after the other. Memory grows with neither shards nor labels: one byte a frame of the
    shard in hand is kept, to write every picture once. Beside COCO's keys stand the ontology and task of a category, the
    shard_id, frame_index and `looked_at` of a picture, and of an annotation its score, provenance and exact `bbox_xyxy`.
    A scene is one picture; its annotations are in scene pixels and say their tile in `frame_index`.

    num_annotations: in the text that was given out so far.

    Raises, while it is gone through:
        BadInput: a shard comes back after another one, or two ontologies of one name.
        UnknownFrame, UnknownClass: labels that do not belong to the shard or the ontology.
    """

    def __init__(self, shards_and_labels: Iterable[tuple[Shard, Ontology, Iterable[FrameLabels]]]) -> None:
        self.num_annotations = 0
        self._shards_and_labels = shards_and_labels
        self._categories = _Categories()

    def __iter__(self) -> Iterator[str]:
        with tempfile.TemporaryFile("w+", encoding="utf-8") as images:
            yield '{"annotations": ['
            yield from self._annotations(images)
            yield '\n], "images": ['
            images.seek(0)
            yield from iter(lambda: images.read(_PIECE), "")
            yield '\n], "categories": ['
            for position, row in enumerate(self._categories.rows):
                yield _row(row, first=position == 0)
            yield "\n]}\n"

    def _annotations(self, images: TextIO) -> Iterator[str]:
        """Rows of annotations; those of pictures go to `images`."""
        done: set[str] = set()
        num_images = first_image_id = 0
        for shard_id, group in groupby(self._shards_and_labels, key=lambda one: one[0].shard_id):
            if shard_id in done:
                raise BadInput(f"{shard_id}: comes again after other shards, needed all its ontologies together")
            done.add(shard_id)
            pictures: _Pictures | None = None
            for shard, ontology, labels in group:
                pictures = pictures or _Pictures(shard, first_image_id + 1)
                for row in _rows(pictures, ontology, labels, self._categories.numbers(ontology)):
                    self.num_annotations += 1
                    yield _row({"id": self.num_annotations, **row}, first=self.num_annotations == 1)
            if pictures is not None:
                for row in pictures.rows():
                    num_images += 1
                    images.write(_row(row, first=num_images == 1))
                first_image_id += pictures.num_pictures


class _Categories:
    """Numbers the classes of every ontology in the order they come."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self._known: dict[str, tuple[Ontology, dict[str, int]]] = {}

    def numbers(self, ontology: Ontology) -> dict[str, int]:
        known = self._known.get(ontology.name)
        if known is not None:
            if known[0] != ontology:
                raise BadInput(f"ontology {ontology.name}: comes with two meanings, needed one")
            return known[1]
        numbers = {name: len(self.rows) + position for position, name in enumerate(ontology.classes, 1)}
        for name, number in numbers.items():
            row: dict[str, Any] = {"id": number, "name": name, "ontology": ontology.name, "task": ontology.task}
            if ontology.keypoints:
                row["keypoints"] = list(ontology.keypoints)
                row["skeleton"] = [[a + 1, b + 1] for a, b in ontology.skeleton]
            self.rows.append(row)
        self._known[ontology.name] = (ontology, numbers)
        return numbers


class _Pictures:
    """The pictures of one shard that somebody looked at, and for which ontologies; a scene is one picture."""

    def __init__(self, shard: Shard, first_id: int) -> None:
        self.shard = shard
        self.num_pictures = 1 if shard.scene else shard.num_frames
        self._first_id = first_id
        self._looked_at: dict[str, bytearray] = {}

    def look(self, ontology: Ontology, frame: FrameLabels) -> int:
        """Note that somebody looked at this frame; returns its picture's id."""
        shard, index = self.shard, frame.frame_index
        if frame.shard_id != shard.shard_id or not 0 <= index < shard.num_frames:
            raise UnknownFrame(f"{shard.shard_id}: labels of frame {index} of {frame.shard_id}, needed 0..{shard.num_frames - 1}")
        self._looked_at.setdefault(ontology.name, bytearray(shard.num_frames))[index] = 1
        return self._first_id + (0 if shard.scene else index)

    def origin(self, frame_index: int) -> tuple[int, int]:
        """Where the frame's pixel (0, 0) lies in its picture."""
        if self.shard.scene is None:
            return (0, 0)
        window = self.shard.scene.window(frame_index)
        return (window.column, window.row)

    def rows(self) -> Iterator[dict[str, Any]]:
        shard, name = self.shard, Path(self.shard.uri).name
        if shard.scene:
            tiles = {ontology: [index for index, seen in enumerate(flags) if seen] for ontology, flags in self._looked_at.items()}
            size = {"width": shard.scene.width, "height": shard.scene.height}
            yield {"id": self._first_id, "file_name": name, **size, "shard_id": shard.shard_id, "looked_at": tiles}
            return
        names = _file_names(shard)
        for index in range(shard.num_frames):
            seen = {ontology: [index] for ontology, flags in self._looked_at.items() if flags[index]}
            if seen:
                yield {
                    "id": self._first_id + index,
                    "file_name": names[index] if names else f"{name}#{index}",
                    "width": shard.width,
                    "height": shard.height,
                    "shard_id": shard.shard_id,
                    "frame_index": index,
                    "looked_at": seen,
                }


def _file_names(shard: Shard) -> list[str]:
    """Names of a folder's pictures; none when it is no folder, or one that is not here."""
    if shard.kind != "images" or not Path(shard.uri).is_dir():
        return []
    names = [path.name for path in pictures_in(shard.uri)[shard.first_frame :]]
    return names if len(names) >= shard.num_frames else []


def _rows(
    pictures: _Pictures, ontology: Ontology, labels: Iterable[FrameLabels], category_ids: dict[str, int]
) -> Iterator[dict[str, Any]]:
    for frame in labels:
        where = {"image_id": pictures.look(ontology, frame)}
        if pictures.shard.scene:
            where["frame_index"] = frame.frame_index
        for annotation in frame.annotations:
            if annotation.class_name not in category_ids:
                known = ", ".join(category_ids)
                raise UnknownClass(
                    f"{frame.shard_id} frame {frame.frame_index}: {annotation.class_name!r}, needed one of {known}"
                )
            yield {
                **where,
                "category_id": category_ids[annotation.class_name],
                **_said(annotation, pictures, frame.frame_index),
                **_provenance(annotation),
            }


def _said(annotation: Annotation, pictures: _Pictures, frame_index: int) -> dict[str, Any]:
    """COCO's own keys."""
    if annotation.level == "image":
        return {"level": "image"}
    origin = pictures.origin(frame_index)
    row: dict[str, Any] = {"iscrowd": 0}
    box = annotation.bbox_xyxy
    if annotation.rle_counts is not None:
        mask, area, found = _mask(annotation.rle_counts, pictures.shard, frame_index)
        row.update(segmentation=mask, area=area)
        row.update(_box(found, origin) if box is None and found else {}, bbox_xyxy=None)
    if box is not None:
        row.setdefault("area", (box[2] - box[0]) * (box[3] - box[1]))
        row.update(_box(box, origin), bbox_xyxy=list(box))
    if annotation.keypoints_xyv is not None:
        row.update(_keypoints(annotation.keypoints_xyv, origin))
    return row


def _provenance(annotation: Annotation) -> dict[str, Any]:
    """Keys beside COCO's; those that say nothing are left out."""
    row = {
        "track_id": annotation.track_id,
        "ambiguous": 1 if annotation.ambiguous else None,
        "provenance": annotation.provenance,
        "author": annotation.author,
        "generation": annotation.generation,
        "score": annotation.score,
        "confirmed_at": annotation.confirmed_at,
    }
    return {key: value for key, value in row.items() if value is not None}


def _mask(counts: str, shard: Shard, frame_index: int) -> tuple[dict[str, Any], float, Box | None]:
    if shard.scene is None:
        height, width = shard.height, shard.width
        area = float(decode(counts, height, width).sum())
        return {"size": [height, width], "counts": counts}, area, mask_box(counts, height, width)
    window = shard.scene.window(frame_index)
    area = float(decode(counts, window.height, window.width).sum())
    whole = paste(counts, window, shard.scene.height, shard.scene.width)
    size = [shard.scene.height, shard.scene.width]
    return {"size": size, "counts": whole}, area, mask_box(counts, window.height, window.width)


def _box(box: Box, origin: tuple[int, int]) -> dict[str, Any]:
    return {"bbox": [box[0] + origin[0], box[1] + origin[1], box[2] - box[0], box[3] - box[1]]}


def _keypoints(points: tuple[float, ...], origin: tuple[int, int]) -> dict[str, Any]:
    triples = list(zip(points[0::3], points[1::3], points[2::3], strict=True))
    moved = [value for x, y, v in triples for value in ((x + origin[0], y + origin[1], int(v)) if v else (x, y, 0))]
    return {"keypoints": moved, "num_keypoints": sum(v > 0 for _, _, v in triples), "keypoints_xyv": list(points)}


def _row(row: dict[str, Any], *, first: bool) -> str:
    """One row; a name that is not UTF-8, which older stores may have, is escaped as JSON escapes it."""
    text = json.dumps(row, allow_nan=False, ensure_ascii=False)
    return ("\n" if first else ",\n") + text.encode("utf-8", "backslashreplace").decode()
