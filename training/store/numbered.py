"""Objects named 0001, 0002, … in one folder: appended by exclusive create, never rewritten."""

from training.errors import AlreadyExists
from training.store.objects import ObjectStore

__all__ = ["append", "newest", "numbered_key", "numbers"]


def numbered_key(folder: str, number: int, suffix: str) -> str:
    return f"{folder}{number:04d}{suffix}"


def numbers(objects: ObjectStore, folder: str, suffix: str) -> list[int]:
    """Numbers taken in `folder` (which ends in '/'), sorted; reads no object."""
    names = (name.removesuffix(suffix) for name in objects.children(folder) if name.endswith(suffix))
    return sorted(int(name) for name in names if name.isdecimal())


def newest(objects: ObjectStore, folder: str, suffix: str) -> int:
    """The highest number that is taken, 0 if none is."""
    return max(numbers(objects, folder, suffix), default=0)


def append(objects: ObjectStore, folder: str, suffix: str, data: bytes) -> int:
    """Commit `data` under the next free number, which is returned; a race is lost by moving on.

    Raises:
        StoreFull: no room; nothing is visible.
    """
    number = 1 + newest(objects, folder, suffix)
    while True:
        try:
            objects.create(numbered_key(folder, number, suffix), data)
        except AlreadyExists:
            number += 1
        else:
            return number
