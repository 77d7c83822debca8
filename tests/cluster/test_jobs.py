"""The verbs as Ray jobs: `ray job submit --working-dir . -- python -m cluster …`."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import ray
import requests
from ray.job_submission import JobStatus, JobSubmissionClient
from typer.testing import CliRunner

from cluster.cli.main import app
from cluster.session import DEFAULTS
from training.store.store import Store

Draw = Callable[..., Path]
ROOT = Path(__file__).parents[2]
run = CliRunner()


@pytest.fixture(scope="module")
def jobs_address() -> Iterator[str]:
    """The Jobs API of a two-CPU Ray that this process starts and stops."""
    for name, value in {**DEFAULTS, "RAY_JOB_STOP_WAIT_TIME_S": "60"}.items():
        os.environ.setdefault(name, value)
    context = ray.init(address="local", num_cpus=2, include_dashboard=True, dashboard_port=0, log_to_driver=False)
    try:
        address = f"http://{context.dashboard_url}"
        wait_for_agent(address)
        yield address
    finally:
        ray.shutdown()


def wait_for_agent(address: str) -> None:
    """The head answers before the agent that starts jobs is up, and may never answer what it was asked too early.

    `submit_job` would wait for ever.
    """
    client = JobSubmissionClient(address)
    for _ in range(30):
        try:
            if client._do_request(
                "POST", "/api/jobs/", json_data={"entrypoint": "true"}, timeout=10
            ).ok:  # submit_job has no timeout
                return
        except requests.Timeout:
            continue
        time.sleep(1)
    pytest.fail("no agent in half a minute")


def submit(address: str, *words: str) -> str:
    done = subprocess.run(
        [
            Path(sys.executable).parent / "ray",
            "job",
            "submit",
            "--address",
            address,
            "--working-dir",
            ".",
            "--",
            "python",
            *words,
        ],
        cwd=ROOT,
        env={**os.environ, "RAY_AUTH_MODE": "token"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_fit_and_label_run_as_submitted_jobs(jobs_address: str, tmp_path: Path, draw: Draw) -> None:
    for number in range(2):
        draw(tmp_path / "data", f"cam{number}", seed=number)
    assert run.invoke(app, ["add", str(tmp_path / "data"), "--store", str(tmp_path / "store")]).exit_code == 0
    store = Store.open(str(tmp_path / "store"))
    said = submit(jobs_address, "-m", "cluster", "fit", "--store", store.url, "--recipe", "smoke", "--weights", "none")
    assert "fit: shards 2/2" in said
    assert {card.shard_id for card in store.registry.live_cards()} == {"cam0", "cam1"}
    said = submit(jobs_address, "-m", "cluster", "label", "--store", store.url, "--frames-per-clip", "8")
    assert "label: clips 4/4" in said
    ontology = store.ontologies()[0].name
    for shard_id in ("cam0", "cam1"):
        labels, errors = store.predictions.read(shard_id, ontology, 1)
        assert len(labels) == 16
        assert errors == {}


@pytest.mark.slow
def test_a_stopped_job_ends_in_order_and_the_next_one_goes_on(jobs_address: str, tmp_path: Path, draw: Draw) -> None:
    shards = [f"cam{number}" for number in range(6)]
    for number, name in enumerate(shards):
        draw(tmp_path / "data", name, seed=number)
    assert run.invoke(app, ["add", str(tmp_path / "data"), "--store", str(tmp_path / "store")]).exit_code == 0
    words = ["-m", "cluster", "fit", "--store", str(tmp_path / "store"), "--recipe", "smoke", "--weights", "none"]
    client = JobSubmissionClient(jobs_address)
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

    said = submit(jobs_address, *words)
    assert said.count("skipped") >= len(kept)
    assert finished() == set(shards)
