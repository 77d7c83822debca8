"""The pictures in a request, whatever form it has: one raw picture, multipart files, or JSON with base64."""

import asyncio
import base64
import binascii
import io
import warnings
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from fastapi import Request
from PIL import Image, UnidentifiedImageError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from services.body import limited, media_type, parsed
from services.schemas import ImagesIn
from services.settings import Settings
from training.errors import BadPicture, BadRequest, EmptyRequest, TooLarge, UnsupportedMediaType

__all__ = ["Picture", "decode_base64", "measured", "measured_all", "read_pictures"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One encoded picture and the size its header claims, in pixels."""

    name: str
    data: bytes
    num_pixels: int


async def read_pictures(request: Request, settings: Settings) -> list[Picture]:
    """The pictures of a predict request, within the limits; only their headers are looked at.

    Raises:
        UnsupportedMediaType: a body that is neither image/*, multipart/form-data nor application/json.
        BadRequest: a body that is not what its media type says; not base64.
        EmptyRequest: no picture.
        BadPicture: not a picture.
        TooLarge: too many bytes, pictures or pixels; reading stops there.
    """
    found = media_type(request)
    read = _READERS.get(found, _raw if found.startswith("image/") else _unsupported)
    encoded = await read(limited(request, settings.max_request_bytes, settings.body_timeout_s), settings)
    return await asyncio.to_thread(measured_all, encoded, settings)


async def _raw(request: Request, settings: Settings) -> list[bytes]:
    body = await request.body()
    return [body] if body else []


async def _json(request: Request, settings: Settings) -> list[bytes]:
    return await asyncio.to_thread(_decode_json, await request.body(), settings)


async def _multipart(request: Request, settings: Settings) -> list[bytes]:
    max_images = settings.max_images
    try:
        async with request.form(max_files=max_images + 1, max_fields=1) as form:
            strangers = [name for name, value in form.multi_items() if not isinstance(value, UploadFile)]
            if strangers:
                raise BadRequest(f"multipart field {strangers[0][:100]!r} is text, needed files only")
            return [await value.read() for _, value in form.multi_items() if isinstance(value, UploadFile)]
    except HTTPException as error:
        if "Too many files" in str(error.detail):
            raise TooLarge(f"more than {max_images} pictures in one request") from error
        raise BadRequest(f"multipart body: {error.detail}") from error


async def _unsupported(request: Request, settings: Settings) -> list[bytes]:
    given = request.headers.get("content-type")
    if given is None and not await request.body():
        return []
    raise UnsupportedMediaType(f"content type {given!r:.100}, needed image/*, multipart/form-data or application/json")


_FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")  # as decode_picture reads
Reader = Callable[[Request, Settings], Awaitable[list[bytes]]]
_READERS: Mapping[str, Reader] = {"application/json": _json, "multipart/form-data": _multipart}


def _decode_json(body: bytes, settings: Settings) -> list[bytes]:
    images = parsed(ImagesIn, body, settings, needed='{"images": ["base64…"]}').images
    return [decode_base64(image, f"images.{position}") for position, image in enumerate(images)]


def decode_base64(text: str, name: str) -> bytes:
    """Of base64 or of a data: URL. Raises BadRequest."""
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest(f"{name}: not base64: {error}") from error


def measured_all(encoded: Sequence[bytes], settings: Settings) -> list[Picture]:
    """The pictures of one request, by what their headers say.

    Raises:
        EmptyRequest: none.
        BadPicture, TooLarge: as `measured`; or too many of them, or too many pixels together.
    """
    if not encoded:
        raise EmptyRequest("no picture in the request, needed at least one")
    if len(encoded) > settings.max_images:
        raise TooLarge(f"{len(encoded)} pictures in one request, needed at most {settings.max_images}")
    pictures = [measured(data, f"picture {position}", settings) for position, data in enumerate(encoded)]
    total = sum(picture.num_pixels for picture in pictures)
    if total > settings.max_host_pixels:
        raise TooLarge(f"{total} pixels in one request, needed at most {settings.max_host_pixels}")
    return pictures


def measured(data: bytes, name: str, settings: Settings) -> Picture:
    """
    Raises:
        BadPicture: not a picture.
        TooLarge: more bytes or pixels than one picture may have.
    """
    if len(data) > settings.max_image_bytes:
        raise TooLarge(f"{name}: {len(data)} bytes, needed at most {settings.max_image_bytes}")
    width, height = _header_size(data, name)
    if width * height > settings.max_image_pixels:
        raise TooLarge(f"{name}: {width}x{height} pixels, needed at most {settings.max_image_pixels}")
    return Picture(name=name, data=data, num_pixels=width * height)


def _header_size(data: bytes, name: str) -> tuple[int, int]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is checked by the caller
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                return image.size
    except Image.DecompressionBombError as error:
        raise TooLarge(f"{name}: {error}") from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise BadPicture(f"{name}: {len(data)} bytes that are not a picture in a known format") from error
