"""The box that an object gets when its labels are keypoints and no box."""

from collections.abc import Sequence

from training.errors import BadAnnotation

__all__ = ["MARGIN_SHARE", "MIN_MARGIN_SHARE", "box_around"]

MARGIN_SHARE = 0.15
MIN_MARGIN_SHARE = 0.02


def box_around(
    keypoints_xyv: Sequence[float], picture: tuple[float, float], frame: tuple[float, float]
) -> tuple[float, float, float, float]:
    """The rectangle around the placed points (v > 0), wider on every side, cut at the edge of the picture.

    By MARGIN_SHARE of its longer side, as animals and people reach beyond their joints, and at least MIN_MARGIN_SHARE of the
    frame's longer side, so that one point has a box too.

    Args:
        picture, frame: width and height in pixels; they differ for a tile of a scene.
    Raises:
        BadAnnotation: no point is placed.
    """
    placed = [(x, y) for x, y, v in zip(keypoints_xyv[0::3], keypoints_xyv[1::3], keypoints_xyv[2::3], strict=True) if v > 0]
    if not placed:
        raise BadAnnotation("keypoints of which none is placed (v > 0) and no box, needed one of them")
    (x1, y1), (x2, y2) = (tuple(map(pick, zip(*placed, strict=True))) for pick in (min, max))
    margin = max(MARGIN_SHARE * max(x2 - x1, y2 - y1), MIN_MARGIN_SHARE * max(frame))
    return max(0.0, x1 - margin), max(0.0, y1 - margin), min(picture[0], x2 + margin), min(picture[1], y2 + margin)
