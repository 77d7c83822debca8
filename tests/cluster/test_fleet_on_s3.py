"""A hundred shards in a store on S3, fitted and labelled by submitted jobs on two nodes; one node dies in each job."""

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from ray.cluster_utils import Cluster
from typer.testing import CliRunner

from cluster.cli.main import app
from cluster.session import DEFAULTS
from training.learning.recipes import recipe
from training.store.store import Store

pytestmark = pytest.mark.slow

Draw = Callable[..., Path]
run = CliRunner()
SHARDS = [f"cam{number:02d}" for number in range(100)]
FRAMES, FRAMES_PER_CLIP = 16, 8
BUCKET = "fleet"
URL = f"s3://{BUCKET}/project"
STOP_AT = {"fit": 10, "label": 20}  # pieces that are done when the node dies


@pytest.fixture(scope="module", params=["mock_server", pytest.param("radosgw_server", marks=pytest.mark.s3)])
def bucket(request: pytest.FixtureRequest) -> Iterator[Any]:
    """An S3 client; every process that is started from here on finds the server of it."""
    server = request.getfixturevalue(request.param)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", server.url)
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testtest")
        client = botocore.session.get_session().create_client("s3")
        client.create_bucket(Bucket=BUCKET)
        yield client


@pytest.fixture(scope="module")
def head(bucket: Any) -> Iterator[Cluster]:
    """The first of two nodes of one CPU, with the Jobs API."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    logging.getLogger("ray").setLevel(logging.ERROR)
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": True, "dashboard_port": 0})
    try:
        yield nodes
    finally:
        nodes.shutdown()


def run_and_lose_a_node(head: Cluster, jobs: Any, words: list[str], objects: Callable[[], dict[str, str]]) -> dict[str, str]:
    """Submit a verb, kill the second node when enough is done, and see the job succeed; returns what was done by then."""
    second = head.add_node(num_cpus=1)
    with jobs.start("-m", "cluster", *words, "--store", URL, "--workers", "2") as job:
        said: list[str] = []
        reader = threading.Thread(target=lambda: said.append(job.stdout.read()))
        reader.start()
        while len(done := objects()) < STOP_AT[words[0]] and job.poll() is None:
            time.sleep(0.2)
        running = job.poll() is None
        head.remove_node(second, allow_graceful=False)
        code = job.wait(timeout=900)
        reader.join()
    assert running, f"it was over before a node could be killed: {said[0]}"
    assert code == 0, said[0]
    return done


def test_a_hundred_shards_on_s3_survive_the_death_of_a_node_in_fit_and_in_label(
    head: Cluster, bucket: Any, jobs_at: Callable[[str], Any], tmp_path: Path, draw: Draw
) -> None:
    def objects(suffix: str) -> dict[str, str]:
        """Objects of the store with such a name, and when they were written."""
        pages = bucket.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="project/")
        found = (one for page in pages for one in page.get("Contents", ()))
        return {one["Key"]: f"{one['LastModified']} {one['ETag']}" for one in found if one["Key"].endswith(suffix)}

    for number, name in enumerate(SHARDS):
        draw(tmp_path / "data", name, seed=number)
    assert run.invoke(app, ["add", str(tmp_path / "data"), "--store", URL]).exit_code == 0
    tiny = tmp_path / "tiny.json"
    tiny.write_text(json.dumps({**recipe("smoke").to_json(), "name": "tiny", "steps": 1, "batch_size": 1}))
    jobs = jobs_at(f"http://{head.head_node.webui_url}")

    fit = ["fit", "--recipe", str(tiny), "--backbone", "shufflenet_v2_x0_5", "--weights", "none"]
    fitted = run_and_lose_a_node(head, jobs, fit, lambda: objects("/card.json"))
    cards, store = objects("/card.json"), Store.open(URL)
    assert {key: cards[key] for key in fitted} == fitted, "a finished shard was fitted again"
    assert {card.shard_id: card.generation for card in store.registry.live_cards()} == dict.fromkeys(SHARDS, 1)
    assert len(cards) == len(SHARDS), "a shard has more than one generation"
    assert {Path(key).parent for key in objects("/weights.safetensors")} == {Path(key).parent for key in cards}
    for card in store.registry.live_cards():
        store.registry.load(card)

    label = ["label", "--frames-per-clip", str(FRAMES_PER_CLIP)]
    run_and_lose_a_node(head, jobs, label, lambda: objects(".parquet"))
    for card in store.registry.live_cards():
        clips = store.predictions.done(card.shard_id, card.ontology, 1)
        labels, errors = store.predictions.read(card.shard_id, card.ontology, 1)
        assert clips == [(start, start + FRAMES_PER_CLIP) for start in range(0, FRAMES, FRAMES_PER_CLIP)]
        assert [frame.frame_index for frame in labels] == list(range(FRAMES))
        assert errors == {}
    assert "Uploads" not in bucket.list_multipart_uploads(Bucket=BUCKET)
