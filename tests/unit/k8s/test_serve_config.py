"""What Serve is told in the RayService: its own schema takes any key without a word, so keys are compared with it here."""

from collections.abc import Callable, Iterator
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel, ValidationError
from ray.serve.schema import ServeDeploySchema

from services.settings import Settings

Document = dict[str, Any]


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
        ("applications.0.route_prefix", "models", "found 'models', needed a '/' in front"),
    ],
)
def test_what_serve_would_ignore_or_fail_at_is_refused(
    path: str, value: object, said: str, manifest: Callable[..., Document], changed: Callable[..., Document]
) -> None:
    config = yaml.safe_load(manifest("cpu/serve", "RayService")["spec"]["serveConfigV2"])
    (problem,) = _problems(changed(config, path, value))
    assert said in problem


def test_the_workers_carry_every_host_and_ingress(manifest: Callable[..., Document]) -> None:
    spec = manifest("cpu/serve", "RayService")["spec"]
    (application,) = yaml.safe_load(spec["serveConfigV2"])["applications"]
    settings = Settings.model_validate({"store": "s3://bucket/project", **application["args"]})
    (group,) = spec["rayClusterConfig"]["workerGroupSpecs"]
    cpus = float(group["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"])
    hosts = group["replicas"] * int((cpus - settings.ingresses * settings.cpus_per_ingress) // settings.threads_per_host)
    assert hosts >= settings.hosts
