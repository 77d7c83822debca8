import asyncio
import base64
import json
import re
import shutil
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import torch

from training.data.ontology import Ontology
from training.errors import BadPicture, HostUnavailable, TimedOut
from training.store.store import Store

PREDICT = "/v1/models/garden/predict"
PNG = {"content-type": "image/png"}
JSON = {"content-type": "application/json"}
BOUNDARY = {"content-type": "multipart/form-data; boundary=x"}


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def assert_problem(response: Any, status: int, kind: str, *said: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["type"] == f"urn:micromodels:{kind}"
    assert problem["status"] == status
    assert problem["title"]
    assert "Traceback" not in response.text
    assert problem["request_id"] == response.headers["x-request-id"]
    for words in said:
        assert words in problem["detail"]


def test_a_raw_picture_is_answered_with_its_size_and_typed_annotations(client: Any, png: bytes) -> None:
    answer = client.post(PREDICT, content=png, headers=PNG).json()
    assert answer["model"] == {"shard_id": "garden", "ontology": "detection.fly", "task": "detection", "generation": 1}
    (image,) = answer["images"]
    assert (image["width"], image["height"]) == (40, 30)
    assert image["annotations"][0] == {"class_name": "fly", "level": "object", "score": 0.9, "bbox_xyxy": [1, 2, 11, 22]}
    assert answer["timings"]["total_s"] >= 0


def test_multipart_and_json_carry_many_pictures_and_keep_their_order(client: Any, make_picture: Callable[..., bytes]) -> None:
    pictures = [make_picture(width) for width in (31, 32, 33)]
    by_form = client.post(PREDICT, files=[("images", (f"{n}.png", data, "image/png")) for n, data in enumerate(pictures)])
    by_json = client.post(
        PREDICT, json={"images": [b64(pictures[0]), *(f"data:image/png;base64,{b64(d)}" for d in pictures[1:])]}
    )
    for response in (by_form, by_json):
        assert [image["width"] for image in response.json()["images"]] == [31, 32, 33]


def test_min_score_leaves_out_what_scores_lower(client: Any, png: bytes) -> None:
    response = client.post(f"{PREDICT}?min_score=0.5", content=png, headers=PNG)
    assert [one["score"] for one in response.json()["images"][0]["annotations"]] == [0.9]


@pytest.mark.parametrize(
    ("path", "generation"),
    [("garden", 2), ("garden@live", 2), ("garden@1", 1), ("garden?generation=1", 1), ("garden@2?generation=live", 2)],
)
def test_a_reference_pins_a_generation_or_follows_the_live_one(
    client: Any, store: Store, make_card: Callable[..., Any], png: bytes, path: str, generation: int
) -> None:
    published = store.registry.publish(make_card("garden", fit_key="second"), {"w": torch.ones(3)})
    store.registry.promote("garden", published.ontology, published.generation, "better")
    name, _, query = path.partition("?")
    assert client.get(f"/v1/models/{path}").json()["generation"] == generation
    answer = client.post(f"/v1/models/{name}/predict?{query}", content=png, headers=PNG).json()
    assert answer["model"]["generation"] == generation


@pytest.mark.parametrize(
    "path",
    [
        "nobody",
        "garden@7",
        f"garden@{'9' * 5000}",
        "garden@newest",
        "garden?ontology=other",
        "..%2F..%2Fetc",
        "a%20b",
        "@",
        "%00",
    ],
)
def test_a_model_that_is_not_there_is_404(client: Any, png: bytes, path: str) -> None:
    name, _, query = path.partition("?")
    for response in (
        client.get(f"/v1/models/{path}"),
        client.post(f"/v1/models/{name}/predict?{query}", content=png, headers=PNG),
    ):
        assert response.status_code == 404
        assert_problem(response, 404, response.json()["type"].rpartition(":")[2])


def test_a_shard_with_two_ontologies_asks_for_one_and_names_them(
    client: Any, store: Store, make_card: Callable[..., Any]
) -> None:
    published = store.registry.publish(make_card("garden", "detection.bee"), {"w": torch.ones(3)})
    store.registry.promote("garden", "detection.bee", published.generation, "first")
    assert_problem(client.get("/v1/models/garden"), 404, "unknown-model", "detection.bee", "detection.fly")
    assert client.get("/v1/models/garden?ontology=detection.bee").json()["ontology"] == "detection.bee"


@pytest.mark.parametrize(
    ("sent", "status", "kind"),
    [
        ({"content": b"not a picture", "headers": PNG}, 422, "bad-picture"),
        ({"content": b"", "headers": PNG}, 422, "empty-request"),
        ({}, 422, "empty-request"),
        ({"json": {"images": []}}, 422, "empty-request"),
        ({"json": {"images": ["%%%"]}}, 422, "bad-request"),
        ({"json": {"images": ["é"]}}, 422, "bad-request"),
        ({"json": {"images": [""]}}, 422, "bad-picture"),
        ({"json": {"images": "abc"}}, 422, "bad-request"),
        ({"json": {"pictures": []}}, 422, "bad-request"),
        ({"json": [1]}, 422, "bad-request"),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 422, "bad-request"),
        ({"content": b"\xff\xfe", "headers": {"content-type": "application/json"}}, 422, "bad-request"),
        ({"content": b"[" * 100_000, "headers": {"content-type": "application/json"}}, 422, "bad-request"),
        ({"content": b"", "headers": BOUNDARY}, 422, "empty-request"),
        ({"content": b"garbage", "headers": BOUNDARY}, 422, "bad-request"),
        ({"content": b"--y\r\n", "headers": {"content-type": "multipart/form-data"}}, 422, "bad-request"),
        ({"files": [("images", ("a.png", b"", "image/png"))]}, 422, "bad-picture"),
        ({"files": [("note", (None, b"hello"))]}, 422, "bad-request"),
        ({"content": b"abc", "headers": {"content-type": "text/plain"}}, 415, "unsupported-media-type"),
        ({"content": b"abc"}, 415, "unsupported-media-type"),
    ],
)
def test_a_body_that_cannot_be_used_is_a_problem_document(client: Any, sent: dict[str, Any], status: int, kind: str) -> None:
    assert_problem(client.post(PREDICT, **sent), status, kind)


@pytest.mark.parametrize(
    "limit",
    [
        {"max_image_bytes": 50},
        {"max_request_bytes": 100},
        {"max_image_pixels": 1199},
        {"max_images": 1},
        {"max_host_pixels": 2000},
        {"max_json_values": 1},
    ],
)
def test_each_limit_is_413_in_every_form_and_one_less_is_fine(
    client_of: Callable[..., Any], png: bytes, limit: dict[str, int]
) -> None:
    forms: list[dict[str, Any]] = [
        {"files": [("images", ("a.png", png, "image/png")), ("images", ("b.png", png, "image/png"))]},
        {"json": {"images": [b64(png), b64(png)]}},
    ]
    for sent in forms if "max_json_values" not in limit else forms[1:]:
        assert_problem(client_of(**limit).post(PREDICT, **sent), 413, "too-large")
        assert client_of().post(PREDICT, **sent).status_code == 200


def test_a_body_without_a_length_is_cut_off_at_the_limit(client_of: Callable[..., Any]) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(10_000):
            sent += 1000
            yield b"x" * 1000

    assert_problem(client_of(max_request_bytes=5000).post(PREDICT, content=endless(), headers=PNG), 413, "too-large")
    assert sent < 10_000


def test_a_body_that_does_not_arrive_in_time_is_408(client_of: Callable[..., Any]) -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(60)

    for path, headers in ((PREDICT, PNG), ("/v1/annotations", JSON)):
        response = client_of(body_timeout_s=0.2).post(path, content=slow(), headers=headers)
        assert_problem(response, 408, "too-slow", "bytes in 0.2 s")


def test_a_list_of_a_million_wrong_things_is_refused_at_the_first(client: Any) -> None:
    response = client.post(PREDICT, content=b'{"images": [' + b"1," * 1_000_000 + b"1]}", headers=JSON)
    assert_problem(response, 422, "bad-request", "images.0")


def test_a_decompression_bomb_is_413_before_it_is_decoded(client: Any, make_picture: Callable[..., bytes]) -> None:
    bomb = bytearray(make_picture())
    bomb[16:24] = (60_000).to_bytes(4, "big") * 2  # width and height in the PNG header
    assert client.post(PREDICT, content=bytes(bomb), headers=PNG).status_code in (413, 422)  # 422: its checksum is wrong
    jpeg = bytearray(make_picture(kind="JPEG"))
    start = jpeg.index(b"\xff\xc0")
    jpeg[start + 5 : start + 9] = (60_000).to_bytes(2, "big") * 2
    response = client.post(PREDICT, content=bytes(jpeg), headers={"content-type": "image/jpeg"})
    assert_problem(response, 413, "too-large")


@pytest.mark.parametrize(
    "query", ["min_score=2", "min_score=nan", "min_score=x", "generation=0", "generation=-1", "generation=new", "generation=1e3"]
)
def test_a_parameter_out_of_range_is_422_and_named(client: Any, png: bytes, query: str) -> None:
    response = client.post(f"{PREDICT}?{query}", content=png, headers=PNG)
    assert_problem(response, 422, "bad-parameter", query.partition("=")[0])
    assert response.json()["errors"][0]["in"] == ["query", query.partition("=")[0]]


def test_two_different_generations_in_one_request_are_refused(client: Any) -> None:
    assert_problem(client.get("/v1/models/garden@1?generation=2"), 422, "bad-request", "path", "query")


def test_models_are_listed_page_by_page(client: Any) -> None:
    first = client.get("/v1/models?limit=1").json()
    assert [model["shard_id"] for model in first["models"]] == ["garden"]
    second = client.get("/v1/models", params={"limit": 1, "after": first["next_after"]}).json()
    assert [model["shard_id"] for model in second["models"]] == ["hall"]
    assert second["next_after"] is None
    assert client.get("/v1/models?limit=2").json()["next_after"] is None


def test_a_model_published_after_start_is_found(client: Any, store: Store, make_card: Callable[..., Any], png: bytes) -> None:
    assert client.post("/v1/models/attic/predict", content=png, headers=PNG).status_code == 404
    published = store.registry.publish(make_card("attic"), {"w": torch.ones(3)})
    store.registry.promote("attic", published.ontology, published.generation, "first")
    assert client.post("/v1/models/attic/predict", content=png, headers=PNG).status_code == 200
    assert "attic" in [model["shard_id"] for model in client.get("/v1/models").json()["models"]]


def test_a_store_that_is_gone_is_503_everywhere_but_healthz_and_does_not_tell_where_it_was(
    client: Any, store: Store, png: bytes
) -> None:
    assert client.get("/readyz").json() == {"status": "ok"}
    shutil.rmtree(store.url)
    for response in (
        client.post(PREDICT, content=png, headers=PNG),
        client.get("/v1/models"),
        client.get("/v1/models/garden"),
        client.get("/readyz"),
    ):
        assert_problem(response, 503, "store-unusable")
        assert store.url not in response.text
        assert int(response.headers["retry-after"]) > 0
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (HostUnavailable("secret"), 503, "host-unavailable"),
        (TimedOut("secret"), 504, "timed-out"),
        (ValueError("secret"), 500, "internal-error"),
        (BadPicture("picture 0: cut short"), 422, "bad-picture"),
    ],
)
def test_what_goes_wrong_on_the_host_is_a_problem_without_its_innards(
    client: Any, hosts: Any, png: bytes, error: Exception, status: int, kind: str
) -> None:
    hosts.broken = error
    response = client.post(PREDICT, content=png, headers=PNG)
    assert_problem(response, status, kind)
    assert "secret" not in response.text


def test_every_response_has_a_request_id_of_its_own(client: Any) -> None:
    ids = [client.get(path).headers["x-request-id"] for path in ("/healthz", "/healthz", "/nowhere", "/v1/models/x")]
    assert len(set(ids)) == 4
    assert all(re.fullmatch(r"[0-9a-f]{32}", one) for one in ids)


def test_an_id_from_the_proxy_in_front_is_kept_in_the_problem_and_left_to_the_proxy_to_stamp(client: Any) -> None:
    response = client.get("/v1/models/nobody", headers={"x-request-id": "abc-1\t<script>"})
    assert response.json()["request_id"] == "abc-1__script_"
    assert "x-request-id" not in response.headers


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nowhere", 404), ("GET", PREDICT, 405), ("DELETE", "/v1/models", 405)]
)
def test_what_the_router_refuses_is_a_problem_too(client: Any, method: str, path: str, status: int) -> None:
    response = client.request(method, path)
    assert_problem(response, status, {404: "not-found", 405: "method-not-allowed"}[status])


@pytest.mark.parametrize("path", ["/v1/models/", "/v1/models/garden/", "/readyz/", "/openapi.json/", f"{PREDICT}/", "/v2/"])
def test_a_path_with_one_more_slash_is_not_there_and_leads_nowhere(client: Any, path: str) -> None:
    for method in ("GET", "POST"):
        response = client.request(method, path, headers={"host": "evil.example"})
        assert_problem(response, 404, "not-found")
        assert "location" not in response.headers


def test_openapi_has_every_status_of_bodies_that_are_slow_and_hosts_that_are(client: Any) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert {"408"} <= set(paths["/v1/jobs"]["post"]["responses"]) & set(paths["/v1/annotations"]["post"]["responses"])
    for path in (
        "/readyz",
        "/v2/health/ready",
        "/v2/models/{shard_id}/ready",
        "/v2/models/{shard_id}/versions/{generation}/ready",
    ):
        assert "504" in paths[path]["get"]["responses"], path


def test_openapi_shows_the_three_forms_an_example_and_the_problems(client: Any) -> None:
    document = client.get("/openapi.json").json()
    predict = document["paths"]["/v1/models/{shard_id}/predict"]["post"]
    assert set(predict["requestBody"]["content"]) == {"image/*", "multipart/form-data", "application/json"}
    assert predict["responses"]["200"]["content"]["application/json"]["examples"]["detection"]["value"]["images"]
    assert {"404", "413", "415", "422", "503", "504"} <= set(predict["responses"])
    assert "application/problem+json" in predict["responses"]["404"]["content"]
    assert {path for path in document["paths"] if not path.startswith("/v2")} == {
        "/v1/models/{shard_id}/predict",
        "/v1/models/{shard_id}/predict-stream",
        "/v1/models",
        "/v1/models/{shard_id}",
        "/v1/models/{shard_id}/canary",
        "/v1/models/{shard_id}/canary/promote",
        "/v1/ontologies/{ontology}",
        "/v1/lines",
        "/v1/lines/{name}",
        "/v1/lines/{name}/predict",
        "/v1/predict",
        "/v1/routes",
        "/v1/queue",
        "/v1/annotations",
        "/v1/jobs",
        "/v1/jobs/{job_id}",
        "/v1/jobs/{job_id}/result",
        "/v1/shards/{shard_id}/frames/{frame_index}.jpg",
        "/label-studio/health",
        "/label-studio/setup",
        "/label-studio/predict",
        "/label-studio/webhook",
        "/healthz",
        "/readyz",
    }
    json.dumps(document, allow_nan=False)


def test_an_ontology_is_told_with_its_keypoints_and_one_that_is_not_there_is_404(client: Any, store: Store) -> None:
    store.add_ontology(
        Ontology(name="mice", task="keypoints", classes=("mouse",), keypoints=("nose", "tail"), skeleton=((0, 1),))
    )
    said = {"name": "mice", "task": "keypoints", "classes": ["mouse"], "keypoints": ["nose", "tail"], "skeleton": [[0, 1]]}
    assert client.get("/v1/ontologies/mice").json() == said
    assert client.get("/v1/ontologies/rats").status_code == 404


def test_a_method_that_a_path_does_not_have_is_told_which_it_has(client: Any) -> None:
    refused = client.request("PATCH", "/v1/routes")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, PUT")
    assert client.request("PATCH", "/v1/models/garden/canary").headers["allow"] == "DELETE, GET, PUT"
    assert client.request("PATCH", "/healthz").headers["allow"] == "GET"
