"""Labels in COCO's JSON: read with every number checked, written in constant memory."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.data.annotations import Annotation, FrameLabels
from training.data.coco_document import Category, Picture, read_categories, read_document, read_pictures, whole_number
from training.data.coco_objects import ObjectReader
from training.data.coco_repeats import Repeats
from training.data.coco_writer import write_coco
from training.data.ontology import Ontology, TaskName
from training.data.shards import Shard
from training.errors import BadInput, NotCoco, UnknownClass, UnknownFrame

__all__ = ["CHANGES", "CocoLabels", "ontology_name", "read_coco", "write_coco"]

CHANGES = ("clipped", "repeated", "unplaced", "boxed", "unshaped")
"""What CocoLabels counts of what was not kept as it was said."""

_LONGEST_NAME = 200
_Found = dict[TaskName, dict[int, list[Annotation]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoLabels:
    """What a COCO file says about one shard.

    labels: per task, its ontology and every frame somebody looked at, by frame; a frame may have no annotation.
    clipped: boxes, polygons and keypoints that stuck out of their picture by at most one pixel and were cut at its edge.
    repeated: annotations that said again exactly what an earlier one had said of the same frame, and were left out.
    unplaced: objects of a scene whose centre lies in no tile; only grids with gaps have any.
    boxed: objects with keypoints and without a box, which got the one around their points (see keypoint_box).
    unshaped: objects with a box alone, where others have a mask or keypoints: ambiguous boxes to the tasks of those.
    """

    labels: dict[TaskName, tuple[Ontology, tuple[FrameLabels, ...]]]
    clipped: int = 0
    repeated: int = 0
    unplaced: int = 0
    boxed: int = 0
    unshaped: int = 0


def read_coco(path: str | Path, shard: Shard) -> CocoLabels:
    """Read the labels of one shard.

    Boxes become detection, masks (polygons or run lengths) segmentation, keypoints keypoints, and annotations of
    "level": "image" classification. `images` are the frames somebody looked at; without any annotation they are frames of
    detection with nothing in them. The picture of a scene is the whole scene: an object belongs to the tile that holds the
    centre of its box, which may stick out of the tile; a mask is divided among the tiles it touches. `iscrowd` counts as
    ambiguous. A file that `write_coco` wrote gives back its ontologies, provenance and exact boxes. docs/labels.md lists what
    is refused and what is converted.

    Raises:
        NotCoco: not JSON, a key missing or of the wrong kind, ids or frames that appear twice.
        UnknownFrame: an image of a frame the shard does not have, or an annotation of an image that does not exist.
        UnknownClass: an annotation of a category that is not in `categories`.
        BadAnnotation: NaN, no area, more than a pixel outside the picture, or a second label of one track on one frame.
        BadInput: the file cannot be read, or its pictures are not of the shard's size.
        Every message names the file, and the annotation's id where there is one.
    """
    path = Path(path)
    document = read_document(path)
    categories = read_categories(document["categories"], path)
    pictures = read_pictures(document["images"], shard, path)
    reader, repeats, repeated = ObjectReader(shard, _tasks(document["annotations"], pictures)), Repeats(), 0
    ids: set[int | str] = set()
    found: _Found = defaultdict(lambda: defaultdict(list))
    levels: dict[int, set[str]] = defaultdict(set)
    for position, row in enumerate(document["annotations"]):
        with _named(path, row, position):
            _check_id(row, ids)
            picture, category = _picture(row, pictures), _category(row, categories)
            if picture is None:
                continue
            levels[category.category_id].add(_level(row))
            said = list(reader.read(row, category, picture))
            new = [one for one in said if repeats.is_new(*one)]
            repeated += len(new) < len(said)
            for task, frame_index, annotation in new:
                found[task][frame_index].append(annotation)
    mine = [picture for picture in pictures.values() if picture is not None]
    ontologies = _ontologies(_concerned(categories.values(), levels, mine), levels, found, path)
    labels = {task: (ontology, _frames(shard, ontology, mine, found.get(task, {}))) for task, ontology in ontologies.items()}
    changed = {name: getattr(reader, name) for name in ("clipped", "unplaced", "boxed", "unshaped")}
    return CocoLabels(labels=labels, repeated=repeated, **changed)


def ontology_name(task: TaskName, classes: Iterable[str]) -> str:
    """'detection.car-dog': safe in paths and URLs; shortened with a hash of the classes when it has to change or is too long."""
    classes = tuple(classes)
    plain = f"{task}.{'-'.join(classes)}"
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", plain)
    if safe == plain and len(safe) <= _LONGEST_NAME:
        return safe
    digest = hashlib.sha256("\0".join(classes).encode()).hexdigest()[:8]
    return f"{safe[: _LONGEST_NAME - 9]}-{digest}"


@contextmanager
def _named(path: Path, row: Mapping[str, Any], position: int) -> Iterator[None]:
    """Put the file and the annotation's id in front of whatever is wrong with it."""
    try:
        yield
    except BadInput as error:
        name = row.get("id", f"at position {position}")
        raise type(error)(f"{path}: annotation {name}: {error}") from error


def _check_id(row: Mapping[str, Any], ids: set[int | str]) -> None:
    """COCO's ids are unique; a file without any is read too."""
    name = row.get("id")
    if not isinstance(name, int | str):
        return
    if name in ids:
        raise NotCoco("an id that another annotation has, needed each id once")
    ids.add(name)


def _picture(row: Mapping[str, Any], pictures: Mapping[int, Picture | None]) -> Picture | None:
    image_id = whole_number(row, "image_id", "annotation")
    if image_id not in pictures:
        raise UnknownFrame(f"image_id {image_id} is not in images")
    return pictures[image_id]


def _category(row: Mapping[str, Any], categories: Mapping[int, Category]) -> Category:
    category_id = whole_number(row, "category_id", "annotation")
    if category_id not in categories:
        known = ", ".join(f"{one.category_id} {one.name}" for one in list(categories.values())[:10])
        raise UnknownClass(f"category_id {category_id} is not in categories, needed one of {known}")
    return categories[category_id]


def _level(row: Mapping[str, Any]) -> str:
    return "image" if row.get("level") == "image" else "object"


def _tasks(rows: Iterable[Mapping[str, Any]], pictures: Mapping[int, Picture | None]) -> set[TaskName]:
    """What objects of this shard have beside boxes, if any of them has."""
    mine = {image_id for image_id, picture in pictures.items() if picture is not None}
    objects = [row for row in rows if _level(row) == "object" and row.get("image_id") in mine]
    tasks: tuple[TaskName, ...] = ("segmentation", "keypoints")
    return {task for task in tasks if any(row.get(task) for row in objects)}


def _concerned(categories: Iterable[Category], levels: Mapping[int, set[str]], pictures: Iterable[Picture]) -> list[Category]:
    """The categories that matter to this shard: a file of several shards may hold ontologies of others."""
    categories = list(categories)
    used = {category.ontology for category in categories if category.category_id in levels}
    used.update(name for picture in pictures for name in picture.looked_at or {})
    return [category for category in categories if category.ontology is None or category.ontology in used]


def _ontologies(
    categories: Iterable[Category], levels: Mapping[int, set[str]], found: _Found, path: Path
) -> dict[TaskName, Ontology]:
    """The ontology of each task that has labels.

    Classes are all categories, less those used only for whole pictures (or only for objects), so that the files of one data
    set agree whichever classes occur in each.
    """
    groups: dict[tuple[str | None, TaskName], list[Category]] = defaultdict(list)
    for category in categories:
        used = levels.get(category.category_id, {"image", "object"})
        for task in (category.task,) if category.task else tuple(found) or ("detection",):
            fits = category.task is not None or ("image" if task == "classification" else "object") in used
            if fits and (task != "keypoints" or category.keypoints):
                groups[category.ontology, task].append(category)
    ontologies: dict[TaskName, Ontology] = {}
    for (name, task), members in groups.items():
        if task in ontologies:
            raise BadInput(f"{path}: {task} labels of {ontologies[task].name} and of {name}, needed one ontology a task")
        ontologies[task] = _ontology(name, task, members, path)
    return ontologies


def _ontology(name: str | None, task: TaskName, members: list[Category], path: Path) -> Ontology:
    classes = tuple(category.name for category in members)
    keypoints, skeleton = (members[0].keypoints, members[0].skeleton) if task == "keypoints" else ((), ())
    for category in members if task == "keypoints" else ():
        if category.keypoints != keypoints:
            raise NotCoco(f"{path}: category {category.name!r} has other keypoints than {classes[0]!r}, needed the same for all")
    try:
        return Ontology(
            name=name or ontology_name(task, classes), task=task, classes=classes, keypoints=keypoints, skeleton=skeleton
        )
    except BadInput as error:
        raise NotCoco(f"{path}: {error}") from error


def _frames(
    shard: Shard, ontology: Ontology, pictures: Iterable[Picture], found: Mapping[int, list[Annotation]]
) -> tuple[FrameLabels, ...]:
    looked_at = set(found)
    for picture in pictures:
        whole = range(shard.num_frames) if picture.frame_index is None else [picture.frame_index]
        looked_at.update(whole if picture.looked_at is None else picture.looked_at.get(ontology.name, []))
    return tuple(
        FrameLabels(shard_id=shard.shard_id, frame_index=index, annotations=tuple(found.get(index, ())))
        for index in sorted(looked_at)
    )
