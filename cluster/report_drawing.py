"""A frame with its labels as one inline SVG: the picture as JPEG inside; boxes, masks and points as lines that stay sharp."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray
from PIL import Image

from cluster.report_outline import outline
from training.data.annotations import Annotation
from training.data.ontology import Ontology
from training.data.pictures import encode_jpeg
from training.data.rle import cut, decode, mask_box
from training.data.shards import Window

__all__ = ["MAX_SIDE", "NUM_COLOURS", "Chip", "Picture", "draw_svg", "frame_classes", "resized"]

MAX_SIDE: Final = 4096  # pixels of the longer side of a picture in the page: some MB; a JPEG has 65,500 at most
NUM_COLOURS = 12  # classes of the style sheet: c0, c1, …; more classes than that share colours
_THICK, _THIN = 2.8, 1.0  # pixels of the screen, whatever the size of the frame
_DOT, _SMALL_DOT = 5.0, 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One frame to show.

    image_HW3: uint8 RGB.  frame_wh: pixels of the frame that the labels are of, where image_HW3 is a smaller copy of it.
    truth: drawn thin.  machine: drawn thick, in the colour of the class, with its score.
    by_hand: a person labelled this frame, and the micro-model was fitted on it.
    ontology: names the points and has the bones between them.
    """

    image_HW3: NDArray[np.uint8]
    truth: Sequence[Annotation] = ()
    machine: Sequence[Annotation] = ()
    caption: str = ""
    by_hand: bool = False
    ontology: Ontology | None = None
    frame_wh: tuple[int, int] | None = None

    @property
    def size_wh(self) -> tuple[int, int]:
        """Pixels of the frame that the labels are of."""
        height, width = self.image_HW3.shape[:2]
        return self.frame_wh or (width, height)


@dataclass(frozen=True, slots=True)
class Chip:
    """A class of the whole frame, to be written under it."""

    text: str
    css: str


def draw_svg(picture: Picture, classes: Sequence[str]) -> Markup:
    """The picture with its boxes, masks and points; a mouse over one of them shows its class and score.

    A picture with a side beyond MAX_SIDE is shrunk; lines are drawn in the frame's own pixels all the same.
    classes: the order that gives each class its colour.
    Raises:
        BadAnnotation: a mask that is not of the picture's size.
    """
    width, height = picture.size_wh
    jpeg = base64.b64encode(encode_jpeg(_small_enough(picture.image_HW3))).decode("ascii")
    machine = [_drawn(one, picture, f"machine {_colour(one, classes)}", _THICK) for one in picture.machine]
    truth = [_drawn(one, picture, "truth", _THIN) for one in picture.truth]
    return Markup(
        '<svg viewBox="0 0 {0} {1}" preserveAspectRatio="xMidYMid slice" role="img" aria-label="{2}">'
        '<image width="{0}" height="{1}" preserveAspectRatio="none" href="data:image/jpeg;base64,{3}"/>{4}</svg>'
    ).format(width, height, picture.caption, jpeg, Markup("").join([*machine, *truth]))


def resized(image_HW3: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """The picture in so many pixels, each the mean of those it stands for; the same array where that is its size."""
    if image_HW3.shape[:2] == (height, width):
        return image_HW3
    return np.asarray(Image.fromarray(image_HW3).resize((width, height), Image.Resampling.BOX))


def frame_classes(picture: Picture, classes: Sequence[str]) -> list[Chip]:
    """What is said about the frame as a whole: the machine's classes, then the true ones."""
    machine = [Chip(_said(one), _colour(one, classes)) for one in picture.machine if one.level == "image"]
    return [*machine, *(Chip(f"truth: {one.class_name}", "truth") for one in picture.truth if one.level == "image")]


def _colour(one: Annotation, classes: Sequence[str]) -> str:
    return f"c{classes.index(one.class_name) % NUM_COLOURS}"


def _said(one: Annotation) -> str:
    return one.class_name if one.score is None else f"{one.class_name} {one.score:.2f}"


def _drawn(one: Annotation, picture: Picture, css: str, line: float) -> Markup:
    """A mask says all that its box says; points stand in a box."""
    if one.rle_counts is not None:
        return _mask(one, one.rle_counts, picture, css, line)
    return _rectangle(one, css, line if one.keypoints_xyv is None else line / 2) + _points(one, picture.ontology, css, line)


def _rectangle(one: Annotation, css: str, line: float) -> Markup:
    if one.bbox_xyxy is None:
        return Markup("")
    x1, y1, x2, y2 = one.bbox_xyxy
    place = f'x="{x1:.1f}" y="{y1:.1f}" width="{x2 - x1:.1f}" height="{y2 - y1:.1f}"'
    return Markup(f'<rect class="{css}" stroke-width="{line}" {place}><title>{escape(_said(one))}</title></rect>')


def _small_enough(image_HW3: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = image_HW3.shape[:2]
    longer = max(width, height, MAX_SIDE)
    return resized(image_HW3, max(1, width * MAX_SIDE // longer), max(1, height * MAX_SIDE // longer))


def _mask(one: Annotation, counts: str, picture: Picture, css: str, line: float) -> Markup:
    """Only the part of the frame that the mask is in is decoded: of a large scene all of it would not fit in memory."""
    width, height = picture.size_wh
    x1, y1, x2, y2 = (int(value) for value in mask_box(counts, height, width) or (0, 0, 1, 1))
    part = cut(counts, height, width, Window(column=x1, row=y1, width=x2 - x1, height=y2 - y1))
    path = outline(decode(part, y2 - y1, x2 - x1), left=x1, top=y1)
    return Markup(f'<path class="mask {css}" stroke-width="{line / 2}" d="{path}"><title>{escape(_said(one))}</title></path>')


def _points(one: Annotation, ontology: Ontology | None, css: str, line: float) -> Markup:
    """Bones, then dots over them; a dot is a line without length, whose round ends are as large on every screen."""
    values = one.keypoints_xyv or ()
    points = list(zip(values[0::3], values[1::3], values[2::3], strict=True))
    names = ontology.keypoints if ontology and ontology.keypoints else tuple(str(number) for number in range(len(points)))
    size = _DOT if line == _THICK else _SMALL_DOT
    bones = [
        f'<path class="bone {css}" stroke-width="{line / 2}" d="M{_at(points[a])}L{_at(points[b])}"/>'
        for a, b in (ontology.skeleton if ontology else ())
        if points and points[a][2] and points[b][2]
    ]
    dots = [
        f'<path class="dot {css}{" hidden" if v == 1 else ""}" stroke-width="{size}" d="M{_at((x, y, v))}h0">'
        f"<title>{escape(name)}</title></path>"
        for name, (x, y, v) in zip(names, points, strict=True)
        if v
    ]
    return Markup("".join([*bones, *dots]))


def _at(point: tuple[float, float, float]) -> str:
    return f"{point[0]:.1f} {point[1]:.1f}"
