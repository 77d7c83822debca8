"""Manifests against KubeRay's schemas, made strict: the API server drops an unknown field without a word, here it is an error."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

Document = dict[str, Any]
Problems = Callable[[Document], list[str]]
SCHEMAS = Path(__file__).resolve().parents[4] / "shared" / "crds"


@pytest.fixture(scope="module")
def problems() -> Problems:
    """One line for each field that the schema of the manifest's kind does not have, or has otherwise."""
    if not SCHEMAS.is_dir():
        pytest.skip(f"KubeRay's schemas are not there: {SCHEMAS}")

    @cache
    def validator(kind: str) -> Draft202012Validator:
        return Draft202012Validator(_strict(json.loads((SCHEMAS / f"{kind.lower()}_v1.json").read_text(encoding="utf-8"))))

    return lambda document: [f"{error.json_path}: {error.message}" for error in validator(document["kind"]).iter_errors(document)]


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


def test_kuberay_has_every_field_of_every_manifest(
    overlay: str, built: Callable[[str], list[Document]], problems: Problems
) -> None:
    documents = [document for document in built(overlay) if document["apiVersion"] == "ray.io/v1"]
    assert documents
    assert [problem for document in documents for problem in problems(document)] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.entryPoint", "python -m cluster fit"),
        ("spec.runtimeEnv", {"pip": []}),
        ("spec.rayClusterSpec.headGroupSpec.rayStartParam", {"num-cpus": "0"}),
        ("spec.rayClusterSpec.headGroupSpec.template.spec.containers.0.imagePullPolcy", "Always"),
        ("spec.rayClusterSpec.workerGroupSpecs.0.rayStartParams.num-cpus", 4),
        ("spec.rayClusterSpec.workerGroupSpecs.0.replicas", "four"),
        ("spec.rayClusterSpec.headGroupSpec.template.spec.containers.0.resources.limits.memory", "8 GB"),
    ],
)
def test_a_typo_and_a_wrong_type_are_refused(
    path: str, value: object, manifest: Callable[..., Document], changed: Callable[..., Document], problems: Problems
) -> None:
    (problem,) = problems(changed(manifest("cpu/fit", "RayJob"), path, value))
    assert path.split(".")[-1] in problem
