"""From a path to a shard, and from a shard to its frames, whatever it is made of."""

import hashlib
import os
import re
from pathlib import Path
from typing import Final

from training.data.frames import FrameSource
from training.data.geotiff import GEO_SUFFIXES
from training.data.images import ImageFrames, probe_images, refuse_other_than_utf8
from training.data.pictures import PICTURE_SUFFIXES
from training.data.scene import SceneFrames, probe_scene
from training.data.shards import Shard, ShardKind
from training.data.video import VideoFrames, probe_video
from training.errors import BadInput, BadPicture, BadVideo, UnsupportedInput

__all__ = ["SCENE_SUFFIXES", "VIDEO_SUFFIXES", "absolute", "kind_of", "open_frames", "probe", "shard_id_of"]

# fmt: off
VIDEO_SUFFIXES: Final = frozenset({
    ".3gp", ".asf", ".avi", ".flv", ".gif", ".h264", ".hevc", ".ivf", ".m2ts", ".m4v", ".mkv",
    ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".webm", ".wmv",
})
# fmt: on
SCENE_SUFFIXES: Final = PICTURE_SUFFIXES | GEO_SUFFIXES

_CHUNK_BYTES = 1 << 20


def probe(
    path: str | Path,
    *,
    shard_id: str | None = None,
    tile: int = 512,
    stride: int | None = None,
    bands: tuple[int, ...] | None = None,
    threads: int = 1,
) -> Shard:
    """Look at a video, a folder of pictures or a scene and describe it as a shard; everything in it that can be broken is tried.

    Args:
        shard_id: by default the file's name without its suffix, made safe for paths and URLs.
        tile, stride: how a scene is cut.
        bands: which bands of a scene are red, green and blue, from 1; a single one is repeated.
        threads: video decoder threads.
    Raises:
        UnsupportedInput: none of these kinds of source.
        BadInput: missing, cannot be used, a path that is not UTF-8, or bands of something else than a scene; names the file,
            what was found and needed.
        BadVideo, BadPicture, MissingExtra: subclasses of BadInput, see probe_video, probe_images and probe_scene.
    """
    source = absolute(path)
    refuse_other_than_utf8(source)
    kind, name = kind_of(source), shard_id_of(source) if shard_id is None else shard_id
    if bands is not None and kind != "scene":
        found = "a video" if kind == "video" else "a folder of pictures"
        raise BadInput(f"{source}: {found}, needed a scene to choose bands of")
    if kind == "images":
        return probe_images(str(source), shard_id=name)
    content_hash = _hash_of(source, kind)
    if kind == "video":
        return probe_video(str(source), shard_id=name, content_hash=content_hash, threads=threads)
    return probe_scene(str(source), shard_id=name, content_hash=content_hash, tile=tile, stride=stride, bands=bands)


def open_frames(shard: Shard, *, threads: int = 1) -> FrameSource:
    """The frames of a shard; `with open_frames(shard) as frames: for frame in frames.read([3, 7])`.

    threads: video decoder threads; the calling process decides its budget.
    """
    if shard.kind == "video":
        return VideoFrames(shard, threads=threads)
    return ImageFrames(shard) if shard.kind == "images" else SceneFrames(shard)


def absolute(path: str | Path) -> Path:
    """The one absolute spelling of a path, without '..'; links are kept, their names are what people know."""
    return Path(os.path.normpath(Path(path).absolute()))


def kind_of(path: str | Path) -> ShardKind:
    """What a path is, told by its being a folder or by its suffix in any case.

    Raises:
        BadInput: nothing is there, or the system does not let it be looked at.
        UnsupportedInput: a file with another suffix.
    """
    source = Path(path)
    try:
        if source.is_dir():
            return "images"
        reason = None if source.exists() else "no such file or folder"
    except OSError as error:
        reason = error.strerror
    if reason is not None:
        raise BadInput(f"{source}: {reason}, needed a video, a folder of pictures or a scene")
    suffix = source.suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return "video"
    if suffix in SCENE_SUFFIXES:
        return "scene"
    known = " ".join(sorted(VIDEO_SUFFIXES | SCENE_SUFFIXES))
    raise UnsupportedInput(f"{source}: suffix {suffix!r}, needed a folder of pictures or a file of {known}")


def shard_id_of(path: str | Path) -> str:
    """The name of a source, made safe for paths and URLs; 8 hex digits of a hash tell changed names apart."""
    source = Path(path)
    name = source.name if source.is_dir() else source.stem
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip("._-")[:180]
    if safe == name:
        return name
    return f"{safe or 'shard'}-{hashlib.sha256(name.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"


def _hash_of(path: Path, kind: ShardKind) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        unreadable = BadVideo if kind == "video" else BadPicture
        raise unreadable(f"{path}: {error.strerror}, needed a {kind} that can be read") from error
    return f"sha256:{digest.hexdigest()}"
