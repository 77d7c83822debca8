"""`label --line` on a real Ray: every frame once, and what the line says anywhere else."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cluster.cli.main import app
from training.data.sources import open_frames
from training.learning.generation import fit_jobs, plan_fits
from training.learning.recipes import recipe
from training.lines.ready import bank_of, ready_in
from training.lines.run import run_line
from training.loop.going_live import go_live
from training.models.backbones import Backbone
from training.models.cache import ModelCache
from training.store.store import Store

Draw = Callable[..., Path]
run = CliRunner()
FRAMES = 16


@pytest.fixture
def fitted(tmp_path: Path, draw: Draw) -> Store:
    """Two shards with a live detector each that finds something, and a line of both in a file."""
    for number in range(2):
        draw(tmp_path / "data", f"cam{number}", seed=number)
    assert run.invoke(app, ["add", str(tmp_path / "data"), "--store", str(tmp_path / "store")]).exit_code == 0
    store = Store.open(str(tmp_path / "store"))
    learns = replace(recipe("smoke"), name="learns", parameters="head", steps=60, neck_channels=24, peak_lr=1e-2, mirror=0.0)
    how = {"recipe": learns, "backbone": Backbone(weights="none"), "seed": 0}
    receipts = go_live(store, fit_jobs(store, plan_fits(store, None, None, **how).jobs, **how))
    assert [receipt.error for receipt in receipts] == [None, None]
    look = {"name": "look", "model": "cam1@live", "input": "find", "padding": 0.5, "crop_size": "pixels"}
    line = {"name": "squares", "stages": [{"name": "find", "model": "cam0@live"}, look]}
    (tmp_path / "squares.json").write_text(json.dumps(line))
    return store


@pytest.mark.slow
@pytest.mark.usefixtures("two_cpus")
def test_a_line_in_a_file_is_saved_and_run_and_by_its_name_has_nothing_left_to_do(tmp_path: Path, fitted: Store) -> None:
    out, words = tmp_path / "o.json", ["--store", fitted.url, "--workers", "2", "--frames-per-clip", "6"]
    result = run.invoke(app, ["label", "--line", str(tmp_path / "squares.json"), *words, "--json", str(out)])
    assert result.exit_code == 0, result.output
    document = json.loads(out.read_text())
    rows = [(row["shard_id"], row["line"], row["clips"], row["frames"], row["errors"]) for row in document["shards"]]
    assert rows == [("cam0", "squares@1", 3, FRAMES, 0)], "the shard of the stage that sees the picture"
    assert [(one["stage"], one["shard_id"], one["generation"]) for one in document["line"]["models"]] == [
        ("find", "cam0", 1),
        ("look", "cam1", 1),
    ]
    ready = ready_in(fitted, fitted.lines.get("squares"))
    written, errors = fitted.line_predictions.read("squares@1", ready.models, "cam0")
    with open_frames(fitted.shard("cam0")) as source:
        said = run_line(ready, bank_of(ready, ModelCache(fitted.registry, 10**9)), list(source.read()))
    assert errors == {}
    assert {stage for labels in said for stage in labels.stages} == {"find", "look"}
    assert [one.frame_index for one in written] == list(range(FRAMES))
    for got, wanted in zip(written, said, strict=True):
        assert (got.stages, got.parents) == (wanted.stages, wanted.parents)
        for one, other in zip(got.annotations, wanted.annotations, strict=True):
            assert one.bbox_xyxy == pytest.approx(other.bbox_xyxy, abs=1e-2)

    again = run.invoke(app, ["label", "--line", "squares", *words])
    assert again.exit_code == 0, again.output
    assert "3 clips were labelled before" in again.stderr
    other = run.invoke(app, ["label", "cam1", "--line", "squares@1", *words])
    assert other.exit_code == 0, other.output
    assert len(fitted.line_predictions.read("squares@1", ready.models, "cam1")[0]) == FRAMES
