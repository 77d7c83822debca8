"""Left and right: which name a point has in a mirrored picture."""

from collections.abc import Sequence

__all__ = ["mirrored_order"]


def mirrored_order(names: Sequence[str]) -> list[int]:
    """Where each point's name goes in a mirrored picture: left and right change places, others stay."""
    return [names.index(other) if (other := _other_side(name)) in names else names.index(name) for name in names]


def _other_side(name: str) -> str:
    swaps = (("left", "right"), ("Left", "Right"), ("LEFT", "RIGHT"))
    for left, right in swaps:
        if left in name:
            return name.replace(left, right)
        if right in name:
            return name.replace(right, left)
    for index, letter in enumerate(name):
        if letter in "LR" and (index == 0 or not name[index - 1].isupper()) and not name[index + 1 : index + 2].islower():
            return f"{name[:index]}{'R' if letter == 'L' else 'L'}{name[index + 1 :]}"
    return name
