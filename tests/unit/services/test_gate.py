"""Who is let in, on every route there is."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from fastapi.routing import APIRoute

from services import gate
from services.api import create_api
from services.keys import KeyFile
from services.new_key import add_key

OPEN = {"/healthz", "/readyz", "/v2/health/live", "/v2/health/ready", "/label-studio/health"}
ROUTES = [
    (method, route.path)
    for route in create_api(*[cast(Any, None)] * 3).routes
    if isinstance(route, APIRoute)
    for method in sorted(route.methods)
]
CLOSED = [route for route in ROUTES if route[1] not in OPEN]
NEEDS = {
    "POST /label-studio/predict": "predict",
    "POST /label-studio/setup": "predict",
    "POST /label-studio/webhook": "annotate",
    "POST /v1/annotations": "annotate",
    "POST /v1/jobs": "jobs",
    "DELETE /v1/jobs/{job_id}": "jobs",
    "POST /v1/lines/{name}/predict": "predict",
    "PUT /v1/lines/{name}": "admin",
    "PUT /v1/models/{shard_id}/canary": "admin",
    "DELETE /v1/models/{shard_id}/canary": "admin",
    "POST /v1/models/{shard_id}/canary/promote": "admin",
    "POST /v1/models/{shard_id}/predict": "predict",
    "POST /v1/predict": "predict",
    "PUT /v1/routes": "admin",
    "POST /v1/models/{shard_id}/predict-stream": "predict",
    "POST /v2/models/{shard_id}/infer": "predict",
    "POST /v2/models/{shard_id}/versions/{generation}/infer": "predict",
}
VALUES = {"shard_id": "garden", "name": "flies", "frame_index": "0", "generation": "1", "ontology": "flies", "job_id": "night"}
TENSOR = {"name": "images", "datatype": "BYTES", "shape": [0], "data": []}
SCOPES = ("read", "predict", "annotate", "jobs")


def scope(method: str, path: str) -> str:
    """What a route needs: reading, unless the table says otherwise."""
    return NEEDS.get(f"{method} {path}", "read")


@pytest.fixture
def secrets(tmp_path: Path) -> dict[str, str]:
    """The secret of one key for each scope, and of `admin`."""
    return {scope: add_key(tmp_path / "keys", f"the-{scope}-key", [scope]) for scope in (*SCOPES, "admin")}


@pytest.fixture
def guarded(client_of: Callable[..., Any], secrets: dict[str, str], tmp_path: Path) -> Any:
    """A client of a service with keys, which is asked from outside."""
    return client_of("http://service.example", KeyFile(tmp_path / "keys"))


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def kind(response: Any) -> str:
    return str(response.json()["type"]).rpartition(":")[2]


@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_a_route_is_closed_without_a_key_and_opens_for_its_scope_and_for_admin_alone(
    guarded: Any, secrets: dict[str, str], method: str, path: str
) -> None:
    url = path.format(**VALUES)
    for headers in ({}, bearer("mm_nobody"), bearer(""), {"authorization": f"Basic {secrets['admin']}"}):
        response = guarded.request(method, url, headers=headers)
        assert (response.status_code, kind(response)) == (401, "unauthorized")
        assert response.headers["www-authenticate"] == 'Bearer realm="micromodels"'
        assert response.json()["request_id"] == response.headers["x-request-id"]
    for name, secret in secrets.items():
        response = guarded.request(method, url, headers=bearer(secret))
        assert secret not in response.text
        if name in (scope(method, path), "admin"):
            assert response.status_code not in (401, 403)
        else:
            assert (response.status_code, kind(response)) == (403, "forbidden")
            assert 'error="insufficient_scope"' in response.headers["www-authenticate"]
            assert scope(method, path) in response.json()["detail"]


@pytest.mark.parametrize("path", sorted(OPEN))
def test_health_is_open_to_everybody(client_of: Callable[..., Any], guarded: Any, path: str) -> None:
    for asked in (guarded, client_of("http://service.example")):
        assert asked.get(path).status_code == 200


@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_without_keys_only_this_machine_is_answered(client: Any, method: str, path: str) -> None:
    url = path.format(**VALUES)
    for here in ("http://127.0.0.1:8000", "http://localhost:8000", "http://[::1]:8000", "http://127.8.9.1"):
        assert client.at(here).request(method, url).status_code not in (401, 403)
    for outside in ("http://10.0.0.5:8000", "http://service.example", "http://0.0.0.0:8000", "http://[fe80::1]:8000"):
        response = client.at(outside).request(method, url)
        assert (response.status_code, kind(response)) == (403, "keys-needed")


def test_without_keys_nobody_is_answered_behind_haproxy_where_all_look_local(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.get("/v1/models").status_code == 200
    monkeypatch.setattr(gate, "BEHIND_HAPROXY", True)
    response = client.get("/v1/models")
    assert (response.status_code, kind(response)) == (403, "keys-needed")
    assert "HAProxy" in response.json()["detail"]
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("name", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8000", "[::1", ""])
def test_without_keys_a_page_that_gave_our_address_a_name_of_its_own_is_refused(client: Any, name: str) -> None:
    response = client.get("/v1/models", headers={"host": name})
    assert response.status_code in (400, 403)
    assert "garden" not in response.text


CHANGES = [route for route in CLOSED if route[0] not in ("GET", "HEAD")]
PAGES = {
    "another site": {"origin": "https://evil.example"},
    "another port": {"origin": "http://127.0.0.1:9000"},
    "another name of ours": {"origin": "http://localhost:8000"},
    "a file": {"origin": "null"},
    "no origin": {"origin": ""},
    "no URL": {"origin": "http://["},
    "a link": {"sec-fetch-site": "cross-site"},
    "a neighbour": {"sec-fetch-site": "same-site"},
    "ours, it says": {"origin": "http://127.0.0.1:8000", "sec-fetch-site": "cross-site"},
}


@pytest.mark.parametrize(("method", "path"), CHANGES)
def test_without_keys_no_page_of_another_site_changes_anything(client: Any, method: str, path: str) -> None:
    url = path.format(**VALUES)
    for name, headers in PAGES.items():
        response = client.request(method, url, headers=headers)
        assert (response.status_code, kind(response)) == (403, "keys-needed"), name
    for headers in ({"origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}, {}):
        assert client.request(method, url, headers=headers).status_code != 403


def test_a_page_of_another_site_makes_no_generation_live(client: Any, store: Any, make_card: Callable[..., Any]) -> None:
    store.registry.publish(make_card("garden", fit_key="second"), {})
    client.request("PUT", "/v1/models/garden/canary", json={"generation": 2})
    promote = "/v1/models/garden/canary/promote"
    assert client.post(promote, headers=PAGES["another site"]).status_code == 403
    assert client.get("/v1/models/garden", headers=PAGES["another site"]).json()["generation"] == 1, "reading is no change"
    assert client.post(promote).status_code == 200


def test_with_keys_the_site_says_nothing(guarded: Any, secrets: dict[str, str]) -> None:
    for headers in PAGES.values():
        response = guarded.delete("/v1/models/garden/canary", headers={**headers, **bearer(secrets["admin"])})
        assert (response.status_code, kind(response)) == (409, "conflicting-canary")


def test_a_key_is_known_before_the_body_is_read(guarded: Any) -> None:
    async def never() -> Any:
        pytest.fail("the body of a stranger was read")
        yield b""

    assert guarded.post("/v1/models/garden/predict", content=never(), headers={"content-type": "image/png"}).status_code == 401


def test_a_file_of_keys_that_goes_away_lets_nobody_in_and_does_not_tell_where_it_was(
    guarded: Any, secrets: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "keys").unlink()
    response = guarded.get("/v1/models", headers=bearer(secrets["admin"]))
    assert (response.status_code, kind(response)) == (503, "keys-unusable")
    assert str(tmp_path) not in response.text
    assert guarded.get("/healthz").status_code == 200


def test_no_other_site_is_let_in(client: Any, guarded: Any, secrets: dict[str, str]) -> None:
    origin = {"origin": "https://evil.example"}
    asked = {**origin, "access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    for response in (
        client.request("OPTIONS", "/v1/annotations", headers=asked),
        client.get("/v1/models", headers=origin),
        guarded.get("/v1/models", headers={**origin, **bearer(secrets["read"])}),
    ):
        assert not [name for name in response.headers if name.startswith("access-control")]
        assert response.headers["cross-origin-resource-policy"] == "same-origin"
        assert response.headers["x-content-type-options"] == "nosniff"
    assert client.request("OPTIONS", "/v1/annotations", headers=asked).status_code == 405


def test_the_openapi_document_says_which_key_a_route_needs(client: Any) -> None:
    document = client.get("/openapi.json").json()
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    for method, path in CLOSED:
        if path != "/openapi.json":
            schemes = ["key", "tool"] if path.startswith("/label-studio") else ["key"]
            assert document["paths"][path][method.lower()]["security"] == [{one: [scope(method, path)]} for one in schemes]
    for path in OPEN:
        assert "security" not in document["paths"][path]["get"]


@pytest.mark.parametrize(
    "place",
    ["http://169.254.169.254/latest/meta-data/", "file:///etc/passwd", "/etc/passwd", "../../etc/passwd", "s3://bucket/key"],
)
def test_nothing_in_a_request_is_opened_or_fetched(client: Any, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("something was opened")

    monkeypatch.setattr("socket.create_connection", refuse)
    encoded = base64.b64encode(place.encode()).decode()
    for image in (place, encoded, f"data:image/png;base64,{encoded}"):
        response = client.post("/v1/models/garden/predict", json={"images": [image]})
        assert response.status_code == 422
        assert "root:" not in response.text


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e", "a/../b", "a%00b", ".hidden", "s3:%2f%2fx"]
)
def test_a_name_that_could_be_a_path_is_404_or_unknown_on_every_route_that_takes_one(client: Any, name: str) -> None:
    for method, path in CLOSED:
        if "{shard_id}" in path or "{name}" in path:
            url = path.format(**{**VALUES, "shard_id": name, "name": name})
            headers = {"content-type": "application/x-ndjson"} if path.endswith("stream") else {}
            response = client.request(method, url, headers=headers, json={"inputs": [TENSOR]})
            refused = (404, 405, 422) if method == "PUT" else (404, 405)  # what would be made is bad input
            assert response.status_code in refused, (path, response.text)
    for query in ({"shard_id": name}, {"ontology": name}):
        assert client.get("/v1/queue", params=query).status_code == 404
