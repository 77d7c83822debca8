import asyncio
from collections.abc import Coroutine, Generator
from typing import Any

import pytest
from ray.exceptions import RayActorError, RayTaskError
from ray.serve.exceptions import BackPressureError

from services.ingress import RemoteHosts
from training.errors import BadPicture, HostsBusy, HostUnavailable, TimedOut


class Response:
    """What a handle gives: to be awaited, or cancelled."""

    def __init__(self, answer: Coroutine[Any, Any, None]) -> None:
        self._answer, self.cancelled = answer, False

    def __await__(self) -> Generator[Any, None, None]:
        return self._answer.__await__()

    def cancel(self) -> None:
        self.cancelled = True


class Handle:
    """The far side of the network: calling `check` gives `response`."""

    def __init__(self, response: Response) -> None:
        self._response = response

    @property
    def check(self) -> "Handle":
        return self

    def remote(self) -> Response:
        return self._response


async def fails(error: Exception) -> None:
    raise error


def check(answer: Coroutine[Any, Any, None]) -> None:
    asyncio.run(hosts_of(Response(answer)).check())


def hosts_of(response: Response) -> RemoteHosts:
    return RemoteHosts(Handle(response), timeout_s=5.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "error", [RayActorError(), BackPressureError(num_queued_requests=9, max_queued_requests=9)], ids=["dead host", "full queue"]
)
def test_a_host_that_cannot_answer_is_unavailable(error: Exception) -> None:
    with pytest.raises(HostUnavailable, match=type(error).__name__):
        check(fails(error))


def test_a_full_queue_is_told_from_a_host_that_is_gone() -> None:
    with pytest.raises(HostsBusy):
        check(fails(BackPressureError(num_queued_requests=9, max_queued_requests=9)))
    with pytest.raises(HostUnavailable) as caught:
        check(fails(RayActorError()))
    assert not isinstance(caught.value, HostsBusy)


def test_what_a_host_raises_arrives_without_rays_wrapping() -> None:
    wrapped = RayTaskError("predict", "Traceback of the host", BadPicture("picture 0: cut short")).as_instanceof_cause()
    with pytest.raises(BadPicture) as caught:
        check(fails(wrapped))
    assert str(caught.value) == "picture 0: cut short"
    assert not isinstance(caught.value, RayTaskError)


def test_an_answer_that_does_not_come_is_timed_out_and_the_host_told_to_give_it_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.ingress.CHECK_TIMEOUT_S", 0.01)
    response = Response(asyncio.sleep(60))
    with pytest.raises(TimedOut, match=r"within 0\.01 s"):
        asyncio.run(hosts_of(response).check())
    assert response.cancelled


def test_an_answer_that_comes_is_not_cancelled() -> None:
    response = Response(asyncio.sleep(0))
    asyncio.run(hosts_of(response).check())
    assert not response.cancelled
