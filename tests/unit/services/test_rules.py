"""Rules are saved and shown over HTTP; only an admin may change where pictures go."""

from pathlib import Path
from typing import Any

import pytest

from services.keys import KeyFile
from services.new_key import add_key
from services.routing_examples import ROUTES, ROUTES_BODY
from services.rules import RuleBook
from services.rules_schemas import RoutesIn, RoutesOut
from training.data.shards import Shard
from training.store.store import Store

RULE = {"name": "door", "shard_id": "hall", "sensor": "door-*"}


@pytest.fixture(autouse=True)
def hall(store: Store) -> None:
    shard = Shard(shard_id="hall", uri="/x.mp4", kind="video", num_frames=9, width=40, height=30, content_hash="sha256:0")
    store.add_shard(shard)


def put(client: Any, *rules: dict[str, Any], **sent: Any) -> Any:
    return client.request("PUT", "/v1/routes", json={"rules": list(rules), **sent})


def test_before_anybody_saved_rules_there_are_none(client: Any) -> None:
    assert client.get("/v1/routes").json() == {"number": 0, "rules": []}


def test_saved_rules_are_shown_at_once_and_in_their_order(client_of: Any) -> None:
    client = client_of()
    night = {"name": "night", "shard_id": "hall@1", "daily": ["20:00/06:00"], "zone": "Europe/Berlin"}
    place = {"name": "place", "shard_id": "hall", "near": {"lon": 9.97, "lat": 53.54, "metres": 2000.0}}
    saved = put(client, RULE, night, place)
    assert saved.status_code == 200, saved.text
    assert (saved.json()["number"], saved.json()["rules"]) == (1, [RULE, night, place])
    assert client.get("/v1/routes").json() == saved.json()


@pytest.mark.parametrize(
    ("rule", "status", "kind", "said"),
    [
        ({**RULE, "shard_id": "nobody"}, 404, "unknown-shard", "nobody"),
        ({**RULE, "shard_id": "hall@7"}, 404, "unknown-model", "hall@7"),
        ({**RULE, "shard_id": "hall@" + "9" * 5000}, 422, "bad-rules", "generation"),
        ({**RULE, "ontology": "geese"}, 404, "unknown-ontology", "geese"),
        ({**RULE, "times": ["2026-04-01T00:00Z/2026-03-01T00:00Z"]}, 422, "bad-rules", "rule door"),
        ({"name": "door", "shard_id": "hall"}, 422, "bad-rules", "no condition"),
        ({**RULE, "colour": "red"}, 422, "bad-request", "rules.0.colour"),
        ({**RULE, "bbox": [9, 53, 10]}, 422, "bad-request", "rules.0.bbox"),
    ],
)
def test_rules_that_lead_nowhere_are_refused_by_name(
    client: Any, store: Store, rule: dict[str, Any], status: int, kind: str, said: str
) -> None:
    response = put(client, rule)
    assert (response.status_code, response.json()["type"]) == (status, f"urn:micromodels:{kind}"), response.text
    assert said in response.json()["detail"]
    assert store.routes.read().number == 0


def test_rules_of_one_name_are_refused(client: Any) -> None:
    response = put(client, RULE, {**RULE, "video": "x"})
    assert response.status_code == 422
    assert "two rules of this name" in response.json()["detail"]


def test_who_has_not_seen_the_newest_rules_is_told(client: Any) -> None:
    assert put(client, RULE, replaces=0).status_code == 200
    conflict = put(client, replaces=0)
    assert (conflict.status_code, conflict.json()["type"]) == (409, "urn:micromodels:conflicting-rules")
    assert put(client, replaces=1).json()["number"] == 2


def test_reading_rules_needs_another_scope_than_changing_them(client_of: Any, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    reader, admin = (add_key(file, name, [scope]) for name, scope in (("ann", "read"), ("bob", "admin")))
    client = client_of(keys=KeyFile(file))

    def ask(method: str, secret: str) -> int:
        headers = {"authorization": f"Bearer {secret}"}
        sent = {"json": {"rules": [RULE]}} if method == "PUT" else {}
        return int(client.request(method, "/v1/routes", headers=headers, **sent).status_code)

    assert [ask("GET", reader), ask("PUT", reader), ask("PUT", admin), ask("GET", admin)] == [200, 403, 200, 200]


def test_rules_are_read_again_when_they_have_become_old(store: Store) -> None:
    class Catalogue:
        pass

    catalogue, clock = Catalogue(), [0.0]
    catalogue.store = store  # type: ignore[attr-defined]
    settings: Any = type("Settings", (), {"live_ttl_s": 2.0})()
    book = RuleBook(catalogue, settings, lambda: clock[0])  # type: ignore[arg-type]
    assert book.rules().number == 0
    store.routes.replace([RULE])
    assert book.rules().number == 0
    clock[0] = 2.0
    assert book.rules().number == 1
    assert book.save(RoutesIn(rules=[])).number == 2
    assert book.rules().number == 2


def test_examples_are_what_the_schemas_say() -> None:
    assert RoutesOut.model_validate(ROUTES).model_dump(mode="json", exclude_none=True) == ROUTES
    example = ROUTES_BODY["content"]["application/json"]["example"]
    assert RoutesIn.model_validate(example).model_dump(mode="json", exclude_none=True) == example
