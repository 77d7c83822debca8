import io
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from cluster.cli.main import app
from training.data.human_actions import HumanAction
from training.data.sources import open_frames
from training.store.card import Card
from training.store.store import Store

run = CliRunner()
Draw = Callable[..., Path]


def add_all(tmp_path: Path) -> list[str]:
    return ["add", str(tmp_path / "data"), "--store", str(tmp_path / "store")]


def test_a_folder_of_labelled_videos_comes_into_the_store(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "data", "one")
    draw(tmp_path / "data", "two")
    (tmp_path / "data" / "notes.txt").write_text("by the way")
    result = run.invoke(
        app, ["add", str(tmp_path / "data"), "--store", str(tmp_path / "store"), "--json", str(tmp_path / "o.json")]
    )
    assert result.exit_code == 0, result.output
    assert "notes.txt" in result.stderr
    store = Store.open(str(tmp_path / "store"))
    assert [shard.shard_id for shard in store.shards()] == ["one", "two"]
    (ontology,) = store.ontologies()
    assert [frame.frame_index for frame in store.labels("one", ontology.name)] == [0, 4]
    written = json.loads((tmp_path / "o.json").read_text())
    assert [one["shard_id"] for one in written["shards"]] == ["one", "two"]
    assert written["shards"][0]["imported"] == {ontology.name: 2}
    assert written["failures"] == []


def test_adding_again_changes_nothing_and_never_undoes_what_a_person_did(tmp_path: Path, draw: Draw) -> None:
    video, store = draw(tmp_path / "data", "one"), str(tmp_path / "store")
    assert run.invoke(app, ["add", str(video), "--store", store]).exit_code == 0
    opened = Store.open(store)
    (ontology,) = opened.ontologies()
    first, second = opened.labels("one", ontology.name)
    corrected = replace(first.annotations[0], provenance="human", bbox_xyxy=(11.0, 11.0, 30.0, 28.0))
    opened.annotate("one", ontology.name, [replace(first, annotations=(corrected,))])
    draw(tmp_path / "data", "other", box=(12, 12, 20, 16))
    newer = tmp_path / "data" / "other.coco.json"
    result = run.invoke(app, ["add", str(video), "--labels", str(newer), "--store", store])
    assert result.exit_code == 0, result.output
    assert "1 frames keep the labels they got since" in result.stderr
    kept, replaced = opened.labels("one", ontology.name)
    assert kept.annotations == (corrected,)
    assert replaced.annotations[0].bbox_xyxy == (12.0, 12.0, 32.0, 28.0) != second.annotations[0].bbox_xyxy


def test_one_bad_video_among_good_ones_is_a_row_in_the_failures_table(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "data", "good")
    (tmp_path / "data" / "empty.mp4").write_bytes(b"")
    result = run.invoke(
        app, ["add", str(tmp_path / "data"), "--store", str(tmp_path / "store"), "--json", str(tmp_path / "o.json")]
    )
    assert result.exit_code == 3
    (row,) = json.loads((tmp_path / "o.json").read_text())["failures"]
    assert row["shard_id"] == "empty"
    assert "empty.mp4" in row["error"]
    assert "failures (1):" in result.stdout
    assert [shard.shard_id for shard in Store.open(str(tmp_path / "store")).shards()] == ["good"]


@pytest.mark.parametrize(("name", "content"), [("empty.mp4", b""), ("text.mp4", b"not a video at all"), ("x.unknown", b"?")])
def test_a_single_bad_source_exits_2_with_one_line_that_names_it(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    result = run.invoke(app, ["add", str(tmp_path / name), "--store", str(tmp_path / "store")])
    assert result.exit_code == 2
    assert name in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert Store.open(str(tmp_path / "store")).shards() == []


def test_labels_that_cannot_be_true_leave_nothing_in_the_store(tmp_path: Path, draw: Draw) -> None:
    video = draw(tmp_path / "data", "one", box=(90, 10, 40, 10))
    result = run.invoke(app, ["add", str(video), "--store", str(tmp_path / "store")])
    assert result.exit_code == 2
    assert "BadAnnotation" in result.stderr
    opened = Store.open(str(tmp_path / "store"))
    assert opened.shards() == []
    assert opened.ontologies() == []


def test_one_name_for_two_different_videos_is_refused(tmp_path: Path, draw: Draw) -> None:
    store = str(tmp_path / "store")
    assert run.invoke(app, ["add", str(draw(tmp_path / "a", "one")), "--store", store]).exit_code == 0
    result = run.invoke(app, ["add", str(draw(tmp_path / "b", "one")), "--store", store])
    assert result.exit_code == 2
    assert "DuplicateShard" in result.stderr


def test_a_shard_id_needs_exactly_one_source(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "data", "one")
    draw(tmp_path / "data", "two")
    result = run.invoke(app, ["add", str(tmp_path / "data"), "--shard-id", "x", "--store", str(tmp_path / "store")])
    assert result.exit_code == 2
    assert "--shard-id: 2 sources" in result.stderr


def test_annotations_go_out_as_coco_and_come_back(tmp_path: Path, draw: Draw) -> None:
    video, store, out = draw(tmp_path / "data", "one"), str(tmp_path / "store"), tmp_path / "out.coco.json"
    run.invoke(app, ["add", str(video), "--store", store])
    result = run.invoke(app, ["export", "--store", store, "--out", str(out)])
    assert result.exit_code == 0, result.output
    again = str(tmp_path / "again")
    assert run.invoke(app, ["add", str(video), "--labels", str(out), "--store", again]).exit_code == 0
    first, second = Store.open(store), Store.open(again)
    (ontology,) = first.ontologies()
    assert second.labels("one", ontology.name) == first.labels("one", ontology.name)


def test_a_shard_without_labels_is_named_when_it_is_asked_for(tmp_path: Path, draw: Draw) -> None:
    store = str(tmp_path / "store")
    run.invoke(app, ["add", str(draw(tmp_path / "a", "labelled")), "--store", store])
    bare = draw(tmp_path / "b", "bare")
    bare.with_suffix(".coco.json").unlink()
    run.invoke(app, ["add", str(bare), "--store", store])
    result = run.invoke(app, ["export", "labelled", "bare", "--store", store, "--out", str(tmp_path / "o.json")])
    assert result.exit_code == 3
    assert "bare      no annotations" in result.stdout


@pytest.mark.parametrize("words", [["--what", "predictions"], ["nobody"], ["--ontology", "none.such"], ["--format", "geojson"]])
def test_an_export_that_cannot_be_leaves_no_file(words: list[str], tmp_path: Path, draw: Draw) -> None:
    store, out = str(tmp_path / "store"), tmp_path / "out.json"
    run.invoke(app, ["add", str(draw(tmp_path / "data", "one")), "--store", store])
    before = sorted(tmp_path.iterdir())
    assert run.invoke(app, ["export", *words, "--store", store, "--out", str(out)]).exit_code == 2
    assert sorted(tmp_path.iterdir()) == before


@pytest.fixture
def field(tmp_path: Path) -> Path:
    """A 16-bit scene of four bands: band n is a ramp down the rows, up to 10,000 * n, with one hot pixel."""
    rasterio = pytest.importorskip("rasterio")
    ramp_HW = np.tile(np.linspace(0, 10_000, 64)[:, None], (1, 48))
    bands_4HW = np.stack([ramp_HW * band for band in (1, 2, 3, 4)]).astype(np.uint16)
    bands_4HW[:, 0, 0] = 65_535
    bands_4HW[3] = bands_4HW[3][::-1]
    where = {"crs": "EPSG:32633", "transform": rasterio.Affine(1, 0, 500_000, 0, -1, 5_000_000)}
    with rasterio.open(tmp_path / "field.tif", "w", driver="GTiff", width=48, height=64, count=4, dtype="uint16", **where) as out:
        out.write(bands_4HW)
    return tmp_path / "field.tif"


def test_bands_are_chosen_when_a_scene_is_added_and_kept_with_their_stretch(tmp_path: Path, field: Path) -> None:
    store = str(tmp_path / "store")
    result = run.invoke(app, ["add", str(field), "--bands", "4,3,2", "--tile", "32", "--store", store])
    assert result.exit_code == 0, result.output
    shard = Store.open(store).shard("field")
    assert shard.scene is not None
    assert shard.scene.bands == (4, 3, 2)
    np.testing.assert_allclose(shard.scene.scale or (), [(600, 39_400), (500, 29_500), (300, 19_700)], atol=400)
    with open_frames(shard) as frames:
        first, *_, last = frames.read()
    near_infrared, red, _ = first.image_HW3[:, 10].T.astype(int)
    assert (near_infrared[0], red[0]) == (255, 0), "below and above the percentiles"
    assert near_infrared[31] == pytest.approx(128, abs=4)
    assert red[31] == pytest.approx(128, abs=4)
    assert (last.image_HW3[-1, 10, 0], last.image_HW3[-1, 10, 1]) == (0, 255)
    assert run.invoke(app, ["add", str(field), "--bands", "4,3,2", "--tile", "32", "--store", store]).exit_code == 0
    other = run.invoke(app, ["add", str(field), "--bands", "1", "--tile", "32", "--store", store])
    assert other.exit_code == 2
    assert "DuplicateShard" in other.stderr


@pytest.mark.parametrize(
    ("bands", "message"),
    [
        ("4,3,5", "field.tif: bands 4, 3, 5 of 4, needed one or three of 1 to 4"),
        ("0", "field.tif: bands 0 of 4, needed one or three of 1 to 4"),
        ("1,2", "field.tif: bands 1, 2 of 4, needed one or three of 1 to 4"),
        ("red", "--bands: 'red', needed one or three band numbers from 1, like 4,3,2"),
        ("", "--bands: '', needed one or three band numbers from 1, like 4,3,2"),
    ],
)
def test_bands_that_a_scene_does_not_have_are_refused(bands: str, message: str, tmp_path: Path, field: Path) -> None:
    result = run.invoke(app, ["add", str(field), "--bands", bands, "--store", str(tmp_path / "store")])
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_bands_of_a_video_are_refused(tmp_path: Path, draw: Draw) -> None:
    result = run.invoke(app, ["add", str(draw(tmp_path, "one")), "--bands", "3,2,1", "--store", str(tmp_path / "store")])
    assert result.exit_code == 2
    assert "one.mp4: a video, needed a scene to choose bands of" in result.stderr


def imported_again(video: Path, store: str, change: Callable[[Any], None]) -> str:
    """What `add` says on stderr when the file of labels was changed."""
    file = video.with_suffix(".coco.json")
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))
    result = run.invoke(app, ["add", str(video), "--store", store])
    assert result.exit_code == 0, result.output
    return result.stderr


def test_a_frame_that_was_imported_as_empty_can_be_corrected_until_somebody_works_on_it(tmp_path: Path, draw: Draw) -> None:
    video, store = draw(tmp_path / "data", "one"), Store.create(str(tmp_path / "store"))

    def empty(document: Any) -> None:
        document["images"] += [{**document["images"][0], "id": n, "frame_index": n, "file_name": f"{n}.jpg"} for n in (2, 6)]

    def drawn(document: Any) -> None:
        document["annotations"] += [{**document["annotations"][0], "id": 100 + n, "image_id": n} for n in (2, 6)]

    imported_again(video, store.url, empty)
    (ontology,) = store.ontologies()
    assert [len(frame.annotations) for frame in store.labels("one", ontology.name)] == [1, 0, 1, 0]
    look = HumanAction(
        event_id="1",
        action="look",
        round_kind="labels",
        shard_id="one",
        ontology=ontology.name,
        frame_index=6,
        who="ann",
        when="2026-01-01T00:00:00+00:00",
    )
    store.ledger.append([look])
    assert "1 frames keep the labels they got since" in imported_again(video, store.url, drawn)
    assert [len(frame.annotations) for frame in store.labels("one", ontology.name)] == [1, 1, 1, 0]
    (part,) = (Path(store.url) / "ledger" / "one" / ontology.name).iterdir()
    part.write_bytes(part.read_bytes()[:-20])
    assert "1 frames keep the labels they got since" in imported_again(video, store.url, lambda document: None)


def test_tracks_that_come_later_are_imported(tmp_path: Path, draw: Draw) -> None:
    video, store = draw(tmp_path / "data", "one"), Store.create(str(tmp_path / "store"))

    def tracked(document: Any) -> None:
        for row in document["annotations"]:
            row["track_id"] = 7

    imported_again(video, store.url, lambda document: None)
    imported_again(video, store.url, tracked)
    (ontology,) = store.ontologies()
    assert [one.track_id for frame in store.labels("one", ontology.name) for one in frame.annotations] == ["7", "7"]


@pytest.fixture
def with_models(tmp_path: Path, draw: Draw) -> Store:
    """Shards one and two of 8 frames, each with a live micro-model that nobody has labelled with; three has none."""
    for name in ("one", "two", "three"):
        draw(tmp_path / "data", name)
    run.invoke(app, add_all(tmp_path))
    opened = Store.open(str(tmp_path / "store"))
    (ontology,) = opened.ontologies()
    for name in ("one", "two"):
        card = Card(shard_id=name, ontology=ontology.name, task="detection", classes=ontology.classes)
        generation = opened.registry.publish(card, {"none": torch.zeros(1)}).generation
        opened.registry.promote(name, ontology.name, generation, "test")
    return opened


def told(what: str, store: Store, tmp_path: Path, *more: str) -> tuple[dict[str, Any], str]:
    """The JSON of an export that is short of something, and what it says on stderr."""
    words = ["export", "--what", what, "--store", store.url, "--out", str(tmp_path / "out.coco.json"), *more]
    result = run.invoke(app, [*words, "--json", str(tmp_path / "o.json")])
    assert result.exit_code == 3, result.output
    document: dict[str, Any] = json.loads((tmp_path / "o.json").read_text())
    return document, result.stderr


@pytest.mark.parametrize("what", ["predictions", "hybrid"])
def test_frames_without_labels_are_told_and_the_others_go_out(tmp_path: Path, with_models: Store, what: str) -> None:
    (ontology,) = with_models.ontologies()
    name = ontology.name
    labels = {frame.frame_index: frame for frame in with_models.labels("one", name)}
    with_models.predictions.write("one", name, 1, 0, 2, [labels[0]], {1: "gone"})
    with_models.predictions.write("one", name, 1, 4, 6, [labels[4]], {5: "torn"})
    document, stderr = told(what, with_models, tmp_path)
    assert document["failures"] == [
        {"shard_id": "two", "error": f"{name}: no frame is labelled, needed `label`"},
        {"shard_id": "one", "error": "2 frames have no labels; frame 1: gone"},
        {"shard_id": "one", "error": f"{name}: 4 of 8 frames are not labelled, needed `label`"},
    ]
    assert "1 shards without a live micro-model are not in it: three" in stderr
    assert len(json.loads((tmp_path / "out.coco.json").read_text())["annotations"]) == 2


def test_a_named_shard_without_a_micro_model_is_told(tmp_path: Path, with_models: Store) -> None:
    (ontology,) = with_models.ontologies()
    labels = [replace(with_models.labels("one", ontology.name)[0], frame_index=index) for index in range(8)]
    with_models.predictions.write("one", ontology.name, 1, 0, 8, labels)
    document, stderr = told("predictions", with_models, tmp_path, "one", "three")
    assert document["failures"] == [{"shard_id": "three", "error": "no predictions"}]
    assert "are not in it" not in stderr


def test_a_folder_with_a_link_to_nowhere_is_a_row_and_the_others_come_in(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "data", "good")
    folder = pictures_of_a_folder(tmp_path / "data" / "album")
    (folder / "z.png").symlink_to("nowhere.png")
    result = run.invoke(app, [*add_all(tmp_path), "--json", str(tmp_path / "o.json")])
    assert result.exit_code == 3, result.output
    document = json.loads((tmp_path / "o.json").read_text())
    assert [one["shard_id"] for one in document["shards"]] == ["good"]
    (row,) = document["failures"]
    assert row["shard_id"] == "album"
    assert "BadPicture" in row["error"]
    assert "z.png: No such file or directory" in row["error"]


def test_a_path_that_cannot_be_looked_at_is_a_row_and_the_others_come_in(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "data", "good")
    result = run.invoke(app, [*add_all(tmp_path), "n" * 300])
    assert result.exit_code == 3, result.output
    assert "nnn: File name too long, needed a video, a folder of pictures or a scene" in result.stdout
    assert [shard.shard_id for shard in Store.open(str(tmp_path / "store")).shards()] == ["good"]


def test_names_that_are_not_utf8_are_refused_one_by_one(tmp_path: Path, draw: Draw) -> None:
    video = draw(tmp_path / "data", "good")
    (tmp_path / "data" / os.fsdecode(b"v\xff.mp4")).write_bytes(video.read_bytes())
    folder = pictures_of_a_folder(tmp_path / "data" / "album")
    (folder / "a.png").rename(folder / os.fsdecode(b"a\xff.png"))
    result = run.invoke(app, [*add_all(tmp_path), "--json", str(tmp_path / "o.json")])
    assert result.exit_code == 3, result.output
    refused = [row["error"] for row in json.loads((tmp_path / "o.json").read_text())["failures"]]
    assert [error.split("/")[-1] for error in refused] == [
        r"a\udcff.png: a name that is not UTF-8, needed one that is; rename it",
        r"v\udcff.mp4: a name that is not UTF-8, needed one that is; rename it",
    ]
    assert all(error.startswith("BadInput: ") for error in refused)
    assert [shard.shard_id for shard in Store.open(str(tmp_path / "store")).shards()] == ["good"]


def test_a_store_that_has_names_that_are_not_utf8_can_be_exported(tmp_path: Path) -> None:
    """Such pictures were taken in until their names were looked at."""
    folder = pictures_of_a_folder(tmp_path / "album")
    images = [{"id": 1, "file_name": "a.png", "width": 16, "height": 16}]
    boxes = [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [2, 2, 5, 5], "iscrowd": 0}]
    labels = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "square"}]}
    (tmp_path / "album.coco.json").write_text(json.dumps(labels))
    store = ["--store", str(tmp_path / "store")]
    added = run.invoke(app, ["add", str(folder), *store])
    assert added.exit_code == 0, added.output
    (folder / "a.png").rename(folder / os.fsdecode(b"a\xff.png"))
    out = tmp_path / "out.coco.json"
    result = run.invoke(app, ["export", "--what", "annotations", "--out", str(out), *store])
    assert result.exit_code == 0, result.output
    assert [image["file_name"] for image in json.loads(out.read_text(encoding="utf-8"))["images"]] == ["a\udcff.png"]


def pictures_of_a_folder(folder: Path) -> Path:
    """a.png and b.png, 16x16."""
    folder.mkdir(parents=True)
    for name in ("a", "b"):
        (folder / f"{name}.png").write_bytes(png())
    return folder


def png() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (16, 16), (90, 90, 90)).save(out, "PNG")
    return out.getvalue()
