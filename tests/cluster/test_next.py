"""`next` on a real Ray: what it finds, the audit frame of the round, and what it leaves in the store."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from cluster.cli.main import app
from training.data.annotations import Annotation, FrameLabels
from training.loop.pending import pending
from training.store.card import Card
from training.store.store import Store

Draw = Callable[..., Path]
NAME = "detection.square"
run = CliRunner()
pytestmark = pytest.mark.usefixtures("two_cpus")


@pytest.fixture
def store(tmp_path: Path, draw: Draw) -> Store:
    """`cam0` has five labelled frames and the machine labels of generation 1; of `cam1` nobody has labelled anything."""
    draw(tmp_path / "data", "cam0")
    draw(tmp_path / "data", "cam1", seed=1)
    (tmp_path / "data" / "cam1.coco.json").unlink()
    assert run.invoke(app, ["add", str(tmp_path / "data"), "--store", str(tmp_path / "store")]).exit_code == 0
    store = Store.open(str(tmp_path / "store"))
    card = Card(shard_id="cam0", ontology=NAME, task="detection", classes=("square",), fit_key="first")
    published = store.registry.publish(card, {"w": torch.zeros(1)})
    store.registry.promote("cam0", NAME, published.generation, "first")
    boxes = [(4.0 + 4 * n, 10.0 + n, 28.0 + 4 * n, 30.0 + n) for n in range(16)]
    said = [Annotation(class_name="square", bbox_xyxy=box, provenance="model", score=0.4) for box in boxes]
    frames = [FrameLabels(shard_id="cam0", frame_index=n, annotations=(one,)) for n, one in enumerate(said)]
    store.predictions.write("cam0", NAME, 1, 0, 16, frames)
    return store


def ask(store: Store, *words: str) -> dict[str, Any]:
    out = Path(store.url).parent / "next.json"
    result = run.invoke(app, ["next", *words, "--store", store.url, "--weights", "none", "--json", str(out)])
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(out.read_text())
    return document


def test_what_next_finds_waits_in_the_store_until_it_is_labelled(store: Store) -> None:
    found = ask(store, "--frames", "9", "--labels", "3")
    queued = store.queue.read()
    assert (found["queue"], queued.number) == (1, 1)
    keys = ("shard_id", "ontology", "frame_index", "kind", "generation", "why", "costs_s")
    assert [[one[key] for key in keys] for one in found["frames"]] == [[getattr(f, key) for key in keys] for f in queued.frames]
    kinds = {(one.shard_id, one.kind, one.generation) for one in queued.frames}
    assert kinds == {("cam1", "labels", None), ("cam0", "audit", None), ("cam0", "review", 1)}
    (audit,) = [one.frame_index for one in queued.frames if one.kind == "audit"]
    assert audit not in {0, 4, 8, 12, 15}
    assert audit not in [one.frame_index for one in queued.frames if one.kind == "review"]
    first = next(one for one in queued.frames if one.kind == "labels")
    store.annotate("cam1", NAME, [FrameLabels(shard_id="cam1", frame_index=first.frame_index)])
    assert list(pending(store, queued)) == [one for one in queued.frames if one != first]
    assert {one.shard_id for one in pending(store, queued, shard_id="cam1")} == {"cam1"}

    assert [one["frame_index"] for one in ask(store, "cam0")["frames"] if one["kind"] == "audit"] == [audit]  # drawn once
    store.annotate("cam0", NAME, [FrameLabels(shard_id="cam0", frame_index=audit)], audit=True)
    assert {one["kind"] for one in ask(store, "cam0")["frames"]} == {"review"}
    assert {one.shard_id for one in store.queue.read().frames} == {"cam0"}  # the newest queue counts, and no older one
