import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from cluster.cli.main import app
from training.data.annotations import Annotation, FrameLabels
from training.store.card import Card
from training.store.store import Store

run = CliRunner()
Draw = Callable[..., Path]
NAME = "detection.square"


@pytest.fixture
def stores(tmp_path: Path, draw: Draw) -> tuple[str, str]:
    """A store of two labelled videos, and one of the same videos without labels."""
    full, bare = str(tmp_path / "full"), str(tmp_path / "bare")
    for name in ("one", "two"):
        draw(tmp_path / "data", name)
    assert run.invoke(app, ["add", str(tmp_path / "data"), "--store", full]).exit_code == 0
    for labels in (tmp_path / "data").glob("*.json"):
        labels.unlink()
    assert run.invoke(app, ["add", str(tmp_path / "data"), "--store", bare]).exit_code == 0
    return full, bare


@pytest.mark.parametrize("name", ["coco", "cvat", "datumaro", "labelme", "mot", "voc", "yolo"])
def test_what_one_store_exports_another_imports_for_every_shard(name: str, stores: tuple[str, str], tmp_path: Path) -> None:
    full, bare = stores
    words = ["--format", name, "--store"]
    result = run.invoke(app, ["export", *words, full, "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert ("without provenance" in result.stderr) == (name not in ("coco", "datumaro"))
    result = run.invoke(app, ["import-labels", str(tmp_path / "out"), *words, bare])
    assert result.exit_code == 0, result.output
    first, second = Store.open(full), Store.open(bare)
    assert second.ontologies() == first.ontologies()
    (ontology,) = first.ontologies()
    for shard_id in ("one", "two"):
        (here, there) = (store.labels(shard_id, ontology.name) for store in (first, second))
        assert [frame.frame_index for frame in there] == [0, 4]
        boxes = [[one.bbox_xyxy for frame in frames for one in frame.annotations] for frames in (here, there)]
        assert boxes[1] == [pytest.approx(box) for box in boxes[0]]
        assert {one.provenance for frame in there for one in frame.annotations} == {"imported"}


def test_labels_that_name_no_shard_need_one_to_be_named(stores: tuple[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "flat"
    folder.mkdir()
    folder.joinpath("data.yaml").write_text("names: [square]")
    folder.joinpath("frame_000003.txt").write_text("0 0.5 0.5 0.25 0.25\n")
    words = ["--format", "yolo", "--store", stores[1]]
    assert run.invoke(app, ["import-labels", str(folder), *words]).exit_code == 2
    assert run.invoke(app, ["import-labels", str(folder), "two", *words]).exit_code == 0
    store = Store.open(stores[1])
    assert store.labelled("one") == []
    (frame,) = store.labels("two", "detection.square")
    assert (frame.frame_index, frame.annotations[0].bbox_xyxy) == (3, pytest.approx((36, 24, 60, 40)))


def test_labels_that_cannot_be_true_leave_the_store_as_it_was(stores: tuple[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "flat"
    folder.mkdir()
    folder.joinpath("data.yaml").write_text("names: [square]")
    folder.joinpath("frame_000003.txt").write_text("0 0.9 0.5 0.5 0.25\n")
    result = run.invoke(app, ["import-labels", str(folder), "two", "--format", "yolo", "--store", stores[1]])
    assert result.exit_code == 2
    assert "frame_000003.txt line 1" in result.stderr
    assert Store.open(stores[1]).ontologies() == []


def test_a_class_that_the_named_ontology_does_not_have_is_refused(stores: tuple[str, str], tmp_path: Path) -> None:
    (ontology,) = Store.open(stores[0]).ontologies()
    folder = tmp_path / "flat"
    folder.mkdir()
    folder.joinpath("frame_000003.xml").write_text(
        "<annotation><object><name>circle</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>"
    )
    words = ["--ontology", ontology.name, "--format", "voc", "--store", stores[0]]
    result = run.invoke(app, ["import-labels", str(folder), "one", *words])
    assert result.exit_code == 2
    assert "class 'circle', needed one of square" in result.stderr


def test_points_in_another_order_are_refused_and_not_mixed_up(stores: tuple[str, str], tmp_path: Path) -> None:
    def document(*names: str) -> str:
        category = {"id": 1, "name": "mouse", "keypoints": list(names), "skeleton": []}
        image = {"id": 1, "file_name": "one", "frame_index": 2, "width": 96, "height": 64}
        said = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [4, 4, 20, 20], "keypoints": [5, 5, 2, 20, 20, 2]}
        return json.dumps({"images": [image], "annotations": [said], "categories": [category]})

    path = tmp_path / "one.coco.json"
    path.write_text(document("head", "tail"))
    words = ["one", "--task", "keypoints", "--store", stores[1]]
    assert run.invoke(app, ["import-labels", str(path), *words]).exit_code == 0
    (name,) = Store.open(stores[1]).labelled("one")
    path.write_text(document("tail", "head"))
    result = run.invoke(app, ["import-labels", str(path), *words, "--ontology", name])
    assert result.exit_code == 2
    assert f"keypoints tail, head; needed those of {name} in their order: head, tail" in result.stderr


def test_an_export_that_a_format_cannot_hold_leaves_no_folder(stores: tuple[str, str], tmp_path: Path) -> None:
    result = run.invoke(app, ["export", "--format", "davis", "--store", stores[0], "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "davis: cannot hold boxes (one frame 0)" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.fixture
def proposing(stores: tuple[str, str]) -> Store:
    """Generation 1 of `one` is live and proposes two boxes on each of its eight frames; 0 and 4 were labelled before."""
    store = Store.open(stores[0])
    card = Card(shard_id="one", ontology=NAME, task="detection", classes=("square",), fit_key="first")
    published = store.registry.publish(card, {"w": torch.zeros(1)})
    store.registry.promote("one", NAME, published.generation, "first")
    store.predictions.write("one", NAME, 1, 0, 8, [_frame(n, (10.25, 10, 30, 26), (50, 30, 70, 50)) for n in range(8)])
    return store


def _frame(index: int, *boxes: tuple[float, float, float, float]) -> FrameLabels:
    said = (Annotation(class_name="square", bbox_xyxy=box, provenance="model", score=0.5) for box in boxes)
    return FrameLabels(shard_id="one", frame_index=index, annotations=tuple(said))


def _corrected_export(store: Store, out: Path, *words: str) -> Path:
    """An export in which somebody moved a box of frame 2, deleted one of frame 3 and drew one on frame 5."""
    result = run.invoke(app, ["export", "one", "--store", store.url, "--what", "predictions", "--out", str(out), *words])
    assert result.exit_code == 0, result.output
    document = json.loads(out.read_text())
    image_of = {image["frame_index"]: image["id"] for image in document["images"]}
    rows = document["annotations"]
    second = {image_id: [row for row in rows if row["image_id"] == image_id][1] for image_id in image_of.values()}
    second[image_of[2]]["bbox"] = [53, 30, 20, 20]
    rows.remove(second[image_of[3]])
    rows.append({"id": 1000, "image_id": image_of[5], "category_id": rows[0]["category_id"], "bbox": [2, 40, 10, 10]})
    out.write_text(json.dumps(document))
    return out


def _done(store: Store) -> dict[int, dict[str, int]]:
    found: dict[int, dict[str, int]] = {}
    for action in store.ledger.read("one", NAME):
        counts = found.setdefault(action.frame_index, {})
        counts[action.action] = counts.get(action.action, 0) + 1
        assert (action.round_kind, action.generation, action.who) == ("review", 1, "ann")
    return found


def test_a_corrected_export_becomes_reviews_and_counts_once(proposing: Store, tmp_path: Path) -> None:
    path = _corrected_export(proposing, tmp_path / "out.json")
    words = ["import-labels", str(path), "one", "--store", proposing.url, "--who", "ann"]
    result = run.invoke(app, [*words, "--json", str(tmp_path / "said.json")])
    assert result.exit_code == 0, result.output
    assert "one: 3 frames reviewed" in result.stderr
    assert "one: 5 frames say what was proposed and are left" in result.stderr
    done = {
        2: {"look": 1, "confirm": 1, "adjust": 1},
        3: {"look": 1, "confirm": 1, "delete": 1},
        5: {"look": 1, "confirm": 2, "draw": 1},
    }
    assert _done(proposing) == done
    (said,) = json.loads((tmp_path / "said.json").read_text())["shards"]
    assert said["imported"] == {NAME: 3}
    assert said["corrections"] == {NAME: {"reviewed": 3, "known": 0, "unchanged": 5, "audits": 0}}
    labels = {frame.frame_index: frame.annotations for frame in proposing.labels("one", NAME)}
    assert [len(labels[index]) for index in (0, 2, 3, 4, 5)] == [1, 2, 1, 1, 3]
    assert {(one.provenance, one.confirmed_at is None, one.author) for one in labels[5]} == {
        ("model", False, "ann"),
        ("human", True, "ann"),
    }
    again = run.invoke(app, words)
    assert "one: 3 corrected frames known already" in again.stderr
    assert _done(proposing) == done
    assert {frame.frame_index: frame.annotations for frame in proposing.labels("one", NAME)} == labels


def test_an_old_file_does_not_undo_what_was_said_since(proposing: Store, tmp_path: Path) -> None:
    words = ["import-labels", str(_corrected_export(proposing, tmp_path / "out.json")), "one", "--store", proposing.url]
    assert run.invoke(app, words).exit_code == 0
    proposing.annotate("one", NAME, [FrameLabels(shard_id="one", frame_index=2)])
    assert run.invoke(app, words).exit_code == 0
    assert {frame.frame_index: len(frame.annotations) for frame in proposing.labels("one", NAME)}[2] == 0


def test_frames_that_were_right_are_confirmed_where_the_person_says_so_and_labelled_and_audit_frames_are_left(
    proposing: Store, tmp_path: Path
) -> None:
    proposing.annotate("one", NAME, [FrameLabels(shard_id="one", frame_index=7)], audit=True)
    path = _corrected_export(proposing, tmp_path / "out.json")
    words = ["import-labels", str(path), "one", "--store", proposing.url, "--who", "ann", "--confirm-unchanged"]
    result = run.invoke(app, words)
    assert result.exit_code == 0, result.output
    assert "one: 1 audit frames keep their labels" in result.stderr
    assert _done(proposing).keys() == {1, 2, 3, 5, 6}
    assert _done(proposing)[1] == {"look": 1, "confirm": 2}
    labels = {frame.frame_index: frame.annotations for frame in proposing.labels("one", NAME)}
    assert {one.provenance for one in labels[0]} == {"imported"}
    assert labels[7] == ()


def test_a_file_that_forgot_the_generation_is_a_review_when_it_is_named(proposing: Store, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    words = ["--format", "cvat", "--store", proposing.url]
    assert run.invoke(app, ["export", "one", *words, "--what", "predictions", "--out", out]).exit_code == 0
    result = run.invoke(app, ["import-labels", out, "one", *words, "--generation", "1", "--who", "ann", "--confirm-unchanged"])
    assert result.exit_code == 0, result.output
    assert _done(proposing).keys() == {1, 2, 3, 5, 6, 7}
    assert all(done == {"look": 1, "confirm": 2} for done in _done(proposing).values())
    missing = run.invoke(app, ["import-labels", out, "one", *words, "--generation", "7"])
    assert (missing.exit_code, "generation 7 has no machine labels" in missing.stderr) == (2, True)


def test_labels_that_nobody_proposed_here_are_labels_and_no_review(
    proposing: Store, stores: tuple[str, str], tmp_path: Path
) -> None:
    path = str(_corrected_export(proposing, tmp_path / "out.json"))
    assert run.invoke(app, ["import-labels", path, "one", "--store", stores[1]]).exit_code == 0
    other = Store.open(stores[1])
    assert (list(other.ledger.read()), len(other.labels("one", NAME))) == ([], 8)
    out = str(tmp_path / "hybrid.json")
    words = ["one", "--store", proposing.url]
    assert run.invoke(app, ["export", *words, "--what", "hybrid", "--out", out]).exit_code == 0
    assert run.invoke(app, ["import-labels", out, *words]).exit_code == 0
    assert list(proposing.ledger.read()) == []


def test_corrections_of_two_generations_in_one_file_are_refused(proposing: Store, tmp_path: Path) -> None:
    path = _corrected_export(proposing, tmp_path / "out.json")
    document = json.loads(path.read_text())
    document["annotations"][0]["generation"] = 2
    path.write_text(json.dumps(document))
    result = run.invoke(app, ["import-labels", str(path), "one", "--store", proposing.url])
    assert (result.exit_code, "generations 1 and 2" in result.stderr) == (2, True)
    assert list(proposing.ledger.read()) == []
