"""Every format by name: how it is read, how it is written, and what it holds."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from training.data.formats.cvat import write_cvat
from training.data.formats.cvat_reader import read_cvat
from training.data.formats.datumaro_json import read_datumaro, write_datumaro
from training.data.formats.holding import FEATURES
from training.data.formats.index_masks import check_davis, check_mots, read_davis, read_mots, write_davis, write_mots
from training.data.formats.labelme import read_labelme, write_labelme
from training.data.formats.mot import check_mot, read_mot, write_mot
from training.data.formats.records import Part, ReadLabels, Source
from training.data.formats.single_files import read_coco_labels, write_coco_file, write_geojson_file
from training.data.formats.voc import read_voc, write_voc
from training.data.formats.yolo import read_yolo, write_yolo

__all__ = ["FORMATS", "Format"]


class Format(NamedTuple):
    """One row of the table.

    reads: labels of one shard. writes: parts into a file or folder that is not there yet; returns the number of annotations.
    holds: of holding.FEATURES. places: where the labels of a shard are, below what the user names; '.' is that itself.
    suffix: of the files there. checks: what else cannot be held, said before anything is written.
    """

    reads: Callable[[Source], ReadLabels] | None
    writes: Callable[[Path, Iterable[Part]], int]
    holds: frozenset[str]
    places: tuple[str, ...] = ()
    suffix: str = ""
    is_folder: bool = True
    checks: Callable[[Part], None] = lambda _: None


_ALL = frozenset(FEATURES)
_FRAMED = _ALL - {"scenes", "provenance"}
_BOXES = frozenset({"boxes"})
_ON_A_MAP = frozenset({"boxes", "classes of whole frames", "tracks", "scores", "scenes", "control characters in names"})
_MASKS = frozenset({"masks", "tracks", "control characters in names"})

FORMATS: dict[str, Format] = {
    "coco": Format(read_coco_labels, write_coco_file, _ALL, ("{shard_id}.coco.json", "."), ".json", is_folder=False),
    "cvat": Format(
        read_cvat,
        write_cvat,
        _FRAMED - {"classes of whole frames", "control characters in names"},
        ("{shard_id}.xml", "annotations.xml", "."),
        ".xml",
    ),
    "datumaro": Format(
        read_datumaro,
        write_datumaro,
        _ALL - {"scenes"},
        ("annotations/{shard_id}.json", "annotations/default.json", "."),
        ".json",
    ),
    "davis": Format(
        read_davis,
        write_davis,
        _MASKS,
        ("Annotations/{shard_id}", "Annotations/480p/{shard_id}", "Annotations/Full-Resolution/{shard_id}", "{shard_id}", "."),
        ".png",
        checks=check_davis,
    ),
    "geojson": Format(None, write_geojson_file, _ON_A_MAP, is_folder=False),
    "labelme": Format(read_labelme, write_labelme, _FRAMED - {"boxes beside masks"}, ("{shard_id}", "."), ".json"),
    "mot": Format(
        read_mot,
        write_mot,
        _BOXES | {"tracks", "ambiguous"},
        ("{shard_id}/gt/gt.txt", "gt/gt.txt", "."),
        ".txt",
        checks=check_mot,
    ),
    "mots": Format(
        read_mots,
        write_mots,
        _MASKS - {"control characters in names"},
        ("instances/{shard_id}", "{shard_id}", "instances", "."),
        ".png",
        checks=check_mots,
    ),
    "voc": Format(
        read_voc, write_voc, _BOXES | {"ambiguous"}, ("Annotations/{shard_id}", "{shard_id}", "Annotations", "."), ".xml"
    ),
    "yolo": Format(
        read_yolo,
        write_yolo,
        _BOXES | {"keypoints", "control characters in names"},
        ("labels/{shard_id}", "{shard_id}", "labels", "."),
        ".txt",
    ),
}
