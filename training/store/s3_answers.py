"""What S3 servers and botocore say when something is wrong, under the names this system knows."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore import exceptions

from training.errors import MicroModelError, MissingObject, StoreDenied, StoreFull, StoreUnreachable, StoreUnusable, one_line

__all__ = ["named_answers", "status_of"]

_FULL = ("QuotaExceeded", "InsufficientStorage", "InsufficientCapacity", "XMinioStorageFull")
_DENIED = ("ExpiredToken", "InvalidToken", "TokenRefreshRequired")  # these come with status 400
_ON_THE_WAY = (
    exceptions.ConnectionError,
    exceptions.FlexibleChecksumError,
    exceptions.HTTPClientError,
    exceptions.IncompleteReadError,
)
_CREDENTIALS = (
    exceptions.CredentialRetrievalError,
    exceptions.LoginError,
    exceptions.MetadataRetrievalError,
    exceptions.NoCredentialsError,
    exceptions.PartialCredentialsError,
    exceptions.ProfileNotFound,
    exceptions.SSOError,
    exceptions.TokenRetrievalError,
)


@contextmanager
def named_answers(where: str) -> Iterator[None]:
    """Turn what goes wrong inside into an error that says where it was.

    Raises:
        MissingObject: no such object.
        StoreDenied: no credentials, or the server refuses them.
        StoreFull: no room, or a quota is used up.
        StoreUnreachable: no answer, or only 5xx, after all attempts; a write may have arrived all the same.
        StoreUnusable: no such bucket, and everything else.
    """
    try:
        yield
    except exceptions.ClientError as error:
        raise _of_answer(error, where) from error
    except _CREDENTIALS as error:
        needed = "needed AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or a role"
        raise StoreDenied(f"{where}: {one_line(error)}; {needed}") from error
    except _ON_THE_WAY as error:
        raise StoreUnreachable(
            f"{where}: {one_line(error)}; needed a server that answers (AWS_ENDPOINT_URL says where)"
        ) from error
    except (exceptions.BotoCoreError, ValueError) as error:
        raise StoreUnusable(f"{where}: {one_line(error)}; needed s3://bucket/path and AWS settings that can be used") from error


def status_of(error: exceptions.ClientError) -> int:
    """The HTTP status of an answer."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _of_answer(error: exceptions.ClientError, where: str) -> MicroModelError:
    code, status = str(error.response.get("Error", {}).get("Code")), status_of(error)
    said = f"{where}: {status} {code}, {_message(error)}"
    if code == "NoSuchBucket":
        return StoreUnusable(f"{where}: no such bucket, needed one that exists")
    if status == 404:
        return MissingObject(f"{where}: no such object")
    if status == 507 or code in _FULL:
        return StoreFull(f"{said}; nothing was committed, needed room for the write")
    if status in (401, 403) or code in _DENIED:
        return StoreDenied(f"{said}; needed credentials that may do this")
    if status in (429, *range(500, 600)):
        return StoreUnreachable(f"{said}, after {_num_attempts(error)}; needed a server that answers")
    if status == 411:
        return StoreUnusable(f"{said}; needed AWS_REQUEST_CHECKSUM_CALCULATION=when_required for this server")
    return StoreUnusable(f"{said}; needed a bucket we may read and write")


def _message(error: exceptions.ClientError) -> str:
    return " ".join(str(error.response.get("Error", {}).get("Message") or "no reason given").split())


def _num_attempts(error: exceptions.ClientError) -> str:
    answers: dict[str, Any] = error.response.get("ResponseMetadata", {})
    return f"{1 + int(answers.get('RetryAttempts', 0))} attempts"
