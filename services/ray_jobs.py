"""Ray's Jobs API, at the one address that the settings name."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, NoReturn, TypeVar

from ray.dashboard.modules.dashboard_sdk import SubmissionClient
from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient

from services.submitting import ClusterJob, JobState
from training.errors import JobsUnavailable

__all__ = ["RayJobs"]

_STATES: Mapping[JobStatus, JobState] = {
    JobStatus.PENDING: "queued",
    JobStatus.RUNNING: "running",
    JobStatus.SUCCEEDED: "succeeded",
    JobStatus.FAILED: "failed",
    JobStatus.STOPPED: "stopped",
}
_log = logging.getLogger(__name__)
Answer = TypeVar("Answer")


class RayJobs:
    """The Submitter of a Ray cluster; commands run in `runtime_env`."""

    def __init__(self, address: str, *, runtime_env: Mapping[str, Any], timeout_s: float) -> None:
        self._address, self._runtime_env, self._timeout_s = address, dict(runtime_env), timeout_s

    async def submit(self, name: str, command: str) -> None:
        def ask(client: "_Client") -> None:
            try:
                client.submit_job(entrypoint=command, submission_id=name, runtime_env=self._runtime_env)
            except _Refused:
                if _found(client, name) is None:  # else somebody submitted it meanwhile
                    raise

        await self._asked(ask)

    async def find(self, name: str) -> ClusterJob | None:
        details = await self._asked(lambda client: _found(client, name))
        if details is None:
            return None
        started_at, ended_at = _when(details.start_time), _when(details.end_time)
        return ClusterJob(state=_STATES[details.status], started_at=started_at, ended_at=ended_at)

    async def stop(self, name: str) -> None:
        def ask(client: "_Client") -> None:
            details = _found(client, name)
            if details is not None and not details.status.is_terminal():
                client.stop_job(name)

        await self._asked(ask)

    async def _asked(self, ask: Callable[["_Client"], Answer]) -> Answer:
        """
        Raises:
            JobsUnavailable: no connection, no answer in time, no token, or an answer that is an error.
        """
        try:
            return await asyncio.to_thread(lambda: ask(_Client(self._address, self._timeout_s)))
        except (AuthenticationError, OSError, _Refused) as error:  # what `requests` raises is an OSError
            _log.warning("jobs unavailable address=%s error=%r", self._address, error)
            raise JobsUnavailable(f"{self._address}: {type(error).__name__}, needed a Jobs API that answers us") from error


class _Refused(Exception):
    """The Jobs API answered with an error; args: status, text."""


class _Client(JobSubmissionClient):
    """Ray's own client, which by itself would go to RAY_ADDRESS whatever it is told, and wait for ever."""

    def __init__(self, address: str, timeout_s: float) -> None:
        SubmissionClient.__init__(self, address)
        self._timeout_s = timeout_s

    def _do_request(self, method: str, endpoint: str, **sent: Any) -> Any:
        return super()._do_request(method, endpoint, **{"timeout": self._timeout_s, **sent})

    def _raise_error(self, r: Any) -> NoReturn:
        raise _Refused(r.status_code, r.text[:500])


def _found(client: _Client, name: str) -> JobDetails | None:
    try:
        return client.get_job_info(name)
    except _Refused as error:
        if error.args[0] == HTTPStatus.NOT_FOUND:
            return None
        raise


def _when(unix_ms: int | None) -> str | None:
    return None if unix_ms is None else datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat(timespec="seconds")
