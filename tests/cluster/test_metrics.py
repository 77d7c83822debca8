"""What a running job tells Prometheus, read where Prometheus reads it."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
import ray
from typer.testing import CliRunner

from cluster.cli.main import app
from cluster.coordinator import FleetState
from cluster.metrics import FitMetrics
from cluster.session import ray_session

Draw = Callable[..., Path]
run = CliRunner()
_LINE = re.compile(r"ray_(micromodels_\w+)\{(.*)\} (\S+)")
_STATE = re.compile(r'state="(\w+)"')


@pytest.fixture(scope="module")
def metrics_at() -> Iterator[str]:
    """Where the only node of a Ray of our own exports its metrics, told twice a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_metrics_report_interval_ms", "500")
        with ray_session(num_cpus=1):
            (node,) = ray.nodes()
            yield f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"


def exported(address: str) -> dict[tuple[str, ...], float]:
    """Our metrics: value by name, and state where there is one."""
    lines = map(_LINE.match, urlopen(address).read().decode().splitlines())
    return {(line[1], *_STATE.findall(line[2])): float(line[3]) for line in lines if line}


def wait_for(address: str, expected: dict[tuple[str, ...], float]) -> None:
    for _ in range(120):
        found = exported(address)
        if {key: found.get(key) for key in expected} == expected:
            return
        time.sleep(0.5)
    assert {key: found.get(key) for key in expected} == expected


@pytest.mark.slow
def test_every_shard_of_a_fit_is_in_one_state(metrics_at: str) -> None:
    leased = {"worker-0": ["a", "b"], "worker-1": ["c"]}
    FitMetrics().show(FleetState(total=10, finished=3, failed=1, workers={}, leased=leased))
    states = {"waiting": 4, "working": 3, "finished": 2, "failed": 1}
    wait_for(metrics_at, {("micromodels_fit_shards", state): value for state, value in states.items()})


@pytest.mark.slow
def test_fit_and_label_tell_how_far_they_are_without_naming_a_shard(metrics_at: str, tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "data", "cam0")
    draw(tmp_path / "data", "cam1", seed=1)
    store = ["--store", str(tmp_path / "store")]
    assert run.invoke(app, ["add", str(tmp_path / "data"), *store]).exit_code == 0
    (tmp_path / "data" / "cam1.mp4").write_bytes(b"gone bad")
    assert run.invoke(app, ["fit", *store, "--recipe", "smoke", "--weights", "none"]).exit_code == 3
    states = {"waiting": 0, "working": 0, "finished": 1, "failed": 1}
    wait_for(metrics_at, {("micromodels_fit_shards", state): value for state, value in states.items()})
    assert run.invoke(app, ["label", *store, "--frames-per-clip", "8"]).exit_code == 0
    clips = {"waiting": 0, "finished": 2, "failed": 0}
    expected = {("micromodels_label_clips", state): float(value) for state, value in clips.items()}
    wait_for(metrics_at, expected | {("micromodels_labelled_frames_total",): 16})
    assert "cam0" not in urlopen(metrics_at).read().decode()
