"""All four tasks over HTTP: what the schema promises, what the examples and docs/clients.md show, and what is sent."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from services.answering import Answer, Answerer
from services.examples import PREDICTIONS
from services.payload import Picture
from services.schemas import Prediction
from services.settings import Settings
from training.data.annotations import Annotation, FrameLabels
from training.data.ontology import Ontology
from training.data.rle import encode
from training.models.backbones import empty_trunk
from training.models.grid import GridConfig, GridNetwork
from training.models.micro_model import MicroModel
from training.models.network import DenseConfig, DenseNetwork
from training.models.networks import Network
from training.models.tasks import TASKS, GridTask, task_for
from training.store.card import Card
from training.store.store import Store

# pycocotools' own use of what numpy 2 deprecates
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "clients.md").read_text(encoding="utf-8")
SECTIONS = dict(zip(*[iter(re.split(r"^## (.+)$", PAGE, flags=re.MULTILINE)[1:])] * 2, strict=True))


def block(task: str, kind: str) -> str:
    """The one block of that kind in the section of a task."""
    (text,) = re.findall(rf"```{kind}\n(.*?)```", SECTIONS[task.capitalize()], flags=re.DOTALL)
    return text


def _mask(height: int, width: int) -> str:
    mask_HW = np.zeros((height, width), dtype=bool)
    mask_HW[5:15, 5:25] = True
    return encode(mask_HW)


SAID = {
    "classification": Annotation(class_name="day", level="image", score=0.75, provenance="model"),
    "detection": Annotation(class_name="fly", bbox_xyxy=(1, 2, 11, 22), score=0.75, provenance="model"),
    "segmentation": Annotation(
        class_name="road", bbox_xyxy=(5, 5, 25, 15), rle_counts=_mask(30, 40), score=0.75, provenance="model"
    ),
    "keypoints": Annotation(
        class_name="fly", bbox_xyxy=(1, 2, 11, 22), keypoints_xyv=(2, 3, 2, 9, 20, 1), score=0.75, provenance="model"
    ),
}


@pytest.mark.parametrize("task", sorted(TASKS))
def test_an_annotation_of_every_task_travels_whole_and_without_what_it_does_not_have(
    client: Any, hosts: Any, png: bytes, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    async def predict(card: Card, pictures: Sequence[Picture]) -> Answer:
        labels = FrameLabels(shard_id=card.shard_id, frame_index=0, annotations=(SAID[task],))
        names = ("head", "tail") if task == "keypoints" else ()
        return Answer(labels=(labels,), sizes_wh=((40, 30),), model_s=0.01, batch_images=1, keypoint_names=names)

    monkeypatch.setattr(hosts, "predict", predict)
    response = client.post("/v1/models/garden/predict", content=png, headers={"content-type": "image/png"})
    (sent,) = response.json()["images"][0]["annotations"]
    common = {"class_name", "level", "score"}
    more = {
        "classification": set(),
        "detection": {"bbox_xyxy"},
        "segmentation": {"bbox_xyxy", "mask"},
        "keypoints": {"bbox_xyxy", "keypoints"},
    }
    assert sent.keys() == common | more[task]
    assert sent["level"] == ("image" if task == "classification" else "object")
    if task == "segmentation":
        assert sent["mask"]["size"] == [30, 40]
        decoded = coco_mask.decode(sent["mask"])
        assert (decoded.shape, decoded.sum()) == ((30, 40), 200)
        assert decoded[5:15, 5:25].all()
    if task == "keypoints":
        assert sent["keypoints"] == [
            {"name": "head", "x": 2, "y": 3, "visibility": 2},
            {"name": "tail", "x": 9, "y": 20, "visibility": 1},
        ]


@pytest.mark.parametrize("task", sorted(TASKS))
def test_a_micro_model_of_every_task_answers_and_its_points_have_the_ontologys_names(
    tmp_path: Path, make_picture: Callable[..., bytes], task: Any
) -> None:
    points = ("head", "tail") if task == "keypoints" else ()
    ontology = Ontology(name="things", task=task, classes=("a", "b"), keypoints=points)
    model = _unfitted(ontology)
    store = Store.create(str(tmp_path / "store"))
    card = Card(shard_id="pond", ontology="things", task=task, classes=ontology.classes, network=model.to_json())
    published = store.registry.publish(card, model.tensors())
    answerer = Answerer(store, Settings(store=store.url))
    data = make_picture(96, 64)
    (answer,) = answerer.answer([answerer.prepare(published, [Picture(name="one", data=data, num_pixels=96 * 64)])])
    assert isinstance(answer, Answer)
    assert answer.keypoint_names == points
    assert answer.sizes_wh == ((96, 64),)


def _unfitted(ontology: Ontology) -> MicroModel:
    torch.manual_seed(0)
    task = task_for(ontology)
    shared: dict[str, Any] = {
        "backbone": "resnet18",
        "scale": 1.0,
        "output_stride": task.output_stride,
        "branches": task.branches(),
    }
    trunk = empty_trunk("resnet18")
    network: Network
    if isinstance(task, GridTask):
        network = GridNetwork(trunk, GridConfig(**shared, cells=task.cells, typical_hw=(4, 6)))
    else:
        network = DenseNetwork(trunk, DenseConfig(**shared, neck_channels=8, coordinates=task.coordinates))
    labels = [FrameLabels(shard_id="pond", frame_index=0, annotations=_drawn(ontology))]
    decoding = task.learned_limits(labels, [(64, 96)] * len(labels))
    return MicroModel(shard_id="pond", ontology=ontology, network=network.eval(), decoding=decoding)


def _drawn(ontology: Ontology) -> tuple[Annotation, ...]:
    said = replace(SAID[ontology.task], class_name="a", score=None, provenance="human")
    return (replace(said, rle_counts=_mask(64, 96)) if ontology.task == "segmentation" else said,)


def test_openapi_has_an_example_of_every_task_that_fits_the_schema(client: Any) -> None:
    document = client.get("/openapi.json").json()
    content = document["paths"]["/v1/models/{shard_id}/predict"]["post"]["responses"]["200"]["content"]["application/json"]
    assert set(content["examples"]) == set(TASKS)
    assert content["schema"] == {"$ref": "#/components/schemas/Prediction"}
    for task, example in content["examples"].items():
        assert example["value"]["model"]["task"] == task
        kept = Prediction.model_validate(example["value"]).model_dump(mode="json", exclude_none=True)
        assert kept == example["value"], "every key of the example is in the schema"
    schemas = document["components"]["schemas"]
    assert set(schemas["MaskOut"]["properties"]) == {"size", "counts"}
    assert set(schemas["KeypointOut"]["properties"]) == {"name", "x", "y", "visibility"}


def test_the_page_has_a_client_for_every_task() -> None:
    assert {heading.lower() for heading in SECTIONS} == {*TASKS, "people in the loop"}


@pytest.mark.parametrize("task", sorted(TASKS))
def test_the_documented_answer_is_the_example_of_the_schema(task: str) -> None:
    assert json.loads(block(task, "json")) == PREDICTIONS[task]["value"]


@pytest.mark.parametrize("task", sorted(TASKS))
def test_the_documented_client_runs_on_the_documented_answer(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer, asked = json.loads(block(task, "json")), []

    def post(url: str, **sent: Any) -> httpx.Response:
        asked.append(url)
        assert sent["content"] == b"a picture"
        return httpx.Response(200, json=answer, request=httpx.Request("POST", url))

    monkeypatch.setattr(httpx, "post", post)
    monkeypatch.chdir(tmp_path)
    Path("frame.jpg").write_bytes(b"a picture")
    known: dict[str, Any] = {}
    exec(block(task, "python"), known)
    assert asked == [f"http://127.0.0.1:8000/v1/models/{answer['model']['shard_id']}/predict"]
    assert asked[0] in block(task, "bash")
    printed = capsys.readouterr().out.strip()
    assert printed == {"detection": "person 0.97 90 x 270", "keypoints": "mouse {'snout': (210.2, 148.9)}"}.get(task, "")
    if task == "classification":
        assert known["classes"] == {"night": 0.98}
    if task == "segmentation":
        assert known["masks"]["pole"].sum() == 80
