import asyncio
import base64
import io
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from training.data.annotations import FrameLabels
from training.data.frames import Frame
from training.data.pictures import decode_picture, encode_jpeg
from training.models.bank import Bank
from training.models.cache import ModelCache

JPEG = {"content-type": "image/jpeg"}
PATIENCE_S = 30.0


def ask(client: httpx.Client, shard_id: str, picture: bytes) -> httpx.Response:
    return client.post(f"/v1/models/{shard_id}/predict", content=picture, headers=JPEG)


def directly(world: Any, shard_id: str, picture: bytes) -> FrameLabels:
    model = ModelCache(world.store.registry, 10**9).get(world.store.registry.resolve(shard_id, None))
    frame = Frame(shard_id=shard_id, frame_index=0, image_HW3=decode_picture(picture, name="picture"))
    return Bank([model]).predict([frame], [0])[0]


def assert_same(image: dict[str, Any], labels: FrameLabels) -> None:
    assert labels.annotations
    assert [one["class_name"] for one in image["annotations"]] == [one.class_name for one in labels.annotations]
    for got, wanted in zip(image["annotations"], labels.annotations, strict=True):
        assert got["bbox_xyxy"] == pytest.approx(wanted.bbox_xyxy, abs=1e-2)
        assert got["score"] == pytest.approx(wanted.score, abs=1e-4)


def test_it_is_ready_and_lists_what_is_live(client: httpx.Client) -> None:
    assert client.get("/healthz").json() == client.get("/readyz").json() == {"status": "ok"}
    assert {"gate", "yard"} <= {model["shard_id"] for model in client.get("/v1/models", params={"limit": 500}).json()["models"]}
    assert client.get("/v1/models/gate@live").json()["generation"] == 1


@pytest.mark.parametrize("shard_id", ["gate", "yard"])
def test_the_answer_over_http_is_what_the_bank_says_and_finds_the_square(client: httpx.Client, world: Any, shard_id: str) -> None:
    picture = world.picture(shard_id)
    response = ask(client, shard_id, picture)
    assert response.status_code == 200, response.text
    (image,) = response.json()["images"]
    assert (image["width"], image["height"]) == (96, 64)
    assert_same(image, directly(world, shard_id, picture))
    best = max(image["annotations"], key=lambda one: one["score"])
    assert best["bbox_xyxy"] == pytest.approx([28, 17, 52, 41], abs=6)


def test_multipart_json_and_raw_forms_give_the_same_labels(client: httpx.Client, world: Any) -> None:
    pictures = [world.picture("gate", index) for index in (2, 3)]
    path = "/v1/models/gate/predict"
    by_form = client.post(path, files=[("images", (f"{n}.jpg", data, "image/jpeg")) for n, data in enumerate(pictures)])
    by_json = client.post(path, json={"images": [base64.b64encode(data).decode() for data in pictures]})
    for response in (by_form, by_json):
        for image, picture in zip(response.json()["images"], pictures, strict=True):
            assert_same(image, directly(world, "gate", picture))


def test_requests_for_different_models_share_a_pass_and_each_gets_its_own_answer(client: httpx.Client, world: Any) -> None:
    shard_ids = ["gate", "yard"] * 6
    bad = b"\xff\xd8\xff not a jpeg"

    async def ask_all() -> tuple[list[httpx.Response], httpx.Response]:
        async with httpx.AsyncClient(base_url=client.base_url, timeout=60) as many:
            calls = [many.post(f"/v1/models/{s}/predict", content=world.picture(s), headers=JPEG) for s in shard_ids]
            *good, broken = await asyncio.gather(*calls, many.post("/v1/models/gate/predict", content=bad, headers=JPEG))
            return good, broken

    good, broken = asyncio.run(ask_all())
    assert broken.status_code == 422
    expected = {shard_id: directly(world, shard_id, world.picture(shard_id)) for shard_id in ("gate", "yard")}
    for shard_id, response in zip(shard_ids, good, strict=True):
        assert response.json()["model"]["shard_id"] == shard_id
        assert_same(response.json()["images"][0], expected[shard_id])
    assert max(response.json()["timings"]["batch_images"] for response in good) > 1


def test_a_model_published_after_start_answers_without_a_restart(client: httpx.Client, world: Any) -> None:
    assert ask(client, "late", world.picture("gate")).status_code == 404
    world.publish_again("gate", shard_id="late")
    until = time.monotonic() + PATIENCE_S
    while ask(client, "late", world.picture("gate")).status_code == 404 and time.monotonic() < until:
        time.sleep(0.05)
    response = ask(client, "late", world.picture("gate"))
    assert_same(response.json()["images"][0], directly(world, "late", world.picture("gate")))


def test_a_newly_promoted_generation_takes_over_and_the_old_one_can_still_be_asked(client: httpx.Client, world: Any) -> None:
    assert ask(client, "yard", world.picture("yard")).json()["model"]["generation"] == 1
    world.publish_again("gate", shard_id="yard")
    until = time.monotonic() + PATIENCE_S
    while ask(client, "yard", world.picture("yard")).json()["model"]["generation"] == 1 and time.monotonic() < until:
        time.sleep(0.05)
    live = ask(client, "yard", world.picture("gate")).json()
    assert live["model"]["generation"] == 2
    assert_same(live["images"][0], directly(world, "yard@2", world.picture("gate")))
    old = ask(client, "yard@1", world.picture("yard")).json()
    assert old["model"]["generation"] == 1
    assert_same(old["images"][0], directly(world, "yard@1", world.picture("yard")))


def test_errors_cross_the_deployments_as_problem_documents(client: httpx.Client, world: Any) -> None:
    good = world.picture("gate")
    wide = encode_jpeg(np.zeros((400, 400, 3), np.uint8))
    path = "/v1/models/gate/predict"
    cases = {
        "unknown-model": (404, ask(client, "nobody", good)),
        "bad-picture": (422, ask(client, "gate", good[: len(good) // 2])),  # the header is fine: it fails on the host
        "empty-request": (422, ask(client, "gate", b"")),
        "too-large": (413, client.post(path, json={"images": [base64.b64encode(good).decode()] * 9})),
        "unsupported-media-type": (415, client.post(path, content=b"x", headers={"content-type": "video/mp4"})),
        "bad-request": (422, client.post(path, json={"images": ["%"]})),
    }
    for kind, (status, response) in cases.items():
        assert response.status_code == status, (kind, response.text)
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["type"] == f"urn:micromodels:{kind}"
        assert "Traceback" not in response.text
    host_side = ask(client, "gate", wide)
    assert host_side.status_code == 413
    assert "pixels at the scale of gate" in host_side.json()["detail"]
    assert ask(client, "gate", b"\xff" * 300_000).status_code == 413


def test_every_response_carries_exactly_one_request_id_and_keeps_the_clients(client: httpx.Client, world: Any) -> None:
    for response in (client.get("/healthz"), client.get("/v1/models/nobody"), ask(client, "gate", world.picture("gate"))):
        assert len(response.headers.get_list("x-request-id")) == 1
    response = client.get("/v1/models/nobody", headers={"x-request-id": "mine-7"})
    assert response.headers.get_list("x-request-id") == ["mine-7"]
    assert response.json()["request_id"] == "mine-7"


def test_pictures_of_every_mode_and_size_are_labelled_or_refused_and_the_host_lives(client: httpx.Client) -> None:
    modes = {"L": 128, "RGBA": (1, 2, 3, 4), "P": 3, "1": 1, "CMYK": (0, 0, 0, 0), "I;16": 70}
    sent = []
    for mode, colour in modes.items():
        for size in ((1, 1), (3, 200), (97, 65)):
            out = io.BytesIO()
            Image.new(mode, size, colour).save(out, "TIFF" if mode in ("CMYK", "I;16") else "PNG")
            sent.append((size, out.getvalue()))
    with ThreadPoolExecutor(4) as pool:
        responses = list(pool.map(lambda one: client.post("/v1/models/gate/predict", content=one[1], headers=JPEG), sent))
    for (size, _), response in zip(sent, responses, strict=True):
        assert response.status_code == 200, response.text
        assert (response.json()["images"][0]["width"], response.json()["images"][0]["height"]) == size
    assert client.get("/readyz").status_code == 200


def test_zz_a_store_that_goes_away_is_503_and_comes_back_without_a_restart(client: httpx.Client, world: Any) -> None:
    """Last of the file: while it runs, nothing else can be served."""
    root, away = Path(world.store.url), Path(f"{world.store.url}.away")
    shutil.move(root, away)
    try:
        time.sleep(0.5)  # longer than live_ttl_s
        for response in (ask(client, "gate", world.picture("gate")), client.get("/readyz"), client.get("/v1/models")):
            assert response.status_code == 503
            assert str(root) not in response.text
        assert client.get("/healthz").status_code == 200
    finally:
        shutil.move(away, root)
    assert ask(client, "gate", world.picture("gate")).status_code == 200
