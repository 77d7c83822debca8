"""Overlays as kustomize builds them."""

import shutil
import subprocess
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

OVERLAYS = Path(__file__).resolve().parents[3] / "k8s" / "overlays"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes `overlay` runs for each of them."""
    if "overlay" in metafunc.fixturenames:
        found = OVERLAYS.glob("*/*/kustomization.yaml")
        metafunc.parametrize("overlay", sorted(path.parent.relative_to(OVERLAYS).as_posix() for path in found))


@pytest.fixture(scope="session")
def built() -> Callable[[str], list[dict[str, Any]]]:
    """built("cpu/fit"): the manifests of an overlay, to do with as one likes."""
    if program := shutil.which("kustomize"):
        command = [program, "build"]
    elif program := shutil.which("kubectl"):
        command = [program, "kustomize"]
    else:
        pytest.skip("neither kustomize nor kubectl is installed")

    @cache
    def build(overlay: str) -> list[dict[str, Any]]:
        done = subprocess.run([*command, str(OVERLAYS / overlay)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return list(yaml.safe_load_all(done.stdout))

    return lambda overlay: deepcopy(build(overlay))


@pytest.fixture(scope="session")
def manifest(built: Callable[[str], list[dict[str, Any]]]) -> Callable[[str, str], dict[str, Any]]:
    """manifest("cpu/fit", "RayJob"): the one of this kind."""

    def one(overlay: str, kind: str) -> dict[str, Any]:
        (document,) = (each for each in built(overlay) if each["kind"] == kind)
        return document

    return one


@pytest.fixture(scope="session")
def changed() -> Callable[[dict[str, Any], str, object], dict[str, Any]]:
    """changed(document, "spec.workerGroupSpecs.0.replicas", 5): the document with something else in one place."""

    def change(document: dict[str, Any], path: str, value: object) -> dict[str, Any]:
        *parents, last = path.split(".")
        place: Any = document
        for name in parents:
            place = place[int(name)] if isinstance(place, list) else place[name]
        place[last] = value
        return document

    return change
