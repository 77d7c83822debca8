"""`plan --measure` on a real Ray."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cluster.cli.main import app
from training.store.store import Store

run = CliRunner()


@pytest.mark.slow
@pytest.mark.usefixtures("two_cpus")
def test_plan_measures_what_the_store_does_not_know_and_writes_nothing_into_it(tmp_path: Path, draw: Callable[..., Path]) -> None:
    draw(tmp_path / "data", "cam")
    store = str(tmp_path / "store")
    assert run.invoke(app, ["add", str(tmp_path / "data"), "--store", store]).exit_code == 0
    keys = Store.open(store).objects.keys("")
    how = ["--recipe", "smoke", "--backbone", "resnet18", "--weights", "none", "--workers", "1,2"]
    result = run.invoke(
        app, ["plan", "--store", store, "--measure", "--shards", "50", *how, "--json", str(tmp_path / "plan.json")]
    )
    assert result.exit_code == 0, result.output
    document = json.loads((tmp_path / "plan.json").read_text())
    assert document["costs"]["sources"]["fit_startup_s"] == "measured now: a fleet of nothing"
    assert document["costs"]["fit_startup_s"] > 0 < document["costs"]["label_startup_s"]
    one, two = document["fleets"]
    assert one["fit"]["wall_s"]["p50"] > two["fit"]["wall_s"]["p50"] > document["costs"]["fit_startup_s"]
    assert Store.open(store).objects.keys("") == keys
