"""Frames of a folder of pictures, in natural order of their names: frame2.png comes before frame10.png."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from training.data.frames import Frame
from training.data.pictures import PICTURE_SUFFIXES, decode_picture, read_picture_file
from training.data.shards import Shard
from training.data.wanted import wanted_frames
from training.errors import BadInput, BadPicture

__all__ = ["ImageFrames", "pictures_in", "probe_images", "refuse_other_than_utf8"]

_IGNORED_SUFFIXES = frozenset({".csv", ".json", ".md", ".txt", ".xml", ".yaml", ".yml"})
_IGNORED_NAMES = frozenset({"Thumbs.db", "desktop.ini"})


class ImageFrames:
    """The frames of one folder of pictures; frame n is the n-th file, one decoded picture is held at a time."""

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self._paths: list[Path] = []  # listed once, however often it is read

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None

    def read(self, frame_indices: Iterable[int] | None = None) -> Iterator[Frame]:
        """Yield the frames asked for (all by default) in increasing order, each once.

        Raises:
            UnknownFrame: an index outside 0..num_frames-1; raised at once.
            BadInput: the folder is away or cannot be read, or no longer holds as many pictures as when it was added.
            BadPicture: a picture that cannot be read or decoded, or has another size; names the file and the frame.
        """
        return self._read(wanted_frames(self.shard, frame_indices))

    def _read(self, wanted: Sequence[int]) -> Iterator[Frame]:
        shard = self.shard
        paths = self._paths or pictures_in(shard.uri)[shard.first_frame :]
        if len(paths) < shard.num_frames or (shard.first_frame == 0 and len(paths) != shard.num_frames):
            raise BadInput(f"{shard.uri}: {len(paths)} pictures, needed the {shard.num_frames} that were added")
        self._paths = paths
        for index in wanted:
            name = f"{paths[index]} (frame {index})"
            image_HW3 = decode_picture(read_picture_file(paths[index], name=name), name=name)
            height, width = image_HW3.shape[:2]
            if (width, height) != (shard.width, shard.height):
                raise BadPicture(f"{name}: {width}x{height}, needed {shard.width}x{shard.height}")
            yield Frame(shard_id=shard.shard_id, frame_index=index, image_HW3=image_HW3)


def pictures_in(directory: str | Path) -> list[Path]:
    """The pictures of a folder in natural order of their names.

    Hidden files and texts beside the pictures (.csv .json .md .txt .xml .yaml, Thumbs.db, desktop.ini) are no frames
    and are passed over. Anything else, folders too, is refused rather than dropped.
    Raises:
        BadInput: the folder is away or cannot be read, no pictures, or something that is neither picture nor text.
    """
    try:
        found = _pictures_in(Path(directory))
    except OSError as error:
        raise BadInput(f"{directory}: {error.strerror}, needed a folder of pictures that can be read") from error
    if not found:
        raise BadInput(f"{directory}: no pictures, needed files of {' '.join(sorted(PICTURE_SUFFIXES))}")
    return found


def _pictures_in(directory: Path) -> list[Path]:
    found: list[Path] = []
    for path in sorted(directory.iterdir(), key=_natural):
        if path.name.startswith(".") or path.name in _IGNORED_NAMES or path.suffix.lower() in _IGNORED_SUFFIXES:
            continue
        if path.is_dir() or path.suffix.lower() not in PICTURE_SUFFIXES:
            raise BadInput(f"{path}: found among pictures, needed only {' '.join(sorted(PICTURE_SUFFIXES))} there")
        found.append(path)
    return found


def probe_images(directory: str, *, shard_id: str) -> Shard:
    """Decode every picture once and describe the folder as one shard; the hash is over names and bytes.

    Raises:
        BadInput: the folder cannot be read, no pictures, one whose name is not UTF-8, or one whose size (upright) differs
            from the size most of them share; names it.
        BadPicture: a picture that cannot be read or decoded.
    """
    digest = hashlib.sha256()
    sizes: dict[Path, tuple[int, int]] = {}
    for path in pictures_in(directory):
        refuse_other_than_utf8(path)
        data = read_picture_file(path, name=str(path))
        digest.update(f"{path.name}\0{len(data)}\0".encode())
        digest.update(data)
        height, width = decode_picture(data, name=str(path)).shape[:2]
        sizes[path] = (width, height)
    width, height = _shared_size(sizes)
    return Shard(
        shard_id=shard_id,
        uri=str(directory),
        kind="images",
        num_frames=len(sizes),
        width=width,
        height=height,
        content_hash=f"sha256:{digest.hexdigest()}",
    )


def refuse_other_than_utf8(path: Path) -> None:
    """A store and most formats of labels are UTF-8, and cannot hold a name that is not.

    Raises:
        BadInput: a path that is not UTF-8; shows the bytes that are not as \\udcNN.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        shown = str(path).encode("utf-8", "backslashreplace").decode()
        raise BadInput(f"{shown}: a name that is not UTF-8, needed one that is; rename it") from error


def _shared_size(sizes: dict[Path, tuple[int, int]]) -> tuple[int, int]:
    usual = Counter(sizes.values()).most_common(1)[0][0]
    for path, size in sizes.items():
        if size != usual:
            raise BadInput(f"{path}: {size[0]}x{size[1]}, needed {usual[0]}x{usual[1]} like the other pictures of the folder")
    return usual


def _natural(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts], path.name
