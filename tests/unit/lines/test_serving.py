"""Lines over HTTP, with hosts in this process: declared, looked at, asked, and the same as in batch."""

import asyncio
import io
import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from services.answering import Answer, Answerer, Question
from services.api import create_api
from services.catalogue import Catalogue
from services.line_answering import LineAnswer, answer_line
from services.line_examples import LINE, LINE_PREDICTION
from services.line_schemas import LineIn, LineOut, LinePrediction
from services.payload import Picture
from services.settings import Settings
from training.data.frames import Frame
from training.data.line_labels import LineLabels
from training.lines.labelling import LineLabeller, plan_line
from training.lines.ready import ReadyLine, ready_in
from training.store.store import Store

PNG = {"content-type": "image/png"}
STAGES: list[dict[str, Any]] = [
    {"name": "find", "model": "yard@live", "ontology": "detection.square"},
    {"name": "kind", "model": "yard_crops@live", "input": "find", "padding": 0.2},
]
PATH = "/v1/lines/squares"


class InProcess:
    """Hosts without Serve: a real answerer. questions: how many frames each had."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.answerer = Answerer(store, settings)
        self.questions: list[int] = []

    async def run_line(self, line: ReadyLine, pictures: Sequence[Picture]) -> LineAnswer:
        return await answer_line(line, partial(self.answerer.prepare_line, line, pictures), self._ask)

    async def check(self) -> None: ...

    async def _ask(self, question: Question) -> Answer | Exception:
        self.questions.append(len(question.frames))
        (answer,) = self.answerer.answer([question])
        return answer


class Client:
    def __init__(self, store: Store, **values: Any) -> None:
        settings = Settings(store=store.url, live_ttl_s=0, **values)
        self.hosts: Any = InProcess(store, settings)
        api = create_api(Catalogue(store, ttl_s=0), self.hosts, settings)
        self._transport = httpx.ASGITransport(api, raise_app_exceptions=False)

    def __call__(self, method: str, path: str, **sent: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._transport, base_url="http://127.0.0.1:8000") as client:
                return await client.request(method, path, **sent)

        return asyncio.run(ask())


@pytest.fixture
def ask(yard: Any) -> Client:
    """A client of a service that has the line `squares`."""
    client = Client(yard.store)
    assert client("PUT", PATH, json={"stages": STAGES}).status_code == 200
    return client


def png(frame: Frame) -> bytes:
    out = io.BytesIO()
    Image.fromarray(frame.image_HW3).save(out, "PNG")
    return out.getvalue()


def rows_of_tree(tree: Sequence[dict[str, Any]], above: str = "") -> list[tuple[str, str, str, float, list[float]]]:
    """(stage, class, the parent's class, score, box) of every annotation of an answer, sorted."""
    rows = []
    for one in tree:
        rows.append((one["stage"], one["class_name"], above, one["score"], one["bbox_xyxy"]))
        rows += rows_of_tree(one["children"], one["class_name"])
    return sorted(rows)


def rows_of_labels(labels: LineLabels) -> list[tuple[str, str, str, float, list[float]]]:
    rows = []
    for one, stage, parent in zip(labels.annotations, labels.stages, labels.parents, strict=True):
        above = "" if parent is None else labels.annotations[parent].class_name
        rows.append((stage, one.class_name, above, one.score or 0.0, list(one.bbox_xyxy or ())))
    return sorted(rows)


def test_a_line_is_saved_once_for_every_change_and_shown_with_all_that_was_left_out(ask: Client) -> None:
    saved = ask("PUT", PATH, json={"stages": STAGES}).json()
    assert (saved["name"], saved["version"]) == ("squares", 1)
    assert saved["stages"][1] == {
        "name": "kind",
        "model": "yard_crops@live",
        "ontology": "classification.red-blue",
        "input": "find",
        "classes": [],
        "min_score": 0.0,
        "padding": 0.2,
        "crop_size": "frame",
    }
    pinned = [{**STAGES[0], "model": "yard@1"}, STAGES[1]]
    assert ask("PUT", PATH, json={"stages": pinned}).json()["version"] == 2
    assert ask("GET", PATH).json()["stages"][0]["model"] == "yard@1"
    assert ask("GET", f"{PATH}@1").json() == saved
    assert ask("PUT", "/v1/lines/another", json={"stages": STAGES[:1]}).status_code == 200
    first = ask("GET", "/v1/lines", params={"limit": 1}).json()
    assert ([one["name"] for one in first["lines"]], first["next_after"]) == (["another"], "another")
    second = ask("GET", "/v1/lines", params={"limit": 1, "after": "another"}).json()
    assert ([one["version"] for one in second["lines"]], second["next_after"]) == ([2], None)


@pytest.mark.parametrize(
    ("sent", "status", "kind", "said"),
    [
        ({"json": {"stages": [{**STAGES[1], "input": "find"}]}}, 422, "bad-line", "takes 'find', needed one of picture, kind"),
        ({"json": {"stages": [{**STAGES[0], "model": "street@live"}]}}, 422, "bad-line", "street: no such shard"),
        ({"json": {"stages": [{**STAGES[0], "model": "yard@9"}]}}, 422, "bad-line", "not published"),
        ({"json": {"stages": [*STAGES, {**STAGES[1], "name": "x", "input": "kind"}]}}, 422, "bad-line", "is classification"),
        ({"json": {"stages": [*STAGES, {**STAGES[1], "name": "x", "input": "x"}]}}, 422, "bad-line", "a cycle of inputs, x <- x"),
        ({"json": {"stages": []}}, 422, "bad-request", "stages"),
        ({"json": {"stages": [{"name": "find"}]}}, 422, "bad-request", "stages.0.model"),
        ({"json": {"stages": [{**STAGES[0], "from": "x"}]}}, 422, "bad-request", "stages.0.from"),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 422, "bad-request", "needed"),
        ({"content": b"x", "headers": PNG}, 415, "unsupported-media-type", "application/json"),
    ],
)
def test_a_line_that_cannot_be_is_refused_and_not_saved(
    yard: Any, sent: dict[str, Any], status: int, kind: str, said: str
) -> None:
    response = Client(yard.store)("PUT", PATH, **sent)
    problem = response.json()
    assert (response.status_code, problem["type"]) == (status, f"urn:micromodels:{kind}"), response.text
    assert said in problem["detail"]
    assert yard.store.lines.names() == []


@pytest.mark.parametrize("name", ["none", "squares@2", "squares@live", "@", "%00"])
def test_a_line_that_is_not_there_is_404(ask: Client, yard: Any, name: str) -> None:
    picture = png(yard.frames()[0])
    for response in (ask("GET", f"/v1/lines/{name}"), ask("POST", f"/v1/lines/{name}/predict", content=picture, headers=PNG)):
        assert (response.status_code, response.json()["type"]) == (404, "urn:micromodels:unknown-line")


def test_the_same_line_says_the_same_over_http_and_in_batch(ask: Client, yard: Any) -> None:
    ready = ready_in(yard.store, yard.store.lines.get("squares"))
    labeller = LineLabeller(yard.store, line=ready)
    clips = plan_line(yard.store, ready, None, frames_per_clip=5).clips
    assert [receipt.error for receipt in labeller.label(clips)] == [None, None]
    written, _ = yard.store.line_predictions.read("squares@1", ready.models, "yard")
    files = [("images", (f"{frame.frame_index}.png", png(frame), "image/png")) for frame in yard.frames()]
    answer = ask("POST", f"{PATH}/predict", files=files)
    assert answer.status_code == 200, answer.text
    assert len(written) == len(answer.json()["images"]) == 8
    for labels, image in zip(written, answer.json()["images"], strict=True):
        ours, theirs = rows_of_labels(labels), rows_of_tree(image["annotations"])
        assert len(ours) == 4
        assert [row[:3] for row in theirs] == [row[:3] for row in ours]
        for (*_, score, box), (*_, wanted_score, wanted_box) in zip(theirs, ours, strict=True):
            assert score == pytest.approx(wanted_score, abs=1e-4)
            assert box == pytest.approx(wanted_box, abs=1e-2)


def test_the_answer_says_which_generation_made_what_and_how_many_crops_it_took(ask: Client, yard: Any) -> None:
    yard.publish_again("yard_crops")
    answer = ask("POST", f"{PATH}/predict", content=png(yard.frames()[2]), headers=PNG).json()
    assert (answer["line"]["name"], answer["line"]["version"]) == ("squares", 1)
    stages = [
        (one["name"], one["input"], one["model"]["shard_id"], one["model"]["generation"]) for one in answer["line"]["stages"]
    ]
    assert stages == [("find", "picture", "yard", 1), ("kind", "find", "yard_crops", 2)]
    (image,) = answer["images"]
    assert (image["width"], image["height"], len(image["annotations"])) == (96, 64, 2)
    for found in image["annotations"]:
        (child,) = found["children"]
        assert (found["stage"], found["model"], child["stage"], child["model"]) == ("find", "yard@1", "kind", "yard_crops@2")
        assert child["bbox_xyxy"] == found["bbox_xyxy"]
        assert child["children"] == []
    assert answer["timings"]["crops"] == 2
    assert answer["timings"]["total_s"] >= answer["timings"]["model_s"] > 0


def test_crops_of_all_pictures_are_one_question(ask: Client, yard: Any) -> None:
    files = [("images", (f"{n}.png", png(frame), "image/png")) for n, frame in enumerate(yard.frames()[:3])]
    assert ask("POST", f"{PATH}/predict", files=files).status_code == 200
    assert ask.hosts.questions == [3, 6]


@pytest.mark.parametrize(
    ("limit", "said"), [({"max_crops": 1}, "picture 0, stage 'kind' of squares@1"), ({"max_crop_pixels": 5000}, "5000 pixels")]
)
def test_more_crops_than_the_settings_allow_are_413(yard: Any, limit: dict[str, int], said: str) -> None:
    client = Client(yard.store, **limit)
    assert client("PUT", PATH, json={"stages": STAGES}).status_code == 200
    response = client("POST", f"{PATH}/predict", content=png(yard.frames()[0]), headers=PNG)
    assert (response.status_code, response.json()["type"]) == (413, "urn:micromodels:too-large")
    assert said in response.json()["detail"]


def test_pictures_that_cannot_be_decoded_or_are_too_large_are_refused_as_by_one_micro_model(yard: Any) -> None:
    client = Client(yard.store, max_input_pixels=3000)
    assert client("PUT", PATH, json={"stages": STAGES}).status_code == 200
    picture = png(yard.frames()[0])
    for sent, status in ((picture, 413), (b"no picture", 422), (b"", 422)):
        assert client("POST", f"{PATH}/predict", content=sent, headers=PNG).status_code == status


def test_what_one_stage_cannot_answer_is_an_error_and_not_half_an_answer(
    ask: Client, yard: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = ask.hosts.answerer.answer

    def fails_on_crops(questions: Sequence[Question]) -> list[Answer | Exception]:
        return [RuntimeError("no memory")] if questions[0].model.shard_id == "yard_crops" else list(answer(questions))

    monkeypatch.setattr(ask.hosts.answerer, "answer", fails_on_crops)
    response = ask("POST", f"{PATH}/predict", content=png(yard.frames()[0]), headers=PNG)
    assert response.status_code == 500
    assert "memory" not in response.text


def test_a_picture_of_which_nothing_is_said_has_an_empty_tree(yard: Any) -> None:
    client = Client(yard.store)
    assert client("PUT", PATH, json={"stages": [{**STAGES[0], "min_score": 1.0}, STAGES[1]]}).status_code == 200
    black = Frame(shard_id="yard", frame_index=0, image_HW3=np.zeros((64, 96, 3), np.uint8))
    (image,) = client("POST", f"{PATH}/predict", content=png(black), headers=PNG).json()["images"]
    assert image == {"width": 96, "height": 64, "annotations": []}


def test_a_store_that_is_gone_is_503_and_not_a_line_that_is_not_there(ask: Client, yard: Any) -> None:
    yard.store.objects.delete("store.json")
    for method, path in (("GET", "/v1/lines/none"), ("POST", "/v1/lines/none/predict")):
        assert ask(method, path, content=b"x", headers=PNG).status_code == 503
    assert ask("PUT", "/v1/lines/new", json={"stages": STAGES}).status_code == 503


@pytest.mark.parametrize(("schema", "example"), [(LineOut, LINE), (LinePrediction, LINE_PREDICTION)])
def test_the_examples_of_the_openapi_document_fit_their_schemas(schema: Callable[..., Any], example: dict[str, Any]) -> None:
    assert schema(**example).model_dump(mode="json", exclude_none=True) == example
    assert LineIn(stages=LINE["stages"]).line("parcels").stages[1].classes == ("parcel",)
    json.dumps(example, allow_nan=False)
