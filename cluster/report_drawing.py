"""A frame with its labels as one inline SVG: the picture as JPEG inside, the boxes as lines that stay sharp."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from training.data.annotations import Annotation
from training.data.pictures import encode_jpeg

__all__ = ["NUM_COLOURS", "Picture", "draw_svg"]

NUM_COLOURS = 6  # classes of the style sheet: c0, c1, …; more classes than that share colours
_THICK, _THIN = 2.8, 1.0  # pixels of the screen, whatever the size of the frame


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One frame to show.

    image_HW3: uint8 RGB.  truth: drawn thin.  machine: drawn thick, in the colour of the class, with its score.
    by_hand: a person labelled this frame, and the micro-model was fitted on it.
    """

    image_HW3: NDArray[np.uint8]
    truth: Sequence[Annotation] = ()
    machine: Sequence[Annotation] = ()
    caption: str = ""
    by_hand: bool = False


def draw_svg(picture: Picture, classes: Sequence[str]) -> Markup:
    """The picture with its boxes; a mouse over a box shows its class and score.

    classes: the order that gives each class its colour.
    """
    height, width = picture.image_HW3.shape[:2]
    jpeg = base64.b64encode(encode_jpeg(picture.image_HW3)).decode("ascii")
    machine = [_rectangle(one, f"machine c{classes.index(one.class_name) % NUM_COLOURS}", _THICK) for one in picture.machine]
    truth = [_rectangle(one, "truth", _THIN) for one in picture.truth]
    return Markup(
        '<svg viewBox="0 0 {0} {1}" preserveAspectRatio="xMidYMid slice" role="img" aria-label="{2}">'
        '<image width="{0}" height="{1}" href="data:image/jpeg;base64,{3}"/>{4}</svg>'
    ).format(width, height, picture.caption, jpeg, Markup("").join([*machine, *truth]))


def _rectangle(one: Annotation, css: str, line: float) -> Markup:
    if one.bbox_xyxy is None:
        return Markup("")
    x1, y1, x2, y2 = one.bbox_xyxy
    said = escape(one.class_name if one.score is None else f"{one.class_name} {one.score:.2f}")
    place = f'x="{x1:.1f}" y="{y1:.1f}" width="{x2 - x1:.1f}" height="{y2 - y1:.1f}"'
    return Markup(f'<rect class="{css}" stroke-width="{line}" {place}><title>{said}</title></rect>')
