"""How a stored picture is turned to stand upright, from the display matrix a phone or camera wrote beside it."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["IDENTITY", "Turn", "turn_from_matrix", "upright", "upright_size"]

# (transposed, rows reversed, columns reversed), applied in that order
Turn = tuple[bool, bool, bool]
IDENTITY: Final[Turn] = (False, False, False)


def turn_from_matrix(matrix: bytes | None) -> Turn:
    """The nearest of the eight upright orientations to a 3x3 display matrix of nine native int32.

    The matrix maps stored (x, y) to shown (a*x + c*y, b*x + d*y); its rows are (a, b, u), (c, d, v), (x, y, w).
    None, or a matrix that is all zero, means the picture already stands upright.
    """
    if matrix is None or len(matrix) < 36:
        return IDENTITY
    a, b, _, c, d = (int(value) for value in np.frombuffer(matrix, np.int32)[:5])
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return (False, d < 0, a < 0)
    return (True, b < 0, c < 0)


def upright(image_HW3: NDArray[np.uint8], turn: Turn) -> NDArray[np.uint8]:
    """The picture turned upright, contiguous; the same array when there is nothing to turn."""
    if turn == IDENTITY:
        return image_HW3
    transposed, rows_reversed, columns_reversed = turn
    turned = image_HW3.transpose(1, 0, 2) if transposed else image_HW3
    return np.ascontiguousarray(turned[:: -1 if rows_reversed else 1, :: -1 if columns_reversed else 1])


def upright_size(width: int, height: int, turn: Turn) -> tuple[int, int]:
    """Width and height in pixels after turning."""
    return (height, width) if turn[0] else (width, height)
