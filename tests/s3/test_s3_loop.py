"""The whole little loop with a store on S3, without Ray: add, annotate, fit, publish, label, export; and how often it asks."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from cluster.cli.main import app
from training.learning.generation import fit_jobs, plan_fits
from training.learning.labeller import Labeller
from training.learning.labelling import plan_clips
from training.learning.recipes import smoke
from training.loop.going_live import go_live
from training.models.backbones import Backbone
from training.store.card import Card
from training.store.store import Store

ROOT = Path(__file__).parents[2]
HOW: dict[str, Any] = {
    "recipe": replace(smoke(), steps=2, batch_size=2),
    "backbone": Backbone(name="resnet18", weights="none"),
    "seed": 0,
}
run = CliRunner()


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A bright square that walks, one second of it, and where it is on two frames."""
    folder = tmp_path / "data"
    folder.mkdir()
    with av.open(str(folder / "walk.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=8)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for index in range(8):
            picture = np.full((64, 96, 3), 40, dtype=np.uint8)
            picture[10:30, 4 + 8 * index : 28 + 8 * index] = (250, 240, 40)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    document = {
        "images": [{"id": n, "file_name": f"{n}.jpg", "frame_index": n, "width": 96, "height": 64} for n in (0, 4)],
        "annotations": [{"id": n + 1, "image_id": n, "category_id": 1, "bbox": [4 + 8 * n, 10, 24, 20]} for n in (0, 4)],
        "categories": [{"id": 1, "name": "square"}],
    }
    (folder / "walk.coco.json").write_text(json.dumps(document))
    return folder / "walk.mp4"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def fit_all(store: Store, **how: Any) -> None:
    plan = plan_fits(store, None, None, **{**HOW, **how})
    assert [one.error for one in go_live(store, fit_jobs(store, plan.jobs, **{**HOW, **how}))] == [None]


def label_all(store: Store) -> None:
    assert [receipt.error for receipt in Labeller(store).label(plan_clips(store, None, None).clips)] == [None]


def test_a_video_is_added_fitted_labelled_and_exported(bucket: str, video: Path, tmp_path: Path) -> None:
    url, out = f"s3://{bucket}/project", tmp_path / "labels.json"
    assert run.invoke(app, ["add", str(video), "--store", url]).exit_code == 0
    store = Store.open(url)
    (ontology,) = store.ontologies()
    assert store.annotate("walk", ontology.name, store.labels("walk", ontology.name)[:1]) == 2
    fit_all(store)
    assert plan_fits(store, None, None, **HOW).jobs == []
    label_all(store)
    assert plan_clips(store, None, None).clips == []
    result = run.invoke(app, ["export", "--store", url, "--what", "predictions", "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert len(json.loads(out.read_text())["images"]) == 8
    fit_all(store, seed=1)
    assert store.registry.live("walk", ontology.name) == 2
    assert run.invoke(app, ["rollback", "walk", "--to", "1", "--store", url]).exit_code == 0
    assert Store.open(url).registry.live("walk", ontology.name) == 1
    assert run.invoke(app, ["status", "--store", url]).exit_code == 0


@pytest.mark.parametrize("parameters", ["full", "head"])
def test_no_step_asks_the_server_more_often_than_the_documentation_says(
    mock: Any, mock_bucket: str, video: Path, parameters: str
) -> None:
    url = f"s3://{mock_bucket}/project"
    how = {**HOW, "recipe": replace(HOW["recipe"], parameters=parameters)}
    once = {"fit and publish": Counter(HEAD=1, PUT=1), "label": Counter(GET=1)} if parameters == "head" else {}
    store = Store.create(url)

    def asked() -> Counter[str]:
        counted = Counter("LIST" if request.count("/") < 3 else request.split()[0] for request in mock.requests)
        mock.requests.clear()
        return counted

    mock.requests.clear()
    assert run.invoke(app, ["add", str(video), "--store", url]).exit_code == 0
    costs = {"add": asked()}
    plan = plan_fits(store, None, None, **how)
    costs["plan a fit"] = asked()
    receipts = fit_jobs(store, plan.jobs, **how)
    costs["fit and publish"] = asked()
    go_live(store, receipts)
    costs["go live"] = asked()
    clips = plan_clips(store, None, None).clips
    costs["plan a label"] = asked()
    list(Labeller(Store(store.objects)).label(clips))
    costs["label"] = asked()
    page = (ROOT / "docs" / "store.md").read_text(encoding="utf-8")
    for name, counted in costs.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| {name} |"))
        allowed = dict(zip(("PUT", "GET", "HEAD", "LIST"), map(int, row.split("|")[2:6]), strict=True))
        most = Counter(allowed) + once.get(name, Counter())
        assert counted <= most, f"{name}: {dict(counted)}, documented {dict(most)}"


def test_processes_that_publish_at_once_get_a_generation_each(bucket: str, server: str) -> None:
    url = f"s3://{bucket}/project"
    store = Store.create(url)
    program = [
        "import sys, torch",
        "from training.store.card import Card",
        "from training.store.store import Store",
        "store, who = Store.open(sys.argv[1]), int(sys.argv[2])",
        "for turn in range(3):",
        "    key, value = f'{who}-{turn}', torch.full((9,), 10.0 * who + turn)",
        "    card = Card(shard_id='dog', ontology='detection.dog', task='detection', classes=('dog',), fit_key=key)",
        "    store.registry.publish(card, {'weight': value})",
    ]
    command = [sys.executable, "-c", "\n".join(program), url]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    writers = [subprocess.Popen([*command, str(who)], env=environment) for who in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    found = store.registry.generations("dog", "detection.dog")
    cards: list[Card] = [store.registry.card("dog", "detection.dog", generation) for generation in found]
    assert found == list(range(1, 10))
    assert sorted(card.fit_key for card in cards) == [f"{who}-{turn}" for who in range(3) for turn in range(3)]
    for card in cards:
        who, turn = card.fit_key.split("-")
        assert store.registry.load(card)["weight"].tolist() == [10.0 * int(who) + int(turn)] * 9
