"""CVAT for video 1.1: one XML file a shard, one <track> an object with a shape a frame; read and written as a stream.

<shard_id>.xml. Every shape is followed by its end (`outside`), so that CVAT does not interpolate where nobody did. Attributes
`track_id`, `score`, `ambiguous` and `bbox` are declared in <meta>, where <looked_at> says which frames somebody looked at.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import XMLGenerator

import numpy as np

from training.data.annotations import Annotation
from training.data.formats.looked_at import text_of_frames
from training.data.formats.records import Part
from training.data.formats.vocabulary import first_ontology, write_vocabulary
from training.data.ontology import Ontology
from training.data.rle import decode, mask_box
from training.data.shards import Shard
from training.errors import BadAnnotation

__all__ = ["write_cvat"]

_ATTRIBUTES = ("track_id", "score", "ambiguous", "bbox")


class _Seen(NamedTuple):
    frame_index: int
    annotation: Annotation


def write_cvat(out: Path, parts: Iterable[Part]) -> int:
    """Write a folder of XML files and return how many annotations they hold; one shard is in memory at a time."""
    ontology, rest = first_ontology("cvat", parts)
    out.mkdir()
    write_vocabulary(out, ontology)
    num_annotations = 0
    for shard, _, labels in rest:
        looked_at: list[int] = []
        tracks: dict[object, list[_Seen]] = defaultdict(list)
        for frame in labels:
            looked_at.append(frame.frame_index)
            for position, annotation in enumerate(frame.annotations):
                named = annotation.class_name, annotation.track_id
                seen = tracks[named if annotation.track_id is not None else (frame.frame_index, position)]
                if seen and seen[-1].frame_index == frame.frame_index:  # one track twice in a frame: a track of its own
                    seen = tracks[*named, frame.frame_index, position]
                seen.append(_Seen(frame.frame_index, annotation))
                num_annotations += 1
        with out.joinpath(f"{shard.shard_id}.xml").open("w", encoding="utf-8") as stream:
            xml = _Xml(stream)
            xml.startDocument()
            with xml.inside("annotations"):
                xml.text("version", "1.1")
                _write_meta(xml, shard, ontology, looked_at)
                for number, seen in enumerate(tracks.values()):
                    _write_track(xml, number, seen, shard, ontology)
            xml.endDocument()
    return num_annotations


class _Inside:
    def __init__(self, xml: "_Xml", name: str) -> None:
        self._xml, self._name = xml, name

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        self._xml.endElement(self._name)
        self._xml.ignorableWhitespace("\n")


class _Xml(XMLGenerator):
    """An XML writer with elements as `with` blocks."""

    def __init__(self, stream: object) -> None:
        super().__init__(stream, encoding="utf-8", short_empty_elements=True)  # type: ignore[arg-type]

    def inside(self, name: str, /, **attributes: object) -> _Inside:
        self.startElement(name, {key: str(value) for key, value in attributes.items()})  # type: ignore[arg-type]
        return _Inside(self, name)

    def text(self, name: str, text: str, /, **attributes: object) -> None:
        with self.inside(name, **attributes):
            self.characters(text)


def _write_meta(xml: _Xml, shard: Shard, ontology: Ontology, looked_at: list[int]) -> None:
    with xml.inside("meta"):
        with xml.inside("task"):
            xml.text("name", shard.shard_id)
            xml.text("size", str(shard.num_frames))
            xml.text("mode", "interpolation")
            xml.text("start_frame", "0")
            xml.text("stop_frame", str(shard.num_frames - 1))
            with xml.inside("labels"):
                for name in ontology.classes:
                    _write_label(xml, name, "skeleton" if ontology.keypoints else "any", _ATTRIBUTES, None)
                    for keypoint in ontology.keypoints:
                        _write_label(xml, keypoint, "points", (), name)
            with xml.inside("original_size"):
                xml.text("width", str(shard.width))
                xml.text("height", str(shard.height))
        xml.text("looked_at", text_of_frames(looked_at))


def _write_label(xml: _Xml, name: str, kind: str, attributes: Sequence[str], parent: str | None) -> None:
    with xml.inside("label"):
        xml.text("name", name)
        xml.text("type", kind)
        with xml.inside("attributes"):
            for attribute in attributes:
                with xml.inside("attribute"):
                    xml.text("name", attribute)
                    xml.text("mutable", "True")
                    xml.text("input_type", "text")
                    xml.text("default_value", "")
                    xml.text("values", "")
        if parent is not None:
            xml.text("parent", parent)


def _write_track(xml: _Xml, number: int, seen: Sequence[_Seen], shard: Shard, ontology: Ontology) -> None:
    with xml.inside("track", id=number, label=seen[0].annotation.class_name, source="manual"):
        for position, (frame_index, annotation) in enumerate(seen):
            _write_shape(xml, frame_index, annotation, shard, ontology, outside=False)
            following = seen[position + 1].frame_index if position + 1 < len(seen) else shard.num_frames
            if following > frame_index + 1:
                _write_shape(xml, frame_index + 1, annotation, shard, ontology, outside=True)


def _write_shape(xml: _Xml, frame_index: int, annotation: Annotation, shard: Shard, ontology: Ontology, *, outside: bool) -> None:
    at = {"frame": frame_index, "keyframe": 1, "z_order": 0}
    state = {"outside": int(outside), "occluded": 0}
    box, points = annotation.bbox_xyxy, annotation.keypoints_xyv
    if points is not None:
        with xml.inside("skeleton", **at):
            triples = zip(ontology.keypoints, points[0::3], points[1::3], points[2::3], strict=True)
            for name, x, y, v in triples:
                hidden = {"outside": int(outside or v == 0), "occluded": int(v == 1)}
                with xml.inside("points", label=name, keyframe=1, points=f"{x!r},{y!r}", **hidden):
                    pass
            _write_attributes(xml, annotation, "" if box is None else " ".join(map(repr, box)))
    elif annotation.rle_counts is not None:
        around, runs = _runs(annotation.rle_counts, shard)
        size = {"left": around[0], "top": around[1], "width": around[2] - around[0], "height": around[3] - around[1]}
        with xml.inside("mask", **at, **state, rle=", ".join(map(str, runs)), **size):
            exact = box is None or tuple(map(float, around)) == box
            _write_attributes(xml, annotation, "" if exact or box is None else " ".join(map(repr, box)))
    else:
        assert box is not None
        corners = dict(zip(("xtl", "ytl", "xbr", "ybr"), map(repr, box), strict=True))
        with xml.inside("box", **at, **state, **corners):
            _write_attributes(xml, annotation, "")


def _write_attributes(xml: _Xml, annotation: Annotation, bbox: str) -> None:
    score = "" if annotation.score is None else repr(annotation.score)
    for name, value in zip(
        _ATTRIBUTES, (annotation.track_id or "", score, "true" if annotation.ambiguous else "", bbox), strict=True
    ):
        if value or name == "track_id":  # an empty track_id says that this object had none
            xml.text("attribute", value, name=name)


def _runs(counts: str, shard: Shard) -> tuple[tuple[int, int, int, int], list[int]]:
    """The xyxy box around a mask, and its runs along the rows of that box, first the zeros, as CVAT has them."""
    found = mask_box(counts, shard.height, shard.width)
    if found is None:
        raise BadAnnotation(f"{shard.shard_id}: a mask without area, needed at least one pixel")
    x1, y1, x2, y2 = (int(value) for value in found)
    flat = decode(counts, shard.height, shard.width)[y1:y2, x1:x2].ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate([[0], edges, [len(flat)]])).tolist()
    return (x1, y1, x2, y2), ([0, *runs] if flat[0] else runs)
