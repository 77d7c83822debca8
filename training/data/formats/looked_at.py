"""Frames that somebody looked at, as a short text, for formats that only list objects: '0-3 17'."""

from collections.abc import Iterable

from training.errors import BadInput

__all__ = ["frames_from_text", "text_of_frames"]


def text_of_frames(frames: Iterable[int]) -> str:
    """'0-3 17' of 0, 1, 2, 3, 17."""
    runs: list[list[int]] = []
    for index in sorted(frames):
        if runs and index <= runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return " ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def frames_from_text(text: str, num_frames: int, where: str) -> list[int]:
    """The inverse; a frame beyond `num_frames` is kept once, so that it can be refused by its number.

    Raises:
        BadInput: the text is none of ours.
    """
    frames: list[int] = []
    for word in text.split():
        first, _, last = word.partition("-")
        if not first.isdecimal() or (last and not last.isdecimal()):
            raise BadInput(f"{where}: looked_at {word!r}, needed frames like 0-3 17")
        frames.extend(range(int(first), min(int(last or first), num_frames) + 1))
    return frames
