"""What Serve is told in the RayService: its own schema takes any key without a word, so keys are compared with it here."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel, ValidationError
from ray.serve.config import AutoscalingConfig
from ray.serve.schema import ServeDeploySchema

from services.settings import Settings
from training.store.store import Store

Document = dict[str, Any]
PREFIX = Settings.model_config["env_prefix"]
SERVICES = ["cpu", "gpu", "elastic"]


def _problems(config: Document) -> Iterator[str]:
    yield from _unknown_keys(config, ServeDeploySchema, "serveConfigV2")
    try:
        ServeDeploySchema.model_validate(config)
    except ValidationError as error:
        yield f"serveConfigV2: {error.errors()[0]['loc']}: {error.errors()[0]['msg']}"
    for application in config.get("applications", []):
        if not str(application.get("route_prefix", "/")).startswith("/"):
            yield f"serveConfigV2: route_prefix: found {application['route_prefix']!r}, needed a '/' in front"
        yield from _unknown_keys(application.get("args", {}), Settings, "serveConfigV2.args")
        yield from _contradictions(application)


def _contradictions(application: Document) -> Iterator[str]:
    """What Serve or the application would stop at, once it runs."""
    for one in application.get("deployments", []):
        yield from _invalid(AutoscalingConfig, one.get("autoscaling_config") or {}, "serveConfigV2.autoscaling_config")
    yield from _invalid(Settings, {"store": "s3://bucket/project", **application.get("args", {})}, "serveConfigV2.args")


def _invalid(model: type[BaseModel], values: Document, where: str) -> Iterator[str]:
    """Wrong values; unknown keys are told elsewhere."""
    try:
        model.model_validate(values)
    except ValidationError as error:
        found = [one for one in error.errors() if one["type"] != "extra_forbidden"]
        yield from (f"{where}: {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in found)


def _unknown_keys(value: object, model: type[BaseModel], where: str) -> Iterator[str]:
    if isinstance(value, list):
        for index, one in enumerate(value):
            yield from _unknown_keys(one, model, f"{where}[{index}]")
    elif isinstance(value, dict):
        fields = {field.alias or name: field for name, field in model.model_fields.items()}
        for key, inner in value.items():
            if key not in fields:
                yield f"{where}.{key}: unknown key, needed one of {sorted(fields)}"
            elif nested := _model_in(fields[key].annotation):
                yield from _unknown_keys(inner, nested, f"{where}.{key}")


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model a field holds, alone, in a list or in a union."""
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation if issubclass(annotation, BaseModel) else None
    return next((model for one in get_args(annotation) if (model := _model_in(one))), None)


def test_serve_knows_every_key_that_it_is_given(overlay: str, built: Callable[[str], list[Document]]) -> None:
    services = [document for document in built(overlay) if document["kind"] == "RayService"]
    assert bool(services) == overlay.endswith("/serve")
    assert [problem for one in services for problem in _problems(yaml.safe_load(one["spec"]["serveConfigV2"]))] == []


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("application", {}, "serveConfigV2.application: unknown key"),
        ("applications.0.import", "services.app:build", "applications[0].import: unknown key"),
        ("applications.0.deployments", [{"name": "Host", "num_replica": 2}], "deployments[0].num_replica: unknown key"),
        (
            "applications.0.deployments",
            [{"name": "Host", "autoscaling_config": {"target_num_ongoing_requests_per_replica": 2}}],
            "autoscaling_config.target_num_ongoing_requests_per_replica: unknown key",
        ),
        ("applications.0.deployments", [{"name": "Host", "max_ongoing_requests": "many"}], "max_ongoing_requests"),
        ("applications.0.args.host", 4, "args.host: unknown key"),
        ("applications.0.args.max_hosts", 3, "max_hosts 3, needed at least hosts, 4"),
        ("applications.0.args.drain_timeout_s", "long", "args: drain_timeout_s"),
        (
            "applications.0.deployments",
            [{"name": "Host", "num_replicas": 2, "autoscaling_config": {"min_replicas": 1, "max_replicas": 2}}],
            "Manually setting num_replicas is not allowed",
        ),
        (
            "applications.0.deployments",
            [{"name": "Host", "autoscaling_config": {"min_replicas": 3, "max_replicas": 2}}],
            "must be greater than",
        ),
        ("applications.0.deployments", [{"name": "Host", "max_surge_percents": 50}], "max_surge_percents: unknown key"),
        ("applications.0.route_prefix", "models", "found 'models', needed a '/' in front"),
    ],
)
def test_what_serve_would_ignore_or_fail_at_is_refused(
    path: str, value: object, said: str, manifest: Callable[..., Document], changed: Callable[..., Document]
) -> None:
    config = yaml.safe_load(manifest("cpu/serve", "RayService")["spec"]["serveConfigV2"])
    (problem,) = _problems(changed(config, path, value))
    assert said in problem


def _settings(overlay: str, manifest: Callable[..., Document]) -> Settings:
    """As the application has them: its arguments, and what the environment of every one of its nodes adds."""
    spec = manifest(overlay, "RayService")["spec"]
    (application,) = yaml.safe_load(spec["serveConfigV2"])["applications"]
    groups = [spec["rayClusterConfig"]["headGroupSpec"], *spec["rayClusterConfig"]["workerGroupSpecs"]]
    head, *workers = ([*group["template"]["spec"]["containers"][0].get("env", [])] for group in groups)
    assert all(env == head for env in workers)
    named = {one["name"].removeprefix(PREFIX).lower(): one["value"] for one in head if one["name"].startswith(PREFIX)}
    assert not named.keys() & application["args"].keys()  # which would win
    return Settings.model_validate({"store": "s3://bucket/project", **named, **application["args"]})


@pytest.mark.parametrize("flavour", SERVICES)
def test_the_workers_carry_every_host_and_ingress(flavour: str, manifest: Callable[..., Document]) -> None:
    settings = _settings(f"{flavour}/serve", manifest)
    (group,) = manifest(f"{flavour}/serve", "RayService")["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    cpus, gpus = float(limits["cpu"]), float(limits.get("nvidia.com/gpu", 0))
    on_one = int((cpus - settings.ingresses * settings.cpus_per_ingress) // settings.threads_per_host)
    if settings.gpus_per_host:
        on_one = min(on_one, int(gpus // settings.gpus_per_host))
    assert on_one * group["minReplicas"] >= settings.hosts
    assert on_one * group["maxReplicas"] >= (settings.max_hosts or settings.hosts)


def test_nodes_follow_the_hosts_and_hosts_the_queue(manifest: Callable[..., Document]) -> None:
    settings = _settings("elastic/serve", manifest)
    cluster = manifest("elastic/serve", "RayService")["spec"]["rayClusterConfig"]
    assert cluster["enableInTreeAutoscaling"]
    assert settings.max_hosts is not None
    assert settings.max_hosts > settings.hosts
    assert cluster["workerGroupSpecs"][0]["maxReplicas"] > cluster["workerGroupSpecs"][0]["minReplicas"]


def test_the_old_cluster_stays_until_what_it_was_asked_is_answered(manifest: Callable[..., Document]) -> None:
    spec = manifest("cpu/serve", "RayService")["spec"]
    (application,) = yaml.safe_load(spec["serveConfigV2"])["applications"]
    assert spec["rayClusterDeletionDelaySeconds"] > application["args"]["drain_timeout_s"]


@pytest.mark.slow
def test_what_serve_build_writes_has_nothing_that_serve_would_ignore(tmp_path: Path) -> None:
    Store.create(str(tmp_path / "store"))
    values = {"STORE": str(tmp_path / "store"), "HOSTS": "2", "MAX_HOSTS": "6", "SURGE_PERCENT": "25", "DRAIN_TIMEOUT_S": "90"}
    environment = {**os.environ, **{f"MICROMODELS_{name}": value for name, value in values.items()}}
    serve, written = Path(sys.executable).parent / "serve", tmp_path / "serve.yaml"
    command = [str(serve), "build", "services.app:app", "--output-path", str(written)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    config = yaml.safe_load(written.read_text())
    assert list(_problems(config)) == []
    (application,) = config["applications"]
    (host,) = (one for one in application["deployments"] if one["name"] == "Host")
    scaling = host["autoscaling_config"]
    assert "num_replicas" not in host
    assert (scaling["min_replicas"], scaling["max_replicas"], scaling["target_ongoing_requests"]) == (2, 6, 16)
    assert (host["max_surge_percent"], host["graceful_shutdown_timeout_s"]) == (25, 90)
