"""A host knows the domains of the store, and notices new ones without keeping anybody waiting."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from services.looking import Looker
from services.payload import Picture
from services.settings import Settings
from training.data.pictures import encode_jpeg
from training.data.sources import probe
from training.domain.candidates import Candidates, Chosen
from training.domain.describe import describe_each, undescribed
from training.domain.nearest import Abstention
from training.errors import BadPicture, HostUnavailable, StoreUnusable
from training.models.backbones import Backbone
from training.models.eye import Eye
from training.store.card import Card
from training.store.store import Store

PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def eye() -> Eye:
    return Eye(Backbone(weights="none"))


def stripes(colour: tuple[int, int, int], number: int) -> np.ndarray:
    picture_HW3 = np.full((48, 64, 3), 30, np.uint8)
    picture_HW3[:, number::8] = colour
    return picture_HW3


@pytest.fixture
def striped(tmp_path: Path, eye: Eye) -> tuple[Store, Callable[[str, tuple[int, int, int]], None]]:
    """An empty store, and a function that adds a live and described shard of striped pictures to it."""
    store = Store.create(str(tmp_path / "store"))

    def add(shard_id: str, colour: tuple[int, int, int]) -> None:
        folder = tmp_path / shard_id
        folder.mkdir()
        for number in range(4):
            (folder / f"{number}.jpg").write_bytes(encode_jpeg(stripes(colour, number), 95))
        store.add_shard(probe(str(folder), shard_id=shard_id))
        card = Card(shard_id=shard_id, ontology="cars", task="detection", classes=("car",), fit_key="x")
        store.registry.promote(shard_id, "cars", store.registry.publish(card, {"w": torch.zeros(1)}).generation, "test")
        list(describe_each(store, eye, undescribed(store, eye, [shard_id])))

    return store, add


def looker(store: Store, clock: Callable[[], float] = lambda: 0.0, **values: Any) -> Looker:
    return Looker(store, Settings(store=store.url, eye_weights="none", **values), clock)


def newer(host: Looker, older: Candidates) -> Candidates:
    """What it has once it has read the store again; meanwhile it may answer with what it had."""
    until = time.monotonic() + PATIENCE_S
    while (found := host.candidates()) is older:
        assert time.monotonic() < until
    return found


def picture(colour: tuple[int, int, int]) -> Picture:
    return Picture(name="picture", data=encode_jpeg(stripes(colour, 1), 90), num_pixels=48 * 64)


def test_pictures_are_decoded_and_looked_at(striped: Any) -> None:
    store, add = striped
    add("red", (250, 40, 40))
    host = looker(store)
    noise = encode_jpeg(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))
    frames = host.decoded([picture((250, 40, 40)), Picture(name="noise", data=noise, num_pixels=48 * 64)])
    looked = host.look(host.candidates(), frames, [None, None], None)
    first, second = looked.answers
    assert isinstance(first, Chosen)
    assert first.shard_id == "red"
    assert isinstance(second, Abstention)
    assert second.reason == "outside"
    assert looked.sizes_wh == ((64, 48), (64, 48))
    assert (looked.num_domains, looked.num_undescribed) == (1, 0)
    with pytest.raises(BadPicture):
        host.decoded([Picture(name="picture", data=b"\xff\xd8 no", num_pixels=1)])


def test_a_shard_that_is_new_is_noticed_when_it_is_time(striped: Any) -> None:
    store, add = striped
    now = [0.0]
    host = looker(store, lambda: now[0], live_ttl_s=2.0)
    assert host.candidates().domains.shard_ids == ()
    add("red", (250, 40, 40))
    older = host.candidates()
    assert older.domains.shard_ids == ()
    now[0] = 2.0
    assert newer(host, older).domains.shard_ids == ("red",)


def test_nobody_waits_long_for_newer_domains(striped: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store, add = striped
    monkeypatch.setattr("services.looking.PATIENCE_S", 0.01)
    host = looker(store, live_ttl_s=0.0)
    older = host.candidates()
    add("red", (250, 40, 40))
    slow, listing = threading.Event(), store.registry.live_models
    monkeypatch.setattr(store.registry, "live_models", lambda: slow.wait(PATIENCE_S) and listing())
    assert host.candidates() is older
    slow.set()
    assert newer(host, older).domains.shard_ids == ("red",)


def test_what_is_known_stays_while_the_store_is_away(striped: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store, add = striped
    add("red", (250, 40, 40))
    host = looker(store, live_ttl_s=0.0)
    assert host.candidates().domains.shard_ids == ("red",)

    def away() -> None:
        raise StoreUnusable("away")

    monkeypatch.setattr(store.registry, "live_models", away)
    assert host.candidates().domains.shard_ids == ("red",)
    fresh = looker(store)
    with pytest.raises(StoreUnusable, match="away"):
        fresh.candidates()
    monkeypatch.undo()
    assert fresh.candidates().domains.shard_ids == ("red",)


def test_a_network_that_cannot_be_had_is_no_fault_of_the_client(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path / "store"))
    host = Looker(store, Settings(store=store.url, eye_backbone="no_such_network"))
    with pytest.raises(HostUnavailable, match="no_such_network"):
        host.candidates()


def test_a_store_that_is_described_for_another_network_is_said_in_the_log(striped: Any, caplog: pytest.LogCaptureFixture) -> None:
    store, add = striped
    add("red", (250, 40, 40))
    host = Looker(store, Settings(store=store.url, eye_backbone="resnet18", eye_weights="none"))
    assert host.candidates().undescribed == ("red",)
    assert "no live shard is described for eye=resnet18-" in caplog.text
    assert "mobilenet_v2-" in caplog.text
