"""A folder of labelled data: NAME.mp4, NAME.png, NAME.tif or a folder NAME/, each with NAME.coco.json beside it."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from training.data.geotiff import GEO_SUFFIXES
from training.data.images import pictures_in
from training.data.pictures import PICTURE_SUFFIXES
from training.data.sources import SCENE_SUFFIXES, VIDEO_SUFFIXES, absolute, kind_of, shard_id_of
from training.errors import BadInput, DuplicateShard

__all__ = ["LABELS_SUFFIX", "SourceWithLabels", "labelled_folder", "left_over"]

LABELS_SUFFIX = ".coco.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceWithLabels:
    """One source to add, and the COCO file beside it, if there is one; both absolute."""

    shard_id: str
    path: Path
    labels: Path | None


def labelled_folder(directory: str | Path) -> list[SourceWithLabels]:
    """What a path holds, sorted by shard id, each source with its labels; other files are told by `left_over`.

    A single video or scene, and a folder that holds nothing but pictures, are one source: their labels, if any, lie beside them.
    Raises:
        BadInput: nothing is there, it cannot be read, nothing to add, or labels without the picture or video they are about;
            names them.
        DuplicateShard: two sources of one name.
        UnsupportedInput: a single file that is neither video nor scene.
    """
    root = absolute(directory)
    kind = kind_of(root)
    with _readable(root):
        return _in_folder(root) if kind == "images" else [_with_labels(root)]


def left_over(directory: str | Path) -> list[Path]:
    """The files and folders that `labelled_folder` makes no use of, hidden ones aside, so that they can be reported.

    Raises:
        BadInput: it cannot be read.
    """
    root = absolute(directory)
    with _readable(root):
        entries = _entries(root) if root.is_dir() else []
        if _is_one_folder_of_pictures(entries):
            return [path for path in entries if path.suffix.lower() not in PICTURE_SUFFIXES]
        labels = _labels_of(entries)
        return [path for path in entries if not _is_source(path) and path not in labels]


@contextmanager
def _readable(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BadInput(f"{error.filename or root}: {error.strerror}, needed files and folders that can be read") from error


def _in_folder(root: Path) -> list[SourceWithLabels]:
    entries = _entries(root)
    if _is_one_folder_of_pictures(entries):
        pictures_in(root)
        return [_with_labels(root)]
    sources = [_with_labels(path) for path in entries if _is_source(path)]
    _refuse_repeated(sources)
    orphans = sorted(_labels_of(entries) - {source.labels for source in sources})
    if orphans:
        raise BadInput(f"{orphans[0]}: no video, picture or folder {_base(orphans[0])!r} beside it, needed what it labels")
    if not sources:
        raise BadInput(f"{root}: nothing to add, needed videos, scenes or folders of pictures")
    return sorted(sources, key=lambda source: source.shard_id)


def _entries(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _labels_of(entries: Iterable[Path]) -> set[Path]:
    return {path for path in entries if path.name.endswith(LABELS_SUFFIX) and path.is_file()}


def _is_one_folder_of_pictures(entries: list[Path]) -> bool:
    """Pictures without videos, folders or labels among them are frames; GeoTIFFs alone are scenes."""
    suffixes = {path.suffix.lower() for path in entries if path.is_file()}
    mixed = suffixes & VIDEO_SUFFIXES or _labels_of(entries) or any(_is_source(path) for path in entries if path.is_dir())
    return bool(suffixes & (PICTURE_SUFFIXES - GEO_SUFFIXES)) and not mixed


def _is_source(path: Path) -> bool:
    if path.is_dir():
        return any(inside.suffix.lower() in PICTURE_SUFFIXES for inside in path.iterdir() if not inside.name.startswith("."))
    return path.suffix.lower() in VIDEO_SUFFIXES | SCENE_SUFFIXES


def _with_labels(path: Path) -> SourceWithLabels:
    name = path.name if path.is_dir() else path.stem
    labels = path.parent / f"{name}{LABELS_SUFFIX}"
    return SourceWithLabels(shard_id=shard_id_of(path), path=path, labels=labels if labels.is_file() else None)


def _refuse_repeated(sources: list[SourceWithLabels]) -> None:
    seen: dict[str, Path] = {}
    for source in sources:
        if source.shard_id in seen:
            raise DuplicateShard(
                f"{source.path} and {seen[source.shard_id]}: both are {source.shard_id!r}, needed different names"
            )
        seen[source.shard_id] = source.path


def _base(labels: Path) -> str:
    return labels.name.removesuffix(LABELS_SUFFIX)
