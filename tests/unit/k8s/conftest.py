"""The checker of manifests: KubeRay's schemas made strict, and what the operator, Serve and we ask for beyond them.

A problem is one line: which manifest and field, what was found, what was needed.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
import ray
import yaml
from pydantic import BaseModel, ValidationError
from ray.serve.schema import ServeDeploySchema

from services.settings import Settings

Document = dict[str, Any]
ROOT = Path(__file__).resolve().parents[3]
SCHEMAS = ROOT.parent / "shared" / "crds"
LONGEST_NAMES = {"RayCluster": 53, "RayJob": 47, "RayService": 47}  # the operator adds suffixes of its own
OTHER_KINDS = {"ConfigMap", "NetworkPolicy", "PodDisruptionBudget", "ServiceAccount"}
SUBMISSION_MODES = {"K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"}
SECRET_NAME = re.compile(r"SECRET|TOKEN|PASSWORD|CREDENTIAL|ACCESS_KEY", re.IGNORECASE)
UNITS = {"m": 1e-3, "": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


@pytest.fixture(scope="session")
def built() -> Callable[[str], list[Document]]:
    """The manifests of an overlay, as kustomize builds them."""
    if program := shutil.which("kustomize"):
        command = [program, "build"]
    elif program := shutil.which("kubectl"):
        command = [program, "kustomize"]
    else:
        pytest.skip("neither kustomize nor kubectl is installed")

    @cache
    def text(overlay: str) -> str:
        done = subprocess.run([*command, str(ROOT / "k8s" / "overlays" / overlay)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return lambda overlay: list(yaml.safe_load_all(text(overlay)))


@pytest.fixture(scope="session")
def schema_problems() -> Callable[[Document], list[str]]:
    """What the API server would refuse or, worse, drop without a word: a field that KubeRay's schema does not have."""
    if not SCHEMAS.is_dir():
        pytest.skip(f"KubeRay's schemas are not there: {SCHEMAS}")

    @cache
    def validator(kind: str) -> jsonschema.Draft202012Validator:
        return jsonschema.Draft202012Validator(_strict(json.loads((SCHEMAS / f"{kind.lower()}_v1.json").read_text("utf-8"))))

    def problems(document: Document) -> list[str]:
        if document["kind"] not in LONGEST_NAMES:
            return []
        found = validator(document["kind"]).iter_errors(document)
        return [f"{document['kind']}: {error.json_path}: {error.message}" for error in found]

    return problems


@pytest.fixture(scope="session")
def rule_problems() -> Callable[[Document], list[str]]:
    """What a schema cannot say."""
    return lambda document: [f"{document['kind']}: {problem}" for problem in _rules(document)]


def _strict(schema: Any) -> Any:
    """The schema with unknown fields refused; a field that has a default is not required: the API server fills it in."""
    if isinstance(schema, list):
        return [_strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: _strict(value) for key, value in schema.items()}
    properties = schema.get("properties")
    if not isinstance(properties, dict) or "type" not in schema:
        return strict
    if "additionalProperties" not in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        strict["additionalProperties"] = False
    strict["required"] = [name for name in schema.get("required", []) if "default" not in properties.get(name, {})]
    return strict


def _rules(document: Document) -> Iterator[str]:
    kind, spec = document["kind"], document.get("spec", {})
    if kind == "ConfigMap":
        yield from (f"data.{name}: found a literal, needed a Secret" for name in document["data"] if SECRET_NAME.search(name))
    elif kind not in LONGEST_NAMES:
        if kind not in OTHER_KINDS:
            yield f"found this kind, needed one of {sorted({*LONGEST_NAMES, *OTHER_KINDS})}"
    else:
        yield from _name(kind, document["metadata"]["name"])
        yield from {"RayCluster": _cluster, "RayJob": _job, "RayService": _service}[kind](spec)


def _name(kind: str, name: str) -> Iterator[str]:
    if len(name) > LONGEST_NAMES[kind]:
        yield f"metadata.name: found {len(name)} characters, needed at most {LONGEST_NAMES[kind]}"
    if not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name):
        yield f"metadata.name: found {name!r}, needed lower-case letters, digits and hyphens, a letter first"


def _job(spec: Document) -> Iterator[str]:
    if ("rayClusterSpec" in spec) == ("clusterSelector" in spec):
        yield "spec: needed exactly one of rayClusterSpec and clusterSelector"
    elif "clusterSelector" in spec and spec.get("backoffLimit"):
        yield "spec.backoffLimit: found with clusterSelector, needed a cluster of its own to try again on"
    if "ttlSecondsAfterFinished" in spec and not spec.get("shutdownAfterJobFinishes"):
        yield "spec.ttlSecondsAfterFinished: needed shutdownAfterJobFinishes: true"
    if (mode := spec.get("submissionMode", "K8sJobMode")) not in SUBMISSION_MODES:
        yield f"spec.submissionMode: found {mode!r}, needed one of {sorted(SUBMISSION_MODES)}"
    if not isinstance(yaml.safe_load(spec.get("runtimeEnvYAML", "{}")), dict):
        yield "spec.runtimeEnvYAML: needed the YAML of a mapping"
    if "rayClusterSpec" in spec:
        yield from _cluster(spec["rayClusterSpec"])
    if "submitterPodTemplate" in spec:
        yield from _pod("submitterPodTemplate", spec["submitterPodTemplate"]["spec"])


def _service(spec: Document) -> Iterator[str]:
    yield from _serve(spec["serveConfigV2"])
    yield from _cluster(spec["rayClusterConfig"])


def _cluster(spec: Document) -> Iterator[str]:
    if str(spec.get("rayVersion")).split(".")[:2] != ray.__version__.split(".")[:2]:
        yield f"rayVersion: found {spec.get('rayVersion')}, needed {ray.__version__}, as pyproject.toml installs"
    if spec.get("authOptions", {}).get("mode") != "token":
        yield "authOptions.mode: needed token"
    for group in [{"groupName": "head", **spec["headGroupSpec"]}, *spec["workerGroupSpecs"]]:
        where, parameters = group["groupName"], group.get("rayStartParams", {})
        yield from (
            f"{where}: rayStartParams.{name}: found {value!r}, needed a string"
            for name, value in parameters.items()
            if not isinstance(value, str)
        )
        if "labels" in parameters or ("resources" in parameters and "resources" in group):
            yield f"{where}: rayStartParams: found labels or resources, needed them in the group"
        if not group.get("minReplicas", 0) <= group.get("replicas", 0) <= group.get("maxReplicas", 0):
            yield f"{where}: replicas: needed minReplicas <= replicas <= maxReplicas"
        yield from _pod(where, group["template"]["spec"])


def _pod(where: str, spec: Document) -> Iterator[str]:
    context = spec.get("securityContext", {})
    if not context.get("runAsNonRoot") or context.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield f"{where}: securityContext: needed runAsNonRoot and the seccomp profile RuntimeDefault"
    if spec.get("automountServiceAccountToken") is not False:
        yield f"{where}: automountServiceAccountToken: needed false"
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        yield from (f"{where}: {container['name']}: {problem}" for problem in _container(container))


def _container(container: Document) -> Iterator[str]:
    image, context = container["image"], container.get("securityContext", {})
    if not re.search(r"@sha256:[0-9a-f]{64}$|:(?!latest$)[\w.-]+$", image):
        yield f"image: found {image}, needed a tag other than latest, or a digest"
    if context.get("allowPrivilegeEscalation") is not False or context.get("capabilities") != {"drop": ["ALL"]}:
        yield "securityContext: needed allowPrivilegeEscalation: false and all capabilities dropped"
    if not context.get("readOnlyRootFilesystem") or context.get("privileged"):
        yield "securityContext: needed a read-only root file system and no privileges"
    yield from _resources(container.get("resources", {}))
    for variable in container.get("env", []):
        if SECRET_NAME.search(variable["name"]) and "value" in variable:
            yield f"env.{variable['name']}: found a literal, needed valueFrom.secretKeyRef"


def _resources(resources: Document) -> Iterator[str]:
    requests, limits = resources.get("requests", {}), resources.get("limits", {})
    for name in ("cpu", "memory"):
        if name not in requests or name not in limits:
            yield f"resources: needed a request and a limit of {name}"
    for name in requests.keys() & limits.keys():
        if _quantity(requests[name]) > _quantity(limits[name]):
            yield f"resources.requests.{name}: found {requests[name]}, needed at most the limit, {limits[name]}"


def _quantity(text: object) -> float:
    number, unit = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", str(text)).groups()  # type: ignore[union-attr]
    return float(number) * UNITS[unit]


def _serve(text: str) -> Iterator[str]:
    """Serve's own schema takes any key without a word."""
    config = yaml.safe_load(text)
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
