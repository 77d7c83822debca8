"""The deployment that faces HTTP: the API over a catalogue of its own, and a handle to the hosts or a host of its own."""

import asyncio
import logging
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import ray
from fastapi import FastAPI
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle

from services.answering import Answer
from services.api import create_api
from services.catalogue import Catalogue
from services.gate import BEHIND_HAPROXY
from services.keys import KeyFile
from services.line_answering import LineAnswer
from services.looking import Asked, Looked
from services.measures import RayMeters
from services.near_host import NearHost
from services.payload import Picture
from services.ray_jobs import RayJobs
from services.settings import Settings
from services.tracing import tracer_of
from training.errors import HostsBusy, HostUnavailable, TimedOut
from training.lines.ready import ReadyLine
from training.store.card import Card
from training.store.store import Store

__all__ = ["Ingress", "RemoteHosts"]

CHECK_TIMEOUT_S = 5.0
Result = TypeVar("Result", covariant=True)
_log = logging.getLogger(__name__)


class Ingress:
    """Wrapped by serve.ingress(), which asks it for its app once it is constructed."""

    def __init__(self, settings: Settings, host: DeploymentHandle[Any] | None) -> None:
        """host: None for one in this process."""
        logging.getLogger("services").setLevel(logging.INFO)
        self._settings = settings
        self._catalogue = Catalogue(Store.open(settings.store), ttl_s=settings.live_ttl_s)
        self._hosts = NearHost(settings) if host is None else RemoteHosts(host, timeout_s=settings.request_timeout_s)
        self._keys = None if settings.keys_file is None else KeyFile(Path(settings.keys_file))
        if self._keys is None:
            _log.warning("no keys: %s is answered", "nobody, behind HAProxy," if BEHIND_HAPROXY else "only loopback")

    def __serve_build_asgi_app__(self) -> FastAPI:
        watching = RayMeters(), tracer_of(self._settings)
        return create_api(self._catalogue, self._hosts, self._settings, self._keys, self._jobs(), *watching)

    def _jobs(self) -> RayJobs | None:
        """Jobs run what the service itself runs: in its runtime environment."""
        address = self._settings.jobs_address
        if address is None:
            return None
        runtime_env = ray.get_runtime_context().runtime_env.to_dict()
        return RayJobs(address, runtime_env=runtime_env, timeout_s=self._settings.jobs_timeout_s)


class RemoteHosts:
    """The host deployment, with Ray's errors translated into ours."""

    def __init__(self, host: DeploymentHandle[Any], *, timeout_s: float) -> None:
        self._host = host
        self._timeout_s = timeout_s

    async def predict(self, card: Card, pictures: Sequence[Picture]) -> Answer:
        answer: Answer = await _translated(self._host.predict.remote(card, pictures), self._timeout_s)
        return answer

    async def run_line(self, line: ReadyLine, pictures: Sequence[Picture]) -> LineAnswer:
        answer: LineAnswer = await _translated(self._host.run_line.remote(line, pictures), self._timeout_s)
        return answer

    async def predict_each(self, asked: Sequence[tuple[Card, Sequence[Picture]]]) -> list[Answer]:
        answers: list[Answer] = await _translated(self._host.predict_each.remote(asked), self._timeout_s)
        return answers

    async def look(self, asked: Sequence[Asked], ontology: str | None) -> Looked:
        looked: Looked = await _translated(self._host.look.remote(asked, ontology), self._timeout_s)
        return looked

    async def check(self) -> None:
        await _translated(self._host.check.remote(), CHECK_TIMEOUT_S)


class _Response(Protocol[Result]):
    """What a handle gives."""

    def __await__(self) -> Generator[Any, None, Result]: ...

    def cancel(self) -> object:
        """Have the deployment give it up."""
        ...


async def _translated(response: _Response[Result], timeout_s: float) -> Result:
    """
    Raises:
        TimedOut: no answer within `timeout_s`; the host was told to give it up.
        HostsBusy: too many requests wait for one.
        HostUnavailable: the host died.
        Exception: what the host raised, as it raised it.
    """
    try:
        return await asyncio.wait_for(response, timeout_s)
    except TimeoutError as error:
        response.cancel()  # to stop waiting does not stop the host
        raise TimedOut(f"no host answered within {timeout_s} s") from error
    except RayTaskError as error:
        raise error.cause from error
    except BackPressureError as error:
        raise HostsBusy(f"no host can answer now: {type(error).__name__}") from error
    except (RayError, RayServeException) as error:
        _log.warning("host unavailable error=%r", error)
        raise HostUnavailable(f"no host can answer now: {type(error).__name__}") from error
