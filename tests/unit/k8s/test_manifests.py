"""Every manifest of every overlay is accepted, and broken ones are refused."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import typer
import yaml

from cluster.cli.main import app
from services.settings import Settings

Document = dict[str, Any]
Built = Callable[[str], list[Document]]
Problems = Callable[[Document], list[str]]
ROOT = Path(__file__).resolve().parents[3]
OVERLAYS = sorted(f"{path.parent.parent.name}/{path.parent.name}" for path in ROOT.glob("k8s/overlays/*/*/kustomization.yaml"))
VERBS: dict[str, Any] = cast(Any, typer.main.get_command(app)).commands


def _only(documents: list[Document], kind: str) -> Document:
    (document,) = (one for one in documents if one["kind"] == kind)
    return document


def _broken(document: Document, path: str, value: object) -> Document:
    """The document with something else at a path such as 'spec.workerGroupSpecs.0.replicas'."""
    *parents, last = path.split(".")
    place: Any = document
    for name in parents:
        place = place[int(name)] if isinstance(place, list) else place[name]
    place[last] = value
    return document


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kuberay_has_every_field_of_every_manifest(overlay: str, built: Built, schema_problems: Problems) -> None:
    assert [problem for document in built(overlay) for problem in schema_problems(document)] == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_manifest_keeps_the_rules_that_no_schema_has(overlay: str, built: Built, rule_problems: Problems) -> None:
    assert [problem for document in built(overlay) for problem in rule_problems(document)] == []


@pytest.mark.parametrize("overlay", [one for one in OVERLAYS if not one.endswith("/cluster")])
def test_a_run_brings_the_cluster_of_its_overlay_and_no_other(overlay: str, built: Built) -> None:
    described = _only(built(f"{Path(overlay).parent}/cluster"), "RayCluster")
    documents = built(overlay)
    assert "RayCluster" not in {one["kind"] for one in documents}
    (run,) = (one for one in documents if one["apiVersion"] == "ray.io/v1")
    assert (run["spec"].get("rayClusterSpec") or run["spec"]["rayClusterConfig"]) == described["spec"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_entrypoint_is_a_verb_that_takes_its_options(overlay: str, built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = built(overlay)
    monkeypatch.setenv("MICROMODELS_STORE", _only(documents, "ConfigMap")["data"]["MICROMODELS_STORE"])
    for document in documents:
        if document["kind"] == "RayJob":
            python, m, package, verb, *arguments = shlex.split(document["spec"]["entrypoint"])
            assert (python, m, package) == ("python", "-m", "cluster")
            context = VERBS[verb].make_context(verb, arguments)
            assert context.params["store"].startswith("s3://")


@pytest.mark.parametrize("flavour", ["cpu", "gpu", "spot"])
def test_the_shared_memory_holds_the_object_store_and_fits_in_the_limit(flavour: str, built: Built) -> None:
    spec = _only(built(f"{flavour}/cluster"), "RayCluster")["spec"]
    for group in [spec["headGroupSpec"], *spec["workerGroupSpecs"]]:
        pod = group["template"]["spec"]
        (memory,) = (one["emptyDir"]["sizeLimit"] for one in pod["volumes"] if one["emptyDir"].get("medium") == "Memory")
        assert memory == "1Gi"
        assert int(group["rayStartParams"]["object-store-memory"]) < 2**30
        assert int(pod["containers"][0]["resources"]["limits"]["memory"].removesuffix("Gi")) > 1


def test_gpu_workers_ask_for_one_gpu_each_and_the_head_for_none(built: Built) -> None:
    spec = _only(built("gpu/cluster"), "RayCluster")["spec"]
    head, worker = (
        group["template"]["spec"]["containers"][0]["resources"]["limits"]
        for group in [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    )
    assert worker["nvidia.com/gpu"] == "1"
    assert "nvidia.com/gpu" not in head


def test_spot_nodes_carry_workers_and_never_the_head(built: Built) -> None:
    spec = _only(built("spot/cluster"), "RayCluster")["spec"]
    operators = [
        {rule["operator"] for term in _node_terms(group) for rule in term["matchExpressions"]}
        for group in [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    ]
    assert operators == [{"NotIn"}, {"In"}]
    assert len(_node_terms(spec["headGroupSpec"])) == 1  # terms are alternatives: all of one must hold for the head


def _node_terms(group: Document) -> list[Document]:
    affinity = group["template"]["spec"]["affinity"]["nodeAffinity"]
    return cast(list[Document], affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"])


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
def test_the_schema_refuses_a_typo_and_a_wrong_type(path: str, value: object, built: Built, schema_problems: Problems) -> None:
    (problem,) = schema_problems(_broken(_only(built("cpu/fit"), "RayJob"), path, value))
    assert path.split(".")[-1] in problem


CONTAINER = "spec.rayClusterSpec.workerGroupSpecs.0.template.spec.containers.0"
TOKEN = {"name": "AWS_SECRET_ACCESS_KEY", "value": "hunter2"}


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("metadata.name", "f" * 48, "found 48 characters, needed at most 47"),
        ("metadata.name", "Fit_all", "needed lower-case letters"),
        ("spec.rayClusterSpec.workerGroupSpecs.0.rayStartParams.num-cpus", 4, "num-cpus: found 4, needed a string"),
        ("spec.rayClusterSpec.headGroupSpec.rayStartParams.labels", "a=b", "needed them in the group"),
        ("spec.rayClusterSpec.rayVersion", "2.9.0", "rayVersion: found 2.9.0"),
        ("spec.rayClusterSpec.authOptions.mode", "disabled", "authOptions.mode: needed token"),
        ("spec.rayClusterSpec.workerGroupSpecs.0.replicas", 5, "needed minReplicas <= replicas <= maxReplicas"),
        ("spec.clusterSelector", {"ray.io/cluster": "one"}, "exactly one of rayClusterSpec and clusterSelector"),
        ("spec.shutdownAfterJobFinishes", False, "needed shutdownAfterJobFinishes: true"),
        ("spec.submissionMode", "Http", "submissionMode: found 'Http'"),
        ("spec.runtimeEnvYAML", "- pip", "needed the YAML of a mapping"),
        (f"{CONTAINER}.image", "registry.example.com/micromodels:latest", "needed a tag other than latest"),
        (f"{CONTAINER}.image", "registry.example.com:5000/micromodels", "needed a tag other than latest"),
        (f"{CONTAINER}.resources.requests.memory", "16.5Gi", "found 16.5Gi, needed at most the limit, 16Gi"),
        (f"{CONTAINER}.resources.limits", {"cpu": "4"}, "needed a request and a limit of memory"),
        (f"{CONTAINER}.env", [TOKEN], "env.AWS_SECRET_ACCESS_KEY: found a literal"),
        (f"{CONTAINER}.securityContext.privileged", True, "no privileges"),
        (f"{CONTAINER}.securityContext.capabilities", {"drop": ["ALL"], "add": ["SYS_ADMIN"]}, "all capabilities dropped"),
        ("spec.submitterPodTemplate.spec.securityContext.runAsNonRoot", False, "needed runAsNonRoot"),
        ("spec.submitterPodTemplate.spec.automountServiceAccountToken", True, "automountServiceAccountToken: needed false"),
    ],
)
def test_the_rules_refuse_what_the_operator_or_we_would_not_run(
    path: str, value: object, said: str, built: Built, rule_problems: Problems
) -> None:
    (problem,) = rule_problems(_broken(_only(built("cpu/fit"), "RayJob"), path, value))
    assert said in problem


def test_a_job_on_a_cluster_that_is_there_cannot_try_again_on_a_new_one(built: Built, rule_problems: Problems) -> None:
    job = _broken(_only(built("cpu/fit"), "RayJob"), "spec.clusterSelector", {"ray.io/cluster": "micromodels"})
    del job["spec"]["rayClusterSpec"]
    (problem,) = rule_problems(job)
    assert "backoffLimit: found with clusterSelector" in problem
    job["spec"]["backoffLimit"] = 0
    assert rule_problems(job) == []


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
def test_what_serve_would_ignore_is_refused(path: str, value: object, said: str, built: Built, rule_problems: Problems) -> None:
    service = _only(built("cpu/serve"), "RayService")
    config = _broken(yaml.safe_load(service["spec"]["serveConfigV2"]), path, value)
    (problem,) = rule_problems(_broken(service, "spec.serveConfigV2", yaml.safe_dump(config)))
    assert said in problem


def test_the_workers_carry_every_host_and_ingress(built: Built) -> None:
    spec = _only(built("cpu/serve"), "RayService")["spec"]
    (application,) = yaml.safe_load(spec["serveConfigV2"])["applications"]
    settings = Settings.model_validate({"store": "s3://bucket/project", **application["args"]})
    (group,) = spec["rayClusterConfig"]["workerGroupSpecs"]
    cpus = float(group["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"])
    hosts = group["replicas"] * int((cpus - settings.ingresses * settings.cpus_per_ingress) // settings.threads_per_host)
    assert hosts >= settings.hosts


def test_a_secret_in_the_overlay_is_refused(rule_problems: Problems) -> None:
    (problem,) = rule_problems({"kind": "Secret", "metadata": {"name": "s3"}, "data": {}})
    assert "found this kind" in problem
    (problem,) = rule_problems({"kind": "ConfigMap", "metadata": {"name": "s3"}, "data": {"AWS_SECRET_ACCESS_KEY": "hunter2"}})
    assert "needed a Secret" in problem


def test_the_image_holds_every_package_of_the_checkout_and_a_pinned_python() -> None:
    lines = (ROOT / "k8s" / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^FROM python:3\.\d+\.\d+-", lines, flags=re.MULTILINE)
    copied = set(re.findall(r"^COPY (\w+) \1$", lines, flags=re.MULTILINE))
    assert copied == {path.parent.name for path in ROOT.glob("*/__init__.py")}


def test_the_page_names_every_overlay_and_the_settings_of_the_base() -> None:
    page = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    assert not {overlay for overlay in OVERLAYS if f"`{overlay}`" not in page}
    store = yaml.safe_load((ROOT / "k8s" / "base" / "store.yaml").read_text(encoding="utf-8"))
    assert not {name for name in store["data"] if f"`{name}`" not in page}
