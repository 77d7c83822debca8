"""Errors as HTTP: RFC 9457 problem documents, and the one table from error class to status."""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from services.schemas import Problem
from training import errors

__all__ = ["STATUS_OF", "problem_of_error", "problem_of_http", "problem_of_validation", "problem_response", "status_of"]

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 2

STATUS_OF: Mapping[type[errors.MicroModelError], HTTPStatus] = {
    errors.MicroModelError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.BadInput: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.BadShardId: HTTPStatus.NOT_FOUND,
    errors.ConflictingAction: HTTPStatus.CONFLICT,
    errors.UnknownFrame: HTTPStatus.NOT_FOUND,
    errors.UnknownShard: HTTPStatus.NOT_FOUND,
    errors.UnknownOntology: HTTPStatus.NOT_FOUND,
    errors.UnknownModel: HTTPStatus.NOT_FOUND,
    errors.TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.UnsupportedMediaType: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.StoreUnusable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.StoreFull: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.HostUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.TimedOut: HTTPStatus.GATEWAY_TIMEOUT,
}


def status_of(error: Exception) -> HTTPStatus:
    """The status of the nearest base class that the table names; 500 for what nobody named."""
    found = (STATUS_OF[base] for base in type(error).__mro__ if base in STATUS_OF)
    return next(found, HTTPStatus.INTERNAL_SERVER_ERROR)


def problem_response(
    request: Request,
    status: HTTPStatus,
    *,
    kind: str,
    detail: str,
    headers: Mapping[str, str] | None = None,
    invalid: Sequence[Mapping[str, Any]] = (),
) -> JSONResponse:
    """A problem document; what went wrong inside (any 5xx) is told to the log, not to the client."""
    problem = Problem(
        type=f"urn:micromodels:{kind}",
        title=status.phrase,
        status=status.value,
        detail=detail if status < HTTPStatus.INTERNAL_SERVER_ERROR else status.description or status.phrase,
        instance=request.url.path,
        request_id=request.scope.get("request_id", ""),
        errors=[dict(one) for one in invalid] or None,
    )
    extra = {"Retry-After": str(RETRY_AFTER_S)} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    body = problem.model_dump(exclude_none=True)
    return JSONResponse(body, status.value, {**extra, **(headers or {})}, MEDIA_TYPE)


def problem_of_error(request: Request, error: Exception) -> JSONResponse:
    """For every error raised on purpose, and (as 500) for every other."""
    kind = _kebab(type(error).__name__) if isinstance(error, errors.MicroModelError) else "internal-error"
    return problem_response(request, status_of(error), kind=kind, detail=str(error))


def problem_of_http(request: Request, error: Exception) -> JSONResponse:
    """For what the web framework refuses: no such route, wrong method."""
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    return problem_response(request, status, kind=_kebab(status.name.title()), detail=str(error.detail), headers=error.headers)


def problem_of_validation(request: Request, error: Exception) -> JSONResponse:
    """For parameters of the wrong type or range; says which, not what was sent."""
    assert isinstance(error, RequestValidationError)
    invalid = [{"in": [str(step) for step in one["loc"]], "message": one["msg"]} for one in error.errors()]
    detail = "; ".join(f"{'.'.join(one['in'])}: {one['message']}" for one in invalid)
    return problem_response(request, HTTPStatus.UNPROCESSABLE_ENTITY, kind="bad-parameter", detail=detail, invalid=invalid)


def _kebab(name: str) -> str:
    return re.sub(r"(?<=[a-z])_?(?=[A-Z])", "-", name).lower()
