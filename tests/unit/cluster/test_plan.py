"""`plan`: from costs to needs, from a store to costs, and the verb."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from cluster.cli.main import app
from cluster.plan import Preemption, plan
from cluster.plan_costs import Costs, read_costs
from cluster.plan_days import Workload, draw_days
from cluster.plan_sources import costs_of_store
from training.data.annotations import Annotation, FrameLabels
from training.data.human_actions import HumanAction
from training.data.ontology import Ontology
from training.data.shards import Shard
from training.errors import BadInput
from training.store.card import Card
from training.store.store import Store

run = CliRunner()
NAME = "detection.dog"
BOX = Annotation(class_name="dog", bbox_xyxy=(1.0, 2.0, 30.0, 40.0))
STEADY = Costs(
    fit_s=(60.0,),
    frame_s=(0.125,),
    frames=(512,),
    model_bytes=(9e6,),
    frame_bytes=(100.0,),
    labels_s=(36.0,),
    review_s=(18.0,),
    fit_startup_s=20.0,
    label_startup_s=10.0,
    fit_overhead_s=0.0,
    label_overhead_s=0.0,
)


def test_costs_that_never_differ_are_planned_by_arithmetic() -> None:
    document = plan(STEADY, Workload(shards=100, generations=3), [1, 10])
    one, ten = document["fleets"]
    assert one["fit"]["wall_s"] == {"p50": 3 * (20 + 100 * 60), "p90": 3 * (20 + 100 * 60)}
    assert ten["fit"]["wall_s"]["p50"] == pytest.approx(3 * (20 + 10 * 60))
    assert one["label"]["wall_s"]["p50"] == pytest.approx(3 * (10 + 100 * 64))
    assert one["wall_s"]["p50"] == pytest.approx(3 * (30 + 100 * 124))
    assert ten["cpu_hours"]["p50"] == pytest.approx(3 * (10 * 30 + 100 * 124) / 3600)
    assert ten["gpu_hours"] is None
    assert ten["utilisation"] == pytest.approx(100 * 124 / (10 * 30 + 100 * 124))
    assert document["storage_bytes"] == {"models": 3 * 100 * 9e6, "predictions": pytest.approx(3 * 100 * 512 * 100)}
    assert document["human_hours"] == {"labels": pytest.approx(1.0), "reviews": pytest.approx(1.0)}
    assert document["requests"]["writes"] == 3 * 100 * (3 + 8)


def test_more_workers_than_shards_are_not_held_and_do_not_help() -> None:
    few, many = plan(STEADY, Workload(shards=4, frames=64), [4, 64])["fleets"]
    assert (few["wall_s"], few["cpu_hours"]) == (many["wall_s"], many["cpu_hours"])


def test_few_shards_are_shared_out_and_many_come_in_bundles() -> None:
    few, many = (plan(STEADY, Workload(shards=shards, bundle=16), [4])["fleets"][0] for shards in (4, 72))
    assert few["fit"]["wall_s"]["p50"] == 20 + 60
    assert many["fit"]["wall_s"]["p50"] == 20 + (16 + 8) * 60, "72 shards are four bundles of 16 and one of 8"


def test_hours_are_of_gpus_where_the_costs_were_measured_on_one() -> None:
    costs = STEADY.instead("test", device="NVIDIA H200", threads=2)
    (fleet,) = plan(costs, Workload(shards=10), [2])["fleets"]
    assert fleet["gpu_hours"]["p50"] == pytest.approx(2 * fleet["wall_s"]["p50"] / 3600)
    assert fleet["cpu_hours"]["p50"] == pytest.approx(2 * fleet["gpu_hours"]["p50"])


def test_later_generations_take_what_fits_that_go_on_took() -> None:
    costs = STEADY.instead("test", refit_s=(6.0,))
    (fleet,) = plan(costs, Workload(shards=10, generations=3), [1])["fleets"]
    assert fleet["fit"]["wall_s"]["p50"] == pytest.approx(3 * 20 + 10 * 60 + 2 * 10 * 6)


def test_few_measured_shards_make_a_wider_plan_than_many_of_the_same_spread() -> None:
    few, many = (STEADY.instead("test", fit_s=(30.0, 90.0) * times) for times in (1, 50))
    (wide,), (narrow,) = (plan(costs, Workload(shards=200), [4])["fleets"] for costs in (few, many))
    assert spread_of(wide) > 2 * spread_of(narrow) > 0


def spread_of(fleet: dict[str, Any]) -> float:
    wall_s: dict[str, float] = fleet["fit"]["wall_s"]
    return wall_s["p90"] / wall_s["p50"] - 1


def test_preemption_makes_the_day_longer_and_loses_work() -> None:
    calm, spot = (
        plan(STEADY, Workload(shards=200), [8], preemption=Preemption(per_hour=rate))["fleets"][0] for rate in (0.0, 5.0)
    )
    assert spot["wall_s"]["p50"] > calm["wall_s"]["p50"]
    assert spot["lost_worker_hours"] > 0 == calm["lost_worker_hours"]
    assert spot["preemptions"] > 10


def test_the_same_seed_gives_the_same_plan() -> None:
    costs = STEADY.instead("test", fit_s=(10.0, 20.0, 70.0))
    first, again, other = (plan(costs, Workload(shards=30), [3], seed=seed)["fleets"] for seed in (1, 1, 2))
    assert first == again != other


def test_the_very_shards_that_were_counted_keep_their_frames() -> None:
    costs = STEADY.instead("test", frames=(10, 20, 30))
    assert {tuple(day.frames) for day in draw_days(costs, Workload(shards=3), 0)} == {(10, 20, 30)}
    assert {tuple(day.frames) for day in draw_days(costs, Workload(shards=3, frames=7), 0)} == {(7, 7, 7)}


@pytest.mark.parametrize(("workers", "blocks"), [(1, 5), (2, 8), (5, 10)])
def test_clips_are_handed_out_as_label_does(workers: int, blocks: int) -> None:
    (day, *_) = draw_days(STEADY, Workload(shards=1, frames=10 * 64), 0)
    assert len(day.blocks_s(workers, 0.5)) == blocks
    assert sum(day.blocks_s(workers, 0.5)) == pytest.approx(640 * 0.125 + 10 * 0.5)


@pytest.mark.parametrize("name", ["fit_s", "frame_s", "frames"])
def test_a_cost_nobody_knows_is_named(name: str) -> None:
    with pytest.raises(BadInput, match=f"no {name}, needed"):
        plan(STEADY.instead("test", **{name: ()}), Workload(shards=1), [1])


def test_costs_come_back_from_their_json_and_name_their_file(tmp_path: Path) -> None:
    (tmp_path / "costs.json").write_text(json.dumps(STEADY.to_json()))
    read = read_costs(tmp_path / "costs.json", Costs())
    assert (read.fit_s, read.frames, read.fit_startup_s) == (STEADY.fit_s, STEADY.frames, STEADY.fit_startup_s)
    assert read.source("fit_s") == str(tmp_path / "costs.json")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "needed a JSON file of costs"),
        ("[]", "a JSON list"),
        ('{"speed": 1}', "unknown 'speed'"),
        ('{"fit_s": 3}', "fit_s is 3"),
        ('{"fit_s": [-1]}', "fit_s has -1"),
        ('{"frames": [10.5]}', "needed whole numbers"),
        ('{"fit_startup_s": "soon"}', "fit_startup_s is 'soon'"),
    ],
)
def test_a_costs_file_that_cannot_be_used_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "costs.json").write_text(text)
    with pytest.raises(BadInput, match=said):
        read_costs(tmp_path / "costs.json", Costs())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three shards with live models that took 10, 20 and 30 s, and one of another recipe; one was labelled, one has a ledger."""
    store = Store.create(str(tmp_path / "store"))
    store.add_ontology(Ontology(name=NAME, task="detection", classes=("dog",)))
    for number in range(4):
        shard_id = f"dog{number}"
        uri = f"/videos/{shard_id}.mp4"
        shard = Shard(shard_id=shard_id, uri=uri, kind="video", num_frames=20, width=64, height=48, content_hash=uri, fps=10.0)
        store.add_shard(shard)
        store.annotate(shard_id, NAME, [said(shard_id, 0), said(shard_id, 9)])
        what = {"recipe": {"name": "quality" if number < 3 else "smoke"}, "device": "cpu", "threads": 2}
        card = Card(shard_id=shard_id, ontology=NAME, task="detection", classes=("dog",), fit_seconds=10.0 * (number + 1), **what)
        store.registry.publish(card, {"none": torch.zeros(100)})
        store.registry.promote(shard_id, NAME, 1, "first")
    frames = [said("dog0", index) for index in range(20)]
    store.predictions.write("dog0", NAME, 1, 0, 20, frames, seconds={"decode": 1.0, "model": 3.0})
    draw = action("draw", round_kind="labels", after=BOX, seconds=5.0)
    look = action("look", round_kind="review", generation=1, seconds=3.0)
    store.ledger.append([draw, look])
    return store


def said(shard_id: str, index: int) -> FrameLabels:
    return FrameLabels(shard_id=shard_id, frame_index=index, annotations=(BOX,))


def action(name: Any, **more: Any) -> HumanAction:
    what = {"shard_id": "dog0", "ontology": NAME, "frame_index": 0, "who": "ann", "when": "2026-01-02T03:04:05+00:00"}
    return HumanAction(event_id=name, action=name, **{**what, **more})


def test_a_store_tells_what_its_commonest_recipe_took(store: Store) -> None:
    costs = costs_of_store(store)
    assert (costs.fit_s, costs.refit_s, costs.frames) == ((10.0, 20.0, 30.0), (), (20, 20, 20, 20))
    assert costs.frame_s == (0.2,)
    assert (costs.device, costs.threads) == ("cpu", 2)
    assert costs.labels_s == (5.0, 14.0, 14.0), "as the ledger says; two boxes by the table"
    assert costs.review_s == (3.0, 5 * 1.7 + 7.0, 5 * 1.7 + 7.0)
    assert all(400 < size < 10_000 for size in costs.model_bytes)
    assert costs.source("fit_s") == "3 live cards of quality cpu 2, 1 others left out"
    assert costs.source("fit_startup_s") == "assumed"
    assert costs_of_store(store, "smoke").fit_s == (40.0,)
    assert costs_of_store(store, "film").fit_s == ()


def test_plan_says_how_many_shards_it_knows_and_writes_what_it_read(store: Store, tmp_path: Path) -> None:
    words = ["plan", "--store", store.url, "--workers", "1,4", "--shards", "40", "--generations", "2"]
    result = run.invoke(app, [*words, "--json", str(tmp_path / "plan.json")])
    assert result.exit_code == 0, result.output
    costs, needs, fleets = (part.splitlines() for part in result.stdout.strip().split("\n\n"))
    assert costs[1].split()[:4] == ["fit_s", "3", "20", "28"]
    assert costs[1].endswith("3 live cards of quality cpu 2, 1 others left out")
    assert needs[1].split()[:2] == ["40", "2"]
    assert [line.split()[0] for line in fleets] == ["workers", "1", "4"]
    document = json.loads((tmp_path / "plan.json").read_text())
    assert document["measured_shards"] == {"fit": 3, "label": 1}
    (tmp_path / "costs.json").write_text(json.dumps(document["costs"]))
    again = ["plan", "--costs", str(tmp_path / "costs.json"), *words[3:], "--json", str(tmp_path / "again.json")]
    assert run.invoke(app, again).exit_code == 0
    assert json.loads((tmp_path / "again.json").read_text())["fleets"] == document["fleets"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--workers", "1,many"], "BadInput: --workers 1,many: needed whole numbers"),
        (["--measure"], "BadInput: --measure: needed a --store"),
        ([], "BadInput: costs: no fit_s"),
    ],
)
def test_what_cannot_be_planned_is_said_in_one_line(words: list[str], message: str) -> None:
    result = run.invoke(app, ["plan", *words])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(message)
