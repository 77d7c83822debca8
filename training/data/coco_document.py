"""The outer shape of a COCO file: its categories and pictures, checked."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from training.data.images import pictures_in
from training.data.ontology import TaskName
from training.data.shards import Shard
from training.errors import BadInput, NotCoco, UnknownFrame

__all__ = ["Category", "Picture", "read_categories", "read_document", "read_pictures", "whole_number"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """One entry of `categories`; skeleton holds 0-based pairs. ontology and task are set in files this software wrote."""

    category_id: int
    name: str
    keypoints: tuple[str, ...]
    skeleton: tuple[tuple[int, int], ...]
    ontology: str | None
    task: TaskName | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One entry of `images`.

    frame_index: None for the one picture that is a whole scene.
    looked_at: frames somebody looked at, by ontology, in files this software wrote; None when every ontology was.
    """

    image_id: int
    frame_index: int | None
    width: int
    height: int
    looked_at: dict[str, list[int]] | None


def read_document(path: Path) -> dict[str, Any]:
    """Raises NotCoco when it is not JSON or a top-level key is missing, BadInput when it cannot be read."""
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}, needed a readable labels file") from error
    except (ValueError, RecursionError) as error:
        raise NotCoco(f"{path}: not JSON ({error}), needed a COCO labels file") from error
    if not isinstance(document, dict):
        raise NotCoco(f"{path}: a JSON {type(document).__name__}, needed an object with images, annotations and categories")
    for key in ("images", "annotations", "categories"):
        rows = document.get(key)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            found = "no key" if key not in document else "something else than a list of objects under"
            raise NotCoco(f"{path}: {found} {key!r}, needed COCO's images, annotations and categories")
    return document


def read_categories(rows: Iterable[Mapping[str, Any]], path: Path) -> dict[int, Category]:
    """Raises NotCoco for a missing or repeated id, a missing name, two spellings of one, or malformed keypoints and skeletons."""
    found: dict[int, Category] = {}
    for row in rows:
        category_id = whole_number(row, "id", f"{path}: category {row.get('name')!r}")
        where = f"{path}: category {category_id}"
        if category_id in found:
            raise NotCoco(f"{where} appears twice, needed each id once")
        if not isinstance(row.get("name"), str) or not row["name"].strip():
            raise NotCoco(f"{where}: name {row.get('name')!r}, needed a text")
        found[category_id] = Category(
            category_id=category_id,
            name=row["name"],
            keypoints=_keypoint_names(row, where),
            skeleton=_skeleton(row, where),
            **_ours(row, where),
        )
    _refuse_spellings(found.values(), path)
    if not found:
        raise NotCoco(f"{path}: no categories, needed at least one")
    return found


def read_pictures(rows: Iterable[Mapping[str, Any]], shard: Shard, path: Path) -> dict[int, Picture | None]:
    """Pictures by image id; None for those that a file of several shards says are another shard's.

    Raises:
        NotCoco: an id or a frame that appears twice, or no frame number where one is needed.
        UnknownFrame: a frame the shard does not have, or no picture of this shard at all.
        BadInput: a picture whose size is not the shard's.
    """
    found: dict[int, Picture | None] = {}
    image_of_frame: dict[int | None, int] = {}
    names = _frame_of_name(shard, path) if shard.kind == "images" else {}
    for row in rows:
        image_id = whole_number(row, "id", f"{path}: image {row.get('file_name')!r}")
        if image_id in found:
            raise NotCoco(f"{path}: image id {image_id} appears twice, needed each id once")
        if row.get("shard_id", shard.shard_id) != shard.shard_id:
            found[image_id] = None
            continue
        picture = _picture(row, image_id, shard, names, f"{path}: image {image_id}")
        found[image_id] = picture
        other = image_of_frame.setdefault(picture.frame_index, image_id)
        if other != image_id:
            what = "the whole scene" if picture.frame_index is None else f"frame {picture.frame_index}"
            raise NotCoco(f"{path}: images {other} and {image_id} are both {what}, needed one image a frame")
    if not any(found.values()):
        raise UnknownFrame(f"{path}: no image of {shard.shard_id} among {len(found)}, needed at least one")
    return found


def whole_number(row: Mapping[str, Any], key: str, where: str) -> int:
    """The integer under `key`; raises NotCoco naming `where` if it is missing or is none."""
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, int):
        raise NotCoco(f"{where}: {key} is {value!r}, needed a whole number" if key in row else f"{where}: no key {key!r}")
    return value


def _picture(row: Mapping[str, Any], image_id: int, shard: Shard, names: Mapping[str, int], where: str) -> Picture:
    needed = (shard.scene.width, shard.scene.height) if shard.scene else (shard.width, shard.height)
    size = (row.get("width", needed[0]), row.get("height", needed[1]))
    if size != needed:
        raise BadInput(f"{where}: {size[0]}x{size[1]}, needed {needed[0]}x{needed[1]} like {shard.shard_id}")
    frame_index = None if shard.scene else _frame_index(row, shard, names, where)
    return Picture(
        image_id=image_id, frame_index=frame_index, width=needed[0], height=needed[1], looked_at=_looked_at(row, shard, where)
    )


def _frame_index(row: Mapping[str, Any], shard: Shard, names: Mapping[str, int], where: str) -> int:
    if "frame_index" not in row and shard.kind == "images":
        name = str(row.get("file_name")).replace("\\", "/").rsplit("/", 1)[-1]
        if name not in names:
            raise UnknownFrame(f"{where}: file_name {row.get('file_name')!r}, needed a picture of {shard.uri}")
        return names[name]
    index = whole_number(row, "frame_index", where)
    if not 0 <= index < shard.num_frames:
        raise UnknownFrame(f"{where}: frame_index {index}, needed 0..{shard.num_frames - 1} of {shard.shard_id}")
    return index


def _frame_of_name(shard: Shard, path: Path) -> dict[str, int]:
    if not Path(shard.uri).is_dir():
        raise BadInput(f"{path}: {shard.uri} is no folder, needed its pictures to match file names with")
    pictures = pictures_in(shard.uri)[shard.first_frame :][: shard.num_frames]
    return {picture.name: index for index, picture in enumerate(pictures)}


def _looked_at(row: Mapping[str, Any], shard: Shard, where: str) -> dict[str, list[int]] | None:
    looked_at = row.get("looked_at")
    if looked_at is None:
        return None
    if not isinstance(looked_at, dict) or not all(isinstance(frames, list) for frames in looked_at.values()):
        raise NotCoco(f"{where}: looked_at {str(looked_at)[:60]}, needed lists of frames by ontology")
    for index in (index for frames in looked_at.values() for index in frames):
        if not isinstance(index, int) or not 0 <= index < shard.num_frames:
            raise UnknownFrame(f"{where}: looked_at frame {index!r}, needed 0..{shard.num_frames - 1} of {shard.shard_id}")
    return looked_at


def _ours(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The ontology and task that this software writes beside a category; both or neither."""
    if "ontology" not in row or "task" not in row:
        return {"ontology": None, "task": None}
    if not isinstance(row["ontology"], str) or row["task"] not in get_args(TaskName):
        raise NotCoco(
            f"{where}: ontology {row['ontology']!r} and task {row['task']!r}, needed a name and one of {get_args(TaskName)}"
        )
    return {"ontology": row["ontology"], "task": row["task"]}


def _refuse_spellings(categories: Iterable[Category], path: Path) -> None:
    """'Dog' beside 'dog' is a slip that would be learned as two classes; ontologies of ours are taken at their word."""
    first: dict[str, Category] = {}
    for category in (one for one in categories if one.ontology is None):
        other = first.setdefault(" ".join(category.name.casefold().split()), category)
        if other.name != category.name:
            raise NotCoco(
                f"{path}: category {category.category_id}: name {category.name!r} differs from category {other.category_id} "
                f"{other.name!r} in case or spaces only, needed one spelling"
            )


def _keypoint_names(row: Mapping[str, Any], where: str) -> tuple[str, ...]:
    names = row.get("keypoints") or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise NotCoco(f"{where}: keypoints {str(names)[:60]}, needed a list of names")
    return tuple(names)


def _skeleton(row: Mapping[str, Any], where: str) -> tuple[tuple[int, int], ...]:
    bones = row.get("skeleton") or []
    ends = range(1, len(row.get("keypoints") or []) + 1)
    if not isinstance(bones, list) or not all(isinstance(bone, list) and len(bone) == 2 for bone in bones):
        raise NotCoco(f"{where}: skeleton {str(bones)[:60]}, needed pairs of keypoint numbers")
    for bone in bones:
        if not all(isinstance(end, int) and end in ends for end in bone):
            raise NotCoco(f"{where}: bone {bone}, needed keypoint numbers 1..{len(ends)}")
    return tuple((a - 1, b - 1) for a, b in bones)
