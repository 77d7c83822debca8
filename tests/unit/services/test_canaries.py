"""A share of a shard's requests goes to the generation on trial, and that one goes when it does worse."""

import asyncio
import base64
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from services.answering import Answer
from services.canaries import Canaries, Wanted
from services.canary_examples import CANARY, CANARY_BODY
from services.canary_schemas import CanaryIn, CanaryOut
from services.catalogue import Catalogue
from services.keys import KeyFile
from services.new_key import add_key
from services.payload import Picture
from training.data.annotations import FrameLabels
from training.data.ontology import Ontology
from training.errors import BadPicture, CorruptModel, HostUnavailable, StoreUnusable, TimedOut
from training.loop.canary import start_canary
from training.store.canaries import CanaryLimits
from training.store.card import Card
from training.store.store import Store

ONTOLOGY = "detection.fly"
PATH = "/v1/models/garden/canary"
PNG = {"content-type": "image/png"}


@pytest.fixture(autouse=True)
def second(store: Store, make_card: Callable[..., Card]) -> None:
    """A second generation of the garden, published and not live."""
    store.add_ontology(Ontology(name=ONTOLOGY, task="detection", classes=("fly",)))
    store.registry.publish(make_card("garden", fit_key="second"), {"w": torch.zeros(3)})


class Hosts:
    """The far side of the network: generation 2 does what `second` says, all others find one fly."""

    def __init__(self, fixed: Any) -> None:
        self._fixed = fixed
        self.second: Callable[[Answer], Answer] = lambda answer: answer
        self.asked: list[int] = []

    async def predict(self, card: Card, pictures: Sequence[Picture]) -> Answer:
        self.asked.append(card.generation)
        answer: Answer = await self._fixed.predict(card, pictures)
        return self.second(answer) if card.generation == 2 else answer

    async def predict_each(self, asked: Sequence[tuple[Card, Sequence[Picture]]]) -> list[Answer]:
        return [await self.predict(card, pictures) for card, pictures in asked]


def fails(error: Exception) -> Callable[[Answer], Answer]:
    def fail(_: Answer) -> Answer:
        raise error

    return fail


def blind(answer: Answer) -> Answer:
    return replace(answer, labels=tuple(replace(one, annotations=()) for one in answer.labels))


class Ingress:
    """Its canaries, asked about the garden one picture after another."""

    def __init__(self, store: Store, hosts: Any, told: Any, pictures: Sequence[bytes]) -> None:
        self.catalogue = Catalogue(store, ttl_s=0)
        self.canaries = Canaries(self.catalogue, hosts, told)
        self._pictures = pictures

    def ask(self, *numbers: int, live: bool = True) -> list[int]:
        """Which generation answered each."""

        async def ask_each() -> list[int]:
            card, answered = self.catalogue.resolve(("garden@live", None)), []
            for number in numbers:
                pictures = [Picture(name="one", data=self._pictures[number], num_pixels=1200)]
                answered.append((await self.canaries.predict(card, pictures, live=live))[0].generation)
            return answered

        answered = asyncio.run(ask_each())
        self.canaries._settling.submit(lambda: None).result()  # whatever was to be settled is
        return answered


@pytest.fixture
def hosts_of_two(hosts: Any) -> Hosts:
    return Hosts(hosts)


@pytest.fixture
def ingress(store: Store, hosts_of_two: Hosts, told: Any, make_picture: Callable[..., bytes]) -> Callable[[], Ingress]:
    pictures = [make_picture(width=8 + number % 20, height=8 + number // 20) for number in range(200)]
    return lambda: Ingress(store, hosts_of_two, told, pictures)


def start(store: Store, share: float = 0.3, **limits: Any) -> None:
    start_canary(store.registry, "garden", None, 2, share, limits=CanaryLimits(**{"min_requests": 20, **limits}))


def trial(store: Store) -> Any:
    return store.registry.canaries.newest("garden", ONTOLOGY)


def test_a_share_of_the_pictures_goes_to_the_generation_on_trial_and_every_ingress_agrees_which(
    store: Store, ingress: Callable[[], Ingress]
) -> None:
    one, other = ingress(), ingress()
    assert one.ask(*range(20)) == [1] * 20
    start(store)
    answered = one.ask(*range(200))
    assert 40 <= answered.count(2) <= 80
    assert one.ask(*range(200)) == answered == other.ask(*range(200))


def test_a_request_that_names_a_generation_gets_it(store: Store, ingress: Callable[[], Ingress]) -> None:
    start(store, share=0.99)
    assert ingress().ask(*range(20), live=False) == [1] * 20


def test_other_shards_are_asked_in_one_call_beside_the_one_that_has_a_trial(
    store: Store, ingress: Callable[[], Ingress], hosts_of_two: Hosts, png: bytes
) -> None:
    start(store, share=0.999)
    one, pictures = ingress(), [Picture(name="one", data=png, num_pixels=1200)]
    cards = [one.catalogue.resolve((ref, None)) for ref in ("hall@live", "garden@live", "hall@1")]
    wanted = [Wanted(card=card, pictures=pictures, live=live) for card, live in zip(cards, (True, True, False))]
    answers = asyncio.run(one.canaries.predict_each(wanted))
    assert [card.ref for card, _ in answers] == ["hall@1", "garden@2", "hall@1"]


def test_when_one_of_several_fails_the_others_are_not_asked_on(
    store: Store, ingress: Callable[[], Ingress], hosts_of_two: Hosts, png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(store, share=0.999)
    one, pictures = ingress(), [Picture(name="one", data=png, num_pixels=1200)]
    ended: list[str] = []

    async def slow(card: Card, _: Sequence[Picture]) -> Answer:
        try:
            await asyncio.sleep(60)
            raise AssertionError("it goes on")
        finally:
            ended.append(card.ref)

    async def gone(_: Any) -> list[Answer]:
        await asyncio.sleep(0.05)
        raise HostUnavailable("gone") from OSError("no route")

    monkeypatch.setattr(hosts_of_two, "predict", slow)
    monkeypatch.setattr(hosts_of_two, "predict_each", gone)
    cards = [one.catalogue.resolve((ref, None)) for ref in ("hall@live", "garden@live")]

    async def ask() -> None:
        with pytest.raises(HostUnavailable) as failed:
            await one.canaries.predict_each([Wanted(card=card, pictures=pictures, live=True) for card in cards])
        assert isinstance(failed.value.__cause__, OSError)
        assert ended[0] == "garden@2"

    asyncio.run(ask())
    assert trial(store).running


@pytest.mark.parametrize(
    ("does", "said"),
    [
        (blind, "it finds nothing on 100% of the pictures, the live generation on 0%"),
        (lambda answer: replace(answer, labels=tuple(map(_moved, answer.labels))), "it says 0% of what the live generation says"),
    ],
)
def test_a_generation_that_does_worse_is_rolled_back_by_itself_and_the_reason_is_kept(
    store: Store, ingress: Callable[[], Ingress], hosts_of_two: Hosts, told: Any, does: Any, said: str
) -> None:
    start(store, share=0.5)
    hosts_of_two.second = does
    one = ingress()
    one.ask(*range(200))
    ended = trial(store)
    assert ended.outcome == "rolled-back"
    assert said in ended.reason
    assert ended.figures["canary"]["requests"] >= 20
    assert store.registry.live("garden", ONTOLOGY) == 1
    assert one.ask(*range(20)) == [1] * 20
    assert told.total("micromodels_canary_ends", outcome="rolled-back") == 1


def _moved(labels: FrameLabels) -> FrameLabels:
    return replace(labels, annotations=tuple(replace(one, bbox_xyxy=(0, 0, 2, 2)) for one in labels.annotations))


def test_what_the_generation_on_trial_cannot_answer_the_live_one_does_and_soon_it_is_gone(
    store: Store, ingress: Callable[[], Ingress], hosts_of_two: Hosts, told: Any
) -> None:
    start(store, share=0.5)
    hosts_of_two.second = fails(CorruptModel("garden@2: damaged"))
    assert ingress().ask(*range(60)) == [1] * 60
    assert trial(store).outcome == "rolled-back"
    assert "100.0% of its requests failed" in trial(store).reason
    assert told.total("micromodels_canary_requests", arm="canary", outcome="fallback") >= 5


@pytest.fixture
def reports(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was told to the store, each time."""
    told: list[Any] = []
    report = store.registry.canaries.report
    monkeypatch.setattr(store.registry.canaries, "report", lambda *said: (told.append(said[2]), report(*said))[1])
    return told


def test_one_failed_request_is_told_at_once_and_those_after_it_as_rarely_as_ever(
    store: Store, ingress: Callable[[], Ingress], hosts_of_two: Hosts, reports: list[Any]
) -> None:
    start(store, share=0.999, min_requests=200)
    one = ingress()
    one.ask(0)
    hosts_of_two.second = fails(CorruptModel("garden@2: damaged"))
    one.ask(1)
    hosts_of_two.second = lambda answer: answer
    assert [one["canary"]["errors"] for one in reports] == [0, 1]
    for number in range(2, 20):
        one.ask(number)
    assert len(reports) == 2


def test_what_is_to_be_settled_does_not_pile_up(
    store: Store, ingress: Callable[[], Ingress], hosts_of_two: Hosts, reports: list[Any]
) -> None:
    start(store, share=0.999, min_requests=200, more_errors=1)
    hosts_of_two.second = fails(CorruptModel("garden@2: damaged"))
    one, busy = ingress(), threading.Event()
    one.canaries._settling.submit(busy.wait)
    asking = threading.Thread(target=lambda: one.ask(*range(5)))
    asking.start()
    while sum(one.sums.canary.errors for one in one.canaries._trials.values()) < 5:
        time.sleep(0.01)
    busy.set()
    asking.join()
    assert len(reports) == 1
    one.ask(5)
    assert [one["canary"]["errors"] for one in reports] == [1, 6], "nothing is lost"


def test_a_picture_that_no_generation_can_read_is_held_against_none(
    store: Store, ingress: Callable[[], Ingress], hosts: Any
) -> None:
    start(store, share=0.5)
    hosts.broken = BadPicture("cut short")
    one = ingress()
    for number in range(60):
        with pytest.raises(BadPicture):
            one.ask(number)
    assert trial(store).running


@pytest.mark.parametrize(("error", "held_against_it"), [(TimedOut("late"), True), (HostUnavailable("gone"), False)])
def test_an_answer_that_never_came_is_held_against_the_generation_and_a_host_that_is_gone_is_not(
    store: Store, ingress: Callable[[], Ingress], hosts_of_two: Hosts, error: Exception, held_against_it: bool
) -> None:
    start(store, share=0.9)
    hosts_of_two.second = fails(error)
    one = ingress()
    for number in range(12):
        with suppress(type(error)):
            one.ask(number)
    assert trial(store).running is not held_against_it


def test_ingresses_judge_by_what_all_of_them_saw(store: Store, ingress: Callable[[], Ingress], hosts_of_two: Hosts) -> None:
    start(store, share=0.5, min_requests=30)
    hosts_of_two.second = blind
    one, other = ingress(), ingress()
    one.ask(*range(45))
    assert trial(store).running, "too few so far"
    other.ask(*range(45, 100))
    assert trial(store).outcome == "rolled-back"
    assert one.ask(*range(20)) == [1] * 20


def test_a_store_that_cannot_be_read_ends_no_trial_and_fails_no_request(
    store: Store, ingress: Callable[[], Ingress], monkeypatch: pytest.MonkeyPatch
) -> None:
    start(store, share=0.5)
    one = ingress()
    before = one.ask(*range(20))

    def gone() -> list[Any]:
        raise StoreUnusable("gone")

    monkeypatch.setattr(one.catalogue.store.registry.canaries, "running", gone)
    assert one.ask(*range(20)) == before


def test_the_whole_life_of_a_trial_over_http(client: Any, store: Store, told: Any, png: bytes) -> None:
    assert client.get(PATH).status_code == 404
    put = client.request("PUT", PATH, json={"generation": 2, "share": 0.999, "limits": {"min_requests": 3}})
    assert put.status_code == 200, put.text
    assert (put.json()["state"], put.json()["against"], put.json()["limits"]["min_requests"]) == ("running", 1, 3)
    answer = client.post("/v1/models/garden/predict", content=png, headers=PNG).json()
    assert answer["model"]["generation"] == 2, "the answer says who answered"
    assert client.post("/v1/models/garden/predict?generation=1", content=png, headers=PNG).json()["model"]["generation"] == 1
    infer = {"inputs": [{"name": "images", "datatype": "BYTES", "shape": [1], "data": [_base64(png)]}]}
    assert client.post("/v2/models/garden/infer", json=infer).json()["model_version"] == "2"
    line = f'{{"image": "{_base64(png)}"}}\n'
    streamed = client.post("/v1/models/garden/predict-stream", content=line, headers={"content-type": "application/x-ndjson"})
    assert streamed.json()["model"]["generation"] == 2
    promoted = client.post(f"{PATH}/promote")
    assert (promoted.status_code, promoted.json()["state"]) == (200, "promoted")
    assert store.registry.live("garden", ONTOLOGY) == 2
    assert client.get(PATH).json()["state"] == "promoted"
    assert told.total("micromodels_canary_ends", outcome="promoted") == 1


def test_a_trial_is_withdrawn_once(client: Any, store: Store) -> None:
    assert client.request("PUT", PATH, json={"generation": 2}).json()["share"] == 0.1
    assert client.delete(PATH).json()["state"] == "withdrawn"
    again = client.delete(PATH)
    assert (again.status_code, again.json()["type"]) == (409, "urn:micromodels:conflicting-canary")
    assert store.registry.live("garden", ONTOLOGY) == 1


def test_a_trial_against_a_generation_that_is_live_no_more_is_over_and_says_so(
    client: Any, store: Store, told: Any, png: bytes, make_card: Callable[..., Card]
) -> None:
    def ask() -> Any:
        return client.post("/v1/models/garden/predict", content=png, headers=PNG).json()["model"]["generation"]

    client.request("PUT", PATH, json={"generation": 2, "share": 0.999})
    assert (ask(), told.values("micromodels_canaries")[-1]) == (2, 1)
    store.registry.publish(make_card("garden", fit_key="third"), {"w": torch.zeros(3)})
    store.registry.promote("garden", ONTOLOGY, 3, "by a fit")
    shown = client.get(PATH).json()
    assert (shown["state"], shown["reason"]) == ("superseded", "generation 3 is live, and not 1 any more")
    assert client.delete(PATH).status_code == 409
    assert (ask(), told.values("micromodels_canaries")[-1]) == (3, 0)
    assert trial(store).outcome is None, "nobody wrote that"
    store.registry.promote("garden", ONTOLOGY, 1, "back")
    assert (client.get(PATH).json()["state"], ask(), told.values("micromodels_canaries")[-1]) == ("running", 2, 1)


def test_an_ingress_that_comes_later_takes_no_part_in_a_trial_that_is_over(
    store: Store, ingress: Callable[[], Ingress], make_card: Callable[..., Card], told: Any
) -> None:
    start(store, share=0.999)
    store.registry.publish(make_card("garden", fit_key="third"), {"w": torch.zeros(3)})
    store.registry.promote("garden", ONTOLOGY, 3, "by a fit")
    one = ingress()
    assert one.ask(*range(5)) == [3] * 5
    assert one.canaries._trials == {}
    assert told.values("micromodels_canaries")[-1] == 0


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"generation": 7}, 404, "unknown-model"),
        ({"generation": 1}, 422, "already-live"),
        ({"generation": 2, "share": 1}, 422, "bad-request"),
        ({"generation": 2, "limits": {"faster": 2}}, 422, "bad-request"),
    ],
)
def test_a_trial_that_cannot_be_is_refused(client: Any, store: Store, body: dict[str, Any], status: int, kind: str) -> None:
    response = client.request("PUT", PATH, json=body)
    assert (response.status_code, response.json()["type"]) == (status, f"urn:micromodels:{kind}"), response.text
    assert trial(store) is None


def test_only_an_admin_may_try_a_generation_and_a_reader_may_look(client_of: Any, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    reader, admin = (add_key(file, name, [scope]) for name, scope in (("ann", "read"), ("bob", "admin")))
    client = client_of(keys=KeyFile(file))

    def ask(method: str, path: str, secret: str) -> int:
        sent = {"json": {"generation": 2}} if method == "PUT" else {}
        return int(client.request(method, path, headers={"authorization": f"Bearer {secret}"}, **sent).status_code)

    changes = [("PUT", PATH), ("DELETE", PATH), ("POST", f"{PATH}/promote")]
    assert [ask(*change, reader) for change in changes] == [403, 403, 403]
    assert [ask("PUT", PATH, admin), ask("GET", PATH, reader)] == [200, 200]


def test_examples_are_what_the_schemas_say() -> None:
    assert CanaryOut.model_validate(CANARY).model_dump(mode="json", exclude_none=True) == CANARY
    CanaryIn.model_validate(CANARY_BODY["content"]["application/json"]["example"])


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
