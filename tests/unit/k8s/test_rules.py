"""What no schema says of a manifest: what KubeRay's operator refuses to run, and what we do."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import ray
import yaml

Document = dict[str, Any]
Manifest = Callable[[str, str], Document]
Changed = Callable[[Document, str, object], Document]
LONGEST_NAMES = {"RayCluster": 53, "RayJob": 47, "RayService": 47}  # the operator adds suffixes of its own
OTHER_KINDS = {"ConfigMap", "NetworkPolicy", "PodDisruptionBudget", "ServiceAccount"}
SUBMISSION_MODES = {"K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"}
TOKEN_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"
SECRET_NAME = re.compile(r"SECRET|TOKEN|PASSWORD|CREDENTIAL|ACCESS_KEY", re.IGNORECASE)
UNITS = {"m": 1e-3, "": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def _problems(document: Document) -> Iterator[str]:
    kind, spec = document["kind"], document.get("spec", {})
    if kind == "ConfigMap":
        yield from (f"data.{name}: found a literal, needed a Secret" for name in document["data"] if SECRET_NAME.search(name))
    elif kind not in LONGEST_NAMES:
        if kind not in OTHER_KINDS:
            yield f"found {kind}, needed one of {sorted({*LONGEST_NAMES, *OTHER_KINDS})}"
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
        if group.get("minReplicas") != group.get("maxReplicas") and not spec.get("enableInTreeAutoscaling"):
            yield f"{where}: maxReplicas: needed minReplicas, where no autoscaler makes more"
        yield from _pod(where, group["template"]["spec"])
    if spec.get("enableInTreeAutoscaling"):
        yield from _autoscaler(spec.get("autoscalerOptions", {}), spec["headGroupSpec"]["template"]["spec"])


def _autoscaler(options: Document, head: Document) -> Iterator[str]:
    """The container that the operator puts beside the head's, from these options."""
    image = head["containers"][0]["image"]
    yield from (f"autoscalerOptions: {problem}" for problem in _container({"image": image, **options}))
    if options.get("version") != "v2":
        yield "autoscalerOptions.version: needed v2"
    mounts = {mount["name"]: mount["mountPath"] for mount in options.get("volumeMounts", [])}
    tokens = [name for name in _tokens(head) if mounts.get(name) == TOKEN_FOLDER]
    (files,) = [_projected(head, name) for name in tokens] or [set()]
    if not files >= {"token", "ca.crt", "namespace"}:
        yield f"autoscalerOptions.volumeMounts: needed token, ca.crt and namespace in {TOKEN_FOLDER}, where Ray looks for them"
    shared = {mount["name"] for container in head["containers"] for mount in container.get("volumeMounts", [])}
    if shared & mounts.keys() - {"ray-logs"}:
        yield "autoscalerOptions.volumeMounts: found a volume of the head's container, needed its own"


def _projected(pod: Document, name: str) -> set[str]:
    """Names of the files in a projected volume."""
    (volume,) = (one for one in pod["volumes"] if one["name"] == name)
    sources = [source for one in volume["projected"]["sources"] for source in one.values()]
    return {file["path"] for source in sources for file in source.get("items", [source])}


def _pod(where: str, spec: Document) -> Iterator[str]:
    context = spec.get("securityContext", {})
    if not context.get("runAsNonRoot") or context.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield f"{where}: securityContext: needed runAsNonRoot and the seccomp profile RuntimeDefault"
    if spec.get("automountServiceAccountToken") is not False:
        yield f"{where}: automountServiceAccountToken: needed false"
    tokens = _tokens(spec)
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        yield from (f"{where}: {container['name']}: {problem}" for problem in _container(container))
        if any(mount["name"] in tokens for mount in container.get("volumeMounts", [])):
            yield f"{where}: {container['name']}: volumeMounts: found a token for the Kubernetes API, needed none"


def _tokens(pod: Document) -> set[str]:
    """Names of volumes that have a token for the Kubernetes API in them."""
    projected = {volume["name"]: volume.get("projected", {}).get("sources", []) for volume in pod.get("volumes", [])}
    return {name for name, sources in projected.items() if any("serviceAccountToken" in source for source in sources)}


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


def test_every_manifest_keeps_the_rules(overlay: str, built: Callable[[str], list[Document]]) -> None:
    assert [f"{document['kind']}: {problem}" for document in built(overlay) for problem in _problems(document)] == []


CONTAINER = "spec.rayClusterSpec.workerGroupSpecs.0.template.spec.containers.0"
KEY = {"name": "AWS_SECRET_ACCESS_KEY", "value": "hunter2"}


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
        ("spec.rayClusterSpec.workerGroupSpecs.0.maxReplicas", 5, "needed minReplicas, where no autoscaler makes more"),
        ("spec.clusterSelector", {"ray.io/cluster": "one"}, "exactly one of rayClusterSpec and clusterSelector"),
        ("spec.shutdownAfterJobFinishes", False, "needed shutdownAfterJobFinishes: true"),
        ("spec.submissionMode", "Http", "submissionMode: found 'Http'"),
        ("spec.runtimeEnvYAML", "- pip", "needed the YAML of a mapping"),
        (f"{CONTAINER}.image", "registry.example.com/micromodels:latest", "needed a tag other than latest"),
        (f"{CONTAINER}.image", "registry.example.com:5000/micromodels", "needed a tag other than latest"),
        (f"{CONTAINER}.resources.requests.memory", "16.5Gi", "found 16.5Gi, needed at most the limit, 16Gi"),
        (f"{CONTAINER}.resources.limits", {"cpu": "4"}, "needed a request and a limit of memory"),
        (f"{CONTAINER}.env", [KEY], "env.AWS_SECRET_ACCESS_KEY: found a literal"),
        (f"{CONTAINER}.securityContext.privileged", True, "no privileges"),
        (f"{CONTAINER}.securityContext.capabilities", {"drop": ["ALL"], "add": ["SYS_ADMIN"]}, "all capabilities dropped"),
        ("spec.submitterPodTemplate.spec.securityContext.runAsNonRoot", False, "needed runAsNonRoot"),
        ("spec.submitterPodTemplate.spec.automountServiceAccountToken", True, "automountServiceAccountToken: needed false"),
    ],
)
def test_what_the_operator_or_we_would_not_run_is_refused(
    path: str, value: object, said: str, manifest: Manifest, changed: Changed
) -> None:
    (problem,) = _problems(changed(manifest("cpu/fit", "RayJob"), path, value))
    assert said in problem


HEAD_VOLUME = "spec.headGroupSpec.template.spec.volumes.4"
TOKEN = {"name": "autoscaler-token", "mountPath": TOKEN_FOLDER}
HOME = {"name": "home", "mountPath": "/home/ray"}


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("spec.autoscalerOptions.securityContext", {}, "needed allowPrivilegeEscalation: false"),
        ("spec.autoscalerOptions.resources", {"limits": {"cpu": "1"}}, "needed a request and a limit of memory"),
        ("spec.autoscalerOptions.version", "v1", "needed v2"),
        ("spec.autoscalerOptions.volumeMounts", [], "needed token, ca.crt and namespace"),
        ("spec.autoscalerOptions.volumeMounts", [TOKEN | {"mountPath": "/token"}], "needed token, ca.crt and namespace"),
        (f"{HEAD_VOLUME}.projected.sources.1.configMap.items", [], "needed token, ca.crt and namespace"),
        ("spec.autoscalerOptions.volumeMounts", [TOKEN, HOME], "found a volume of the head's container"),
        (
            "spec.headGroupSpec.template.spec.containers.0.volumeMounts",
            [TOKEN],
            "found a token for the Kubernetes API, needed none",
        ),
        ("spec.headGroupSpec.template.spec.automountServiceAccountToken", True, "automountServiceAccountToken: needed false"),
    ],
)
def test_only_the_autoscaler_may_talk_to_kubernetes_and_it_is_locked_like_all_others(
    path: str, value: object, said: str, manifest: Manifest, changed: Changed
) -> None:
    assert any(said in problem for problem in _problems(changed(manifest("elastic/cluster", "RayCluster"), path, value)))


def test_a_job_on_a_cluster_that_is_there_cannot_try_again_on_a_new_one(manifest: Manifest) -> None:
    job = manifest("cpu/fit", "RayJob")
    job["spec"]["clusterSelector"] = {"ray.io/cluster": "micromodels"}
    del job["spec"]["rayClusterSpec"]
    (problem,) = _problems(job)
    assert "backoffLimit: found with clusterSelector" in problem
    job["spec"]["backoffLimit"] = 0
    assert list(_problems(job)) == []


def test_a_secret_in_an_overlay_is_refused() -> None:
    (problem,) = _problems({"kind": "Secret", "metadata": {"name": "s3"}, "data": {}})
    assert "found Secret" in problem
    (problem,) = _problems({"kind": "ConfigMap", "metadata": {"name": "s3"}, "data": {"AWS_SECRET_ACCESS_KEY": "hunter2"}})
    assert "needed a Secret" in problem
