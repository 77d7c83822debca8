import asyncio
from typing import Any, cast

import pytest

from services import near_host
from services.near_host import NearHost
from services.settings import Settings
from training.errors import BadPicture, TimedOut


class Host:
    """Answers in its own time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def predict(self, card: Any, pictures: Any) -> Any:
        if pictures == "broken":
            raise BadPicture("broken")
        await asyncio.sleep(float(pictures))
        return card


@pytest.fixture
def near(monkeypatch: pytest.MonkeyPatch) -> NearHost:
    monkeypatch.setattr(near_host, "Host", Host)
    return NearHost(Settings(store="any", request_timeout_s=0.05))


def test_a_host_that_takes_too_long_is_given_up(near: NearHost) -> None:
    with pytest.raises(TimedOut, match=r"within 0\.05 s"):
        asyncio.run(near.predict(cast(Any, "card"), cast(Any, "30")))


def test_answers_and_errors_come_through_as_they_are(near: NearHost) -> None:
    assert asyncio.run(near.predict(cast(Any, "card"), cast(Any, "0"))) == "card"
    with pytest.raises(BadPicture, match="broken"):
        asyncio.run(near.predict(cast(Any, "card"), cast(Any, "broken")))
