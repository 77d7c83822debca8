"""Fitted shards are described, so that the service finds them by their looks; one that cannot be fails nothing."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cluster import describing
from cluster.cli.main import app
from cluster.describing import describe_fleet
from training.data.sources import probe
from training.models.backbones import Backbone
from training.models.eye import Eye
from training.store.store import Store

SCRATCH = Backbone(weights="none")
run = CliRunner()


@pytest.mark.parametrize("few", [0, 3])
def test_shards_are_described_by_tasks_or_here_and_a_failure_names_its_shard(
    few: int, two_cpus: None, draw: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(describing, "FEW", few)
    store = Store.create(str(tmp_path / "store"))
    there = probe(draw(tmp_path, "there"))
    store.add_shard(there)
    store.add_shard(replace(there, shard_id="gone", uri=str(tmp_path / "gone.mp4")))
    failures = describe_fleet(store.url, ["gone", "nobody", "there"], SCRATCH, num_workers=1)
    assert list(failures) == ["gone", "nobody"]
    assert "gone.mp4" in failures["gone"]
    assert failures["nobody"].startswith("UnknownShard")
    assert store.descriptors.shard_ids(Eye(SCRATCH).identity) == ["there"]


@pytest.mark.slow
def test_fit_describes_what_it_fitted_and_what_an_earlier_one_left(
    two_cpus: None, draw: Callable[..., Path], tmp_path: Path
) -> None:
    for seed, name in enumerate(("gate", "yard")):
        draw(tmp_path / "videos", name, seed=seed)
    url = str(tmp_path / "store")
    assert run.invoke(app, ["add", str(tmp_path / "videos"), "--store", url]).exit_code == 0

    def fit() -> dict[str, Any]:
        words = ["fit", "--store", url, "--recipe", "smoke", "--weights", "none", "--json", str(tmp_path / "out.json")]
        assert run.invoke(app, words).exit_code == 0
        said: dict[str, Any] = json.loads((tmp_path / "out.json").read_text())["domains"]
        return said

    eye = Eye(SCRATCH).identity
    assert fit() == {"eye": eye, "described": 2, "failures": []}
    Store.open(url).objects.delete(f"domains/{eye}/yard.safetensors")  # as if the first one had been interrupted
    assert fit() == {"eye": eye, "described": 1, "failures": []}
    assert fit() == {"eye": eye, "described": 0, "failures": []}
    Store.open(url).objects.delete(f"domains/{eye}/gate.safetensors")
    (tmp_path / "videos" / "gate.mp4").unlink()
    failed = fit()  # exit code 0: nothing was to be fitted
    assert [one["shard_id"] for one in failed["failures"]] == ["gate"]
    assert "gate.mp4" in failed["failures"][0]["error"]
