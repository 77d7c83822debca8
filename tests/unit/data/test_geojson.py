import io
import json
import sys
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from training.data.annotations import Annotation, FrameLabels
from training.data.geojson import write_geojson
from training.data.ontology import Ontology
from training.data.shards import SceneGrid, Shard
from training.errors import BadInput, MissingExtra, UnknownFrame

GRID = SceneGrid(
    width=300,
    height=200,
    tile=128,
    stride=128,
    bands=(1, 2, 3),
    dtype="uint16",
    crs="EPSG:32633",
    transform=(10.0, 0.0, 500_000.0, 0.0, -10.0, 5_500_000.0),
)
FIELD = Shard(
    shard_id="field", uri="/s/field.tif", kind="scene", num_frames=6, width=128, height=128, content_hash="sha256:1", scene=GRID
)
CARS = Ontology(name="cars", task="detection", classes=("car",))


def car(index: int, **what: Any) -> FrameLabels:
    annotation = Annotation(class_name="car", **{"bbox_xyxy": (2.0, 4.0, 12.0, 9.0), **what})
    return FrameLabels(shard_id="field", frame_index=index, annotations=(annotation,))


def written(shard: Shard, *labels: FrameLabels) -> dict[str, Any]:
    out = io.StringIO()
    num_features = write_geojson(out, shard, CARS, iter(labels))
    collection = json.loads(out.getvalue())
    assert num_features == len(collection["features"])
    return collection


@pytest.fixture(autouse=True)
def _rasterio(request: pytest.FixtureRequest) -> None:
    if "without" not in request.node.name:
        pytest.importorskip("rasterio")


def test_a_box_of_a_tile_lies_where_the_scenes_transform_puts_it() -> None:
    feature = written(FIELD, car(1, provenance="model", score=0.5, generation=2))["features"][0]
    native = feature["properties"]["proj:geometry"]
    west, east, north, south = 501_300.0, 501_400.0, 5_499_960.0, 5_499_910.0
    ring = [[west, north], [east, north], [east, south], [west, south], [west, north]]
    assert native == {"type": "Polygon", "coordinates": [ring]}
    assert {key: value for key, value in feature["properties"].items() if key != "proj:geometry"} == {
        "shard_id": "field",
        "frame_index": 1,
        "ontology": "cars",
        "class": "car",
        "score": 0.5,
        "provenance": "model",
        "generation": 2,
        "proj:epsg": 32633,
    }


def test_geometry_is_longitude_latitude_with_seven_decimals_and_counter_clockwise() -> None:
    collection = written(FIELD, car(0))
    assert "crs" not in collection
    (ring,) = collection["features"][0]["geometry"]["coordinates"]
    assert ring[0] == ring[-1]
    assert len(ring) == 5
    for longitude, latitude in ring:
        assert 15.0 < longitude < 15.01  # easting 500 000 m is the 15th meridian in zone 33
        assert 49.6 < latitude < 49.7
        assert (longitude, latitude) == (round(longitude, 7), round(latitude, 7))
    doubled_area = sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in pairwise(ring))
    assert doubled_area > 0


def test_a_rotated_scene_gives_rotated_corners() -> None:
    turned = replace(FIELD, scene=replace(GRID, transform=(0.0, 10.0, 500_000.0, 10.0, 0.0, 5_500_000.0)))
    native = written(turned, car(0))["features"][0]["properties"]["proj:geometry"]
    assert native["coordinates"][0][0] == [500_040.0, 5_500_020.0]
    assert native["coordinates"][0][1] == [500_040.0, 5_500_120.0]


def test_lonlat_scenes_keep_their_axis_order() -> None:
    degrees = replace(FIELD, scene=replace(GRID, crs="EPSG:4326", transform=(0.001, 0.0, 10.0, 0.0, -0.001, 50.0)))
    feature = written(degrees, car(0))["features"][0]
    assert feature["properties"]["proj:epsg"] == 4326
    corners = {tuple(point) for point in feature["geometry"]["coordinates"][0]}
    assert corners == {(10.002, 49.996), (10.012, 49.996), (10.012, 49.991), (10.002, 49.991)}


def test_a_crs_without_a_code_is_written_out() -> None:
    local = "+proj=aeqd +lat_0=50 +lon_0=10 +datum=WGS84 +units=m"
    feature = written(replace(FIELD, scene=replace(GRID, crs=local, transform=(1, 0, 0, 0, -1, 0))), car(0))["features"][0]
    assert feature["properties"]["proj:epsg"] is None
    assert "Azimuthal" in feature["properties"]["proj:wkt2"]
    assert feature["geometry"]["coordinates"][0][0] == pytest.approx([10.0, 50.0], abs=1e-3)


def test_keypoints_are_points_and_a_class_covers_its_tile() -> None:
    points = car(0, bbox_xyxy=None, keypoints_xyv=(1.0, 2.0, 2.0, 0.0, 0.0, 0.0))
    whole = car(5, bbox_xyxy=None, level="image")
    first, second = written(FIELD, points, whole)["features"]
    assert first["properties"]["proj:geometry"] == {"type": "MultiPoint", "coordinates": [[500_010.0, 5_499_980.0]]}
    assert first["geometry"]["type"] == "MultiPoint"
    assert second["properties"]["proj:geometry"]["coordinates"][0][2] == [503_000.0, 5_498_000.0]


def test_nothing_to_write_is_an_empty_collection() -> None:
    assert written(FIELD, FrameLabels(shard_id="field", frame_index=0)) == {"type": "FeatureCollection", "features": []}


def test_what_has_no_place_on_a_map_is_refused() -> None:
    video = Shard(shard_id="dog", uri="/v/dog.mp4", kind="video", num_frames=3, width=64, height=48, content_hash="sha256:1")
    plain = replace(FIELD, scene=replace(GRID, crs=None, transform=None))
    nonsense = replace(FIELD, scene=replace(GRID, crs="EPSG:nonsense"))
    for shard, message in ((video, "dog: video, needed"), (plain, "has no coordinate reference"), (nonsense, "not understood")):
        with pytest.raises(BadInput, match=message):
            written(shard)
    with pytest.raises(UnknownFrame, match="tile 6 of field"):
        written(FIELD, car(6))


def test_without_rasterio_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rasterio.crs", None)
    with pytest.raises(MissingExtra, match="'geo'"):
        written(FIELD)
