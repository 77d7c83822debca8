"""The verbs as Ray jobs: `ray job submit --working-dir . -- python -m cluster …`."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from ray.cluster_utils import Cluster
from ray.job_submission import JobStatus, JobSubmissionClient
from typer.testing import CliRunner

from cluster.cli.main import app
from training.store.store import Store

Draw = Callable[..., Path]
ROOT = Path(__file__).parents[2]
run = CliRunner()


@pytest.fixture(scope="module")
def jobs(start_head: Callable[..., AbstractContextManager[Cluster]], jobs_at: Callable[[str], Any]) -> Iterator[Any]:
    """The Jobs API of a two-CPU Ray."""
    with start_head(num_cpus=2, jobs=True, RAY_JOB_STOP_WAIT_TIME_S="60") as nodes:
        yield jobs_at(f"http://{nodes.head_node.webui_url}")


def test_a_fit_runs_as_a_submitted_job(jobs: Any, tmp_path: Path, draw: Draw) -> None:
    for number in range(2):
        draw(tmp_path / "data", f"cam{number}", seed=number)
    assert run.invoke(app, ["add", str(tmp_path / "data"), "--store", str(tmp_path / "store")]).exit_code == 0
    store = Store.open(str(tmp_path / "store"))
    said = jobs.run("-m", "cluster", "fit", "--store", store.url, "--recipe", "smoke", "--weights", "none")
    assert "fit: shards 2/2" in said
    assert {card.shard_id for card in store.registry.live_cards()} == {"cam0", "cam1"}


@pytest.mark.slow
def test_a_stopped_job_ends_in_order_and_the_next_one_goes_on(jobs: Any, tmp_path: Path, draw: Draw) -> None:
    shards = [f"cam{number}" for number in range(6)]
    for number, name in enumerate(shards):
        draw(tmp_path / "data", name, seed=number)
    assert run.invoke(app, ["add", str(tmp_path / "data"), "--store", str(tmp_path / "store")]).exit_code == 0
    words = ["-m", "cluster", "fit", "--store", str(tmp_path / "store"), "--recipe", "smoke", "--weights", "none"]
    client = JobSubmissionClient(jobs.address)
    job = client.submit_job(entrypoint=" ".join(["python", *words]), runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}})

    def finished() -> set[str]:
        return {card.parts[-4] for card in tmp_path.glob("store/models/*/*/gen-*/card.json")}

    while not finished() and not client.get_job_status(job).is_terminal():
        time.sleep(0.05)
    client.stop_job(job)
    while not client.get_job_status(job).is_terminal():
        time.sleep(0.2)
    assert client.get_job_status(job) == JobStatus.STOPPED
    assert "terminated: everything finished so far is kept" in client.get_job_logs(job)
    assert 1 <= len(kept := finished()) < len(shards), "it was stopped too late to tell"

    said = jobs.run(*words)
    assert said.count("skipped") >= len(kept)
    assert finished() == set(shards)


@pytest.mark.slow
def test_tune_and_simulate_run_as_submitted_jobs(jobs: Any, tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "data", "cam0", labelled=tuple(range(16)))
    assert run.invoke(app, ["add", str(tmp_path / "data"), "--store", str(tmp_path / "store")]).exit_code == 0
    recipe, result = tmp_path / "recipe.json", tmp_path / "simulated.json"
    how = ["--recipe", "smoke", "--weights", "none"]
    jobs.run("-m", "cluster", "tune", "--store", str(tmp_path / "store"), *how, "--trials", "2", "--out", str(recipe))
    assert json.loads(recipe.read_text())["steps"] >= 1
    words = ["simulate", str(tmp_path / "data"), "--store", str(tmp_path / "simulated"), *how, "--json", str(result)]
    jobs.run("-m", "cluster", *words)
    (shard,) = json.loads(result.read_text())["shards"]
    assert shard["generations"][0]["frames_touched"] == 5
