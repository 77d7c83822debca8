"""Errors as HTTP: RFC 9457 problem documents, and the one table from error class to status."""

import logging
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from services.schemas import Problem
from services.tally import tally
from training import errors

__all__ = ["REFUSALS", "STATUS_OF", "as_problem", "problem_of_error", "problem_of_http", "problem_of_validation", "status_of"]

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 2
REFUSALS = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}  # not the request's fault
_log = logging.getLogger(__name__)

STATUS_OF: Mapping[type[errors.MicroModelError], HTTPStatus] = {
    errors.MicroModelError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.BadInput: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.BadShardId: HTTPStatus.NOT_FOUND,
    errors.ConflictingAction: HTTPStatus.CONFLICT,
    errors.ConflictingCanary: HTTPStatus.CONFLICT,
    errors.ConflictingJob: HTTPStatus.CONFLICT,
    errors.NoResult: HTTPStatus.CONFLICT,
    errors.UnknownJob: HTTPStatus.NOT_FOUND,
    errors.JobsNotConfigured: HTTPStatus.NOT_IMPLEMENTED,
    errors.JobsUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.ConflictingRules: HTTPStatus.CONFLICT,
    errors.UnknownFrame: HTTPStatus.NOT_FOUND,
    errors.UnknownLine: HTTPStatus.NOT_FOUND,
    errors.UnknownShard: HTTPStatus.NOT_FOUND,
    errors.UnknownOntology: HTTPStatus.NOT_FOUND,
    errors.UnknownModel: HTTPStatus.NOT_FOUND,
    errors.TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.TooSlow: HTTPStatus.REQUEST_TIMEOUT,
    errors.UnsupportedMediaType: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.Unauthorized: HTTPStatus.UNAUTHORIZED,
    errors.Forbidden: HTTPStatus.FORBIDDEN,
    errors.KeysNeeded: HTTPStatus.FORBIDDEN,
    errors.KeysUnusable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.StoreUnusable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.StoreFull: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.HostUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.TimedOut: HTTPStatus.GATEWAY_TIMEOUT,
}
CHALLENGE_OF: Mapping[type[Exception], str] = {
    errors.Unauthorized: 'Bearer realm="micromodels"',
    errors.Forbidden: 'Bearer realm="micromodels", error="insufficient_scope"',
}


def status_of(error: Exception) -> HTTPStatus:
    """The status of the nearest base class that the table names; 500 for what nobody named."""
    found = (STATUS_OF[base] for base in type(error).__mro__ if base in STATUS_OF)
    return next(found, HTTPStatus.INTERNAL_SERVER_ERROR)


def as_problem(request: Request, error: Exception) -> Problem:
    """For every error raised on purpose, and (as 500) for every other."""
    kind = _kebab(type(error).__name__) if isinstance(error, errors.MicroModelError) else "internal-error"
    return _problem(request, status_of(error), kind=kind, detail=str(error))


def problem_of_error(request: Request, error: Exception) -> JSONResponse:
    """As `as_problem`, with a challenge where a key is missing."""
    challenge = CHALLENGE_OF.get(type(error))
    return _response(as_problem(request, error), {} if challenge is None else {"WWW-Authenticate": challenge})


def problem_of_http(request: Request, error: Exception) -> JSONResponse:
    """For what the web framework refuses: no such route, wrong method."""
    assert isinstance(error, HTTPException)
    status, headers = HTTPStatus(error.status_code), error.headers or {}
    if status == HTTPStatus.METHOD_NOT_ALLOWED and "app" in request.scope:
        headers = {**headers, "Allow": ", ".join(sorted(_methods(request)))}
    return _response(_problem(request, status, kind=_kebab(status.name.title()), detail=str(error.detail)), headers)


def problem_of_validation(request: Request, error: Exception) -> JSONResponse:
    """For parameters of the wrong type or range; says which, not what was sent."""
    assert isinstance(error, RequestValidationError)
    invalid = [{"in": [str(step) for step in one["loc"]], "message": one["msg"]} for one in error.errors()]
    detail = "; ".join(f"{'.'.join(one['in'])}: {one['message']}" for one in invalid)
    return _response(_problem(request, HTTPStatus.UNPROCESSABLE_ENTITY, kind="bad-parameter", detail=detail, invalid=invalid), {})


def _problem(
    request: Request, status: HTTPStatus, *, kind: str, detail: str, invalid: Sequence[Mapping[str, Any]] = ()
) -> Problem:
    """What went wrong inside (any 5xx but 501) is told to the log, not to the client."""
    tells = status < HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.NOT_IMPLEMENTED
    said = detail if tells else status.description or status.phrase
    if status in REFUSALS:
        tally().refusals[kind] += 1
    request_id, path = request.scope.get("request_id", ""), request.scope["path"]
    _log.info("refused request_id=%s status=%d kind=%s path=%r detail=%r", request_id, status, kind, path, detail)
    return Problem(
        type=f"urn:micromodels:{kind}",
        title=status.phrase,
        status=status.value,
        detail=said,
        instance=request.url.path,
        request_id=request_id,
        errors=[dict(one) for one in invalid] or None,
        error=said if path.startswith("/v2") else None,
    )


def _methods(request: Request) -> set[str]:
    """Of every route that the path is of; the framework names those of the first."""
    routes = [one for one in request.app.routes if isinstance(one, Route) and one.matches(request.scope)[0] != Match.NONE]
    return {method for one in routes for method in one.methods or ()}


def _response(problem: Problem, headers: Mapping[str, str]) -> JSONResponse:
    waits = problem.status == HTTPStatus.SERVICE_UNAVAILABLE
    extra = {"Retry-After": str(RETRY_AFTER_S)} if waits else {}
    return JSONResponse(problem.model_dump(exclude_none=True), problem.status, {**extra, **headers}, MEDIA_TYPE)


def _kebab(name: str) -> str:
    return re.sub(r"(?<=[a-z])_?(?=[A-Z])", "-", name).lower()
