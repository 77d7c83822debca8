"""What a person said in Label Studio, as annotations: pixels of the frame instead of percent."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from services.label_studio.binding import Binding
from services.label_studio.brush import unpack
from services.label_studio.regions import HIDDEN, proposal_of, regions
from services.label_studio.schemas import RegionIn
from training.data.annotations import Annotation
from training.data.rle import encode
from training.errors import BadAnnotation
from training.loop.review import alike

__all__ = ["Said", "said", "unmoved"]

SAME_SHAPE = 0.01  # how far the sides of a picture and of its frame may differ in their ratio
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Said:
    """Of one ontology.

    places: annotation -> generation and place of the proposal that it was. notes: what was changed on the way.
    """

    annotations: list[Annotation] = field(default_factory=list)
    places: dict[int, tuple[int, int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, one: Annotation, was: tuple[int, int] | None) -> None:
        if was is not None:
            self.places[len(self.annotations)] = was
        self.annotations.append(one)


def said(binding: Binding, shown: Sequence[RegionIn], size_wh: tuple[int, int], max_pixels: int) -> Said | None:
    """What the regions of a binding's controls say of a frame; None if nobody chose anything, which says nothing.

    Args:
        size_wh: of the frame; the picture that was shown may have been larger or smaller.
        max_pixels: of that picture, for a brush.
    Raises:
        BadAnnotation: a turned picture, a region without exactly one label, points that belong to no object or to two, a brush
            that is damaged or of a picture of another shape.
    """
    own = [one for one in shown if one.from_name in binding.controls]
    for one in own:
        if one.image_rotation:
            raise BadAnnotation(f"region {one.id}: on a picture turned by {one.image_rotation:g}°, needed it upright")
    found = Said()
    _READERS[binding.control.kind](binding, own, size_wh, max_pixels, found)
    return None if binding.control.kind == "choices" and not found.annotations else found


def unmoved(binding: Binding, drawn: Annotation, proposal: Annotation, size_wh: tuple[int, int]) -> Annotation:
    """`drawn`, or where it is just what was shown of the proposal, all of it: what is beyond the picture is not shown."""
    shown = [RegionIn.model_validate(one) for one in regions(binding, [proposal], size_wh, 0)]
    back = said(binding, shown, size_wh, size_wh[0] * size_wh[1])
    if back is None or len(back.annotations) != 1 or not alike(back.annotations[0], drawn):
        return drawn
    return replace(drawn, bbox_xyxy=proposal.bbox_xyxy, keypoints_xyv=proposal.keypoints_xyv)


def _read_choices(_: Binding, own: Sequence[RegionIn], __: tuple[int, int], ___: int, found: Said) -> None:
    for name in dict.fromkeys(name for one in own for name in one.value.choices):
        found.add(Annotation(class_name=name, level="image"), None)


def _read_boxes(binding: Binding, own: Sequence[RegionIn], size_wh: tuple[int, int], _: int, found: Said) -> None:
    for one in own:
        box = _box(one, size_wh, found.notes)
        found.add(Annotation(class_name=_label(one), bbox_xyxy=box), proposal_of(binding, one.id))


def _read_brushes(binding: Binding, own: Sequence[RegionIn], size_wh: tuple[int, int], max_pixels: int, found: Said) -> None:
    """All strokes of one class are one mask."""
    masks: dict[str, NDArray[np.bool_]] = {}
    was: dict[str, tuple[int, int] | None] = {}
    for one in own:
        name, mask_HW = _label(one), _mask(one, size_wh, max_pixels, found.notes)
        masks[name] = masks[name] | mask_HW if name in masks else mask_HW
        was[name] = was.get(name) or proposal_of(binding, one.id)
    for name, mask_HW in masks.items():
        if mask_HW.any():
            found.add(Annotation(class_name=name, rle_counts=encode(mask_HW)), was[name])
        else:
            found.notes.append(f"{name}: a brush without a pixel, left out")


def _read_points(binding: Binding, own: Sequence[RegionIn], size_wh: tuple[int, int], _: int, found: Said) -> None:
    boxes = {one.id: one for one in own if one.from_name != binding.control.name}
    points: dict[str, list[RegionIn]] = {name: [] for name in boxes}
    for one in own:
        if one.id not in boxes:
            points.setdefault(_parent(binding, one, boxes), []).append(one)
    for name, some in points.items():
        box = boxes.get(name)
        first = some[0].id if some else ""
        found.add(
            Annotation(
                class_name=binding.ontology.classes[0] if box is None else _label(box),
                bbox_xyxy=None if box is None else _box(box, size_wh, found.notes),
                keypoints_xyv=tuple(_flat(binding, some, size_wh)),
            ),
            proposal_of(binding, first if box is None else box.id),
        )


_READERS = {
    "choices": _read_choices,
    "rectanglelabels": _read_boxes,
    "brushlabels": _read_brushes,
    "keypointlabels": _read_points,
}


def _parent(binding: Binding, point: RegionIn, boxes: Mapping[str, RegionIn]) -> str:
    """The rectangle that a point was put under, or else the only one there is; '' where objects have no rectangles."""
    if binding.boxes is None:
        return ""
    if point.parent_id in boxes:
        return str(point.parent_id)
    if len(boxes) == 1:
        return next(iter(boxes))
    raise BadAnnotation(f"point {point.id} ({_label(point)}): under none of {len(boxes)} rectangles, needed it under one")


def _flat(binding: Binding, points: Sequence[RegionIn], size_wh: tuple[int, int]) -> Iterator[float]:
    named = {_label(one): one for one in points}
    strangers = sorted(set(named) - set(binding.ontology.keypoints))
    if strangers or len(named) < len(points):
        what = repr(strangers[0]) if strangers else "one point twice"
        raise BadAnnotation(f"an object with {what}, needed each of {', '.join(binding.ontology.keypoints)} at most once")
    for name in binding.ontology.keypoints:
        if (one := named.get(name)) is None:
            yield from (0.0, 0.0, 0.0)
        else:
            yield from (one.value.x * size_wh[0] / 100, one.value.y * size_wh[1] / 100, 1.0 if HIDDEN in one.notes else 2.0)


def _label(one: RegionIn) -> str:
    if len(one.value.labels) != 1:
        raise BadAnnotation(f"region {one.id}: {len(one.value.labels)} labels, needed one")
    return one.value.labels[0]


def _box(one: RegionIn, size_wh: tuple[int, int], notes: list[str]) -> Box:
    """Label Studio turns a rectangle round its top left corner; what is turned becomes the upright box around it."""
    value, (width, height) = one.value, size_wh
    x, y, w, h = value.x * width / 100, value.y * height / 100, value.width * width / 100, value.height * height / 100
    if value.rotation % 360 == 0:
        return x, y, x + w, y + h
    notes.append(f"region {one.id}: turned by {value.rotation:g}°, kept as the upright box around it")
    angle = np.deg2rad(value.rotation)
    xs = [x, x + w * np.cos(angle), x - h * np.sin(angle), x + w * np.cos(angle) - h * np.sin(angle)]
    ys = [y, y + w * np.sin(angle), y + h * np.cos(angle), y + w * np.sin(angle) + h * np.cos(angle)]
    return (
        float(max(min(xs), 0.0)),
        float(max(min(ys), 0.0)),
        float(min(max(xs), width)),
        float(min(max(ys), height)),
    )


def _mask(one: RegionIn, size_wh: tuple[int, int], max_pixels: int, notes: list[str]) -> NDArray[np.bool_]:
    """(H, W) of the frame; a picture of another size is brought to it by its nearest pixels."""
    there, (width, height) = (one.original_width, one.original_height), size_wh
    if min(there) < 1 or there[0] * there[1] > max_pixels:
        raise BadAnnotation(f"region {one.id}: a brush on a picture of {there[0]}x{there[1]}, needed 1 to {max_pixels} pixels")
    if abs(there[0] * height / (there[1] * width) - 1) > SAME_SHAPE:
        raise BadAnnotation(f"region {one.id}: a brush on a picture of {there[0]}x{there[1]}, the frame has {width}x{height}")
    mask_HW = unpack(one.value.rle, *there)
    if there == size_wh:
        return mask_HW
    notes.append(f"region {one.id}: drawn at {there[0]}x{there[1]}, kept at {width}x{height}")
    rows, columns = ((np.arange(n) * 2 + 1) * m // (2 * n) for n, m in ((height, there[1]), (width, there[0])))
    resized: NDArray[np.bool_] = mask_HW[np.ix_(rows, columns)]
    return resized
