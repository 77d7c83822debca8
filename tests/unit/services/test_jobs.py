"""Jobs over HTTP: what is submitted, how far it is by the store, and what a restart does not lose."""

import json
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from cluster.cli.main import app
from services.job_desk import command_of
from services.job_examples import JOB, JOB_BODY
from services.job_schemas import JobIn, JobOut, JobProgress
from services.submitting import ClusterJob
from training.data.annotations import Annotation, FrameLabels
from training.data.coco import read_coco
from training.data.ontology import Ontology
from training.data.pictures import encode_jpeg
from training.data.sources import probe
from training.errors import JobsUnavailable, TooLarge
from training.learning.recipes import recipe
from training.store.card import Card
from training.store.jobs import JobRecord
from training.store.store import Store

NIGHT = "2026-01-02T03:04:05+00:00"


class FakeCluster:
    """The far side of the network: commands by name, which run until somebody says what became of them."""

    def __init__(self) -> None:
        self.commands: dict[str, str] = {}
        self.state: Any = "running"
        self.broken = False

    async def submit(self, name: str, command: str) -> None:
        self._check()
        assert name not in self.commands
        self.commands[name] = command

    async def find(self, name: str) -> ClusterJob | None:
        self._check()
        return ClusterJob(state=self.state, started_at=NIGHT) if name in self.commands else None

    async def stop(self, name: str) -> None:
        self._check()
        self.state = "stopped"

    def _check(self) -> None:
        if self.broken:
            raise JobsUnavailable("http://head:8265: ConnectTimeout")


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def desk(client_of: Callable[..., Any], cluster: FakeCluster) -> Any:
    return client_of(jobs=cluster, jobs_address="http://head:8265")


@pytest.fixture
def pond(store: Store, tmp_path: Path) -> Store:
    """Ten frames, two of them labelled; generation 1 is live."""
    source = tmp_path / "pond"
    source.mkdir()
    for index in range(10):
        (source / f"{index}.png").write_bytes(encode_jpeg(np.full((48, 64, 3), 20 * index, np.uint8)))
    store.add_shard(probe(str(source), shard_id="pond"))
    store.add_ontology(Ontology(name="flies", task="detection", classes=("fly", "bee")))
    store.annotate("pond", "flies", [frame(0, fly(1)), frame(9)])
    publish(store, fit_key="first")
    return store


def publish(store: Store, **values: Any) -> Card:
    card = Card(shard_id="pond", ontology="flies", task="detection", classes=("fly", "bee"), **values)
    published = store.registry.publish(card, {})
    store.registry.promote("pond", "flies", published.generation, "newest")
    return published


def fly(x: float, score: float | None = None) -> Annotation:
    kind: Any = "human" if score is None else "model"
    return Annotation(class_name="fly", bbox_xyxy=(x, 2.0, x + 10.0, 22.0), provenance=kind, score=score)


def frame(index: int, *said: Annotation) -> FrameLabels:
    return FrameLabels(shard_id="pond", frame_index=index, annotations=said)


def asked(verb: str = "label", **values: Any) -> dict[str, Any]:
    return {"job_id": "night", "verb": verb, "shard_ids": ["pond"], **values}


def kind(response: Any) -> str:
    return str(response.json()["type"]).rpartition(":")[2]


def words(cluster: FakeCluster) -> list[str]:
    (command,) = cluster.commands.values()
    return shlex.split(command)


def test_a_label_is_submitted_as_the_verb_and_its_progress_is_what_the_store_has(
    desk: Any, cluster: FakeCluster, pond: Store
) -> None:
    response = desk.post("/v1/jobs", json=asked(frames_per_clip=4, workers=2, ontology="flies"))
    assert (response.status_code, response.headers["location"]) == (202, "/v1/jobs/night")
    options = ["--ontology", "flies", "--frames-per-clip", "4", "--workers", "2"]
    assert words(cluster) == ["python", "-m", "cluster", "label", "--store", pond.url, "--job", "night", *options, "pond"]
    assert response.json()["progress"] == {"unit": "frames", "done": 0, "total": 10}
    pond.predictions.write("pond", "flies", 1, 0, 4, [frame(n, fly(5, 0.9)) for n in range(4)])
    said = desk.get("/v1/jobs/night").json()
    assert (said["state"], said["started_at"], said["progress"]["done"]) == ("running", NIGHT, 4)
    assert said["shards"] == [{"shard_id": "pond", "ontology": "flies", "generation": 1, "done": 4, "total": 10}]
    assert "result" not in said


def test_the_same_job_under_the_same_id_is_one_job(desk: Any, cluster: FakeCluster, pond: Store) -> None:
    first = desk.post("/v1/jobs", json=asked()).json()
    pond.registry.promote("pond", "flies", publish(pond, fit_key="second").generation, "better")
    assert desk.post("/v1/jobs", json=asked()).json() == first
    assert len(cluster.commands) == 1
    for other in (asked(workers=3), asked("fit"), asked(ontology="flies")):
        refused = desk.post("/v1/jobs", json=other)
        assert (refused.status_code, kind(refused)) == (409, "conflicting-job")
    del (other := asked())["job_id"]
    ids = {desk.post("/v1/jobs", json=other).json()["job_id"] for _ in range(2)}
    assert len(ids) == 2
    assert len(cluster.commands) == 3


def test_a_job_outlives_whoever_took_it(client_of: Callable[..., Any], desk: Any, cluster: FakeCluster, pond: Store) -> None:
    desk.post("/v1/jobs", json=asked())
    restarted = client_of(jobs=cluster)
    assert restarted.get("/v1/jobs/night").json()["state"] == "running"
    pond.jobs.end("night", {"started_at": NIGHT, "ended_at": NIGHT, "error": None, "shards": [], "failures": []})
    cluster.commands.clear()  # a new cluster, which knows nothing
    said = client_of(jobs=cluster).get("/v1/jobs/night").json()
    assert (said["state"], said["started_at"], said["ended_at"]) == ("succeeded", NIGHT, NIGHT)
    assert client_of(jobs=cluster).post("/v1/jobs", json=asked()).json()["state"] == "succeeded"
    assert cluster.commands == {}


def test_a_submission_that_was_not_heard_is_made_when_it_is_asked_again(desk: Any, cluster: FakeCluster, pond: Store) -> None:
    cluster.broken = True
    response = desk.post("/v1/jobs", json=asked())
    assert (response.status_code, kind(response), response.headers["retry-after"]) == (503, "jobs-unavailable", "2")
    assert "head" not in response.text
    cluster.broken = False
    assert desk.get("/v1/jobs/night").json()["state"] == "lost"
    assert desk.post("/v1/jobs", json=asked()).json()["state"] == "running"
    assert len(cluster.commands) == 1


def test_a_stopped_job_is_stopped_for_good(desk: Any, cluster: FakeCluster, pond: Store) -> None:
    desk.post("/v1/jobs", json=asked())
    assert desk.delete("/v1/jobs/night").json()["state"] == "stopped"
    cluster.commands.clear()
    assert desk.get("/v1/jobs/night").json()["state"] == "stopped"
    assert desk.post("/v1/jobs", json=asked()).json()["state"] == "stopped"
    assert cluster.commands == {}


def test_a_job_that_is_stopped_while_it_is_submitted_does_not_run(
    desk: Any, cluster: FakeCluster, pond: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = cluster.submit

    async def submit_late(name: str, command: str) -> None:
        pond.jobs.stop("night", NIGHT)  # by a DELETE, which found nothing in the cluster
        await submit(name, command)

    monkeypatch.setattr(cluster, "submit", submit_late)
    assert desk.post("/v1/jobs", json=asked()).json()["state"] == "stopped"
    assert cluster.state == "stopped"


def test_a_job_that_labelled_nothing_has_no_result(desk: Any, cluster: FakeCluster, pond: Store) -> None:
    desk.post("/v1/jobs", json=asked())
    pond.jobs.end("night", {"started_at": NIGHT, "ended_at": NIGHT, "error": "BadVideo: gone", "shards": [], "failures": []})
    assert "result" not in desk.get("/v1/jobs/night").json()
    for form in ("coco", "ndjson"):
        refused = desk.get("/v1/jobs/night/result", params={"format": form})
        assert (refused.status_code, kind(refused)) == (409, "no-result")
        assert "none of 10 frames" in refused.json()["detail"]


def test_a_fit_is_done_when_a_newer_generation_is_there_or_that_very_work_was_there(
    desk: Any, cluster: FakeCluster, pond: Store
) -> None:
    desk.post("/v1/jobs", json=asked("fit", recipe="smoke", weights="none", seed=3))
    assert words(cluster)[8:] == ["--recipe", "smoke", "--seed", "3", "--weights", "none", "pond"]
    waiting = JobOut.model_validate(desk.get("/v1/jobs/night").json())
    assert (waiting.progress, waiting.shards[0].generation) == (JobProgress(unit="micro-models", done=0, total=1), None)
    hash_of = pond.jobs.read("night").targets[0].labels_hash
    how = {"recipe": recipe("smoke").to_json(), "backbone": {"name": "mobilenet_v2", "weights": "none"}, "seed": 3}
    publish(pond, fit_key="second", labels_hash=hash_of, **how)
    said = desk.get("/v1/jobs/night").json()
    assert (said["progress"]["done"], said["shards"][0]["generation"]) == (1, 2)
    publish(pond, fit_key="third")
    desk.post("/v1/jobs", json=asked("fit", job_id="again", recipe="smoke", weights="none", seed=3))
    assert desk.get("/v1/jobs/again").json()["shards"][0] == {**said["shards"][0], "generation": 2}
    desk.post("/v1/jobs", json=asked("fit", job_id="other", recipe="smoke", weights="none", seed=4))
    assert desk.get("/v1/jobs/other").json()["progress"]["done"] == 0


def test_failures_and_errors_of_the_verb_are_told(desk: Any, cluster: FakeCluster, pond: Store) -> None:
    for name, outcome in (
        ("some", {"error": None, "failures": [{"shard_id": "pond", "error": "BadVideo: truncated"}]}),
        ("all", {"error": "BadBackbone: no such weights", "failures": []}),
    ):
        desk.post("/v1/jobs", json=asked(job_id=name))
        pond.jobs.end(name, {"started_at": NIGHT, "ended_at": NIGHT, "shards": [], **outcome})
        said = desk.get(f"/v1/jobs/{name}").json()
        assert (said["state"], said["failures"], said.get("error")) == ("failed", outcome["failures"], outcome["error"])
    desk.post("/v1/jobs", json=asked(job_id="silent"))
    cluster.state = "failed"
    assert "its log" in desk.get("/v1/jobs/silent").json()["error"]


def test_the_result_is_coco_or_a_line_a_frame(desk: Any, cluster: FakeCluster, pond: Store, tmp_path: Path) -> None:
    desk.post("/v1/jobs", json=asked())
    waiting = desk.get("/v1/jobs/night/result")
    assert (waiting.status_code, kind(waiting)) == (409, "no-result")
    pond.predictions.write("pond", "flies", 1, 0, 4, [frame(n, fly(5, 0.9)) for n in range(4)])
    pond.predictions.write("pond", "flies", 1, 4, 10, [frame(n) for n in range(4, 9)], {9: "BadPicture: 9.png"})
    pond.jobs.end("night", {"started_at": NIGHT, "ended_at": NIGHT, "error": None, "shards": [], "failures": []})
    where = desk.get("/v1/jobs/night").json()["result"]
    coco = desk.get(where)
    assert coco.headers["content-type"] == "application/json"
    (tmp_path / "pond.coco.json").write_text(coco.text)
    ((ontology, frames),) = read_coco(tmp_path / "pond.coco.json", pond.shard("pond")).labels.values()
    assert (ontology, len(frames)) == (pond.ontology("flies"), 9)
    assert [len(one.annotations) for one in frames] == [1] * 4 + [0] * 5
    lines = [json.loads(line) for line in desk.get(where, params={"format": "ndjson"}).text.splitlines()]
    assert [one["frame_index"] for one in lines] == list(range(10))
    assert lines[0]["annotations"] == [{"class_name": "fly", "level": "object", "score": 0.9, "bbox_xyxy": [5, 2, 15, 22]}]
    assert (lines[9]["annotations"], lines[9]["error"]) == ([], "BadPicture: 9.png")
    assert {(one["shard_id"], one["ontology"], one["generation"]) for one in lines} == {("pond", "flies", 1)}
    assert desk.get(where, params={"format": "yolo"}).status_code == 422
    desk.post("/v1/jobs", json=asked("fit", job_id="fit"))
    assert kind(desk.get("/v1/jobs/fit/result")) == "no-result"


def test_the_result_is_of_the_generation_that_the_verb_says(desk: Any, pond: Store) -> None:
    desk.post("/v1/jobs", json=asked())
    pond.predictions.write("pond", "flies", 2, 0, 10, [frame(n, fly(7, 0.8)) for n in range(10)])
    row = {"shard_id": "pond", "ontology": "flies", "generation": 2}
    pond.jobs.end("night", {"started_at": NIGHT, "ended_at": NIGHT, "error": None, "shards": [row], "failures": []})
    assert desk.get("/v1/jobs/night").json()["shards"][0]["done"] == 10
    assert '"generation":2' in desk.get("/v1/jobs/night/result", params={"format": "ndjson"}).text


@pytest.mark.parametrize(
    ("wrong", "status", "said"),
    [
        ({"shard_ids": ["nowhere"]}, 404, "nowhere"),
        ({"shard_ids": ["../pond"]}, 404, "../pond"),
        ({"shard_ids": ["--store=s3://evil/x"]}, 404, "needed 1 to 200 letters"),
        ({"shard_ids": ["pond; rm -rf /"]}, 404, "needed 1 to 200 letters"),
        ({"shard_ids": ["pond\nid"]}, 404, "needed 1 to 200 letters"),
        ({"shard_ids": []}, 422, "shard_ids"),
        ({"shard_ids": ["pond"] * 1001}, 422, "shard_ids"),
        ({"ontology": "nothing"}, 404, "nothing"),
        ({"ontology": "--weights"}, 404, "--weights"),
        ({"verb": "serve"}, 422, "verb"),
        ({"verb": "fit", "recipe": "/etc/passwd.json"}, 422, "passwd"),
        ({"verb": "fit", "weights": "http://169.254.169.254/x"}, 422, "weights"),
        ({"verb": "fit", "frames_per_clip": 8}, 422, "frames_per_clip"),
        ({"recipe": "smoke"}, 422, "recipe"),
        ({"job_id": "../night"}, 422, "job_id"),
        ({"job_id": "-night"}, 422, "job_id"),
        ({"job_id": ""}, 422, "job_id"),
        ({"workers": 0}, 422, "workers"),
        ({"workers": True}, 422, "workers"),
        ({"workers": "2"}, 422, "workers"),
        ({"entrypoint": "id"}, 422, "entrypoint"),
        ({"jobs_address": "http://evil:8265"}, 422, "jobs_address"),
    ],
)
def test_what_cannot_be_a_job_is_refused_and_neither_remembered_nor_submitted(
    desk: Any, cluster: FakeCluster, pond: Store, wrong: dict[str, Any], status: int, said: str
) -> None:
    response = desk.post("/v1/jobs", json={**asked(), **wrong})
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json"), response.text
    assert said in response.json()["detail"]
    assert (cluster.commands, pond.objects.keys("jobs/")) == ({}, [])


def test_what_the_verb_could_not_do_is_said_at_once(desk: Any, pond: Store) -> None:
    pond.add_shard(replace(pond.shard("pond"), shard_id="lake"))
    unlabelled = desk.post("/v1/jobs", json=asked("fit", shard_ids=["pond", "lake"]))
    assert (unlabelled.status_code, kind(unlabelled)) == (422, "nothing-to-learn")
    unfitted = desk.post("/v1/jobs", json=asked(shard_ids=["pond", "lake"]))
    assert (unfitted.status_code, kind(unfitted), "lake" in unfitted.json()["detail"]) == (404, "unknown-model", True)


def test_a_command_is_quoted_and_no_longer_than_a_shell_takes() -> None:
    job = JobRecord(job_id="a", verb="fit", shard_ids=("pond",), options={"recipe": "$(id) 'x'"})
    said = shlex.split(command_of(job, "/a store; id"))
    assert said[4:] == ["--store", "/a store; id", "--job", "a", "--recipe", "$(id) 'x'", "pond"]
    with pytest.raises(TooLarge, match="fewer shards"):
        command_of(replace(job, shard_ids=tuple(f"{n:0200d}" for n in range(1000))), "/store")


def test_without_an_address_it_says_what_to_set(client: Any, pond: Store) -> None:
    for response in (
        client.post("/v1/jobs", json=asked()),
        client.delete("/v1/jobs/night"),
    ):
        assert (response.status_code, kind(response)) == (501, "jobs-not-configured")
        assert "jobs_address" in response.json()["detail"]
    assert pond.objects.keys("jobs/") == []
    assert kind(client.get("/v1/jobs/night")) == "unknown-job"


@pytest.mark.parametrize("path", ["/v1/jobs/night", "/v1/jobs/night/result"])
def test_a_job_that_nobody_asked_for_is_not_found(desk: Any, pond: Store, path: str) -> None:
    response = desk.get(path)
    assert (response.status_code, kind(response)) == (404, "unknown-job")


def test_settings_say_what_a_job_does_not(client_of: Callable[..., Any], cluster: FakeCluster, pond: Store) -> None:
    desk = client_of(jobs=cluster, jobs_recipe="fast", jobs_weights="none", jobs_workers=1)
    desk.post("/v1/jobs", json=asked("fit", recipe="smoke"))
    assert words(cluster)[8:] == ["--recipe", "smoke", "--weights", "none", "--workers", "1", "pond"]


def test_who_asked_is_remembered_by_the_name_of_the_key(pond: Store, desk: Any) -> None:
    record = JobRecord(job_id="night", verb="label", shard_ids=("pond",), submitted_at=NIGHT, submitted_by="robot")
    pond.jobs.add(record)
    assert pond.jobs.read("night") == record
    assert desk.get("/v1/jobs/night").json()["submitted_by"] == "robot"


def test_the_verb_leaves_its_outcome_and_its_error_in_the_store(pond: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    pond.predictions.write("pond", "flies", 1, 0, 10, [frame(n) for n in range(10)])
    done = CliRunner().invoke(app, ["label", "--store", pond.url, "--job", "night", "pond"])
    assert done.exit_code == 0, done.output
    outcome = pond.jobs.outcome("night")
    assert outcome is not None
    assert (outcome["error"], outcome["failures"], outcome["skipped_clips"]) == (None, [], 1)
    done = CliRunner().invoke(app, ["label", "--store", pond.url, "--job", "lost", "nowhere"])
    assert done.exit_code == 2
    assert (pond.jobs.outcome("lost") or {})["error"].startswith("UnknownShard: nowhere")
    assert CliRunner().invoke(app, ["fit", "--store", pond.url, "--job", "../x"]).exit_code == 2


def test_the_examples_fit_their_schemas_and_every_key_of_them(client: Any) -> None:
    assert JobOut.model_validate(JOB).model_dump(mode="json", exclude_unset=True) == JOB
    example = JOB_BODY["content"]["application/json"]["example"]
    assert JobIn.model_validate(example).model_dump(mode="json", exclude_unset=True) == example
    document = client.get("/openapi.json").json()
    assert document["paths"]["/v1/jobs"]["post"]["responses"]["202"]["content"]["application/json"]["example"] == JOB
    assert "$defs" not in json.dumps(document)
