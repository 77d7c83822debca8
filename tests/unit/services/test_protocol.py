"""The Open Inference Protocol: what it says of requests and answers, and how pictures and labels become tensors."""

import base64
import json
import re
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from services.answering import Answer
from services.examples import INFER, INFERRED
from services.protocol_schemas import InferIn, InferOut, TensorIn
from services.tensors import OUTPUTS, encoded_pictures, output_names
from training.data.annotations import Annotation, FrameLabels
from training.data.pictures import decode_picture
from training.errors import BadRequest, HostUnavailable
from training.models.tasks import TASKS
from training.store.card import Card

MODEL = "/v2/models/garden"
PAGE = (Path(__file__).resolve().parents[3] / "docs" / "http.md").read_text(encoding="utf-8")


def asked(*pictures: bytes, **more: Any) -> dict[str, Any]:
    data = [base64.b64encode(one).decode() for one in pictures]
    return {"inputs": [{"name": "images", "datatype": "BYTES", "shape": [len(data)], "data": data}], **more}


def pixels(data: Any, shape: Sequence[int]) -> dict[str, Any]:
    return {"inputs": [{"name": "images", "datatype": "UINT8", "shape": list(shape), "data": data}]}


def tensors(response: Any) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    outputs = {one["name"]: one for one in response.json()["outputs"]}
    for one in outputs.values():
        assert len(one["data"]) == np.prod(one["shape"])
    return outputs


def test_health_server_and_model_are_told_as_the_protocol_says(client: Any) -> None:
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json()["ready"] is True
    assert client.get("/v2").json().keys() == {"name", "version", "extensions"}
    assert (
        client.get(f"{MODEL}/ready").json() == client.get(f"{MODEL}/versions/1/ready").json() == {"name": "garden", "ready": True}
    )
    told = client.get(MODEL).json()
    assert told == client.get(f"{MODEL}/versions/1").json()
    assert told["inputs"] == [{"name": "images", "datatype": "BYTES", "shape": [-1]}]
    assert [one["name"] for one in told["outputs"]] == ["size_hw", "picture", "class_name", "score", "bbox_xyxy"]
    assert (told["name"], told["versions"], told["platform"]) == ("garden", ["1"], "micromodels_safetensors")


def test_a_model_that_cannot_answer_is_not_ready(client: Any, hosts: Any) -> None:
    hosts.broken = HostUnavailable("gone")
    for path in ("/v2/health/ready", f"{MODEL}/ready"):
        response = client.get(path)
        assert response.status_code == 503
        assert response.json()["error"] == response.json()["detail"]
    assert client.get("/v2/health/live").status_code == 200


def test_pictures_in_base64_come_back_as_tensors_that_say_which_picture(client: Any, make_picture: Callable[..., bytes]) -> None:
    response = client.post(f"{MODEL}/infer", json=asked(make_picture(31), make_picture(32, 50), id="42"))
    outputs = tensors(response)
    assert {name: response.json()[name] for name in ("model_name", "model_version", "id")} == {
        "model_name": "garden", "model_version": "1", "id": "42"
    }  # fmt: skip
    assert outputs["size_hw"] == {"name": "size_hw", "datatype": "INT32", "shape": [2, 2], "data": [30, 31, 50, 32]}
    assert outputs["picture"]["data"] == [0, 0, 1, 1]
    assert outputs["class_name"]["data"] == ["fly"] * 4
    assert outputs["score"]["data"] == [0.9, 0.4] * 2
    assert outputs["bbox_xyxy"]["shape"] == [4, 4]
    assert outputs["bbox_xyxy"]["data"][:4] == [1, 2, 11, 22]


@pytest.mark.parametrize("nested", [True, False])
def test_pixels_reach_the_host_as_they_were_sent(client: Any, hosts: Any, nested: bool) -> None:
    sent_NHWC = np.random.default_rng(1).integers(0, 256, (2, 5, 7, 3), np.uint8)
    data = sent_NHWC.tolist() if nested else sent_NHWC.ravel().tolist()
    outputs = tensors(client.post(f"{MODEL}/infer", json=pixels(data, sent_NHWC.shape)))
    assert outputs["size_hw"]["data"] == [5, 7, 5, 7]
    ((_, pictures),) = hosts.asked
    for picture, sent_HWC in zip(pictures, sent_NHWC, strict=True):
        assert np.array_equal(decode_picture(picture.data, name="picture"), sent_HWC)


def test_outputs_and_a_lowest_score_may_be_asked_for(client: Any, png: bytes) -> None:
    wanted = [{"name": "score", "parameters": {"binary_data": True}}, {"name": "picture"}]
    parameters = {"min_score": 0.5, "ontology": "detection.fly", "binary_data_output": True}
    response = client.post(f"{MODEL}/infer", json=asked(png, png, outputs=wanted, parameters=parameters))
    assert [one["name"] for one in response.json()["outputs"]] == ["score", "picture"]
    assert tensors(response)["score"]["data"] == [0.9, 0.9]
    assert "id" not in response.json()


def test_a_version_is_a_generation(client: Any, store: Any, make_card: Callable[..., Card], png: bytes) -> None:
    published = store.registry.publish(make_card("garden", fit_key="second"), {"w": torch.ones(3)})
    store.registry.promote("garden", published.ontology, published.generation, "better")
    for path, version in ((MODEL, "2"), (f"{MODEL}/versions/1", "1"), (f"{MODEL}/versions/live", "2")):
        assert client.post(f"{path}/infer", json=asked(png)).json()["model_version"] == version
    assert client.get(MODEL).json()["versions"] == ["1", "2"]
    assert client.get(f"{MODEL}/versions/3").status_code == 404
    assert client.get(f"{MODEL}/versions/x").status_code == 422


@pytest.mark.parametrize("task", sorted(TASKS))
def test_every_task_has_tensors_of_the_shape_that_its_metadata_says(
    client: Any, hosts: Any, monkeypatch: pytest.MonkeyPatch, png: bytes, task: Any
) -> None:
    more: dict[str, Any] = {
        "classification": {"level": "image"},
        "detection": {"bbox_xyxy": (1, 2, 11, 22)},
        "segmentation": {"bbox_xyxy": (1, 2, 11, 22), "rle_counts": "abc"},
        "keypoints": {"bbox_xyxy": (1, 2, 11, 22), "keypoints_xyv": (2, 3, 2, 9, 20, 1)},
    }[task]
    said = Annotation(class_name="fly", score=0.75, provenance="model", **more)

    async def predict(card: Card, pictures: Sequence[Any]) -> Answer:
        labels = [FrameLabels(shard_id="garden", frame_index=n, annotations=(said,) * n) for n in range(len(pictures))]
        names = ("head", "tail") if task == "keypoints" else ()
        return Answer(
            labels=tuple(labels), sizes_wh=((40, 30),) * len(pictures), model_s=0.0, batch_images=1, keypoint_names=names
        )

    monkeypatch.setattr(hosts, "predict", predict)
    monkeypatch.setattr("services.protocol.output_names", lambda _, wanted: output_names(task, wanted))
    outputs = tensors(client.post(f"{MODEL}/infer", json=asked(png, png, png)))
    told = client.get(MODEL).json()["outputs"]
    assert [one["name"] for one in told] == list(outputs)
    for one in told:
        found = outputs[one["name"]]
        assert found["datatype"] == one["datatype"]
        assert [a if b == -1 else b for a, b in zip(found["shape"], one["shape"], strict=True)] == found["shape"]
    assert outputs["picture"]["data"] == [1, 2, 2]
    if task == "segmentation":
        assert outputs["mask_counts"]["data"] == ["abc"] * 3
    if task == "keypoints":
        assert outputs["keypoints_xyv"]["shape"] == [3, 2, 3]
        assert outputs["keypoints_xyv"]["data"][:6] == [2, 3, 2, 9, 20, 1]


IMAGES = {"name": "images", "datatype": "BYTES", "shape": [1], "data": ["x"]}


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({}, 422, "bad-request"),
        ({"inputs": []}, 422, "bad-request"),
        ({"inputs": [IMAGES, IMAGES]}, 422, "bad-request"),
        ({"inputs": [{**IMAGES, "name": "input0"}]}, 422, "bad-request"),
        ({"inputs": [{**IMAGES, "datatype": "FP32"}]}, 422, "bad-request"),
        ({"inputs": [{**IMAGES, "shape": [2]}]}, 422, "bad-request"),
        ({"inputs": [{**IMAGES, "shape": [-1]}]}, 422, "bad-request"),
        ({"inputs": [{**IMAGES, "shape": [1, 1]}]}, 422, "bad-request"),
        ({"inputs": [{**IMAGES, "data": [7]}]}, 422, "bad-request"),
        ({"inputs": [{**IMAGES, "data": ["%%%"]}]}, 422, "bad-request"),
        ({"inputs": [{**IMAGES, "data": ["aGVsbG8="]}]}, 422, "bad-picture"),
        ({"inputs": [{**IMAGES, "shape": [0], "data": []}]}, 422, "empty-request"),
        ({"inputs": [IMAGES], "parameters": {"min_scor": 1}}, 422, "bad-request"),
        ({"inputs": [IMAGES], "outputs": [{"name": "logits"}]}, 422, "bad-request"),
        (pixels([0] * 12, [1, 2, 2, 3]) | {"parameters": {"min_score": 2}}, 422, "bad-request"),
        (pixels([0] * 11, [1, 2, 2, 3]), 422, "bad-request"),
        (pixels([0] * 12, [1, 2, 3, 2]), 422, "bad-request"),
        (pixels([0] * 12, [2, 2, 3]), 422, "bad-request"),
        (pixels([], [0, 2, 2, 3]), 422, "bad-request"),
        (pixels([], [1, 2**40, 2**40, 3]), 422, "bad-request"),
        (pixels([256] * 12, [1, 2, 2, 3]), 422, "bad-request"),
        (pixels([-1] * 12, [1, 2, 2, 3]), 422, "bad-request"),
        (pixels([0.5] * 12, [1, 2, 2, 3]), 422, "bad-request"),
        (pixels([True] * 12, [1, 2, 2, 3]), 422, "bad-request"),
        (pixels([*[0] * 11, True], [1, 2, 2, 3]), 422, "bad-request"),
        (pixels([*[0] * 11, [0]], [1, 2, 2, 3]), 422, "bad-request"),
        (pixels([[[[0, 0, 0]] * 4] * 2], [1, 4, 2, 3]), 422, "bad-request"),
        (pixels([[0] * 12], [1, 2, 2, 3]), 422, "bad-request"),
        (pixels([[[[0, 0, 0]] * 2, 7]], [1, 2, 2, 3]), 422, "bad-request"),
        (pixels([[[[[0], 0, 0]] * 2] * 2], [1, 2, 2, 3]), 422, "bad-request"),
        (pixels([0] * 12, [10**2000] * 3 + [3]), 422, "bad-request"),
        (pixels(["0"] * 12, [1, 2, 2, 3]), 422, "bad-request"),
        (pixels([10**30] * 12, [1, 2, 2, 3]), 422, "bad-request"),
        (pixels([None] * 12, [1, 2, 2, 3]), 422, "bad-request"),
        (pixels([[0, 1], [2]], [1, 1, 1, 3]), 422, "bad-request"),
        (pixels(json.loads("[" * 60 + "]" * 60), [1, 1, 1, 3]), 422, "bad-request"),
    ],
)
def test_a_request_that_cannot_be_used_is_a_problem_with_the_protocols_error(
    client: Any, body: dict[str, Any], status: int, kind: str
) -> None:
    response = client.post(f"{MODEL}/infer", json=body)
    assert (response.status_code, response.json()["type"]) == (status, f"urn:micromodels:{kind}"), response.text
    assert response.json()["error"] == response.json()["detail"]


def test_one_long_text_among_many_short_ones_takes_no_more_memory_than_was_sent() -> None:
    sent = TensorIn(name="images", datatype="UINT8", shape=[1, 1, 1000, 3], data=["x" * 20_000, *["1"] * 2999])
    tracemalloc.start()
    try:
        with pytest.raises(BadRequest, match="value 0 is of type str"):
            encoded_pictures(sent)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_the_limits_of_pictures_hold_here_too(client_of: Callable[..., Any], png: bytes) -> None:
    for limit in ({"max_images": 1}, {"max_image_pixels": 1199}, {"max_image_bytes": 50}, {"max_request_bytes": 100}):
        assert client_of(**limit).post(f"{MODEL}/infer", json=asked(png, png)).status_code == 413
    many = pixels([0] * 3000, [1, 10, 100, 3])
    assert client_of(max_json_values=2000).post(f"{MODEL}/infer", json=many).status_code == 413
    assert client_of(max_json_values=4000).post(f"{MODEL}/infer", json=many).status_code == 200


def test_the_examples_fit_the_schemas_and_the_page_has_them_and_every_output() -> None:
    assert InferIn.model_validate(INFER).model_dump(exclude_unset=True) == INFER
    assert InferOut.model_validate(INFERRED).model_dump(exclude_none=True) == INFERRED
    section = PAGE.partition("## Open Inference Protocol")[2].partition("\n## ")[0]
    assert [json.loads(one) for one in re.findall(r"```json\n(.*?)```", section, flags=re.DOTALL)] == [INFER, INFERRED]
    assert re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE) == list(OUTPUTS)
