"""A scene's labels on the map: GeoJSON (RFC 7946), with the original coordinates beside longitude and latitude."""

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Any, TextIO

from training.data.annotations import Annotation, FrameLabels
from training.data.ontology import Ontology
from training.data.rle import mask_box
from training.data.shards import SceneGrid, Shard
from training.errors import BadInput, MissingExtra, UnknownFrame

__all__ = ["to_lonlat", "write_geojson"]

_DECIMALS = 7  # about a centimetre, as RFC 7946 recommends
Ring = list[list[float]]
Geometry = dict[str, Any]


def write_geojson(out: TextIO, shard: Shard, ontology: Ontology, labels: Iterable[FrameLabels]) -> int:
    """Write one feature for each box, set of keypoints (their points) or image-level tile; returns how many.

    Geometry is in longitude and latitude (WGS 84, 7 decimals), outer rings counter-clockwise. Properties hold class, score and
    provenance, frame_index, `proj:epsg` (null when the CRS has no code, then `proj:wkt2`) and `proj:geometry` in that CRS.
    Annotations that only have a mask are drawn as the box around it. Features are written as they come.

    Raises:
        BadInput: the shard is no scene, or has no CRS or transform.
        MissingExtra: rasterio is not installed.
        UnknownFrame: labels of another shard or of a tile it does not have.
    """
    grid = _georeferenced(shard)
    to_lonlat, crs = _projection(shard, grid)
    num_features = 0
    out.write('{"type": "FeatureCollection", "features": [')
    for frame_index, annotation in _annotations(shard, labels):
        native = _geometry(annotation, grid, frame_index)
        feature = {
            "type": "Feature",
            "geometry": _counter_clockwise(to_lonlat(native)),
            "properties": {**_properties(shard, ontology, frame_index, annotation), **crs, "proj:geometry": native},
        }
        out.write(("" if num_features == 0 else ",") + "\n" + json.dumps(feature, allow_nan=False, ensure_ascii=False))
        num_features += 1
    out.write("\n]}\n")
    return num_features


def to_lonlat(shard: Shard, grid: SceneGrid) -> Callable[[Geometry], Geometry]:
    """A function from geometries in the scene's own CRS to longitude and latitude.

    Raises:
        BadInput: the CRS is not understood.
        MissingExtra: rasterio is not installed.
    """
    return _projection(shard, grid)[0]


def _georeferenced(shard: Shard) -> SceneGrid:
    if shard.scene is None:
        raise BadInput(f"{shard.shard_id}: {shard.kind}, needed a georeferenced scene for GeoJSON")
    if shard.scene.crs is None or shard.scene.transform is None:
        raise BadInput(f"{shard.shard_id}: {shard.uri} has no coordinate reference system, needed one for GeoJSON")
    return shard.scene


def _projection(shard: Shard, grid: SceneGrid) -> tuple[Callable[[Geometry], Geometry], dict[str, Any]]:
    """A function to longitude and latitude, and the properties that name the original CRS."""
    try:
        from rasterio.crs import CRS
        from rasterio.errors import CRSError
        from rasterio.warp import transform_geom
    except ImportError as error:
        raise MissingExtra(f"{shard.shard_id}: a place on Earth needs rasterio, install the extra 'geo'") from error
    try:
        crs = CRS.from_user_input(grid.crs)
    except (CRSError, ValueError) as error:
        raise BadInput(
            f"{shard.shard_id}: coordinate reference system {str(grid.crs)[:60]!r} is not understood ({error})"
        ) from error
    epsg = crs.to_epsg()
    named = {"proj:epsg": epsg} if epsg is not None else {"proj:epsg": None, "proj:wkt2": crs.to_wkt()}
    return lambda native: dict(transform_geom(crs, "OGC:CRS84", native, precision=_DECIMALS)), named


def _annotations(shard: Shard, labels: Iterable[FrameLabels]) -> Iterator[tuple[int, Annotation]]:
    for frame in labels:
        if frame.shard_id != shard.shard_id or not 0 <= frame.frame_index < shard.num_frames:
            found = f"tile {frame.frame_index} of {frame.shard_id}"
            raise UnknownFrame(f"{shard.shard_id}: labels of {found}, needed 0..{shard.num_frames - 1}")
        yield from ((frame.frame_index, annotation) for annotation in frame.annotations)


def _geometry(annotation: Annotation, grid: SceneGrid, frame_index: int) -> Geometry:
    """What the annotation covers, in the scene's own CRS."""
    window = grid.window(frame_index)
    if annotation.bbox_xyxy is not None:
        x1, y1, x2, y2 = annotation.bbox_xyxy
    elif annotation.rle_counts is not None:
        found = mask_box(annotation.rle_counts, window.height, window.width)
        x1, y1, x2, y2 = found or (0.0, 0.0, float(window.width), float(window.height))
    elif annotation.keypoints_xyv is not None:
        points = annotation.keypoints_xyv
        seen = [(x, y) for x, y, v in zip(points[0::3], points[1::3], points[2::3], strict=True) if v]
        return {"type": "MultiPoint", "coordinates": [_on_map(grid, window.column + x, window.row + y) for x, y in seen]}
    else:
        x1, y1, x2, y2 = 0.0, 0.0, float(window.width), float(window.height)
    corners = [(x1, y1), (x2, y1), (x2, y2), (x1, y2), (x1, y1)]
    ring = [_on_map(grid, window.column + x, window.row + y) for x, y in corners]
    return {"type": "Polygon", "coordinates": [ring]}


def _on_map(grid: SceneGrid, column: float, row: float) -> list[float]:
    assert grid.transform is not None
    a, b, c, d, e, f = grid.transform
    return [a * column + b * row + c, d * column + e * row + f]


def _counter_clockwise(geometry: Geometry) -> Geometry:
    if geometry["type"] != "Polygon":
        return geometry
    rings = [[list(point) for point in ring] for ring in geometry["coordinates"]]
    return {"type": "Polygon", "coordinates": [ring if _signed_area(ring) > 0 else ring[::-1] for ring in rings]}


def _signed_area(ring: Ring) -> float:
    return sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in pairwise(ring)) / 2


def _properties(shard: Shard, ontology: Ontology, frame_index: int, annotation: Annotation) -> dict[str, Any]:
    properties = {
        "shard_id": shard.shard_id,
        "frame_index": frame_index,
        "ontology": ontology.name,
        "class": annotation.class_name,
        "score": annotation.score,
        "provenance": annotation.provenance,
        "generation": annotation.generation,
        "track_id": annotation.track_id,
        "confirmed_at": annotation.confirmed_at,
    }
    return {key: value for key, value in properties.items() if value is not None}
