"""Who is let in: without keys only this machine, with keys whoever has one of the scope that the route needs."""

import os
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBasic, HTTPBasicCredentials, HTTPBearer, SecurityScopes
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from services.keys import KeyFile
from training.errors import Forbidden, KeysNeeded, Unauthorized

__all__ = [
    "ADMIN",
    "ANNOTATE",
    "BEHIND_HAPROXY",
    "JOBS",
    "PREDICT",
    "READ",
    "TOOL_ANNOTATE",
    "TOOL_PREDICT",
    "admit",
    "admit_tool",
]

_SAFE = ("GET", "HEAD", "OPTIONS")
_OWN_SITE = ("same-origin", "none")  # none: a person, and no page
BEHIND_HAPROXY = os.environ.get("RAY_SERVE_ENABLE_HA_PROXY") == "1"  # it connects to its node's ingress by loopback, whoever asks
_BEARER = HTTPBearer(auto_error=False, scheme_name="key", description="An API key; docs/security.md")


class _Basic(HTTPBasic):
    """What is not basic authentication is no key, and refused like no key."""

    async def __call__(self, request: HTTPConnection) -> HTTPBasicCredentials | None:  # type: ignore[override] # as its base
        try:
            return await super().__call__(request)
        except HTTPException:
            return None


_BASIC = _Basic(auto_error=False, scheme_name="tool", description="An API key as the password, whatever the user")


async def admit(
    request: Request, needed: SecurityScopes, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]
) -> None:
    """Runs before anything of the request but its head is looked at; keys are in `app.state.keys`, None without.

    Raises:
        KeysNeeded: there are no keys, and the request came from outside, or by a name that a page outside may have chosen, or
            through HAProxy, behind which nobody knows, or from a page of another site and not only to read.
        Unauthorized: no key, or one that nobody has.
        Forbidden: a key without the scope.
        KeysUnusable: the file of keys cannot be read now.
    """
    keys: KeyFile | None = request.app.state.keys
    if keys is None:
        _check_loopback(request)
        return
    if given is None:
        raise Unauthorized("no key, needed 'Authorization: Bearer …'")
    key = keys.find(given.credentials)
    if key is None:
        raise Unauthorized("a key that is not known")
    request.scope["key"] = key.name
    _check_scopes(key.name, [scope for scope in needed.scopes if not key.may(scope)])


async def admit_tool(
    request: Request,
    needed: SecurityScopes,
    given: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)],
    basic: Annotated[HTTPBasicCredentials | None, Depends(_BASIC)],
) -> None:
    """As `admit`, for tools that know basic authentication only: the key is the password. Raises as `admit`."""
    if given is None and basic is not None:
        given = HTTPAuthorizationCredentials(scheme="Bearer", credentials=basic.password)
    await admit(request, needed, given)


def _check_scopes(name: str, missing: Sequence[str]) -> None:
    if missing:
        raise Forbidden(f"key {name} has not the scope {', '.join(missing)}")


def _check_loopback(request: Request) -> None:
    """The address that was connected to is this machine's own, and so is the name in the request (DNS can be rebound).

    What may change something is not asked for by a page of another site: browsers send some of that without asking first.
    """
    if BEHIND_HAPROXY:
        raise KeysNeeded("the service has no keys, and HAProxy in front of it makes everybody look local")
    address, _ = request.scope.get("server") or ("", None)
    if not _is_loopback(address):
        raise KeysNeeded("the service has no keys, so that only its own machine is answered")
    if not _is_loopback(_hostname(request)):
        raise KeysNeeded("the service has no keys, so that it answers only to the name localhost and loopback addresses")
    if request.method not in _SAFE and (page := _foreign_page(request)) is not None:
        raise KeysNeeded(
            f"the service has no keys, so that pages of other sites may change nothing: {page}, needed its own origin"
        )


def _foreign_page(request: Request) -> str | None:
    """What the browser says of the page that sent the request, if that is not of the very host and port that it asks."""
    host = request.headers.get("host", "").lower()
    for origin in request.headers.getlist("origin"):
        if _netloc(origin) != host:
            return f"Origin {origin!r:.100}"
    for site in request.headers.getlist("sec-fetch-site"):
        if site.strip().lower() not in _OWN_SITE:
            return f"Sec-Fetch-Site {site!r:.100}"
    return None


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _hostname(request: Request) -> str:
    try:
        return urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    except ValueError:
        return ""


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


READ: Any = Security(admit, scopes=["read"])
PREDICT: Any = Security(admit, scopes=["predict"])
ANNOTATE: Any = Security(admit, scopes=["annotate"])
JOBS: Any = Security(admit, scopes=["jobs"])
ADMIN: Any = Security(admit, scopes=["admin"])
TOOL_PREDICT: Any = Security(admit_tool, scopes=["predict"])
TOOL_ANNOTATE: Any = Security(admit_tool, scopes=["annotate"])
