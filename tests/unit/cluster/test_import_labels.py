from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cluster.cli.main import app
from training.store.store import Store

run = CliRunner()
Draw = Callable[..., Path]


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


def test_an_export_that_a_format_cannot_hold_leaves_no_folder(stores: tuple[str, str], tmp_path: Path) -> None:
    result = run.invoke(app, ["export", "--format", "davis", "--store", stores[0], "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "davis: cannot hold boxes (one frame 0)" in result.stderr
    assert not (tmp_path / "out").exists()
