"""What `status` says about a store, and `rollback`."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from cluster.cli.main import app
from training.data.annotations import Annotation, FrameLabels
from training.data.human_actions import HumanAction
from training.data.ontology import Ontology
from training.data.shards import Shard
from training.store.card import Card
from training.store.decisions import Decision
from training.store.store import Store

run = CliRunner()
MODEL = ("dog", "detection.dog")
BOX = Annotation(class_name="dog", bbox_xyxy=(1.0, 2.0, 30.0, 40.0))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two shards, one with two labelled frames, an audit frame and three generations, of which the gate refused the last."""
    store = Store.create(str(tmp_path / "store"))
    for shard_id in ("dog", "untouched"):
        uri = f"/videos/{shard_id}.mp4"
        shard = Shard(shard_id=shard_id, uri=uri, kind="video", num_frames=20, width=64, height=48, content_hash=uri, fps=10.0)
        store.add_shard(shard)
    store.add_ontology(Ontology(name=MODEL[1], task="detection", classes=("dog",)))
    store.annotate(*MODEL, labels(0, 9))
    store.annotate(*MODEL, labels(5), audit=True)
    for fit_key, status in (("1", "provisional"), ("2", "unproven"), ("3", "worse")):
        card = Card(shard_id="dog", ontology=MODEL[1], task="detection", classes=("dog",), fit_key=fit_key)
        generation = store.registry.publish(card, {"none": torch.zeros(1)}).generation
        verdict = {"status": status}
        decided = Decision(generation=generation, promoted=status != "worse", reason=f"because {fit_key}", verdict=verdict)
        store.registry.decide(*MODEL, decided)
    store.predictions.write(*MODEL, 2, 0, 3, labels(0, 1, 2))
    store.ledger.append([action("a", "draw", after=BOX), action("b", "delete", before=BOX, round_kind="review", seconds=4.0)])
    return store


def labels(*indices: int) -> list[FrameLabels]:
    return [FrameLabels(shard_id="dog", frame_index=index, annotations=(BOX,)) for index in indices]


def action(event_id: str, name: Any, **more: Any) -> HumanAction:
    what = {"round_kind": "labels", "shard_id": "dog", "ontology": MODEL[1], "frame_index": 0, "who": "ann"}
    return HumanAction(event_id=event_id, action=name, when="2026-01-02T03:04:05+00:00", **{**what, **more})


def test_status_is_one_line_for_each_shard_and_ontology(store: Store, tmp_path: Path) -> None:
    result = run.invoke(app, ["status", "--store", store.url, "--json", str(tmp_path / "status.json")])
    assert result.exit_code == 0, result.output
    _, dog, untouched = result.stdout.strip().splitlines()
    assert dog.split()[:7] == ["dog", "detection.dog", "2/20", "1", "3", "2", "3/20"]
    assert dog.endswith("unproven: because 2; 3 was refused")
    assert untouched.split()[:4] == ["untouched", "-", "0/20", "0"]
    one, _ = json.loads((tmp_path / "status.json").read_text())["shards"]
    assert (one["drawn"], one["corrected"], one["damage"]) == (1, 1, [])
    assert one["human_seconds"] == pytest.approx(7.0 + 4.0 + 1.7), "drawing by the table, measured, and an unrecorded look"
    assert (one["live"], one["status"], one["refused"]) == (2, "unproven", 3)


def test_status_of_a_damaged_ledger_is_a_failure_and_the_rest_is_shown(store: Store) -> None:
    (part,) = (Path(store.url) / "ledger/dog/detection.dog").iterdir()
    part.write_bytes(part.read_bytes()[:-20])
    result = run.invoke(app, ["status", "dog", "--store", store.url])
    assert result.exit_code == 3
    assert "unproven: because 2" in result.stdout
    assert "ledger: " in result.stdout


def test_status_of_damaged_labels_is_a_failure_and_the_rest_is_shown(store: Store) -> None:
    for part in (Path(store.url) / "annotations/dog/detection.dog").glob("*.parquet"):
        part.write_bytes(part.read_bytes()[:-20])
    result = run.invoke(app, ["status", "--store", store.url])
    assert result.exit_code == 3
    assert "unproven: because 2" in result.stdout
    assert "CorruptLabels: annotations/dog/detection.dog/" in " ".join(result.stdout.split())
    assert "untouched" in result.stdout


@pytest.mark.parametrize(("words", "name"), [(["nobody"], "UnknownShard"), (["--ontology", "none"], "UnknownOntology")])
def test_status_names_what_the_store_does_not_have(store: Store, words: list[str], name: str) -> None:
    result = run.invoke(app, ["status", *words, "--store", store.url])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(name)


@pytest.mark.parametrize("to", [1, 3])
def test_rollback_makes_any_published_generation_live_and_appends(store: Store, to: int) -> None:
    result = run.invoke(app, ["rollback", "dog", "--to", str(to), "--store", store.url])
    assert result.exit_code == 0, result.output
    assert [one.generation for one in store.registry.promotions(*MODEL)] == [1, 2, to]
    last = store.registry.promotions(*MODEL)[-1]
    assert (last.reason, last.status) == ("rolled back from 2", "by hand")
    assert store.registry.generations(*MODEL) == [1, 2, 3]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dog", "--to", "9"], "UnknownModel: dog@9 detection.dog: not published, there is [1, 2, 3]"),
        (["dog", "--to", "2"], "AlreadyLive: dog@2 detection.dog: is live, needed another of [1, 2, 3]"),
        (["cat", "--to", "1"], "UnknownModel: cat: needed one ontology that has models: there is none"),
        (["dog", "--to", "1", "--ontology", "x"], "UnknownModel: dog x: needed one ontology that has models: detection.dog"),
    ],
)
def test_a_rollback_that_means_nothing_is_named_and_changes_nothing(store: Store, words: list[str], said: str) -> None:
    result = run.invoke(app, ["rollback", *words, "--store", store.url])
    assert (result.exit_code, result.stderr.strip()) == (2, said)
    assert store.registry.live(*MODEL) == 2


def test_a_trial_is_begun_shown_and_taken_back(store: Store) -> None:
    def rollback(*words: str) -> str:
        result = run.invoke(app, ["rollback", "dog", *words, "--store", store.url])
        assert result.exit_code == 0, result.output
        return run.invoke(app, ["status", "dog", "--store", store.url]).stdout

    assert "3 on trial: running with 10%" in rollback("--to", "3", "--canary", "0.1")
    assert store.registry.live(*MODEL) == 2
    assert "3 on trial: withdrawn: withdrawn" in rollback()
    rollback("--to", "1", "--canary", "0.5")
    assert "1 on trial: promoted: after trial 3 against 2" in rollback("--to", "1")
    assert store.registry.live(*MODEL) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "ConflictingCanary: dog detection.dog: no generation is on trial, needed --to N"),
        (["--canary", "0.1"], "ConflictingCanary: dog: --canary 0.1 without --to, needed the generation to try"),
        (["--to", "1", "--canary", "2"], "BadInput: a share of 2.0, needed one between 0 and 1"),
        (["--to", "2", "--canary", "0.1"], "AlreadyLive: dog@2 detection.dog: is live, needed another generation"),
    ],
)
def test_a_trial_that_cannot_be_is_named(store: Store, words: list[str], said: str) -> None:
    result = run.invoke(app, ["rollback", "dog", *words, "--store", store.url])
    assert (result.exit_code, result.stderr.strip()) == (2, said)


def test_status_charges_a_persons_own_seconds_and_says_where_each_is_from(store: Store, tmp_path: Path) -> None:
    (tmp_path / "own.json").write_text('{"detection": {"look": 1.0}}')
    store.ledger.append([action(f"m{number}", "adjust", before=BOX, after=BOX, seconds=3.0) for number in range(20)])
    words = ["--timings", str(tmp_path / "own.json"), "--json", str(tmp_path / "status.json")]
    result = run.invoke(app, ["status", "dog", "--store", store.url, *words])
    assert result.exit_code == 0, result.output
    document = json.loads((tmp_path / "status.json").read_text())
    assert document["seconds"][MODEL[1]] == {
        "draw": {"seconds": 7.0, "from": "table"},
        "adjust": {"seconds": 3.0, "from": "measured"},
        "delete": {"seconds": 1.7, "from": "table"},
        "look": {"seconds": 1.0, "from": "timings"},
    }
    (one,) = document["shards"]
    assert one["human_seconds"] == pytest.approx(7.0 + 4.0 + 1.0 + 20 * 3.0)


def test_status_reports_on_one_page_whether_it_will_work_and_says_when_nobody_can_tell(store: Store, tmp_path: Path) -> None:
    result = run.invoke(app, ["status", "--store", store.url, "--report", str(tmp_path / "page.html")])
    assert result.exit_code == 0, result.output
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Will it work on the rest, and what will the rest cost?" in page
    assert "<td>nobody can tell yet</td>" in page
    assert "--recipe careful" in page
    assert "untouched" not in page, "a shard without a micro-model has no prospect"
