"""A shard is fitted, labelled and fetched by somebody who knows the service only: a real Serve, which submits to a real Ray."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
import ray
from ray.cluster_utils import Cluster
from typer.testing import CliRunner

from cluster.cli.main import app
from cluster.serving import serving
from training.data.coco import read_coco
from training.store.store import Store

Draw = Callable[..., Path]
Serving = Callable[[str], httpx.Client]
ENDED = ("succeeded", "failed", "stopped", "lost")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ray_address(start_head: Callable[..., AbstractContextManager[Cluster]]) -> Iterator[str]:
    """The Jobs API of a two-CPU Ray that this process is connected to."""
    with start_head(num_cpus=2, jobs=True, RAY_JOB_STOP_WAIT_TIME_S="60") as nodes:
        ray.init(address=nodes.address, log_to_driver=False)
        yield f"http://{nodes.head_node.webui_url}"
        ray.shutdown()


@pytest.fixture(scope="module")
def port(free_port: Callable[[], int]) -> int:
    """The proxy of a Ray keeps the port it was started with."""
    return free_port()


@pytest.fixture
def store(tmp_path: Path, draw: Draw) -> Store:
    """Two labelled videos."""
    for number in range(2):
        draw(tmp_path / "data", f"cam{number}", seed=number)
    assert CliRunner().invoke(app, ["add", str(tmp_path / "data"), "--store", str(tmp_path / "store")]).exit_code == 0
    return Store.open(str(tmp_path / "store"))


@pytest.fixture
def service(ray_address: str, port: int, store: Store) -> Iterator[httpx.Client]:
    """A client of the service, which leaves one of two CPUs to its jobs."""
    settings = {"jobs_recipe": "smoke", "jobs_weights": "none", "jobs_workers": 1, "cpus_per_ingress": 0}
    with (
        serving(store.url, host="127.0.0.1", port=port, jobs_address=ray_address, **settings),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client,
    ):
        yield client


def submitted(service: httpx.Client, **job: Any) -> dict[str, Any]:
    """The head of a Ray answers before the agent that starts jobs is up: that is a 503, and the same job is sent again."""
    for _ in range(10):
        response = service.post("/v1/jobs", json=job)
        if response.status_code != 503:
            break
    assert response.status_code == 202, response.text
    said: dict[str, Any] = response.json()
    return said


def followed(service: httpx.Client, job_id: str, until: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    while not until(job := service.get(f"/v1/jobs/{job_id}").raise_for_status().json()):
        time.sleep(0.2)
    return dict(job)


def ended(job: dict[str, Any]) -> bool:
    return job["state"] in ENDED


def test_a_fit_a_label_and_their_result(service: httpx.Client, store: Store, tmp_path: Path) -> None:
    for _ in range(2):
        submitted(service, job_id="fit-1", verb="fit", shard_ids=["cam0", "cam1"])
    fitted = followed(service, "fit-1", ended)
    assert (fitted["state"], fitted["failures"], fitted.get("error")) == ("succeeded", [], None)
    assert fitted["progress"] == {"unit": "micro-models", "done": 2, "total": 2}
    assert {card.recipe["name"] for card in store.registry.live_cards()} == {"smoke"}

    submitted(service, job_id="label-1", verb="label", shard_ids=["cam0"], frames_per_clip=4)
    labelled = followed(service, "label-1", ended)
    assert (labelled["state"], labelled["progress"]) == ("succeeded", {"unit": "frames", "done": 16, "total": 16}), labelled
    assert labelled["submitted_at"] <= labelled["started_at"] <= labelled["ended_at"]
    (tmp_path / "cam0.coco.json").write_text(service.get(labelled["result"]).raise_for_status().text)
    read = read_coco(tmp_path / "cam0.coco.json", store.shard("cam0"))
    assert [len(frames) for _, frames in read.labels.values()] == [16]
    lines = service.get(labelled["result"], params={"format": "ndjson"}).text.splitlines()
    assert [json.loads(line)["frame_index"] for line in lines] == list(range(16))

    submitted(service, job_id="fit-2", verb="fit", shard_ids=["cam0"])
    assert followed(service, "fit-2", ended)["shards"][0]["generation"] == 1  # it was known


def test_a_shard_that_cannot_be_read_is_a_row_of_the_failures(service: httpx.Client, store: Store) -> None:
    Path(store.shard("cam1").uri).unlink()
    submitted(service, job_id="fit-1", verb="fit", shard_ids=["cam0", "cam1"])
    job = followed(service, "fit-1", ended)
    assert (job["state"], job["progress"]["done"]) == ("failed", 1)
    assert [row["shard_id"] for row in job["failures"]] == ["cam1"]


def test_a_job_can_be_stopped(service: httpx.Client) -> None:
    submitted(service, job_id="fit-1", verb="fit", shard_ids=["cam0", "cam1"])
    service.delete("/v1/jobs/fit-1").raise_for_status()
    job = followed(service, "fit-1", ended)
    assert job["state"] == "stopped"
    assert submitted(service, job_id="fit-1", verb="fit", shard_ids=["cam0", "cam1"])["state"] == "stopped"
