"""Formats that only datumaro reads (KITTI, Open Images, Cityscapes, …): its library, in the extra 'formats', as our reader."""

from functools import lru_cache
from typing import Any

from training.data.formats.datumaro_json import annotations_of
from training.data.formats.frame_names import frame_finder
from training.data.formats.records import Found, ReadLabels, Source
from training.data.rle import encode
from training.errors import BadInput, MissingExtra

__all__ = ["read_with_datumaro"]


def read_with_datumaro(name: str, source: Source) -> ReadLabels:
    """Read the labels of one shard from a data set of any format datumaro imports; all of it is in memory.

    Items are matched by the last part of their id, as files are; where ids have folders, one must be the shard's.
    Raises:
        MissingExtra: datumaro is not installed.
        BadInput: it has no such format, or cannot read this.
        BadAnnotation, UnknownFrame: see `annotations_of` and `frame_finder`.
    """
    dataset, labels, points = _opened(name, str(source.root))
    found = Found(source)
    if source.vocabulary is None:
        found.classes = list(labels)
        found.keypoints, found.skeleton = list(points[0]), points[1]
    find = frame_finder(source.shard)
    for item in dataset:
        folders = [*str(item.id).replace("\\", "/").split("/"), item.subset]
        if len(folders) > 2 and source.shard.shard_id not in folders:
            continue
        where = f"{source.root} item {item.id}"
        frame_index = find(folders[-2], where)
        found.look(frame_index, where)
        rows = [_row(one, where) for one in item.annotations]
        for annotation in annotations_of(rows, list(labels), found, where):
            found.say(frame_index, annotation, where)
    return found.result()


@lru_cache(maxsize=1)
def _opened(name: str, root: str) -> tuple[Any, tuple[str, ...], tuple[tuple[str, ...], tuple[tuple[int, int], ...]]]:
    try:
        from datumaro.components.annotation import AnnotationType
        from datumaro.components.dataset import Dataset
        from datumaro.components.environment import Environment
    except ImportError as error:
        raise MissingExtra(f"format {name}: needs datumaro, install the extra 'formats'") from error
    if name not in Environment().importers:
        raise BadInput(f"format {name!r}: neither ours nor datumaro's")
    try:
        dataset = Dataset.import_from(root, name)
        dataset.init_cache()
    except Exception as error:  # datumaro's plugins raise whatever comes
        raise BadInput(f"{root}: datumaro cannot read it as {name} ({' '.join(str(error).split())[:200]})") from error
    categories = dataset.categories()
    labels = tuple(one.name for one in categories[AnnotationType.label]) if AnnotationType.label in categories else ()
    items = list(categories[AnnotationType.points].items.values()) if AnnotationType.points in categories else []
    joints = tuple((int(a) - 1, int(b) - 1) for a, b in items[0].joints) if items else ()
    return dataset, labels, (tuple(items[0].labels) if items else (), joints)


def _row(annotation: Any, where: str) -> dict[str, Any]:
    kind = annotation.type.name
    row = {"type": kind, "label_id": getattr(annotation, "label", None), "group": annotation.group}
    row["attributes"] = {key: value for key, value in annotation.attributes.items() if key == "track_id"}
    if kind == "bbox":
        return {**row, "bbox": annotation.get_bbox()}
    if kind == "mask":
        mask_HW = annotation.image
        return {**row, "rle": {"counts": encode(mask_HW), "size": list(mask_HW.shape)}}
    if kind in ("polygon", "points"):
        row["points"] = list(annotation.points)
    if kind == "points":
        row["visibility"] = [int(one.value) for one in annotation.visibility]
    return row
