"""Which picture a task is about: a frame of the store, or a file that somebody uploaded to the Label Studio of the settings.

Nothing else is ever fetched. A frame is named, by `shard_id` and `frame_index` in the task's data or by the end of a URL of ours,
and read from the store.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import urllib3

from services.frame_pictures import frame_jpeg
from services.payload import Picture, measured
from services.settings import Settings
from training.data.identifiers import check_identifier
from training.domain.metadata import Metadata
from training.errors import BadRequest, ForeignPicture, TimedOut
from training.store.store import Store

__all__ = ["Subject", "picture_of", "subject_of"]

TIMEOUT_S: Final = 20.0
_OURS: Final = re.compile(r"/v1/shards/([^/]+)/frames/([0-9]{1,9})\.jpg$")
_UPLOADED: Final = re.compile(r"/data/upload/[0-9]+/[A-Za-z0-9._~%-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a task is about.

    shard_id: None if it does not say. frame_index: None if it is not a frame of the store. url: of the picture, as given.
    """

    shard_id: str | None
    frame_index: int | None
    url: str
    about: Metadata

    @property
    def frame(self) -> tuple[str, int] | None:
        return None if self.shard_id is None or self.frame_index is None else (self.shard_id, self.frame_index)


def subject_of(data: Mapping[str, Any], image_key: str) -> Subject:
    """By the data of a task and the key of it that the project shows.

    Raises:
        BadRequest: `frame_index` is no number, or there without `shard_id`.
        BadShardId: a shard id that cannot be one.
    """
    url = data.get(image_key)
    url = url if isinstance(url, str) else ""
    shard_id, frame_index = data.get("shard_id"), data.get("frame_index")
    about = Metadata(**{name: data[name] for name in ("video", "sensor") if isinstance(data.get(name), str)})
    if shard_id is None and frame_index is None and (found := _OURS.search(_path(url))):
        shard_id, frame_index = unquote(found[1]), found[2]
    if shard_id is not None:
        shard_id = check_identifier(str(shard_id), "shard id")
    if frame_index is not None and (shard_id is None or not re.fullmatch(r"[0-9]{1,9}", str(frame_index))):
        raise BadRequest(f"frame_index {frame_index!r:.40} of shard {shard_id!r:.40}, needed a number from 0 and its shard_id")
    return Subject(shard_id=shard_id, frame_index=None if frame_index is None else int(frame_index), url=url, about=about)


def _path(url: str) -> str:
    """'' of what is no URL."""
    try:
        return urlsplit(url).path
    except ValueError:
        return ""


def picture_of(subject: Subject, store: Store, settings: Settings) -> Picture:
    """Blocks on the store, or on Label Studio.

    Raises:
        UnknownShard, UnknownFrame, StoreUnusable: as frame_jpeg.
        ForeignPicture: neither a frame nor an upload, or uploads may not be fetched.
        BadPicture, TooLarge: as measured.
        TimedOut: Label Studio does not answer.
    """
    if (frame := subject.frame) is not None:
        return measured(frame_jpeg(store, *frame), f"{frame[0]} frame {frame[1]}", settings)
    return measured(_uploaded(subject.url, settings), "upload", settings)


def _uploaded(url: str, settings: Settings) -> bytes:
    """The address is put together from the settings and a path that was checked: redirects are not followed."""
    base, token = settings.label_studio_url, settings.label_studio_token
    path = url.removeprefix(base.rstrip("/")) if base is not None else url
    if not _UPLOADED.fullmatch(path) or re.search(r"%2f|%5c", path, re.IGNORECASE) or ".." in unquote(path):
        needed = "shard_id and frame_index in its data, or a file uploaded to Label Studio"
        raise ForeignPicture(f"picture {url[:100]!r}: neither a frame of the store nor an upload, needed {needed}")
    if base is None or token is None:
        raise ForeignPicture(f"picture {url[:100]!r}: needed the settings label_studio_url and label_studio_token to fetch it")
    return _fetched(f"{base.rstrip('/')}{path}", token.get_secret_value(), settings.max_image_bytes)


def _fetched(url: str, token: str, max_bytes: int) -> bytes:
    headers = {"Authorization": f"Token {token}", "Accept-Encoding": "identity"}
    try:
        with urllib3.PoolManager() as pool:
            answer = pool.request(
                "GET", url, headers=headers, redirect=False, retries=False, timeout=TIMEOUT_S, preload_content=False
            )
            if answer.status != 200:
                raise ForeignPicture(f"upload: Label Studio says {answer.status}, needed the picture")
            return bytes(answer.read(max_bytes + 1, decode_content=False))
    except urllib3.exceptions.HTTPError as error:
        raise TimedOut(f"Label Studio: {type(error).__name__}") from error
