"""Label Studio's protocol over an API in this process: what it sends, as it sends it, and what comes of it in the store."""

import asyncio
import base64
import json
import shlex
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar, cast

import numpy as np
import pytest

from services.answering import Answer
from services.catalogue import Catalogue
from services.keys import KeyFile
from services.label_studio.examples import EVENT_BODY, PREDICT_BODY, PREDICTED, SETUP_BODY
from services.label_studio.predicting import Predictor
from services.label_studio.projects import Projects
from services.label_studio.schemas import Event, PredictIn, PredictOut, SetupIn
from services.new_key import add_key
from services.payload import Picture
from services.rules import RuleBook
from services.settings import Settings
from services.submitting import ClusterJob
from training.data.annotations import Annotation, FrameLabels
from training.data.ontology import Ontology
from training.data.pictures import encode_jpeg
from training.data.sources import probe
from training.errors import HostUnavailable
from training.store.card import Card
from training.store.ledger import Ledger
from training.store.queue import Queue, QueuedFrame
from training.store.store import Store

WIDTH, HEIGHT = 64, 48
BOXES = '<RectangleLabels name="boxes" toName="image"><Label value="fly"/></RectangleLabels>'
DAY = '<Choices name="day" toName="image"><Choice value="day"/><Choice value="night"/></Choices>'
OUTLINES = '<PolygonLabels name="outlines" toName="image"><Label value="fly"/></PolygonLabels>'


def config(*tags: str) -> str:
    return f'<View><Image name="image" value="$image"/>{"".join(tags)}</View>'


def task(frame_index: int | None = 3, **data: Any) -> dict[str, Any]:
    named = {} if frame_index is None else {"shard_id": "pond", "frame_index": frame_index}
    return {"id": 7, "data": {"image": "http://pictures.example/3.jpg", **named, **data}, "meta": {}, "predictions": []}


def region(x: float = 25.0, name: str = "drawn", **values: Any) -> dict[str, Any]:
    corner = {"x": x, "y": 25.0, "width": 25.0, "height": 50.0, "rotation": 0, "rectanglelabels": ["fly"]}
    sizes = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
    return {"id": name, "from_name": "boxes", "to_name": "image", "type": "rectanglelabels", **sizes, "value": corner, **values}


def polygon(**values: Any) -> dict[str, Any]:
    corners = {"points": [[10, 10], [40, 10], [40, 40]], "closed": True, "polygonlabels": ["fly"]}
    return {**region(name="p"), "from_name": "outlines", "type": "polygonlabels", "value": corners, **values}


def event(*result: dict[str, Any], at: str = "2026-01-02T03:04:05.5Z", **values: Any) -> dict[str, Any]:
    annotation = {"id": 1, "unique_id": "u-1", "task": 7, "result": list(result), "was_cancelled": False, "updated_at": at}
    said = {"completed_by": 5, "lead_time": 6.5, "parent_prediction": None, "prediction": {}, "ground_truth": False}
    project = {"id": 2, "label_config": config(BOXES), "title": "Flies"}
    return {
        "action": values.pop("action", "ANNOTATION_CREATED"),
        "task": values.pop("task", task()),
        "project": values.pop("project", project),
        "annotation": {**annotation, **said, **values},
    }


@pytest.fixture
def pond(store: Store, tmp_path: Path) -> Store:
    """Ten frames; generation 1 is live and has one fly in each of the frames 0 to 4."""
    source = tmp_path / "pond"
    source.mkdir()
    for index in range(10):
        (source / f"{index}.png").write_bytes(encode_jpeg(np.full((HEIGHT, WIDTH, 3), 20 * index, np.uint8)))
    store.add_shard(probe(str(source), shard_id="pond"))
    store.add_ontology(Ontology(name="flies", task="detection", classes=("fly",)))
    card = Card(shard_id="pond", ontology="flies", task="detection", classes=("fly",), num_labelled=0)
    store.registry.promote("pond", "flies", store.registry.publish(card, {}).generation, "first")
    fly = Annotation(class_name="fly", bbox_xyxy=(16.0, 12.0, 32.0, 36.0), provenance="model", score=0.75, generation=1)
    frames = [FrameLabels(shard_id="pond", frame_index=n, annotations=(fly,)) for n in range(5)]
    store.predictions.write("pond", "flies", 1, 0, 5, frames)
    return store


def predicted(client: Any, *tasks: dict[str, Any], xml: str = config(BOXES), context: Any = None) -> list[dict[str, Any]]:
    body = {"tasks": list(tasks), "project": "2.1767323045", "label_config": xml, "params": {"login": None, "context": context}}
    response = client.post("/label-studio/predict", json=body)
    assert response.status_code == 200, response.text
    results: list[dict[str, Any]] = response.json()["results"]
    assert len(results) == len(tasks)
    return results


def taken(client: Any, body: dict[str, Any]) -> dict[str, Any]:
    response = client.post("/label-studio/webhook", json=body)
    assert response.status_code == 200, response.text
    done: dict[str, Any] = response.json()
    return done


def refused(client: Any, body: dict[str, Any]) -> tuple[int, str]:
    response = client.post("/label-studio/webhook", json=body)
    return response.status_code, str(response.json()["type"]).rpartition(":")[2]


def test_the_service_says_that_it_is_a_backend(client: Any) -> None:
    assert client.get("/label-studio/health").json() == {"status": "UP", "model_class": "micro-models"}


def test_setup_names_a_version_that_changes_when_a_generation_goes_live(client: Any, pond: Store) -> None:
    body = {"project": "2.1", "schema": config(BOXES), "hostname": "http://ls", "access_token": "secret", "extra_params": None}
    first = client.post("/label-studio/setup", json=body).json()["model_version"]
    assert client.post("/label-studio/setup", json=body).json() == {"model_version": first}
    other = Card(shard_id="hall", ontology="other", task="detection", classes=("fly",))
    pond.registry.promote("hall", "other", pond.registry.publish(other, {}).generation, "elsewhere")
    assert client.post("/label-studio/setup", json=body).json() == {"model_version": first}
    again = Card(shard_id="pond", ontology="flies", task="detection", classes=("fly",), fit_key="again")
    pond.registry.promote("pond", "flies", pond.registry.publish(again, {}).generation, "better")
    assert client.post("/label-studio/setup", json=body).json()["model_version"] != first
    assert [one["model_version"] for one in predicted(client, task(6))] != [first]


def test_the_token_that_setup_brings_goes_nowhere(client: Any, pond: Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    for schema in (config(BOXES), "<broken"):
        response = client.post("/label-studio/setup", json={"schema": schema, "access_token": "s3cr3t"})
        assert "s3cr3t" not in response.text
    kept = [path.read_bytes() for path in Path(pond.url).rglob("*") if path.is_file()]
    assert not any(b"s3cr3t" in one for one in kept)
    assert "s3cr3t" not in caplog.text


def test_a_project_that_fits_no_ontology_is_refused_and_told_what_there_is(client: Any, pond: Store) -> None:
    response = client.post("/label-studio/setup", json={"schema": config(BOXES.replace("fly", "wasp"))})
    assert response.status_code == 422
    assert "needed one of those that the store has: flies: detection of fly" in response.json()["detail"]


def test_what_label_wrote_is_what_is_proposed(client: Any, hosts: Any, pond: Store) -> None:
    (said,) = predicted(client, task(3))
    assert [one["value"] for one in said["result"]] == [region()["value"]]
    assert (said["score"], said["model_version"].partition(" ")[0]) == (0.75, "micro-models")
    assert hosts.asked == []


def test_a_frame_that_label_has_not_reached_is_read_from_the_store_and_asked_about(client: Any, hosts: Any, pond: Store) -> None:
    by_data, by_url = predicted(client, task(6), task(None, image="https://any.example/x/v1/shards/pond/frames/6.jpg?size=2"))
    assert by_data == by_url
    assert [one["score"] for one in by_data["result"]] == [0.9, 0.4]
    assert {(card.ref, len(pictures)) for card, pictures in hosts.asked} == {("pond@1", 1)}


def test_an_audit_frame_gets_no_proposal(client: Any, pond: Store) -> None:
    wanted = QueuedFrame(shard_id="pond", ontology="flies", frame_index=3, kind="audit", generation=None, costs_s=7, why="audit")
    pond.queue.replace([wanted])
    pond.annotate("pond", "flies", [FrameLabels(shard_id="pond", frame_index=4)], audit=True)
    why = "no prediction: an audit frame is drawn before anything is proposed"
    assert predicted(client, task(3), task(4)) == [{"result": [], "score": 0.0, "model_version": why}] * 2
    taken(client, event(region()))
    assert pond.audit_frames("pond", "flies") == {3, 4}
    assert {action.round_kind for action in pond.ledger.read("pond", "flies")} == {"audit"}


def test_the_queue_is_read_once_for_all_tasks_of_a_request(client: Any, pond: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    read, reads = Queue.read, []
    monkeypatch.setattr(Queue, "read", lambda queue: reads.append(queue) or read(queue))  # type: ignore[func-returns-value]
    predicted(client, task(3), task(4), task(6))
    assert len(reads) == 1


def test_a_task_that_cannot_be_answered_leaves_the_others_alone_and_says_why(client: Any, hosts: Any, pond: Store) -> None:
    whys = {
        "brook flies: needed one ontology that has models": task(shard_id="brook"),
        "frame 99, needed 0..9": task(99),
        "needed a number from 0": task(shard_id="pond", frame_index="../1"),
        "needed a number from 0 and its shard_id": {"id": 7, "data": {"image": "x", "frame_index": 1}},
        "needed 1 to 200 letters": task(shard_id="../pond"),
        "neither a frame of the store nor an upload": task(None),
        "picture 'http://['": task(None, image="http://["),
        "label_studio_url and label_studio_token": task(None, image="/data/upload/1/a.jpg"),
    }
    *empty, good = predicted(client, *whys.values(), task(3))
    assert good["result"]
    for why, said in zip(whys, empty, strict=True):
        assert said["result"] == []
        assert said["model_version"].startswith("no prediction: ")
        assert why in said["model_version"]
    assert hosts.asked == []


def test_nothing_is_predicted_for_what_is_just_being_drawn(client: Any, pond: Store) -> None:
    (said,) = predicted(client, task(3), context={"result": [region()]})
    assert (said["result"], said["model_version"][:13]) == ([], "no prediction")


def test_a_host_that_is_gone_is_an_error_of_the_whole_request(client: Any, hosts: Any, pond: Store) -> None:
    hosts.broken = HostUnavailable("starting")
    body = {"tasks": [task(6)], "label_config": config(BOXES)}
    assert client.post("/label-studio/predict", json=body).status_code == 503


def test_of_a_request_that_failed_no_more_tasks_are_asked_about(pond: Store) -> None:
    asked = 0

    class Hosts:
        """The far side of the network: gone for the first who asks."""

        async def predict(self, card: Card, pictures: Sequence[Picture]) -> Answer:
            nonlocal asked
            asked += 1
            if asked == 1:
                raise HostUnavailable("starting") from OSError("no route")
            await asyncio.sleep(0.01)
            raise AssertionError("it goes on")

    async def ask() -> None:
        catalogue, settings, hosts = Catalogue(pond, ttl_s=60), Settings(store=pond.url), cast(Any, Hosts())
        predictor = Predictor(catalogue, hosts, RuleBook(catalogue, settings), settings, Projects(catalogue, settings))
        body = {"tasks": [task(6)] * 40, "label_config": config(BOXES)}
        with pytest.raises(HostUnavailable, match="starting") as failed:
            await predictor.predict(PredictIn.model_validate(body))
        assert isinstance(failed.value.__cause__, OSError)
        assert len(asyncio.all_tasks()) == 1, "this one"

    asyncio.run(ask())
    assert asked <= 8


def test_too_many_tasks_are_refused(client_of: Callable[..., Any], pond: Store) -> None:
    body = {"tasks": [task()] * 3, "label_config": config(BOXES)}
    assert client_of(max_stream_images=2).post("/label-studio/predict", json=body).status_code == 413


class LabelStudio(BaseHTTPRequestHandler):
    """The far side of the network: one upload, a redirect, and who asked for them."""

    picture = b""
    seen: ClassVar[list[tuple[str, str | None]]] = []

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers["Authorization"]))
        found = self.path == "/data/upload/1/a.jpg"
        self.send_response(200 if found else 302 if "away" in self.path else 404)
        self.send_header("Location", "/data/upload/1/a.jpg")
        self.end_headers()
        self.wfile.write(self.picture if found else b"")

    def log_message(self, *_: Any) -> None:
        """Silent."""


@pytest.fixture
def label_studio(png: bytes) -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), LabelStudio)
    LabelStudio.picture, LabelStudio.seen = png, []
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_uploads_are_fetched_from_the_label_studio_of_the_settings_and_from_nowhere_else(
    client_of: Callable[..., Any], hosts: Any, pond: Store, label_studio: str
) -> None:
    client = client_of(label_studio_url=label_studio, label_studio_token="t0ken")
    good = ["/data/upload/1/a.jpg", f"{label_studio}/data/upload/1/a.jpg"]
    bad = {
        f"{label_studio}/api/projects": "neither",
        f"{label_studio}.evil.example/data/upload/1/a.jpg": "neither",
        "http://127.0.0.1:1/data/upload/1/a.jpg": "neither",
        "/data/upload/1/../../api/users": "neither",
        "/data/upload/1/%2e%2e": "neither",
        "/data/upload/1/a%2fb": "neither",
        "/data/upload/1/a.jpg?next=x": "neither",
        "file:///etc/passwd": "neither",
        "/data/upload/1/away.jpg": "Label Studio says 302",
        "/data/upload/1/gone.jpg": "Label Studio says 404",
    }
    said = predicted(client, *(task(None, shard_id="pond", image=url) for url in (*good, *bad)))
    assert [len(one["result"]) for one in said] == [2, 2, *[0] * len(bad)]
    for one, why in zip(said[2:], bad.values(), strict=True):
        assert why in one["model_version"]
    assert sorted({path for path, _ in LabelStudio.seen}) == [f"/data/upload/1/{name}.jpg" for name in ("a", "away", "gone")]
    assert {token for _, token in LabelStudio.seen} == {"Token t0ken"}
    assert {card.ref for card, _ in hosts.asked} == {"pond@1"}


def test_an_upload_that_is_too_large_or_no_picture_is_refused(
    client_of: Callable[..., Any], pond: Store, label_studio: str
) -> None:
    client = client_of(label_studio_url=label_studio, label_studio_token="t0ken", max_image_bytes=1000)
    LabelStudio.picture = b"x" * 1_000_000
    (large,) = predicted(client, task(None, shard_id="pond", image="/data/upload/1/a.jpg"))
    LabelStudio.picture = b"not a picture"
    (other,) = predicted(client, task(None, shard_id="pond", image="/data/upload/1/a.jpg"))
    assert "upload: 1001 bytes, needed at most 1000" in large["model_version"]
    assert "bytes that are not a picture" in other["model_version"]


def test_a_confirmed_and_an_added_region_are_a_review_told_once_however_often(client: Any, pond: Store) -> None:
    (said,) = predicted(client, task(3))
    body = event(*said["result"], region(60.0))
    assert taken(client, body) == {"recorded": 1, "known": 0, "notes": [], "jobs": []}
    assert taken(client, body) == {"recorded": 0, "known": 1, "notes": [], "jobs": []}
    (labels,) = pond.labels("pond", "flies")
    assert [(one.provenance, one.author, one.bbox_xyxy) for one in labels.annotations] == [
        ("model", "label-studio:5", (16.0, 12.0, 32.0, 36.0)),
        ("human", "label-studio:5", pytest.approx((38.4, 12.0, 54.4, 36.0))),
    ]
    actions = list(pond.ledger.read("pond", "flies"))
    assert [(one.action, one.round_kind, one.generation) for one in actions] == [
        ("look", "review", 1),
        ("confirm", "review", 1),
        ("draw", "review", 1),
    ]
    assert sum(one.seconds or 0 for one in actions) == 6.5


def test_an_update_takes_the_place_of_what_was_said_and_costs_only_the_time_since(client: Any, pond: Store) -> None:
    first = event(region(), lead_time=6.5)
    later = event(region(60.0), at="2026-01-02T04:04:05Z", action="ANNOTATION_UPDATED", lead_time=9.0)
    for body in (first, later, later, first):
        taken(client, body)
    (labels,) = pond.labels("pond", "flies")
    assert [one.bbox_xyxy for one in labels.annotations] == [pytest.approx((38.4, 12.0, 54.4, 36.0))]
    seconds = [one.seconds for one in pond.ledger.read("pond", "flies") if one.seconds]
    assert seconds == [6.5, 2.5]


def test_what_was_submitted_before_and_arrives_after_changes_nothing_and_is_said(client: Any, pond: Store) -> None:
    late, first = event(region()), event(region(60.0), at="2026-01-02T05:00:00Z", action="ANNOTATION_UPDATED", lead_time=9.0)
    assert taken(client, first)["recorded"] == 1
    done = taken(client, late)
    assert (done["recorded"], done["known"]) == (0, 0)
    assert done["notes"] == [
        "annotation 1: of 2026-01-02T03:04:05.500000+00:00, older than what flies has of 2026-01-02T05:00:00+00:00, left out"
    ]
    (labels,) = pond.labels("pond", "flies")
    assert [one.bbox_xyxy for one in labels.annotations] == [pytest.approx((38.4, 12.0, 54.4, 36.0))]
    assert [one.seconds for one in pond.ledger.read("pond", "flies") if one.seconds] == [9.0]
    assert taken(client, event(region(), unique_id="u-2", task=task(4)))["recorded"] == 1, "another annotation"


def test_the_ledger_is_read_once_for_an_annotation(client: Any, pond: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    read, reads = Ledger.read, []
    monkeypatch.setattr(Ledger, "read", lambda *given, **how: reads.append(given) or read(*given, **how))  # type: ignore[func-returns-value]
    taken(client, event(region()))
    assert len(reads) == 1


def test_what_is_drawn_with_a_control_that_no_ontology_has_is_said_and_is_no_empty_frame(client: Any, pond: Store) -> None:
    project = {"id": 2, "label_config": config(BOXES, OUTLINES)}
    done = taken(client, event(polygon(), polygon(id="q"), project=project))
    assert done == {
        "recorded": 0,
        "known": 0,
        "notes": [
            "annotation 1: 2 regions of 'outlines' (polygonlabels), which labels in no ontology of the store, left out",
            "annotation 1: nothing is drawn with 'boxes', but with a control that is left out: nothing is kept of flies",
        ],
        "jobs": [],
    }
    assert pond.labels("pond", "flies") == []
    done = taken(client, event(polygon(), region(), project=project, at="2026-01-02T04:00:00Z"))
    assert (done["recorded"], len(done["notes"])) == (1, 1)
    (labels,) = pond.labels("pond", "flies")
    assert len(labels.annotations) == 1
    assert taken(client, event(project=project, unique_id="u-2", task=task(6)))["recorded"] == 1, "nothing is there"


def test_what_is_said_beside_an_empty_picture_does_not_make_it_less_empty(client: Any, pond: Store) -> None:
    project = {"id": 2, "label_config": config(BOXES, DAY)}
    choice = {"id": "c", "from_name": "day", "to_name": "image", "type": "choices", "value": {"choices": ["night"]}}
    relation = {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"}
    elsewhere = polygon(to_name="other")
    done = taken(client, event(choice, relation, elsewhere, project=project))
    assert done["recorded"] == 1
    assert [note.partition(", ")[0] for note in done["notes"]] == [
        "annotation 1: 1 region of 'day' (choices)",
        "annotation 1: 1 region of 'outlines' (polygonlabels)",
    ]
    assert [frame.annotations for frame in pond.labels("pond", "flies")] == [()]


@pytest.mark.parametrize(
    "foreign",
    [
        {"id": "c", "from_name": "sky", "type": "choices", "original_width": None, "value": {"choices": ["blue"]}},
        {"id": None, "from_name": ["x"], "type": None, "value": None, "meta": 3},
        {},
    ],
    ids=["no size", "odd", "empty"],
)
def test_what_other_controls_send_may_look_as_it_likes(client: Any, pond: Store, foreign: dict[str, Any]) -> None:
    assert taken(client, event(region(), foreign))["recorded"] == 1


def test_a_frame_of_which_every_proposal_was_deleted_is_still_a_review(client: Any, pond: Store) -> None:
    taken(client, event(parent_prediction=9))
    actions = [(one.action, one.generation) for one in pond.ledger.read("pond", "flies")]
    assert actions == [("look", 1), ("delete", 1)]
    assert [frame.annotations for frame in pond.labels("pond", "flies")] == [()]


def test_what_was_proposed_and_never_written_is_charged_as_drawn_and_said(client: Any, pond: Store) -> None:
    (said,) = predicted(client, task(6))
    done = taken(client, event(said["result"][0], task=task(6), parent_prediction=9))
    assert done["notes"] == ["annotation 1: charged as drawn, since no `label` has written what was proposed here"]
    assert [(one.action, one.round_kind) for one in pond.ledger.read("pond", "flies")] == [("draw", "labels")]


def test_a_copy_of_a_proposal_that_kept_its_id_is_a_new_object(client: Any, pond: Store) -> None:
    (said,) = predicted(client, task(3))
    taken(client, event(said["result"][0], said["result"][0] | {"value": region(60.0)["value"]}))
    assert [one.action for one in pond.ledger.read("pond", "flies")] == ["look", "confirm", "draw"]


def test_one_annotation_answers_in_every_ontology_and_its_time_counts_once(client: Any, pond: Store) -> None:
    pond.add_ontology(Ontology(name="days", task="classification", classes=("day", "night")))
    project = {"id": 2, "label_config": config(BOXES, DAY)}
    choice = {"id": "c", "from_name": "day", "to_name": "image", "type": "choices", "value": {"choices": ["night"]}}
    assert taken(client, event(region(), choice, project=project))["recorded"] == 2
    assert [one.annotations[0].class_name for one in pond.labels("pond", "days")] == ["night"]
    assert sum(one.seconds or 0 for one in pond.ledger.read("pond")) == 6.5
    assert taken(client, event(region(), project=project, task=task(8), unique_id="u-2"))["recorded"] == 1
    assert [one.frame_index for one in pond.labels("pond", "days")] == [3]


def test_events_in_bulk_are_kept_each_with_its_own_task(client: Any, pond: Store) -> None:
    one, other = event(region()), event(region(60.0), id=2, unique_id="u-2", task={**task(4), "id": 8})
    other["annotation"]["task"] = 8
    body = {
        "action": "ANNOTATIONS_CREATED",
        "annotation": [one["annotation"], other["annotation"]],
        "task": [one["task"], other["task"]],
        "project": one["project"],
    }
    assert taken(client, body)["recorded"] == 2
    assert [frame.frame_index for frame in pond.labels("pond", "flies")] == [3, 4]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"action": "TASKS_CREATED", "tasks": [{"id": 1}]}, "of no use here"),
        ({"action": "ANNOTATIONS_DELETED", "annotations": [{"id": 1}]}, "of no use here"),
        (event(was_cancelled=True), "skipped by the person"),
        (event(region(), task=[]), "without its task"),
        (event(region(), task=task(None)), "of no frame of the store"),
    ],
    ids=["other", "deleted", "skipped", "no task", "no frame"],
)
def test_what_is_of_no_use_changes_nothing_and_is_said(client: Any, pond: Store, body: dict[str, Any], why: str) -> None:
    done = taken(client, body)
    assert done["recorded"] == 0
    assert why in done["notes"][0]
    assert pond.labels("pond", "flies") == []


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (event(region(image_rotation=90)), (422, "bad-annotation")),
        (event(region(value={"x": 90, "y": 1, "width": 50, "height": 5, "rectanglelabels": ["fly"]})), (422, "bad-annotation")),
        (event(region(value={"x": 1, "y": 1, "width": 5, "height": 5, "rectanglelabels": ["wasp"]})), (422, "unknown-class")),
        (event(region(value={"x": 1, "y": 1, "width": 0, "height": 5, "rectanglelabels": ["fly"]})), (422, "bad-annotation")),
        (event(region(), at="yesterday"), (422, "bad-request")),
        (event(region(), at="2026-01-02T03:04:05"), (422, "bad-request")),
        (event(region(), at="0001-01-01T00:00:00+01:00"), (422, "bad-request")),
        (event(region(), project={"id": 10**400, "label_config": config(BOXES)}), (422, "bad-request")),
        (event(region(), lead_time=-1), (422, "bad-request")),
        (event(region(original_width=None)), (422, "bad-request")),
        (event(region(value={"x": True, "rectanglelabels": ["fly"]})), (422, "bad-request")),
        (event(region(), task=task(99)), (404, "unknown-frame")),
        (event(region(), task=task(shard_id="brook")), (404, "unknown-shard")),
        (event(region(), project={"id": 2, "label_config": "<View/>"}), (422, "bad-label-config")),
    ],
    ids=[
        "turned",
        "outside",
        "stranger",
        "flat",
        "when",
        "zone",
        "year",
        "project",
        "time",
        "no size",
        "no number",
        "frame",
        "shard",
        "config",
    ],
)
def test_what_cannot_be_true_is_refused_and_nothing_is_kept(
    client: Any, pond: Store, body: dict[str, Any], kind: tuple[int, str]
) -> None:
    assert refused(client, body) == kind
    assert pond.labels("pond", "flies") == []
    assert list(pond.ledger.read("pond", "flies")) == []


class FakeCluster:
    """The far side of the network: commands by name, which run until somebody says what became of them."""

    def __init__(self) -> None:
        self.commands: dict[str, str] = {}
        self.state: Any = "running"
        self.states: dict[str, Any] = {}  # of some, where it is another

    async def submit(self, name: str, command: str) -> None:
        self.commands[name] = command

    async def find(self, name: str) -> ClusterJob | None:
        return ClusterJob(state=self.states.get(name, self.state)) if name in self.commands else None

    async def stop(self, name: str) -> None:
        raise AssertionError("nobody stops it")

    def end(self, state: Any) -> None:
        """All that there is."""
        self.states.update(dict.fromkeys(self.commands, state))


def submitted(client: Any, index: int) -> list[str]:
    """Jobs that come of a fly drawn on a frame."""
    jobs: list[str] = taken(client, event(region(), task=task(index), unique_id=f"u-{index}"))["jobs"]
    return jobs


def test_enough_newly_labelled_frames_start_one_fit_and_no_other_while_it_runs(
    client_of: Callable[..., Any], pond: Store
) -> None:
    cluster = FakeCluster()
    client = client_of(jobs=cluster, jobs_address="http://head:8265", label_studio_refit_after=2)
    assert [len(submitted(client, index)) for index in (5, 6, 7, 8, 9)] == [0, 1, 1, 0, 0]
    (command,) = cluster.commands.values()
    assert shlex.split(command)[3:] == [
        "fit",
        "--store",
        pond.url,
        "--job",
        *shlex.split(command)[7:8],
        "--ontology",
        "flies",
        "pond",
    ]
    cluster.state = "succeeded"
    fitted = Card(shard_id="pond", ontology="flies", task="detection", classes=("fly",), fit_key="more", num_labelled=5)
    pond.registry.publish(fitted, {})
    assert [len(submitted(client, index)) for index in (0, 1)] == [0, 1]
    assert len(cluster.commands) == 2


def test_without_the_setting_or_a_cluster_labels_are_kept_and_nothing_is_fitted(
    client_of: Callable[..., Any], pond: Store, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = FakeCluster()
    assert submitted(client_of(jobs=cluster), 5) == []
    assert "no fit" not in caplog.text
    assert submitted(client_of(jobs_address="http://head:8265", label_studio_refit_after=1), 6) == []
    assert "no fit shard=pond ontology=flies error=JobsNotConfigured" in caplog.text
    assert cluster.commands == {}
    assert len(pond.labels("pond", "flies")) == 2


def test_the_button_fits_what_the_project_has_labelled(client_of: Callable[..., Any], pond: Store) -> None:
    cluster = FakeCluster()
    client = client_of(jobs=cluster)
    start = {"action": "START_TRAINING", "project": {"id": 2, "label_config": config(BOXES)}}
    assert taken(client, start)["notes"] == ["the project has labelled no frame of the store, needed an annotation of one"]
    taken(client, event(region()))
    first = taken(client, start)["jobs"]
    assert len(first) == 1
    assert taken(client, start)["jobs"] == first
    assert taken(client, {**start, "project": {"id": 3}})["jobs"] == []
    taken(client, event(region(), task=task(5), unique_id="u-2"))
    assert taken(client, start)["jobs"] != first
    assert len(cluster.commands) == 2
    assert refused(client_of(), start) == (501, "jobs-not-configured")


START = {"action": "START_TRAINING", "project": {"id": 2, "label_config": config(BOXES)}}


@pytest.mark.parametrize("state", ["failed", "stopped"])
def test_a_fit_that_failed_or_was_stopped_can_be_asked_for_again(client_of: Callable[..., Any], pond: Store, state: str) -> None:
    cluster = FakeCluster()
    client = client_of(jobs=cluster)
    taken(client, event(region()))
    jobs = []
    for number in range(1, 4):
        jobs += taken(client, START)["jobs"]
        assert taken(client, START)["jobs"] == jobs[-1:], "it runs"
        assert len(cluster.commands) == number
        cluster.end(state)
    assert len(set(jobs)) == 3
    changed = client_of(jobs=cluster, jobs_workers=3)
    jobs += taken(changed, START)["jobs"]
    assert len(cluster.commands) == len(set(jobs)) == 4
    assert "--workers 3" in [*cluster.commands.values()][-1]


def test_a_fit_that_the_cluster_lost_is_the_same_fit_unless_it_would_be_another_now(
    client_of: Callable[..., Any], pond: Store
) -> None:
    cluster = FakeCluster()
    client = client_of(jobs=cluster)
    taken(client, event(region()))
    first = taken(client, START)["jobs"]
    cluster.commands.clear()
    assert taken(client, START)["jobs"] == first
    assert len(cluster.commands) == 1
    cluster.commands.clear()
    other = taken(client_of(jobs=cluster, jobs_workers=3), START)["jobs"]
    assert other != first
    (command,) = cluster.commands.values()
    assert f"--job {other[0]}" in command


def test_a_fit_under_way_is_the_same_whatever_the_settings_and_one_that_is_done_is_not(
    client_of: Callable[..., Any], pond: Store
) -> None:
    cluster = FakeCluster()
    client, changed = client_of(jobs=cluster), client_of(jobs=cluster, jobs_recipe="head")
    taken(client, event(region()))
    first = taken(client, START)["jobs"]
    assert taken(changed, START)["jobs"] == first
    cluster.end("succeeded")
    assert taken(client, START)["jobs"] == first
    assert taken(changed, START)["jobs"] != first
    assert len(cluster.commands) == 2


def test_a_fit_that_cannot_be_asked_for_by_itself_keeps_the_labels_and_is_logged(
    client_of: Callable[..., Any], pond: Store, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = FakeCluster()
    how = {"jobs": cluster, "jobs_address": "http://head:8265", "label_studio_refit_after": 1}
    assert submitted(client_of(**how, jobs_recipe="nobody"), 5) == []
    assert "no fit shard=pond ontology=flies error=BadRecipe" in caplog.text
    first = submitted(client_of(**how), 6)
    cluster.end("failed")
    again = event(region(60.0), task=task(6), unique_id="u-6", at="2026-01-02T04:00:00Z", action="ANNOTATION_UPDATED")
    assert taken(client_of(**how, jobs_workers=2), again)["jobs"] == first, "it is not tried again before more frames are there"
    assert len(cluster.commands) == 1
    assert len(submitted(client_of(**how, jobs_workers=2), 7)) == 1
    assert len(cluster.commands) == 2
    assert [frame.frame_index for frame in pond.labels("pond", "flies")] == [5, 6, 7]


def test_a_key_comes_as_the_password_of_basic_authentication_or_as_a_bearer(
    client_of: Callable[..., Any], pond: Store, tmp_path: Path
) -> None:
    secrets = {scope: add_key(tmp_path / "keys", scope, [scope]) for scope in ("predict", "annotate", "read")}
    client = client_of("http://service.example", KeyFile(tmp_path / "keys"))
    setup = {"schema": config(BOXES)}

    def asked(path: str, body: dict[str, Any], secret: str, scheme: str = "Basic") -> int:
        given = base64.b64encode(f"anybody:{secret}".encode()).decode() if scheme == "Basic" else secret
        return int(client.post(path, json=body, headers={"Authorization": f"{scheme} {given}"}).status_code)

    for scheme in ("Basic", "Bearer"):
        assert asked("/label-studio/setup", setup, secrets["predict"], scheme) == 200
        assert asked("/label-studio/setup", setup, secrets["read"], scheme) == 403
        assert asked("/label-studio/webhook", event(region()), secrets["annotate"], scheme) == 200
        assert asked("/label-studio/webhook", event(region()), secrets["predict"], scheme) == 403
        assert asked("/label-studio/predict", {"tasks": [], "label_config": config(BOXES)}, "mm_nobody", scheme) == 401
    assert client.post("/label-studio/setup", json=setup, headers={"Authorization": "Basic ???"}).status_code == 401
    assert client.post("/label-studio/setup", json=setup).status_code == 401
    assert client.get("/label-studio/health").status_code == 200
    password = base64.b64encode(f"ann:{secrets['read']}".encode()).decode()
    assert client.get("/v1/models", headers={"Authorization": f"Basic {password}"}).status_code == 401


def test_the_examples_of_the_document_are_what_the_schemas_take(client: Any) -> None:
    bodies = ((SETUP_BODY, SetupIn), (PREDICT_BODY, PredictIn), (EVENT_BODY, Event))
    for body, schema in bodies:
        schema.model_validate_json(json.dumps(body["content"]["application/json"]["example"]))
    assert PredictOut.model_validate(PREDICTED).model_dump() == PREDICTED
