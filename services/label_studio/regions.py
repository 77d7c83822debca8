"""What micro-models say, as Label Studio's regions: percent of the picture instead of pixels."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from services.label_studio.binding import Binding
from services.label_studio.brush import pack
from services.label_studio.config import Control
from training.data.annotations import Annotation
from training.data.rle import decode

__all__ = ["HIDDEN", "proposal_of", "region_id", "regions"]

HIDDEN = "hidden"  # in a region's notes: Label Studio has no word for a point that something covers
POINT_WIDTH = 0.75  # percent; how large a point is drawn
Region = dict[str, Any]
_NUMBER = re.compile("[0-9]{1,9}")


def regions(binding: Binding, said: Iterable[Annotation], size_wh: tuple[int, int], generation: int) -> list[Region]:
    """Regions of one picture, each with its score; the place of an annotation and its generation are in the region's id.

    Where no rectangles hold points together, the object with the best score is all that is shown.
    """
    known = list(enumerate(said))
    kind = binding.control.kind
    if kind == "choices":
        return _choices(binding, [one for _, one in known], size_wh, region_id(binding, generation, 0))
    if kind == "keypointlabels" and binding.boxes is None:
        known = sorted(known, key=lambda pair: -(pair[1].score or 0.0))[:1]
    drawn = (_drawn(binding, one, size_wh, region_id(binding, generation, place)) for place, one in known)
    return [region for some in drawn for region in some]


def region_id(binding: Binding, generation: int, place: int) -> str:
    """By which a region that comes back is known again."""
    return f"mm-{_digest(binding)}-{generation}-{place}"


def proposal_of(binding: Binding, name: str) -> tuple[int, int] | None:
    """Generation and place in the id of a region, if it was made for this ontology."""
    parts = name.split("-")
    if parts[:2] != ["mm", _digest(binding)] or len(parts) < 4 or not all(_NUMBER.fullmatch(one) for one in parts[2:4]):
        return None
    return int(parts[2]), int(parts[3])


def _digest(binding: Binding) -> str:
    return hashlib.sha256(binding.ontology.name.encode()).hexdigest()[:8]


def _choices(binding: Binding, said: Sequence[Annotation], size_wh: tuple[int, int], name: str) -> list[Region]:
    if not said:
        return []
    score = max(one.score or 0.0 for one in said)
    value = {"choices": [one.class_name for one in said]}
    return [{**_head(binding.control, size_wh), "id": name, "score": score, "value": value}]


def _drawn(binding: Binding, one: Annotation, size_wh: tuple[int, int], name: str) -> Iterator[Region]:
    control = binding.control
    scored = {"id": name, "score": one.score or 0.0}
    if control.kind == "rectanglelabels":
        yield from _rectangle(control, one, size_wh, scored)
    elif control.kind == "brushlabels" and one.rle_counts is not None:
        value = {"format": "rle", "rle": pack(decode(one.rle_counts, size_wh[1], size_wh[0])), "brushlabels": [one.class_name]}
        yield {**_head(control, size_wh), **scored, "value": value}
    elif control.kind == "keypointlabels":
        box = [] if binding.boxes is None else list(_rectangle(binding.boxes, one, size_wh, scored))
        yield from box
        yield from _points(binding, one, size_wh, scored, {"parentID": name} if box else {})


def _rectangle(control: Control, one: Annotation, size_wh: tuple[int, int], scored: Region) -> Iterator[Region]:
    """Cut at the edge of the picture: Label Studio has nothing beyond it."""
    if one.bbox_xyxy is None:
        return
    x1, y1, x2, y2 = (min(max(100 * pixels / size_wh[n % 2], 0.0), 100.0) for n, pixels in enumerate(one.bbox_xyxy))
    if x2 > x1 and y2 > y1:
        corner = {"x": x1, "y": y1, "width": x2 - x1, "height": y2 - y1, "rotation": 0}
        yield {**_head(control, size_wh), **scored, "value": {**corner, control.kind: [one.class_name]}}


def _points(binding: Binding, one: Annotation, size_wh: tuple[int, int], scored: Region, parent: Region) -> Iterator[Region]:
    flat = one.keypoints_xyv or ()
    for number, (name, x, y, v) in enumerate(zip(binding.ontology.keypoints, flat[0::3], flat[1::3], flat[2::3], strict=True)):
        if v:
            place = {"x": _percent(x, size_wh[0]), "y": _percent(y, size_wh[1]), "width": POINT_WIDTH}
            region = {**_head(binding.control, size_wh), **scored, **parent, "id": f"{scored['id']}-{number}"}
            yield {**region, "value": {**place, "keypointlabels": [name]}, **({"meta": {"text": [HIDDEN]}} if v == 1 else {})}


def _percent(pixels: float, length: int) -> float:
    return min(max(100 * pixels / length, 0.0), 100.0)


def _head(control: Control, size_wh: tuple[int, int]) -> Region:
    return {
        "from_name": control.name,
        "to_name": control.to_name,
        "type": control.kind,
        "original_width": size_wh[0],
        "original_height": size_wh[1],
        "image_rotation": 0,
    }
