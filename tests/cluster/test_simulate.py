"""The whole loop on a real Ray: labels, a generation, an audit frame and a review, the next generation; twice."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from typer.testing import CliRunner

from cluster.cli.main import app
from training.loop.efficiency import Spent
from training.models.actions import BOX_SECONDS
from training.store.store import Store

Draw = Callable[..., Path]
run = CliRunner()


def simulated(folder: Path, name: str) -> tuple[dict[str, Any], Store]:
    """Two generations of the one video in `folder`/data."""
    options = ["--labels", "2", "--corrections", "2", "--generations", "2", "--seed", "3"]
    where = ["--store", str(folder / name), "--json", str(folder / f"{name}.json")]
    fitting = ["--recipe", "smoke", "--weights", "none", "--workers", "2"]
    result = run.invoke(app, ["simulate", str(folder / "data"), *options, *where, *fitting])
    assert result.exit_code == 0, result.output
    return json.loads((folder / f"{name}.json").read_text()), Store.open(str(folder / name))


@pytest.mark.slow
@pytest.mark.usefixtures("two_cpus")
def test_the_second_generation_is_fitted_on_what_was_reviewed_and_everything_is_charged(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "data", "walk", labelled=tuple(range(16)))
    result, store = simulated(tmp_path, "store")
    (entry,) = result["shards"]
    first, second = entry["generations"]
    key = ("walk", store.labelled("walk")[0])
    assert [(one["generation"], one["frames_touched"], one["frames_scored"]) for one in (first, second)] == [
        (1, 2, 14),
        (2, 5, 11),
    ]

    spent = Spent.from_ledger(store.ledger.read(*key), BOX_SECONDS)
    assert (len(spent.labelled), len(spent.reviewed), len(spent.audited)) == (2, 2, 1)
    assert store.audit_frames(*key) == spent.audited
    assert {frame.frame_index for frame in store.labels_to_fit(*key)} == spent.labelled | spent.reviewed
    assert store.registry.card(*key, 2).num_labelled == 4, "the audit frame was fitted on"
    assert {action.generation for action in store.ledger.read(*key) if action.round_kind == "review"} == {1}

    done = spent.drawn + spent.corrected.due
    assert second["e_count_ceiling"] == pytest.approx(1 - done / 16)
    still = sum(second["actions"][name] for name in ("draw", "delete", "adjust"))
    assert second["e_count"] == pytest.approx(1 - still / 16)
    assert len(entry["baselines_by_generation"]) == 2
    assert entry["baselines"] == entry["baselines_by_generation"][-1]
    assert entry["baselines"]["interpolation"]["frames_touched"] == 5

    used = ["--generations", "2", "--store", str(tmp_path / "store"), "--weights", "none", "--workers", "2"]
    refused = run.invoke(app, ["simulate", str(tmp_path / "data"), *used])
    assert refused.exit_code == 2
    assert "has generations of walk already, needed a new store" in refused.output


@pytest.mark.slow
@pytest.mark.usefixtures("two_cpus")
def test_the_same_seed_gives_the_same_course(tmp_path: Path, draw: Draw) -> None:
    def numbers(course: dict[str, Any]) -> list[dict[str, Any]]:
        return [{name: one[name] for name in one if not name.endswith("_seconds")} for one in course["generations"]]

    draw(tmp_path / "data", "walk", labelled=tuple(range(16)))
    first, again = (simulated(tmp_path, name)[0]["shards"][0] for name in ("store", "again"))
    assert numbers(again) == numbers(first)


MODEL = "fasterrcnn_mobilenet_v3_large_320_fpn"


@pytest.mark.slow
@pytest.mark.usefixtures("two_cpus")
def test_a_pre_trained_detector_is_judged_as_a_neighbour_where_it_knows_the_classes(tmp_path: Path, draw: Draw) -> None:
    """A detector that calls every proposal a car: it does not know squares, and is no use on cars."""
    torch.manual_seed(0)
    network: Any = torchvision.models.get_model(MODEL, weights=None, weights_backbone=None)
    with torch.no_grad():
        network.roi_heads.box_predictor.cls_score.weight.zero_()
        network.roi_heads.box_predictor.cls_score.bias.zero_()[3] = 9.0
    torch.save(network.state_dict(), tmp_path / "detector.pth")
    for name in ("walk", "drive"):
        draw(tmp_path / "data", name, labelled=tuple(range(16)))
    cars = tmp_path / "data" / "drive.coco.json"
    cars.write_text(cars.read_text().replace("square", "car"))
    (tmp_path / "own.json").write_text('{"detection": {"draw": 4.0}}')
    words = ["--labels", "2", "--recipe", "smoke", "--weights", "none", "--workers", "2", "--json", str(tmp_path / "out.json")]
    words += ["--prelabel-weights", str(tmp_path / "detector.pth"), "--prelabel-model", MODEL]
    words += ["--timings", str(tmp_path / "own.json"), "--report", str(tmp_path / "page.html")]
    result = run.invoke(app, ["simulate", str(tmp_path / "data"), *words])
    assert result.exit_code == 0, result.output
    document = json.loads((tmp_path / "out.json").read_text())
    entries = {entry["shard_id"]: entry for entry in document["shards"]}

    known = entries["drive"]["baselines"]["prelabel"]
    assert (known["frames_touched"], known["frames_scored"], known["human_seconds"]) == (0, 16, 0.0)
    assert (known["check"]["frames"], known["check"]["verdict"]) == (2, "not usable")
    assert known["precision"] < 0.5
    assert "knows none of square" in entries["walk"]["baselines"]["prelabel"]["why_not"]

    assert entries["walk"]["generations"][0]["human_seconds"] == 2 * 4.0
    assert entries["walk"]["drawing_seconds"] == 16 * 4.0
    assert document["seconds"]["detection.square"]["draw"] == {"seconds": 4.0, "from": "timings"}
    page = (tmp_path / "page.html").read_text()
    assert "by a few labels: not usable" in page
    assert "Will it work, and what will it cost?" in page
