"""`tune` on a real Ray: recipes compete, failures are told, the winner fits, and a second run measures nothing again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cluster.cli.main import app
from training.learning.recipe_file import read_recipe
from training.store.store import Store

run = CliRunner()
SPACE = {"steps": [2, 3], "batch_size": [2], "peak_lr": [1e-3, 1e30]}  # the last one diverges


def tuned(folder: Path, *more: str) -> tuple[Any, dict[str, Any]]:
    words = ["--store", str(folder / "store"), "--out", str(folder / "won.json"), "--space", str(folder / "space.json")]
    how = ["--recipe", str(folder / "base.json"), "--backbone", "resnet18", "--weights", "none", "--folds", "2", "--workers", "2"]
    result = run.invoke(app, ["tune", *words, *how, "--json", str(folder / "tune.json"), *more])
    return result, json.loads((folder / "tune.json").read_text()) if (folder / "tune.json").exists() else {}


@pytest.mark.slow
@pytest.mark.usefixtures("two_cpus")
def test_recipes_compete_and_the_winner_can_be_fitted(tmp_path: Path, draw: Callable[..., Path]) -> None:
    for number, name in enumerate(("cam", "pier", "gone")):
        draw(tmp_path / "data", name, labelled=(0, 8, 15), seed=number)
    store = ["--store", str(tmp_path / "store")]
    assert run.invoke(app, ["add", str(tmp_path / "data"), *store]).exit_code == 0
    (tmp_path / "data" / "gone.mp4").unlink()
    (tmp_path / "space.json").write_text(json.dumps(SPACE))
    base = {"name": "base", "steps": 3, "batch_size": 2, "neck_channels": 8, "min_long_side": 96, "max_long_side": 128}
    (tmp_path / "base.json").write_text(json.dumps(base))

    result, found = tuned(tmp_path, "--trials", "5", "--report", str(tmp_path / "page.html"))

    assert result.exit_code == 3, result.output  # a shard is gone
    assert [one["shard_id"].split()[0] for one in found["failures"]] == ["gone"]
    trials = {one["trial"]: one for one in found["trials"]}
    assert sorted(trials) == [0, 1, 2, 3, 4]
    diverged = [one for one in trials.values() if one["recipe"]["peak_lr"] > 1]
    assert len(diverged) == 2
    assert all("FitDiverged" in one["error"] for one in diverged)
    assert trials[0]["error"] is trials[0]["stopped"] is None
    assert {score["shard_id"] for score in trials[0]["shards"]} == {"cam", "pier"}
    assert trials[0]["objects"] == 6
    assert trials[0]["seconds"] > 0
    assert found["winner"]["error"] is found["winner"]["stopped"] is None
    assert read_recipe(tmp_path / "won.json").to_json() == found["winner"]["recipe"]
    page = (tmp_path / "page.html").read_text()
    assert page.count("<circle") >= 2
    assert "FitDiverged" in page

    kept = Store.open(str(tmp_path / "store")).objects.keys("scores/")
    assert kept
    _, again = tuned(tmp_path, "--trials", "5")
    assert Store.open(str(tmp_path / "store")).objects.keys("scores/") == kept  # another measurement would have other seconds
    assert again["trials"][0]["shards"] == found["trials"][0]["shards"]

    (tmp_path / "won.json").unlink()
    result, found = tuned(tmp_path, "--trials", "5", "--max-seconds", "0.000001")
    assert result.exit_code == 2
    assert "--max-seconds 1e-06: the fastest of" in result.stderr
    assert found["winner"] is None
    assert not (tmp_path / "won.json").exists()
