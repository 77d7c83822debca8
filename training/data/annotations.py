"""One class, box, mask or set of keypoints on a frame, with its provenance; and their Arrow schema.

Boxes are xyxy in pixels of the upright frame, continuous coordinates (a pixel covers [x, x+1)).
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import pyarrow as pa

from training.errors import BadAnnotation

__all__ = [
    "ANNOTATION_SCHEMA",
    "Annotation",
    "FrameLabels",
    "Provenance",
    "annotation_from_row",
    "labels_from_table",
    "labels_hash",
    "labels_to_table",
]

Provenance = Literal["human", "model", "interpolation", "imported"]
Box = tuple[float, float, float, float]

ANNOTATION_SCHEMA = pa.schema(
    [
        pa.field("shard_id", pa.string(), nullable=False),
        pa.field("frame_index", pa.int64(), nullable=False),
        # 'object', 'image' (a class for the whole frame) or 'empty' (looked at, nothing there)
        pa.field("level", pa.string(), nullable=False),
        pa.field("class_name", pa.string()),
        pa.field("bbox_xyxy", pa.list_(pa.float64())),
        pa.field("rle_counts", pa.string()),  # COCO compressed RLE, of the frame's height and width
        pa.field("keypoints_xyv", pa.list_(pa.float64())),  # x, y, visibility, in the ontology's order
        pa.field("track_id", pa.string()),
        pa.field("ambiguous", pa.bool_()),
        pa.field("provenance", pa.string()),
        pa.field("author", pa.string()),
        pa.field("generation", pa.int64()),
        pa.field("score", pa.float64()),
        pa.field("confirmed_at", pa.string()),  # ISO 8601, UTC
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """One thing said about one frame.

    bbox_xyxy: pixels, x2 > x1 and y2 > y1; None for a class of the whole frame (level 'image') only.
    rle_counts: COCO compressed run lengths over the whole frame.
    keypoints_xyv: flat x, y, v triples; v is 0 not labelled, 1 hidden, 2 visible.
    score: 0..1 for machine labels, None for people's.
    Raises:
        BadAnnotation: NaN or infinite numbers, a box without area, keypoints not in triples.
    """

    class_name: str
    level: Literal["object", "image"] = "object"
    bbox_xyxy: Box | None = None
    rle_counts: str | None = None
    keypoints_xyv: tuple[float, ...] | None = None
    track_id: str | None = None
    ambiguous: bool = False
    provenance: Provenance = "human"
    author: str | None = None
    generation: int | None = None
    score: float | None = None
    confirmed_at: str | None = None

    def __post_init__(self) -> None:
        if self.provenance not in get_args(Provenance):
            raise BadAnnotation(f"provenance {self.provenance!r}, needed one of {', '.join(get_args(Provenance))}")
        numbers = (*(self.bbox_xyxy or ()), *(self.keypoints_xyv or ()), *(() if self.score is None else (self.score,)))
        if not all(math.isfinite(number) for number in numbers):
            raise BadAnnotation(f"{self.class_name}: {numbers} holds NaN or infinity, needed finite numbers")
        if self.bbox_xyxy is not None:
            x1, y1, x2, y2 = self.bbox_xyxy
            if x2 <= x1 or y2 <= y1:
                raise BadAnnotation(f"{self.class_name}: box {self.bbox_xyxy} has no area, needed x2 > x1 and y2 > y1")
        if len(self.keypoints_xyv or ()) % 3:
            raise BadAnnotation(f"{self.class_name}: {len(self.keypoints_xyv or ())} keypoint numbers, needed x, y, v triples")

    @property
    def drawn(self) -> bool:
        """Whether somebody said exactly where it is; what a machine drew and a person let stand is only near enough."""
        return self.provenance in ("human", "imported")


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameLabels:
    """Everything said about one frame; no annotations means somebody looked and nothing was there."""

    shard_id: str
    frame_index: int
    annotations: tuple[Annotation, ...] = field(default=())


def labels_to_table(labels: Iterable[FrameLabels]) -> pa.Table:
    """Rows of ANNOTATION_SCHEMA; a frame without annotations becomes one row of level 'empty'."""
    rows: list[dict[str, Any]] = []
    for frame in labels:
        where = {"shard_id": frame.shard_id, "frame_index": frame.frame_index}
        if not frame.annotations:
            rows.append({**where, "level": "empty"})
        rows.extend({**where, **_row(annotation)} for annotation in frame.annotations)
    return pa.Table.from_pylist(rows, schema=ANNOTATION_SCHEMA)


def labels_from_table(table: pa.Table) -> list[FrameLabels]:
    """The inverse of labels_to_table, sorted by shard and frame."""
    found: dict[tuple[str, int], list[Annotation]] = defaultdict(list)
    for row in table.to_pylist():
        annotations = found[row["shard_id"], row["frame_index"]]
        if row["level"] != "empty":
            annotations.append(annotation_from_row(row))
    return [
        FrameLabels(shard_id=shard_id, frame_index=index, annotations=tuple(annotations))
        for (shard_id, index), annotations in sorted(found.items())
    ]


def labels_hash(labels: Sequence[FrameLabels]) -> str:
    """'sha256:…' of what was said (not of who said it or when), whatever the order it comes in."""
    digest = hashlib.sha256()
    for frame in sorted(labels, key=lambda frame: (frame.shard_id, frame.frame_index)):
        digest.update(f"{frame.shard_id}\x1f{frame.frame_index}\x1e".encode())
        for said in sorted(repr(_said(annotation)) for annotation in frame.annotations):
            digest.update(f"{said}\x1e".encode())
    return f"sha256:{digest.hexdigest()}"


def _said(annotation: Annotation) -> tuple[Any, ...]:
    a = annotation
    return (a.level, a.class_name, a.bbox_xyxy, a.rle_counts, a.keypoints_xyv, a.ambiguous)


def _row(annotation: Annotation) -> dict[str, Any]:
    return {name: getattr(annotation, name) for name in ANNOTATION_SCHEMA.names if name not in ("shard_id", "frame_index")}


def annotation_from_row(row: Mapping[str, Any]) -> Annotation:
    """Of a row of ANNOTATION_SCHEMA, whatever else it has."""
    box, keypoints = row["bbox_xyxy"], row["keypoints_xyv"]
    return Annotation(
        class_name=row["class_name"],
        level=row["level"],
        bbox_xyxy=None if box is None else tuple(box),
        rle_counts=row["rle_counts"],
        keypoints_xyv=None if keypoints is None else tuple(keypoints),
        track_id=row["track_id"],
        ambiguous=bool(row["ambiguous"]),
        provenance=row["provenance"],
        author=row["author"],
        generation=row["generation"],
        score=row["score"],
        confirmed_at=row["confirmed_at"],
    )
