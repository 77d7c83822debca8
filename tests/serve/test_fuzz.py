"""Hundreds of requests that are wrong in some way, made from a seed: each is refused with a problem document, none does harm."""

import asyncio
import base64
import contextlib
import http.client
import io
import json
import random
import socket
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from PIL import Image

from services.api import create_api
from services.examples import ANSWERS, INFER
from services.label_studio.examples import EVENT_BODY
from services.settings import Settings

SEED = 0
FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
PREDICT, INFERENCE, ANNOTATIONS = "/v1/models/gate/predict", "/v2/models/gate/infer", "/v1/annotations"
ROUTED, ROUTES, LINE, CANARY, JOBS = "/v1/predict", "/v1/routes", "/v1/lines/parcels", "/v1/models/gate/canary", "/v1/jobs"
SETUP, TASKS, EVENT = "/label-studio/setup", "/label-studio/predict", "/label-studio/webhook"
CHANGING = (ANNOTATIONS, ROUTES, LINE, CANARY, JOBS, EVENT)  # what is stored, where the request may pass
PUT = (ROUTES, LINE, CANARY)
JSON, FORM = "application/json", "multipart/form-data"
NOT_HTTP = (400, b"Invalid HTTP request received.")  # of Serve's proxy, which a problem document cannot be asked of
STRANGE: list[Any] = [None, True, -1, 0, 2**63, 10**400, 1e308, -0.5, "", "x", "é" * 5000, "\ud800", "\0", [], {}, [[]], [{}]]
STRANGE += ["9" * 5000, "gate@" + "9" * 5000, "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "http://[", "../x"]
IDS = """
.. %2e %2e%2e ..%2f..%2fetc%2fpasswd %00 gate%00 gate%0d%0aX-A:%201 %F0%9F%90%9F %ff%fe % %zz a%20b ~ * $(id) CON {shard_id}
@ @1 gate@0 gate@-1 gate@1@2 gate@999999999999 gate@live@live gate%3Fx gate%23 gate;x=1 gate%5C '%20OR%201=1-- %3Cscript%3E
"""
_LABEL_STUDIO = EVENT_BODY["content"]["application/json"]["example"]
_BOX = {"x": 48.8, "y": 24.6, "width": 14.0, "height": 56.3, "rotation": 10}
CONFIG = (
    '<View><Image name="image" value="$image"/><RectangleLabels name="boxes" toName="image"><Label value="square"/>'
    "</RectangleLabels></View>"
)
BASE64 = "%%% QQ data: data:image/png;base64 data:,%41 http://127.0.0.1/x.png file:///etc/passwd ===="
TYPES = "x image / text/plain video/mp4 application/x-www-form-urlencoded application/json/x ; */* application/x-ndjson"
NO_ROUTES = "/v1 /v1/../v1/models/x /v1//models /%2e%2e/%2e%2e/etc/passwd /v3 /docs /.env /v1/models/gate/predict/x"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """A request, `target` as it stands on the request line. may_pass: damaged where it may not matter."""

    what: str
    target: str
    method: str = "POST"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    may_pass: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    status: int
    media_type: str
    body: bytes


def every_wrong_request(api: FastAPI) -> list[Wrong]:
    rng = random.Random(SEED)
    return [*pictures(rng), *bombs(), *tensors(), *documents(rng), *forms(rng), *heads(), *names(api), *targets(api)]


def sent(what: str, media_type: str, body: bytes, target: str = PREDICT, *, may_pass: bool = False) -> Wrong:
    headers, method = (("content-type", media_type),), "PUT" if target in PUT else "POST"
    what = f"{what} as {media_type[:20]!r}"
    return Wrong(what=what, target=target, method=method, headers=headers, body=body, may_pass=may_pass)


def in_every_form(what: str, picture: bytes) -> Iterator[Wrong]:
    yield sent(what, "image/png", picture)
    yield sent(what, JSON, json.dumps({"images": [b64(picture)]}).encode())
    yield sent(what, JSON, json.dumps({"inputs": [tensor(b64(picture))]}).encode(), INFERENCE)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def tensor(text: str) -> dict[str, Any]:
    return {"name": "images", "datatype": "BYTES", "shape": [1], "data": [text]}


def drawn(kind: str) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(SEED).integers(0, 256, (30, 40, 3), np.uint8)).save(out, kind)
    return out.getvalue()


def pictures(rng: random.Random) -> Iterator[Wrong]:
    """Cut short, damaged, and of formats that are not taken."""
    for kind in FORMATS:
        whole = drawn(kind)
        for _ in range(8):
            cut = whole[: rng.randrange(1, len(whole) * 3 // 4)]
            yield sent(f"{kind} cut at {len(cut)}", "image/png", cut, may_pass=kind in ("GIF", "JPEG2000"))
        yield from in_every_form(f"{kind} cut", whole[: len(whole) // 3])
        for _ in range(12):
            damaged = bytearray(whole)
            for place in rng.sample(range(min(len(whole), 200)), rng.randrange(1, 9)):
                damaged[place] = rng.randrange(256)
            yield sent(f"{kind} damaged", "image/png", bytes(damaged), may_pass=True)
    for start in (b"%PDF-1.7", b"%!PS-Adobe", b"<svg xmlns='x'/>", b"\x7fELF", b"PK\x03\x04", b"8BPS", b"MZ"):
        yield sent(f"begins {start!r}", "image/png", start + rng.randbytes(200))
    for kind in ("ICO", "PCX", "TGA", "DDS", "SGI", "PDF", "EPS", "AVIF"):
        yield sent(f"a whole {kind}", "image/png", drawn(kind))
    for size in (1, 2, 3, 16, 1000, 150_000, 250_000):
        yield sent(f"{size} random bytes", "image/png", rng.randbytes(size))


def bombs() -> Iterator[Wrong]:
    """Pictures of a few hundred bytes that say they are huge, or hold something that is."""
    side = 60_000
    jpeg, webp, gif = bytearray(drawn("JPEG")), bytearray(drawn("WEBP")), bytearray(drawn("GIF"))
    start = jpeg.index(b"\xff\xc0")
    jpeg[start + 5 : start + 9] = struct.pack(">HH", side, side)
    webp[26:30] = struct.pack("<HH", 16_383, 16_383)
    gif[6:10] = struct.pack("<HH", side, side)
    zeros = zlib.compress(bytes(20_000_000))
    made = {
        "PNG by its header": png(side, side, (b"IDAT", zeros)),
        "PNG with a text": png(8, 8, (b"zTXt", b"a\0\0" + zeros), (b"IDAT", zeros[:50])),
        "PNG with no data": png(8, 8),
        "PNG of 2^31 columns": png(2**31, 1),
        "JPEG by its header": bytes(jpeg),
        "WebP by its header": bytes(webp),
        "GIF by its header": bytes(gif),
        "BMP by its header": bmp(side, side),
        "BMP of 2^31 rows": bmp(1, -(2**31)),
        "PPM by its header": b"P6 60000 60000 255\n" + bytes(100),
        "PPM of a long number": b"P6 " + b"9" * 4000 + b" 1 255\n",
        "TIFF by its tags": tiff({256: side, 257: side, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: side, 279: 2**32 - 1}),
        "TIFF that goes round": b"II*\0" + struct.pack("<IHI", 8, 0, 8),
        "TIFF with a tag of 4 GiB": b"II*\0" + struct.pack("<IHHHII", 8, 1, 256, 4, 2**30, 8) + bytes(4),
    }
    for name, bomb in made.items():
        yield from in_every_form(f"bomb: {name}", bomb)


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    every = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), *chunks, (b"IEND", b"")]
    parts = (struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in every)
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def bmp(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)


def tiff(tags: dict[int, int]) -> bytes:
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


def tensors() -> Iterator[Wrong]:
    """Pixels of which one is strange, that are nested otherwise than their shape says, or whose shape cannot be."""
    flat, nested, shape = [7] * 24, [[[[7] * 3] * 4] * 2], [1, 2, 4, 3]
    for strange in [*STRANGE, 256, 7.0, "7", [7]]:
        if strange != 0:
            yield pixels(f"a pixel {strange!r:.20}", [*flat[1:], strange], shape)
            yield pixels(f"a nested pixel {strange!r:.20}", [[[[7] * 3] * 4, [*[[7] * 3] * 3, [7, 7, strange]]]], shape)
            yield pixels(f"rows and {strange!r:.20}", [[[[7] * 3] * 4, strange]], shape)
            yield pixels(f"a length {strange!r:.20}", flat, [1, strange, 4, 3])
    for other in ([1, 4, 2, 3], [2, 1, 4, 3], [2, 2, 2, 3], [1, 2, 4, 1], [24], [1, 2, 12], [1, 2, 4, 3, 1], [1, 2, 4, 4], []):
        yield pixels(f"nested of another shape than {other}", nested, other)
    for other in ([0, 2, 4, 3], [1, 2**40, 2**40, 3], [1, 10**400, 10**400, 3], [1, 24, 1, 1], [24], [2, 2, 4, 3], []):
        yield pixels(f"flat of another shape than {other!r:.40}", flat, other)
    for part in ([flat], [[flat[:12]] * 2], [[flat[:12], flat[12:]]], [*nested, *nested], [nested], [], [[]], [[[[]]]]):
        yield pixels("nested by half", part, shape)
    yield pixels("a long text among short ones", ["x" * 20_000, *["1"] * 2999], [1, 1, 1000, 3])


def pixels(what: str, data: list[Any], shape: list[Any]) -> Wrong:
    one = {"name": "images", "datatype": "UINT8", "shape": shape, "data": data}
    return sent(what, JSON, json.dumps({"inputs": [one]}).encode(), INFERENCE)


def documents(rng: random.Random) -> Iterator[Wrong]:
    """JSON that is none, is something else, is nested without end, or has one strange value in a body that is right."""
    image = b64(drawn("PNG"))
    for target, document in right_documents(image).items():
        text = json.dumps(document).encode()
        for _ in range(12):
            yield sent("JSON cut short", JSON, text[: rng.randrange(len(text))], target)
        for body in (*b"null [] 0 {} NaN {'a':1} {}{} [} \xff\xfe{\0}\0".split(), b'"x"', b"", b"{" * 5000):
            yield sent(f"JSON {body[:20]!r}", JSON, body, target)
        for opening, ending in (("[", "]"), ('{"a":', "}")):
            for depth in (200, 100_000):
                nested = (opening * depth + "1" + ending * depth).encode()
                yield sent(f"nested {depth}", JSON, nested, target)
                more, ignored = text[:-1] + b', "more": ' + nested + b"}", target in (SETUP, TASKS, EVENT)
                yield sent(f"nested {depth} in a value", JSON, more, target, may_pass=ignored)
        for _ in range(60):
            strange = json.dumps(with_something_strange(document, rng)).encode()
            yield sent("a strange value", JSON, strange, target, may_pass=True)
    for text in [
        "QUI=\n!",
        *BASE64.split(),
    ]:
        yield sent(f"base64 {text}", JSON, json.dumps({"images": [text]}).encode())
        yield sent(f"base64 {text}", JSON, json.dumps({"inputs": [tensor(text)]}).encode(), INFERENCE)
    yield sent("100,000 pictures", JSON, json.dumps({"images": [image[:8]] * 100_000}).encode())
    yield sent("one key many times", JSON, b"{" + b'"images": [],' * 1000 + b'"images": []}')


def right_documents(image: str) -> dict[str, Any]:
    """A body for every route that takes JSON, of what there is in the world."""
    region = {**_LABEL_STUDIO["annotation"]["result"][0], "value": {**_BOX, "rectanglelabels": ["square"]}}
    task = {"id": 7, "data": {"image": "/v1/shards/gate/frames/3.jpg", "shard_id": "gate", "frame_index": 3}}
    config = {"label_config": CONFIG}
    event = {"annotation": {**_LABEL_STUDIO["annotation"], "result": [region]}, "task": task, "project": {"id": 1, **config}}
    answer = {**ANSWERS["answers"][0], "shard_id": "gate", "ontology": "detection.square", "kind": "labels", "frame_index": 3}
    drawn_box = {"class_name": "square", "bbox_xyxy": [3.0, 4.0, 30.0, 40.0], "track_id": "a", "ambiguous": False}
    stage = {"name": "find", "model": "gate@live", "ontology": "detection.square", "min_score": 0.1}
    rule = {
        "name": "night",
        "shard_id": "gate@1",
        "sensor": "a*",
        "bbox": [1.0, 2.0, 3.0, 4.0],
        "times": ["2026-01-01T00:00Z/.."],
    }
    return {
        PREDICT: {"images": [image]},
        INFERENCE: {**INFER, "inputs": [tensor(image)]},
        ANNOTATIONS: {"answers": [{**answer, "generation": None, "annotations": [drawn_box]}]},
        ROUTED: {"images": [image], "metadata": {"sensor": "a", "lon": 1.0, "lat": 2.0, "time": "2026-01-02T03:04:05Z"}},
        ROUTES: {"rules": [{**rule, "near": {"lon": 1.0, "lat": 2.0, "metres": 3.0}, "daily": ["20:00/06:00"]}], "replaces": 0},
        LINE: {"stages": [stage, {**stage, "name": "again", "input": "find", "classes": ["square"], "padding": 0.1}]},
        CANARY: {"generation": 2, "share": 0.1, "limits": {"min_requests": 5, "slower": 2.0}},
        JOBS: {"job_id": "a", "verb": "label", "shard_ids": ["gate"], "ontology": "detection.square", "frames_per_clip": 9},
        SETUP: {"schema": CONFIG},
        TASKS: {"tasks": [task, {**task, "data": {"image": "http://127.0.0.1/x.png"}}], "params": {"context": None}, **config},
        EVENT: {"action": "ANNOTATION_CREATED", **event},
    }


def with_something_strange(document: Any, rng: random.Random) -> Any:
    """A copy in which one value is strange, gone, or has a stranger beside it."""
    copy = json.loads(json.dumps(document))
    node, places = copy, [copy]
    while places:
        node = rng.choice(places)
        inner = [one for one in (node.values() if isinstance(node, dict) else node) if isinstance(one, dict | list) and one]
        places = inner if inner and rng.random() < 0.7 else []
    key = rng.choice(list(node)) if isinstance(node, dict) else rng.randrange(len(node))
    match rng.randrange(5):
        case 0:
            del node[key]
        case 1 if isinstance(node, dict):
            node["stranger"] = rng.choice(STRANGE)
        case _:
            node[key] = rng.choice(STRANGE)
    return copy


def forms(rng: random.Random) -> Iterator[Wrong]:
    """Multipart bodies."""
    picture = drawn("PNG")
    disposition = b'content-disposition: form-data; name="images"; filename="a.png"\r\n'
    part = b"--x\r\n" + disposition + b"\r\n" + picture + b"\r\n"
    text = b'--x\r\ncontent-disposition: form-data; name="a"\r\n\r\n'
    whole = part + b"--x--\r\n"
    for _ in range(12):
        yield sent("a form cut short", f"{FORM}; boundary=x", whole[: rng.randrange(len(whole) - 8)], may_pass=True)
    for boundary in ("", "boundary=", "boundary=y", "boundary=" + "x" * 5000, 'boundary="', "boundary=x\x0b", "charset=x"):
        yield sent("a form", f"{FORM}; {boundary}", whole)
    made = {
        "no disposition": b"--x\r\ncontent-type: image/png\r\n\r\n" + picture + b"\r\n--x--",
        "a text": text + b"hello\r\n--x--",
        "a text of 2 MiB": text + bytes(2**21) + b"\r\n--x--",
        "33 files": part * 33 + b"--x--",
        "500 texts": (text + b"b\r\n") * 500 + b"--x--",
        "a long header": b"--x\r\na: " + b"b" * 100_000 + b"\r\n\r\n\r\n--x--",
        "1,000 headers": b"--x\r\n" + b"a: b\r\n" * 1000 + disposition + b"\r\n\r\n--x--",
        "a header that is none": b"--x\r\n\0\xff: b\r\n" + disposition + b"\r\n\r\n--x--",
        "an empty file": b"--x\r\n" + disposition + b"\r\n\r\n--x--",
        "a form in it": b"--x\r\n" + disposition + b"content-type: multipart/mixed; boundary=y\r\n\r\n--y--\r\n--x--",
        "nothing": b"",
        "a beginning": b"--x",
        "an end": b"--x--",
        "empty lines": b"\r\n" * 1000,
        "dashes": b"-" * 10_000,
    }
    for name, body in made.items():
        yield sent(f"a form with {name}", f"{FORM}; boundary=x", body)


def heads() -> Iterator[Wrong]:
    """Headers."""
    picture = drawn("PNG")
    for media_type in [*TYPES.split(), "", "image\x0b/png", "é", "multipart/mixed; boundary=x", "a" * 60_000]:
        yield sent("a picture", media_type, picture)
        yield sent("annotations", media_type, b"{}", ANNOTATIONS)
    right = ("content-type", "image/png")
    for host in ("evil.example", "127.0.0.1.evil.example", "[", "[::", "a b", "\xff", "", "localhost:evil@x", "127.0.0.1\\@evil"):
        yield Wrong(what=f"host {host}", target=PREDICT, headers=(right, ("host", host)), body=picture)
    for value in ("1e3", "-5", "1" * 40, "0x10", "é"):
        headers = (right, ("content-length", value), ("x-request-id", value * 1000), ("authorization", f"Bearer {value}"))
        yield Wrong(what=f"length, id and key {value[:9]}", target=PREDICT, headers=headers, body=picture[:30])


def names(api: FastAPI) -> Iterator[Wrong]:
    """Every route of the document for shards that cannot be."""
    for path, methods in api.openapi()["paths"].items():
        for method in methods if "{shard_id}" in path else ():
            for name in [*IDS.split(), "g" * 60_000, "gate@" + "9" * 5000]:
                target = path.replace("{shard_id}", name).replace("{generation}", "1").replace("{frame_index}", "0")
                yield Wrong(what="a name", method=method.upper(), target=target, headers=(("content-type", JSON),), body=b"{}")


def targets(api: FastAPI) -> Iterator[Wrong]:
    """Numbers that cannot be in every query, methods that routes do not have, routes that are none."""
    for path, methods in api.openapi()["paths"].items():
        target = path.replace("{shard_id}", "gate")
        for method, route in methods.items():
            for one in route.get("parameters", []):
                if one["in"] == "query" and one["schema"].get("type") in ("integer", "number"):
                    for value in ("-1", "x", "", "nan", "1e999", "9" * 5000, "%00", "1;2"):
                        yield Wrong(what="a number", method=method.upper(), target=f"{target}?{one['name']}={value}")
        for method in sorted({"PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"} - {name.upper() for name in methods}):
            yield Wrong(what="a method", method=method, target=target)
    for target in NO_ROUTES.split():
        yield Wrong(what="no route", method="GET", target=target)
    for value in ("0", "-1", "new", "1e3", "9" * 5000, "", "%00", "live%20"):
        yield Wrong(what="a generation", method="GET", target=f"/v1/models/gate?generation={value}")
        yield Wrong(what="a version", method="GET", target=f"/v2/models/gate/versions/{value}/ready")
        yield Wrong(what="a frame", method="GET", target=f"/v1/shards/gate/frames/{value}x.jpg")
    for value in ("nobody", "%00", "../x", "x" * 5000, "%ff"):
        yield Wrong(what="an ontology", method="GET", target=f"/v1/models/gate?ontology={value}")


def problem_with(request: Wrong, heard: Heard) -> str | None:
    """What is the matter with the answer; None if it is as it should be."""
    if (request.may_pass and heard.status in (200, 202)) or (heard.status, heard.body) == NOT_HTTP:
        return None
    said = f"{request.what}: {request.method} {request.target[:80]}: {heard.status} {heard.body[:200]!r}"
    if not 400 <= heard.status < 500 or b"Traceback" in heard.body:
        return said
    documented = heard.media_type == "application/problem+json" and json.loads(heard.body)["status"] == heard.status
    return None if documented else f"no problem document: {said}"


async def ask_in_process(api: FastAPI, request: Wrong) -> Heard:
    """In ASGI, as uvicorn would: nothing that a client library might tidy up first."""
    target = urlsplit(f"//x{request.target}")
    headers = {"host": "localhost", **dict(request.headers)}
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": unquote(target.path),
        "raw_path": target.path.encode(),
        "query_string": target.query.encode(),
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 1),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
    }
    given, got = [{"type": "http.request", "body": request.body, "more_body": False}], []

    async def receive() -> dict[str, Any]:
        return given.pop() if given else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        got.append(message)

    await api(scope, receive, send)
    media_type = dict(got[0]["headers"]).get(b"content-type", b"").decode()
    return Heard(status=got[0]["status"], media_type=media_type, body=b"".join(one["body"] for one in got[1:]))


@pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore::RuntimeWarning:PIL")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Starlette forgets the file of a form cut short
def test_in_process_hundreds_of_wrong_requests_are_refused_with_a_problem_each(
    world: Any, api_here: Callable[..., FastAPI]
) -> None:
    api = api_here(max_image_bytes=200_000)

    async def ask_all() -> tuple[list[tuple[Wrong, Heard]], Heard]:
        heard = [(request, await ask_in_process(api, request)) for request in every_wrong_request(api)]
        return heard, await ask_in_process(api, sent("a good picture", "image/png", world.picture("gate")))

    heard, last = asyncio.run(ask_all())
    assert [said for request, answer in heard if (said := problem_with(request, answer))] == []
    assert sum(answer.status >= 400 for _, answer in heard) >= 1500
    assert last.status == 200


def address_of(client: httpx.Client) -> tuple[str, int]:
    return client.base_url.host, int(client.base_url.port or 80)


def ask_over_a_socket(address: tuple[str, int], request: Wrong) -> Heard:
    given = {name: value.encode("latin-1") for name, value in request.headers}
    headers = {"host": b"localhost", "content-length": b"%d" % len(request.body), **given, "connection": b"close"}
    lines = [f"{request.method} {request.target} HTTP/1.1".encode(), *(b"%s: %s" % (k.encode(), v) for k, v in headers.items())]
    return heard_after(address, b"\r\n".join(lines) + b"\r\n\r\n" + request.body)


def heard_after(address: tuple[str, int], data: bytes) -> Heard:
    """What comes back until the connection is closed; status 0 if nothing does."""
    with socket.create_connection(address, timeout=60) as connection, contextlib.suppress(ConnectionError):
        with contextlib.suppress(ConnectionError):  # refused before all of it was read
            connection.sendall(data)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return Heard(status=answer.status, media_type=answer.getheader("content-type", ""), body=answer.read())
    return Heard(status=0, media_type="", body=b"")


@pytest.mark.slow
def test_over_http_hundreds_of_wrong_requests_are_refused_and_every_replica_lives(
    client: httpx.Client, world: Any, replicas: Callable[[], list[int]]
) -> None:
    before = replicas()
    assert len(before) == 2
    api = create_api(*[cast(Any, None)] * 2, Settings(store=world.store.url))  # only its document is looked at
    asked = [request for request in every_wrong_request(api) if request.target not in CHANGING or not request.may_pass]
    heard = [(request, ask_over_a_socket(address_of(client), request)) for request in asked]
    assert [said for request, answer in heard if (said := problem_with(request, answer))] == []
    assert sum(answer.status != 200 for _, answer in heard) >= 500
    good = client.post(PREDICT, content=world.picture("gate"), headers={"content-type": "image/jpeg"})
    assert good.status_code == 200
    assert replicas() == before


def bytes_on_the_wire() -> list[bytes]:
    """What is no HTTP, or is unclear about where a request ends."""
    rng, head = random.Random(SEED), b"POST /v1/models/gate/predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/png\r\n"
    return [
        *(rng.randbytes(size) + b"\r\n\r\n" for size in (1, 10, 100, 70_000)),
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\r\n\r\n",
        b"G\0T / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        b"GET /\xff\xfe HTTP/1.1\r\nhost: localhost\r\n\r\n",
        head + b"content-length: 5\r\ncontent-length: 6\r\n\r\nabcdef",
        head + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n",
        head + b"transfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n",
        head + b"transfer-encoding: x\r\n\r\nabc",
        head + b"expect: 200-maybe\r\ncontent-length: 1\r\n\r\na",
        head + b"a b: c\r\n\r\n",
        head + b"\0: c\r\ncontent-length: 1\r\n\r\na",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("data", bytes_on_the_wire(), ids=lambda data: ascii(data[:25]))
def test_bytes_that_are_no_request_are_refused_and_what_is_behind_them_is_not_answered(client: httpx.Client, data: bytes) -> None:
    heard = heard_after(address_of(client), data)
    assert heard.status == 0 or 400 <= heard.status < 500
    assert client.get("/readyz").status_code == 200
