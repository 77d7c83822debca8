"""Pictures that name no micro-model: a rule, a place or their looks lead them to one, or the answer says why not."""

import base64
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from services.answering import Answer
from services.api import create_api
from services.catalogue import Catalogue
from services.looking import Asked, Looked
from services.payload import Picture
from services.routing_examples import ROUTED
from services.routing_schemas import RoutedPrediction
from services.settings import Settings
from training.data.shards import Shard
from training.domain.candidates import Chosen
from training.domain.nearest import Abstention, Near
from training.domain.rules import Rules
from training.domain.saved_rules import save_rules
from training.store.card import Card
from training.store.store import Store

FOUND = Chosen(shard_id="garden", ontology="detection.fly", distance=0.5, next=Near(shard_id="hall", distance=2.0))
OUTSIDE = Abstention(reason="outside", nearest=(Near(shard_id="hall", distance=1.5), Near(shard_id="garden", distance=3.0)))
NIGHT = "2026-01-02T23:00:00Z"


@pytest.fixture
def seeing(hosts: Any) -> Any:
    """The hosts, which answer `hosts.sees` of every picture that is looked at, in turn; what was asked is in `hosts.looks`."""
    hosts.sees, hosts.looks = [FOUND], []

    async def look(asked: Sequence[Asked], ontology: str | None) -> Looked:
        hosts.looks.append((list(asked), ontology))
        answers = tuple(hosts.sees[n % len(hosts.sees)] for n in range(len(asked)))
        return Looked(
            answers=answers, sizes_wh=((40, 30),) * len(asked), eye="eye-1", num_domains=2, num_undescribed=1, seconds=0.02
        )

    async def predict_each(asked: Sequence[tuple[Card, Sequence[Picture]]]) -> list[Answer]:
        return [await hosts.predict(card, pictures) for card, pictures in asked]

    hosts.look, hosts.predict_each = look, predict_each
    return hosts


@pytest.fixture
def rules_of(store: Store) -> Callable[..., None]:
    """Rules as JSON -> saved; `garden`, `hall` and `attic` are shards, the last one without a model."""
    for shard_id in ("garden", "hall", "attic"):
        store.add_shard(
            Shard(shard_id=shard_id, uri="/x.mp4", kind="video", num_frames=9, width=40, height=30, content_hash="sha256:0")
        )

    def save(*rules: dict[str, Any]) -> None:
        save_rules(store, Rules.from_json(list(rules)))

    return save


def images(client: Any, path: str = "/v1/predict", **sent: Any) -> list[dict[str, Any]]:
    response = client.post(path, **sent)
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["images"]
    return found


def test_a_picture_is_labelled_by_the_shard_whose_domain_it_is_in(client: Any, seeing: Any, png: bytes) -> None:
    response = client.post("/v1/predict?min_score=0.5", content=png, headers={"content-type": "image/png"})
    assert response.status_code == 200, response.text
    (image,) = response.json()["images"]
    assert image["model"]["shard_id"] == "garden"
    assert image["route"] == {"by": "domain", "distance": 0.5, "margin": 1.5, "next": {"shard_id": "hall", "distance": 2.0}}
    assert [one["score"] for one in image["annotations"]] == [0.9]
    assert response.json()["domains"] == {"eye": "eye-1", "shards": 2, "undescribed": 1}
    assert response.json()["timings"]["look_s"] == 0.02


def test_a_picture_in_no_domain_gets_a_reason_and_no_annotations(client: Any, seeing: Any, told: Any, png: bytes) -> None:
    seeing.sees = [OUTSIDE]
    (image,) = images(client, content=png, headers={"content-type": "image/png"})
    assert image == {
        "width": 40,
        "height": 30,
        "abstention": {
            "reason": "outside",
            "nearest": [{"shard_id": "hall", "distance": 1.5}, {"shard_id": "garden", "distance": 3.0}],
        },
    }
    assert seeing.asked == []
    assert told.total("micromodels_abstentions", reason="outside") == 1


def test_pictures_of_several_models_go_to_a_host_in_one_call_and_come_back_in_order(
    client: Any, seeing: Any, make_picture: Callable[..., bytes]
) -> None:
    hall = Chosen(shard_id="hall", ontology="detection.fly", distance=0.1)
    seeing.sees = [FOUND, hall, OUTSIDE, FOUND]
    files = [("images", (f"{n}.png", make_picture(width=20 + n), "image/png")) for n in range(4)]
    found = images(client, files=files)
    assert [image.get("model", {}).get("shard_id") for image in found] == ["garden", "hall", None, "garden"]
    assert [image["width"] for image in found] == [20, 21, 40, 23]  # who abstained says what the host that looked said
    assert [(card.shard_id, len(pictures)) for card, pictures in seeing.asked] == [("garden", 2), ("hall", 1)]


def test_a_rule_decides_and_nobody_looks(client: Any, seeing: Any, rules_of: Callable[..., None], png: bytes) -> None:
    rules_of({"name": "door at night", "shard_id": "hall@1", "sensor": "door-*", "daily": ["20:00/06:00"]})
    response = client.post(f"/v1/predict?sensor=door-7&time={NIGHT}", content=png, headers={"content-type": "image/png"})
    assert response.status_code == 200, response.text
    (image,) = response.json()["images"]
    assert (image["model"]["shard_id"], image["route"]) == ("hall", {"by": "rule", "rule": "door at night"})
    assert "domains" not in response.json()
    assert seeing.looks == []


def test_each_picture_has_its_own_metadata_and_the_rest_is_looked_at(
    client: Any, seeing: Any, rules_of: Callable[..., None], png: bytes
) -> None:
    rules_of({"name": "hall", "shard_id": "hall", "sensor": "a"}, {"name": "place", "shard_id": "hall", "bbox": [9, 53, 10, 54]})
    encoded = base64.b64encode(png).decode()
    metadata = [{"sensor": "b"}, {"sensor": "a"}, {"lon": 9.5, "lat": 53.5}, {"lon": 1, "lat": 2}]
    found = images(client, json={"images": [encoded] * 4, "metadata": metadata})
    assert [image["route"].get("rule", image["route"]["by"]) for image in found] == ["domain", "hall", "place", "domain"]
    ((asked, ontology),) = seeing.looks
    assert ([one.place for one in asked], ontology) == ([None, (1.0, 2.0)], None)


def test_metadata_of_the_query_hold_where_a_picture_says_nothing_else(
    client: Any, seeing: Any, rules_of: Callable[..., None], png: bytes
) -> None:
    rules_of({"name": "a", "shard_id": "hall", "sensor": "a", "video": "v"}, {"name": "b", "shard_id": "hall", "sensor": "b"})
    encoded = base64.b64encode(png).decode()
    sent = {"images": [encoded] * 2, "metadata": [{"sensor": "a"}, {}]}
    found = images(client, "/v1/predict?sensor=b&video=v", json=sent)
    assert [image["route"]["rule"] for image in found] == ["a", "b"]


def test_the_place_of_a_scene_is_a_route_of_its_own(client: Any, seeing: Any, png: bytes) -> None:
    seeing.sees = [Chosen(shard_id="garden", ontology="detection.fly")]
    (image,) = images(client, "/v1/predict?lon=9.5&lat=53.5", content=png, headers={"content-type": "image/png"})
    assert image["route"] == {"by": "footprint"}
    assert seeing.looks[0][0][0].place == (9.5, 53.5)


def test_a_rule_whose_model_is_not_there_says_so_and_stops_no_other_picture(
    client: Any, seeing: Any, rules_of: Callable[..., None], png: bytes
) -> None:
    rules_of({"name": "above", "shard_id": "attic", "sensor": "a"})
    encoded = base64.b64encode(png).decode()
    first, second = images(client, json={"images": [encoded] * 2, "metadata": [{"sensor": "a"}, {}]})
    assert first["abstention"]["reason"] == "no-model"
    assert first["abstention"]["rule"] == "above"
    assert "attic" in first["abstention"]["detail"]
    assert second["model"]["shard_id"] == "garden"


def test_a_model_that_went_since_the_host_looked_is_an_abstention(client: Any, seeing: Any, png: bytes) -> None:
    seeing.sees = [Chosen(shard_id="cellar", ontology="detection.fly", distance=0.3)]
    (image,) = images(client, content=png, headers={"content-type": "image/png"})
    assert image["abstention"]["reason"] == "no-model"
    assert image["abstention"]["nearest"] == [{"shard_id": "cellar", "distance": 0.3}]


def test_several_models_of_the_shard_are_named_to_choose_from(client: Any, seeing: Any, png: bytes) -> None:
    near = (Near(shard_id="garden", distance=0.2),)
    seeing.sees = [Abstention(reason="several-models", nearest=near, ontologies=("bees", "flies"))]
    (image,) = images(client, content=png, headers={"content-type": "image/png"})
    assert (image["abstention"]["reason"], image["abstention"]["ontologies"]) == ("several-models", ["bees", "flies"])
    images(client, "/v1/predict?ontology=detection.fly", content=png, headers={"content-type": "image/png"})
    assert seeing.looks[-1][1] == "detection.fly"


def test_the_ontology_asked_for_chooses_the_model_of_a_rule(
    client: Any, seeing: Any, store: Store, make_card: Callable[..., Card], rules_of: Callable[..., None], png: bytes
) -> None:
    published = store.registry.publish(make_card("hall", "detection.bee"), {"w": torch.zeros(1)})
    store.registry.promote("hall", "detection.bee", published.generation, "test")
    rules_of({"name": "hall", "shard_id": "hall", "sensor": "a"})
    (image,) = images(client, "/v1/predict?sensor=a&ontology=detection.bee", content=png, headers={"content-type": "image/png"})
    assert image["model"]["ontology"] == "detection.bee"
    (image,) = images(client, "/v1/predict?sensor=a", content=png, headers={"content-type": "image/png"})
    assert image["abstention"]["reason"] == "no-model"
    assert "detection.bee, detection.fly" in image["abstention"]["detail"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("lon=9.5", "lat"),
        ("lon=200&lat=0", "lon"),
        ("lon=nan&lat=0", "lon"),
        ("time=2026-01-02T03:04:05", "time"),
        ("time=yesterday", "time"),
        ("time=0.5", "time"),
        ("time=1767323045", "time"),
        ("time=0001-01-01T00:00:00Z", "year"),
        ("time=9999-12-31T23:00:00Z", "year"),
        ("sensor=", "sensor"),
    ],
)
def test_metadata_that_cannot_be_are_named(client: Any, seeing: Any, png: bytes, query: str, said: str) -> None:
    response = client.post(f"/v1/predict?{query}", content=png, headers={"content-type": "image/png"})
    assert response.status_code == 422
    assert said in response.json()["detail"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"images": ["x"], "metadata": [{}, {}]}, "metadata of 2 pictures for 1 images"),
        ({"images": ["x"], "metadata": {"colour": "red"}}, "colour"),
        ({"images": ["x"], "metadata": {"time": 1767323045}}, "ISO 8601"),
        ({"images": ["x"], "metadata": {"lat": 1}}, "lon None, lat 1.0"),
        ({"images": []}, "no picture"),
    ],
)
def test_a_body_that_does_not_fit_is_refused(client: Any, seeing: Any, png: bytes, body: dict[str, Any], said: str) -> None:
    sent = {**body, "images": [base64.b64encode(png).decode() for _ in body["images"]]}
    response = client.post("/v1/predict", json=sent)
    assert response.status_code == 422
    assert said in response.json()["detail"]


def test_an_ontology_that_none_can_be_is_not_found(client: Any, seeing: Any, png: bytes) -> None:
    response = client.post("/v1/predict?ontology=../x", content=png, headers={"content-type": "image/png"})
    assert (response.status_code, response.json()["type"]) == (404, "urn:micromodels:bad-shard-id")


def test_examples_are_what_the_schema_says() -> None:
    for example in ROUTED.values():
        shown = RoutedPrediction.model_validate(example["value"]).model_dump(mode="json", exclude_none=True)
        assert shown == example["value"]


def test_the_document_has_the_routes(store: Store, hosts: Any) -> None:
    api = create_api(Catalogue(store, ttl_s=0), hosts, Settings(store=store.url))
    body = api.openapi()["paths"]["/v1/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(body["properties"]) == {"images", "metadata"}
