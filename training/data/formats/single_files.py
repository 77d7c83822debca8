"""Formats of one file that hold any number of shards, or one scene: COCO and GeoJSON, as entries of the table."""

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from training.data.coco import CHANGES, read_coco, write_coco
from training.data.coco_document import read_document
from training.data.formats.records import Part, ReadLabels, Source
from training.data.geojson import write_geojson
from training.errors import BadInput

__all__ = ["coco_shards", "read_coco_labels", "write_coco_file", "write_geojson_file"]


def write_coco_file(out: Path, parts: Iterable[Part]) -> int:
    with out.open("w", encoding="utf-8") as stream:
        return write_coco(stream, parts)


def read_coco_labels(source: Source) -> ReadLabels:
    found = read_coco(source.place, source.shard)
    counts = {name: getattr(found, name) for name in CHANGES}
    return ReadLabels(labels=found.labels, **counts)


def write_geojson_file(out: Path, parts: Iterable[Part]) -> int:
    """Raises BadInput for more than one shard and ontology."""
    rest = iter(parts)
    first = next(rest)
    if next(rest, None) is not None:
        raise BadInput("geojson: more than one shard and ontology, needed one (name a SHARD and an --ontology)")
    with out.open("w", encoding="utf-8") as stream:
        return write_geojson(stream, *first)


def coco_shards(path: Path) -> frozenset[str]:
    """The shards that a COCO file names; none in files of other programs. Raises NotCoco, BadInput."""
    return _named(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _named(path: Path, changed_ns: int) -> frozenset[str]:
    return frozenset(str(row["shard_id"]) for row in read_document(path)["images"] if "shard_id" in row)
