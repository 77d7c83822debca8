"""What the overlays promise: each run brings the cluster of its flavour, and its command is one that exists."""

import importlib
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import typer
import yaml

from cluster.cli.main import app
from cluster.session import DEFAULTS

Document = dict[str, Any]
Built = Callable[[str], list[Document]]
Manifest = Callable[[str, str], Document]
CALLBACK = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
ROOT = Path(__file__).resolve().parents[3]
VERBS: dict[str, Any] = cast(Any, typer.main.get_command(app)).commands


def _groups(manifest: Manifest, flavour: str) -> list[Document]:
    """The head and the workers."""
    spec = manifest(f"{flavour}/cluster", "RayCluster")["spec"]
    return [spec["headGroupSpec"], *spec["workerGroupSpecs"]]


def test_an_overlay_brings_one_thing_on_the_cluster_of_its_flavour(overlay: str, built: Built, manifest: Manifest) -> None:
    (run,) = (one for one in built(overlay) if one["apiVersion"] == "ray.io/v1")
    cluster = run["spec"].get("rayClusterSpec") or run["spec"].get("rayClusterConfig") or run["spec"]
    for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]] if run["kind"] == "RayService" else []:
        _without_keys(group["template"]["spec"])
        group["template"]["spec"]["containers"][0].pop("env", None)
    assert cluster == manifest(f"{Path(overlay).parent}/cluster", "RayCluster")["spec"]


def _without_keys(pod: Document) -> None:
    """Take the API keys out of a pod of the service, which alone has them."""
    for place in (pod["volumes"], pod["containers"][0]["volumeMounts"]):
        (keys,) = (one for one in place if one["name"] == "keys")
        place.remove(keys)


def test_every_pod_of_the_service_has_the_keys_that_its_settings_name_from_a_secret(manifest: Manifest) -> None:
    spec = manifest("cpu/serve", "RayService")["spec"]
    (application,) = yaml.safe_load(spec["serveConfigV2"])["applications"]
    for group in [spec["rayClusterConfig"]["headGroupSpec"], *spec["rayClusterConfig"]["workerGroupSpecs"]]:
        pod = group["template"]["spec"]
        (volume,) = (one for one in pod["volumes"] if one["name"] == "keys")
        (mount,) = (one for one in pod["containers"][0]["volumeMounts"] if one["name"] == "keys")
        assert volume["secret"]["secretName"] == "micromodels-keys"
        assert not volume["secret"].get("optional")
        assert mount["readOnly"]
        assert Path(application["args"]["keys_file"]).parent == Path(mount["mountPath"])
        page = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
        assert f"generic micromodels-keys --from-file={Path(application['args']['keys_file']).name}=" in page


def test_every_node_of_the_service_is_set_as_the_ray_of_a_verb_is(manifest: Manifest) -> None:
    nodes, settings = manifest("cpu/serve", "RayService")["spec"]["rayClusterConfig"], manifest("cpu/serve", "ConfigMap")
    for group in [nodes["headGroupSpec"], *nodes["workerGroupSpecs"]]:
        (pod,) = group["template"]["spec"]["containers"]
        assert {"configMapRef": {"name": settings["metadata"]["name"]}} in pod["envFrom"]
    ours = {name: value for name, value in DEFAULTS.items() if name.startswith(("RAY_SERVE_", "MALLOC_"))}
    assert ours.items() <= settings["data"].items()
    module, _, name = DEFAULTS[CALLBACK].partition(":")
    assert getattr(importlib.import_module(module), name)()


@pytest.mark.parametrize("flavour", ["cpu", "gpu", "spot", "elastic"])
def test_every_pod_sees_the_sources_at_one_path_and_cannot_change_them(flavour: str, manifest: Manifest) -> None:
    page = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    for group in _groups(manifest, flavour):
        pod = group["template"]["spec"]
        (claim,) = (one["persistentVolumeClaim"] for one in pod["volumes"] if one["name"] == "sources")
        (mount,) = (one for one in pod["containers"][0]["volumeMounts"] if one["name"] == "sources")
        assert (claim["readOnly"], mount["readOnly"]) == (True, True)
        assert f"`{mount['mountPath']}` through a claim `{claim['claimName']}`" in page
        assert f"cluster add {mount['mountPath']}\n" in page


@pytest.mark.parametrize("run", ["fit", "label"])
def test_the_entrypoint_is_a_verb_with_options_it_has(run: str, manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    store = manifest(f"cpu/{run}", "ConfigMap")["data"]["MICROMODELS_STORE"]
    monkeypatch.setenv("MICROMODELS_STORE", store)
    python, m, package, verb, *arguments = shlex.split(manifest(f"cpu/{run}", "RayJob")["spec"]["entrypoint"])
    assert (python, m, package) == ("python", "-m", "cluster")
    assert VERBS[verb].make_context(verb, arguments).params["store"] == store
    assert store.startswith("s3://")


@pytest.mark.parametrize("flavour", ["cpu", "gpu", "spot", "elastic"])
def test_the_object_store_fits_in_shared_memory_and_that_in_the_limit(flavour: str, manifest: Manifest) -> None:
    for group in _groups(manifest, flavour):
        pod = group["template"]["spec"]
        empty = [one["emptyDir"] for one in pod["volumes"] if "emptyDir" in one]
        (shared,) = (one["sizeLimit"] for one in empty if one.get("medium") == "Memory")
        limit = pod["containers"][0]["resources"]["limits"]["memory"]
        assert int(group["rayStartParams"]["object-store-memory"]) < _gib(shared) * 2**30 < _gib(limit) * 2**30 / 2


def _gib(text: str) -> int:
    return int(text.removesuffix("Gi"))


def test_gpu_workers_ask_for_one_gpu_each_and_the_head_for_none(manifest: Manifest) -> None:
    limits = [group["template"]["spec"]["containers"][0]["resources"]["limits"] for group in _groups(manifest, "gpu")]
    assert [one.get("nvidia.com/gpu") for one in limits] == [None, "1"]


def test_spot_nodes_carry_workers_and_never_the_head(manifest: Manifest) -> None:
    head, workers = (
        group["template"]["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        for group in _groups(manifest, "spot")
    )
    (all_of,) = head["nodeSelectorTerms"]  # terms are alternatives: what must all hold is one term
    spot = {rule["key"] for rule in all_of["matchExpressions"] if rule["operator"] == "NotIn"}
    any_of = [rule for term in workers["nodeSelectorTerms"] for rule in term["matchExpressions"]]
    assert {rule["key"] for rule in any_of if rule["operator"] == "In"} == spot
    assert len(any_of) == len(workers["nodeSelectorTerms"]) == len(spot) == len(all_of["matchExpressions"])


def test_the_image_holds_every_package_of_the_checkout_and_a_pinned_python() -> None:
    text = (ROOT / "k8s" / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^FROM python:3\.\d+\.\d+-", text, flags=re.MULTILINE)
    assert set(re.findall(r"^COPY (\w+) \1$", text, flags=re.MULTILINE)) == {
        path.parent.name for path in ROOT.glob("*/__init__.py")
    }


def test_the_page_names_the_overlay(overlay: str) -> None:
    assert f"`{overlay}`" in (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
