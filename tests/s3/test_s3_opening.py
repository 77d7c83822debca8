"""Opening a store on S3: who we are, where the server is, and whether it can be trusted; on a mock of S3."""

from pathlib import Path
from typing import Any

import pytest

from training.data.ontology import Ontology
from training.errors import StoreDenied, StoreUnusable
from training.store.s3 import S3Objects
from training.store.store import Store


@pytest.fixture
def url(mock_bucket: str) -> str:
    return f"s3://{mock_bucket}/x"


def puts(mock: Any) -> int:
    return sum(request.startswith("PUT") for request in mock.requests)


def test_a_server_that_ignores_preconditions_gets_no_store(mock: Any, url: str) -> None:
    mock.ignores_preconditions = True
    for _ in range(2):
        with pytest.raises(StoreUnusable, match=rf"{url}: the server let store\.json be created again.*If-None-Match"):
            Store.create(url)


def test_a_store_on_a_server_that_ignores_preconditions_is_not_opened_and_not_changed(mock: Any, url: str) -> None:
    S3Objects(url).create("store.json", b'{"schema": 1, "kind": "micromodels-store"}')
    S3Objects(url).create("ontologies/a.json", b"{}")
    mock.ignores_preconditions = True
    with pytest.raises(StoreUnusable, match="If-None-Match"):
        Store.open(url)
    assert S3Objects(url).keys("") == ["ontologies/a.json", "store.json"]
    assert S3Objects(url).read("store.json") == b'{"schema": 1, "kind": "micromodels-store"}'


def test_the_server_is_tested_once_in_a_process(mock: Any, url: str) -> None:
    Store.create(url)
    mock.requests.clear()
    for _ in range(3):
        Store.open(url)
        Store.create(url)
    assert puts(mock) == 0


def test_what_is_no_store_is_not_touched(mock: Any, url: str) -> None:
    S3Objects(url).put("holiday.jpg", b"x")
    mock.requests.clear()
    with pytest.raises(StoreUnusable, match=r"no store\.json"):
        Store.open(url)
    with pytest.raises(StoreUnusable, match=r"holiday\.jpg"):
        Store.create(url)
    assert puts(mock) == 0


def test_who_may_only_read_can_read(mock: Any, faults: Any, url: str) -> None:
    S3Objects(url).create("store.json", b'{"schema": 1, "kind": "micromodels-store"}')
    mock.fail("PUT", *[faults.answer(403, "AccessDenied")] * 2)
    store = Store.open(url)
    assert store.shards() == []
    with pytest.raises(StoreDenied, match=r"ontologies/dogs\.json: 403 AccessDenied"):
        store.add_ontology(Ontology(name="dogs", task="detection", classes=("dog",)))


def test_who_may_not_read_is_told(mock: Any, faults: Any, url: str) -> None:
    mock.fail("GET", faults.answer(403, "AccessDenied"))
    with pytest.raises(StoreDenied, match=rf"{url}/store\.json: 403 AccessDenied, as the test says; needed credentials"):
        Store.open(url)


def test_without_credentials_it_is_said_which_are_looked_for(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    for make in (Store.open, Store.create):
        with pytest.raises(StoreDenied, match=r"store\.json: .*credentials; needed AWS_ACCESS_KEY_ID and .*AWS_PROFILE"):
            make(url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "half")
    with pytest.raises(StoreDenied, match="AWS_SECRET_ACCESS_KEY"):
        Store.open(url)


def test_a_profile_says_who_we_are_and_where_the_server_is(
    mock: Any, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name)
    (tmp_path / "AWS_CONFIG_FILE").write_text(f"[profile lab]\nendpoint_url = {mock.url}\nregion = eu-central-1\n")
    secrets = "[lab]\naws_access_key_id = from-profile\naws_secret_access_key = x\n"
    (tmp_path / "AWS_SHARED_CREDENTIALS_FILE").write_text(secrets)
    monkeypatch.setenv("AWS_PROFILE", "lab")
    mock.signed_by.clear()
    assert Store.create(url).shards() == []
    assert set(mock.signed_by) == {"from-profile"}


def test_an_unknown_profile_is_named(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(StoreDenied, match=r"nobody.*AWS_PROFILE"):
        Store.open(url)


def test_an_address_that_is_none_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "no address")
    with pytest.raises(StoreUnusable, match="no address"):
        Store.open(url)
