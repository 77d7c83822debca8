"""Calibration on one shard: what it measures, and that the store it measures with is as it was."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from cluster.cli.main import app
from cluster.plan_costs import Costs
from cluster.plan_measure import measured_shard
from training.errors import NothingToLearn
from training.learning.recipes import smoke
from training.models.backbones import Backbone
from training.store.store import Store

HOW: dict[str, Any] = {
    "recipe": replace(smoke(), name="tiny", steps=2, batch_size=2),
    "backbone": Backbone(name="resnet18", weights="none"),
}


@pytest.fixture
def store(tmp_path: Path, draw: Callable[..., Path]) -> Store:
    draw(tmp_path / "data", "one")
    words = ["add", str(tmp_path / "data"), "--store", str(tmp_path / "store")]
    assert CliRunner().invoke(app, words).exit_code == 0
    return Store.open(str(tmp_path / "store"))


def test_one_shard_tells_what_nobody_knew_and_leaves_the_store_alone(store: Store) -> None:
    keys, threads = store.objects.keys(""), torch.get_num_threads()
    costs = measured_shard(store, Costs(), **HOW)
    assert len(costs.fit_s) == len(costs.frame_s) == len(costs.model_bytes) == len(costs.frame_bytes) == 1
    assert costs.fit_s[0] > 0 < costs.frame_s[0]
    assert costs.model_bytes[0] > 4 * 10**7, "a ResNet-18 of 11 million numbers"
    assert (costs.device, costs.threads) == ("cuda" if torch.cuda.is_available() else "cpu", 1)
    measured = {"fit_s", "frame_s", "model_bytes", "frame_bytes", "fit_overhead_s", "label_overhead_s", "device", "threads"}
    assert {name for name in [*Costs.measures(), "device"] if costs.source(name) == "measured now on one"} == measured
    assert (store.objects.keys(""), torch.get_num_threads()) == (keys, threads)


def test_what_is_known_already_stays(store: Store) -> None:
    known = Costs().instead("cards", fit_s=(50.0, 60.0), frame_s=(0.1,))
    costs = measured_shard(store, known, **HOW)
    assert (costs.fit_s, costs.frame_s, costs.source("fit_s")) == ((50.0, 60.0), (0.1,), "cards")
    assert costs.source("fit_overhead_s") == "measured now on one"


def test_a_store_without_labels_cannot_be_measured_with(tmp_path: Path) -> None:
    with pytest.raises(NothingToLearn, match="needed one that has"):
        measured_shard(Store.create(str(tmp_path / "empty")), Costs(), **HOW)
