"""A real Label Studio in front of a real service with keys: connect, predict, submit, and what the store has in the end.

Needs the program in an environment of its own, since it pins other versions of what we use; docs/bridges.md has the commands.
"""

import os
import shlex
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn

from services.answering import Answer
from services.api import create_api
from services.catalogue import Catalogue
from services.keys import KeyFile, new_key
from services.label_studio.brush import unpack
from services.settings import Settings
from services.submitting import ClusterJob
from training.data.annotations import Annotation, FrameLabels
from training.data.ontology import Ontology
from training.data.pictures import encode_jpeg
from training.data.rle import decode, encode
from training.data.sources import probe
from training.errors import HostUnavailable
from training.store.card import Card
from training.store.store import Store

pytestmark = pytest.mark.slow
PROGRAM = os.environ.get("MICROMODELS_TEST_LABEL_STUDIO", "/tmp/label-studio/bin/label-studio")
TOKEN = "a-token-of-the-test-0123456789"
WIDTH, HEIGHT, NUM_FRAMES = 80, 60, 6
START_S = 600
CONFIG = """<View><Image name="image" value="$image"/>
<Choices name="day" toName="image" choice="multiple"><Choice value="day"/><Choice value="night"/></Choices>
<RectangleLabels name="boxes" toName="image"><Label value="fly"/><Label value="bee"/></RectangleLabels>
<BrushLabels name="brush" toName="image"><Label value="road"/></BrushLabels>
<RectangleLabels name="mice" toName="image" model_ontology="poses"><Label value="mouse"/></RectangleLabels>
<KeyPointLabels name="points" toName="image"><Label value="nose"/><Label value="tail"/></KeyPointLabels></View>"""
ONTOLOGIES = (
    Ontology(name="days", task="classification", classes=("day", "night")),
    Ontology(name="insects", task="detection", classes=("fly", "bee")),
    Ontology(name="roads", task="segmentation", classes=("road",)),
    Ontology(name="poses", task="keypoints", classes=("mouse",), keypoints=("nose", "tail")),
)


def road() -> Any:
    mask_HW = np.zeros((HEIGHT, WIDTH), bool)
    mask_HW[20:50, 10:40] = True
    mask_HW[30:40, 20:30] = False
    return mask_HW


SAID = {
    "days": Annotation(class_name="night", level="image", provenance="model", score=0.9),
    "insects": Annotation(class_name="fly", bbox_xyxy=(8.0, 6.0, 40.0, 36.0), provenance="model", score=0.8),
    "roads": Annotation(
        class_name="road", bbox_xyxy=(10.0, 20.0, 40.0, 50.0), rle_counts=encode(road()), provenance="model", score=0.7
    ),
    "poses": Annotation(
        class_name="mouse",
        bbox_xyxy=(20.0, 15.0, 60.0, 45.0),
        keypoints_xyv=(24.0, 18.0, 2.0, 56.0, 42.0, 1.0),
        provenance="model",
        score=0.6,
    ),
}


class FixedHosts:
    """Says the same of every picture; counts whom it was asked as."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def predict(self, card: Card, pictures: Any) -> Answer:
        self.asked.append(card.ontology)
        labels = tuple(FrameLabels(shard_id=card.shard_id, frame_index=0, annotations=(SAID[card.ontology],)) for _ in pictures)
        names = next(one.keypoints for one in ONTOLOGIES if one.name == card.ontology)
        sizes_wh = ((WIDTH, HEIGHT),) * len(pictures)
        return Answer(labels=labels, sizes_wh=sizes_wh, model_s=0.0, batch_images=len(pictures), keypoint_names=names)

    async def look(self, *_: Any) -> Any:
        raise HostUnavailable("this test routes nothing")

    async def check(self) -> None:
        """Ready."""


class FixedCluster:
    """Runs every command for ever."""

    def __init__(self) -> None:
        self.commands: dict[str, str] = {}

    async def submit(self, name: str, command: str) -> None:
        self.commands[name] = command

    async def find(self, name: str) -> ClusterJob | None:
        return ClusterJob(state="running") if name in self.commands else None

    async def stop(self, name: str) -> None:
        raise AssertionError("nobody stops it")


@dataclass(frozen=True)
class Service:
    """Ours. secret: of a key that may predict and annotate."""

    url: str
    secret: str
    store: Store
    hosts: FixedHosts
    cluster: FixedCluster


@dataclass(frozen=True)
class LabelStudio:
    """Theirs, with one project that is connected to ours."""

    client: httpx.Client
    project: int
    backend: int

    def post(self, path: str, **body: Any) -> Any:
        return self._said(self.client.post(path, json=body))

    def get(self, path: str, **query: Any) -> Any:
        return self._said(self.client.get(path, params=query))

    def import_task(self, **data: Any) -> int:
        """The number of a new task."""
        self.post(f"/api/projects/{self.project}/import", data=data)
        tasks = self.get("/api/tasks", project=self.project, page_size=100)["tasks"]
        return max(int(task["id"]) for task in tasks)

    def predicted(self, task: int) -> list[Any]:
        """The predictions of a task, after somebody opened it."""
        return list(self.get(f"/api/tasks/{task}")["predictions"])

    def submit(self, task: int, result: list[Any], **values: Any) -> Any:
        return self.post(f"/api/tasks/{task}/annotations", result=result, **values)

    @staticmethod
    def _said(response: httpx.Response) -> Any:
        assert response.is_success, response.text[:2000]
        return response.json()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[str]:
    """The address of a Label Studio that was started just now."""
    if shutil.which(PROGRAM) is None:
        pytest.skip(
            f"no {PROGRAM}: python3 -m venv /tmp/label-studio && /tmp/label-studio/bin/pip install 'label-studio>=1.23,<1.24'"
        )
    folder, number = tmp_path_factory.mktemp("label-studio"), free_port()
    settings = {
        "LABEL_STUDIO_BASE_DATA_DIR": str(folder),
        "ML_BLOCK_LOCAL_IP": "false",
        "SSRF_PROTECTION_ENABLED": "false",
        "ML_CONNECTION_TIMEOUT": "30",
        "ML_TIMEOUT_HEALTH": "60",
        "ML_TIMEOUT_SETUP": "60",
        "WEBHOOK_TIMEOUT": "60",
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
    }
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    who = [
        "--username",
        "ann@labels.example",
        "--password",
        "a-password-of-the-test",
        "--user-token",
        TOKEN,
        "--enable-legacy-api-token",
    ]
    command = [PROGRAM, "start", "--no-browser", "--port", str(number), *who]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env={**kept, **settings}, cwd=folder, stdout=log, stderr=log)
        try:
            url = f"http://localhost:{number}"
            _await(f"{url}/health", process, folder / "log")
            yield url
        finally:
            process.terminate()
            process.wait(60)


def _await(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx.get(url, timeout=10).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.5)
    pytest.fail(f"Label Studio did not start: {log.read_text(errors='replace')[-3000:]}")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, server: str) -> Iterator[Service]:
    """Our routes over a socket, with keys; `label` wrote predictions of the frames 0 to 2."""
    folder = tmp_path_factory.mktemp("ours")
    store = Store.create(str(folder / "store"))
    (folder / "pond").mkdir()
    for index in range(NUM_FRAMES):
        (folder / "pond" / f"{index}.png").write_bytes(encode_jpeg(np.full((HEIGHT, WIDTH, 3), 20 * index, np.uint8)))
    store.add_shard(probe(str(folder / "pond"), shard_id="pond"))
    for ontology in ONTOLOGIES:
        store.add_ontology(ontology)
        card = Card(shard_id="pond", ontology=ontology.name, task=ontology.task, classes=ontology.classes)
        store.registry.promote("pond", ontology.name, store.registry.publish(card, {}).generation, "first")
        frames = [FrameLabels(shard_id="pond", frame_index=n, annotations=(SAID[ontology.name],)) for n in range(3)]
        store.predictions.write("pond", ontology.name, 1, 0, 3, frames)
    key, secret = new_key("label-studio", ["predict", "annotate"])
    (folder / "keys").write_text(key.line, encoding="utf-8")
    settings = Settings(store=store.url, live_ttl_s=0, label_studio_url=server, label_studio_token=TOKEN)  # type: ignore[arg-type]
    hosts: Any = FixedHosts()
    cluster = FixedCluster()
    api = create_api(Catalogue(store, ttl_s=0), hosts, settings, KeyFile(folder / "keys"), cluster)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        ours = uvicorn.Server(uvicorn.Config(api, log_level="warning", lifespan="off"))
        thread = threading.Thread(target=ours.run, kwargs={"sockets": [listening]})
        thread.start()
        yield Service(f"http://127.0.0.1:{listening.getsockname()[1]}", secret, store, hosts, cluster)
        ours.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def label_studio(server: str, service: Service) -> Iterator[LabelStudio]:
    """Connected as docs/bridges.md says: basic authentication, and the webhook that came of it with a header."""
    with httpx.Client(base_url=server, headers={"Authorization": f"Token {TOKEN}"}, timeout=120) as client:
        made = client.post("/api/projects", json={"title": "Pond", "label_config": CONFIG, "show_collab_predictions": True})
        assert made.is_success, made.text
        project = made.json()["id"]
        backend = {"url": f"{service.url}/label-studio", "project": project, "title": "ours"}
        refused = client.post("/api/ml", json={**backend, "auth_method": "NONE"})
        assert refused.status_code == 400
        keys = {"auth_method": "BASIC_AUTH", "basic_auth_user": "anybody", "basic_auth_pass": service.secret}
        connected = client.post("/api/ml", json={**backend, **keys})
        assert connected.is_success, connected.text
        theirs = LabelStudio(client, project, connected.json()["id"])
        (hook,) = theirs.get("/api/webhooks", project=theirs.project)
        assert hook["url"] == f"{service.url}/label-studio/webhook"
        changed = client.patch(f"/api/webhooks/{hook['id']}", json={"headers": {"Authorization": f"Bearer {service.secret}"}})
        assert changed.is_success, changed.text
        yield theirs


def frame(index: int) -> dict[str, Any]:
    return {"image": "https://pictures.example/x.jpg", "shard_id": "pond", "frame_index": index}


def by_control(result: list[Any]) -> dict[str, list[Any]]:
    return {name: [one for one in result if one["from_name"] == name] for name in ("day", "boxes", "brush", "mice", "points")}


def said_of(store: Store, index: int) -> dict[str, tuple[Annotation, ...]]:
    """Ontology -> what was said of one frame."""
    found = {one.name: store.labels("pond", one.name) for one in ONTOLOGIES}
    return {name: frame.annotations for name, frames in found.items() for frame in frames if frame.frame_index == index}


def test_all_four_tasks_are_proposed_as_label_studio_takes_them(label_studio: LabelStudio, service: Service) -> None:
    (prediction,) = label_studio.predicted(label_studio.import_task(**frame(0)))
    found = by_control(prediction["result"])
    assert prediction["model_version"].startswith("micro-models ")
    assert found["day"][0]["value"] == {"choices": ["night"]}
    assert found["boxes"][0]["value"] == {"x": 10, "y": 10, "width": 40, "height": 50, "rotation": 0, "rectanglelabels": ["fly"]}
    assert (unpack(found["brush"][0]["value"]["rle"], WIDTH, HEIGHT) == road()).all()
    assert [one["parentID"] for one in found["points"]] == [found["mice"][0]["id"]] * 2
    assert service.hosts.asked == []


def test_what_is_submitted_unchanged_is_confirmed_and_what_is_told_twice_counts_once(
    label_studio: LabelStudio, service: Service
) -> None:
    label_studio.post(
        "/api/webhooks",
        project=label_studio.project,
        url=f"{service.url}/label-studio/webhook?again",
        headers={"Authorization": f"Bearer {service.secret}"},
        send_payload=True,
        send_for_all_actions=True,
    )
    task = label_studio.import_task(**frame(1))
    (prediction,) = label_studio.predicted(task)
    label_studio.submit(task, prediction["result"], lead_time=12.5, parent_prediction=prediction["id"])
    assert set(said_of(service.store, 1)) == {one.name for one in ONTOLOGIES}
    for ontology in ONTOLOGIES:
        actions = [one for one in service.store.ledger.read("pond", ontology.name) if one.frame_index == 1]
        assert [(one.action, one.round_kind, one.generation) for one in actions] == [
            ("look", "review", 1),
            ("confirm", "review", 1),
        ]
        (kept,) = said_of(service.store, 1)[ontology.name]
        assert (kept.provenance, kept.author) == ("model", actions[0].who)
    seconds = [one.seconds or 0 for one in service.store.ledger.read("pond") if one.frame_index == 1]
    assert sum(seconds) == 12.5


def test_what_is_corrected_comes_back_in_pixels_and_an_update_replaces_it(label_studio: LabelStudio, service: Service) -> None:
    task = label_studio.import_task(**frame(2))
    (prediction,) = label_studio.predicted(task)
    result = prediction["result"]
    boxes = [one for one in result if one["from_name"] == "boxes"]
    boxes[0]["value"] |= {"x": 50, "width": 25}
    made = label_studio.submit(task, result, lead_time=3)
    (moved,) = said_of(service.store, 2)["insects"]
    assert (moved.provenance, moved.bbox_xyxy) == ("human", pytest.approx((40, 6, 60, 36)))
    kept = [one for one in result if one["from_name"] not in ("boxes", "brush")]
    changed = label_studio.client.patch(f"/api/annotations/{made['id']}", json={"result": kept, "lead_time": 5})
    assert changed.is_success, changed.text
    now = said_of(service.store, 2)
    assert (now["insects"], now["roads"]) == ((), ())
    assert now["poses"][0].keypoints_xyv == pytest.approx((24, 18, 2, 56, 42, 1))


def test_a_frame_nobody_labelled_is_asked_about_and_first_labels_come_back_for_all_tasks(
    label_studio: LabelStudio, service: Service
) -> None:
    service.hosts.asked.clear()
    task = label_studio.import_task(**frame(4))
    (prediction,) = label_studio.predicted(task)
    assert sorted(service.hosts.asked) == ["days", "insects", "poses", "roads"]
    label_studio.submit(task, prediction["result"])
    now = said_of(service.store, 4)
    assert now["days"][0].class_name == "night"
    assert (decode(str(now["roads"][0].rle_counts), HEIGHT, WIDTH) == road()).all()
    assert {one.round_kind for one in service.store.ledger.read("pond") if one.frame_index == 4} == {"labels"}


def test_an_upload_is_fetched_with_the_token_and_a_strange_address_is_not(label_studio: LabelStudio, service: Service) -> None:
    picture = {"file": ("pond.jpg", encode_jpeg(np.full((HEIGHT, WIDTH, 3), 90, np.uint8)), "image/jpeg")}
    uploaded = label_studio.client.post(f"/api/projects/{label_studio.project}/import", files=picture)
    assert uploaded.is_success, uploaded.text
    newest = max(label_studio.get("/api/tasks", project=label_studio.project, page_size=100)["tasks"], key=lambda one: one["id"])
    assert newest["data"]["image"].startswith("/data/upload/")
    task = label_studio.import_task(image=newest["data"]["image"], shard_id="pond")
    (prediction,) = label_studio.predicted(task)
    assert {one["from_name"] for one in prediction["result"]} == {"day", "boxes", "brush", "mice", "points"}
    strange = label_studio.import_task(image="http://169.254.169.254/latest", shard_id="pond")
    (refused,) = label_studio.predicted(strange)
    assert refused["result"] == []
    assert refused["model_version"].startswith("no prediction: picture 'http://169.254.169.254/latest'")


def test_a_skipped_task_leaves_nothing(label_studio: LabelStudio, service: Service) -> None:
    task = label_studio.import_task(**frame(5))
    label_studio.submit(task, [], was_cancelled=True)
    assert said_of(service.store, 5) == {}


def test_a_task_that_is_opened_again_is_asked_about_again_only_once_a_generation_went_live(
    label_studio: LabelStudio, service: Service
) -> None:
    chosen = label_studio.client.patch(f"/api/projects/{label_studio.project}", json={"model_version": "ours"})
    assert chosen.is_success, chosen.text
    label_studio.import_task(**frame(0))

    def versions() -> list[str]:
        """Of all predictions of the task that a person gets next."""
        task = label_studio.get(f"/api/projects/{label_studio.project}/next")
        assert task["predictions"]
        found = label_studio.get("/api/predictions", task=task["id"])
        return [one["model_version"] for one in found]

    before = versions()
    assert versions() == before
    again = Card(shard_id="pond", ontology="insects", task="detection", classes=("fly", "bee"), fit_key="again")
    service.store.registry.promote("pond", "insects", service.store.registry.publish(again, {}).generation, "better")
    assert len(versions()) == len(before) + 1
    assert len(set(versions())) == len(set(before)) + 1


def test_the_button_starts_a_fit_of_all_that_the_project_labelled(label_studio: LabelStudio, service: Service) -> None:
    task = label_studio.import_task(**frame(3))
    (prediction, *_) = label_studio.predicted(task)
    label_studio.submit(task, prediction["result"])
    for _ in range(2):
        started = label_studio.client.post(f"/api/ml/{label_studio.backend}/train", json={})
        assert started.is_success, started.text
    fits = [shlex.split(command) for command in service.cluster.commands.values()]
    assert sorted(command[command.index("--ontology") + 1] for command in fits) == ["days", "insects", "poses", "roads"]
    assert {(command[3], command[-1]) for command in fits} == {("fit", "pond")}
