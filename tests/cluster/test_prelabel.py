"""`prelabel` on a real Ray: a real detector with weights from a file, as a user runs it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from typer.testing import CliRunner

from cluster.cli.main import app
from training.store.store import Store

Draw = Callable[..., Path]
MODEL = "fasterrcnn_mobilenet_v3_large_320_fpn"
CAR = 3  # COCO's number
run = CliRunner()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector that calls every proposal a car."""
    torch.manual_seed(0)
    model: Any = torchvision.models.get_model(MODEL, weights=None, weights_backbone=None)
    with torch.no_grad():
        model.roi_heads.box_predictor.cls_score.weight.zero_()
        model.roi_heads.box_predictor.cls_score.bias.zero_()[CAR] = 9.0
    path = tmp_path_factory.mktemp("weights") / "detector.pth"
    torch.save(model.state_dict(), path)
    return path


@pytest.fixture
def store(tmp_path: Path, draw: Draw) -> Store:
    draw(tmp_path / "data", "cam0")
    assert run.invoke(app, ["add", str(tmp_path / "data"), "--store", str(tmp_path / "store")]).exit_code == 0
    return Store.open(str(tmp_path / "store"))


@pytest.mark.slow
@pytest.mark.usefixtures("two_cpus")
def test_a_detector_labels_every_frame_says_what_it_is_worth_and_its_labels_are_exported(
    tmp_path: Path, store: Store, weights: Path
) -> None:
    ontology, out = store.ontologies()[0].name, tmp_path / "o.json"
    words = ["prelabel", "--store", store.url, "--model", MODEL, "--weights", str(weights), "--map", "car=square"]
    words += ["--workers", "1", "--json", str(out)]

    checked = run.invoke(app, [*words, "--check"])
    assert checked.exit_code == 0, checked.output
    (shard,) = json.loads(out.read_text())["shards"]
    assert (shard["check"]["frames"], shard["check"]["objects"], shard["frames"]) == (5, 5, 0)
    assert shard["check"]["said"] > 0
    assert shard["check"]["verdict"] == "not usable"
    assert store.predictions.done("cam0", ontology, 0) == []

    assert run.invoke(app, words).exit_code == 0
    labels, errors = store.predictions.read("cam0", ontology, 0)
    assert (len(labels), errors) == (16, {})
    said = [annotation for frame in labels for annotation in frame.annotations]
    assert {(a.class_name, a.provenance, a.author, a.generation) for a in said} == {("square", "model", MODEL, 0)}
    assert store.registry.generations("cam0", ontology) == []

    coco = tmp_path / "pre.coco.json"
    exported = run.invoke(app, ["export", "--store", store.url, "--what", "prelabels", "--out", str(coco)])
    assert exported.exit_code == 0, exported.output
    assert len(json.loads(coco.read_text())["annotations"]) == len(said)

    assert run.invoke(app, words).exit_code == 0
    assert json.loads(out.read_text())["shards"][0]["clips"] == 0, "the same again has nothing to do"
    assert run.invoke(app, [*words, "--min-score", "1"]).exit_code == 0
    replaced, _ = store.predictions.read("cam0", ontology, 0)
    assert [frame.annotations for frame in replaced] == [()] * 16, "other settings replace what was said"


def test_what_does_not_fit_is_named_before_ray_is_started(store: Store, weights: Path) -> None:
    words = ["prelabel", "--store", store.url, "--model", MODEL, "--weights", str(weights)]
    unknown = run.invoke(app, words)
    assert unknown.exit_code == 3
    assert "the detector knows none of square; it knows person, bicycle" in unknown.stdout
    typo = run.invoke(app, [*words, "--map", "car=square,lorry=square"])
    assert typo.exit_code == 2
    assert "--map lorry=square: the detector has no 'lorry'" in typo.stderr
    other = run.invoke(app, [*words[:3], "--model", "fasterrcnn_resnet50_fpn", *words[5:], "--map", "car=square"])
    assert other.exit_code == 2
    assert "do not fit fasterrcnn_resnet50_fpn" in other.stderr
