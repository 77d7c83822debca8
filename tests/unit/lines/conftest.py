"""A yard with coloured squares: a detector of its frames and a classifier of crops, fitted once as docs/lines.md says."""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from training.data.annotations import Annotation, FrameLabels
from training.data.coco import read_coco
from training.data.frames import Frame
from training.data.line import Line, Stage
from training.data.ontology import Ontology
from training.data.sources import open_frames, probe
from training.learning.generation import fit_jobs, plan_fits
from training.learning.recipes import smoke
from training.loop.going_live import go_live
from training.models.backbones import Backbone
from training.store.store import Store

PAGE = Path(__file__).resolve().parents[3] / "docs" / "lines.md"
WIDTH, HEIGHT, SIDE, FRAMES = 96, 64, 20, 8
COLOURS = {"red": (250, 60, 40), "blue": (60, 90, 250)}
SQUARES = Ontology(name="detection.square", task="detection", classes=("red", "blue"))
HOW = {
    "recipe": replace(
        smoke(), name="learns", parameters="head", steps=60, batch_size=4, neck_channels=24, peak_lr=1e-2, mirror=0.0
    ),
    "seed": 0,
}
BACKBONES = {"yard": Backbone(name="mobilenet_v2", weights="none"), "yard_crops": Backbone(name="resnet18", weights="none")}
STAGES = (
    Stage(name="find", model="yard@live", ontology="detection.square"),
    Stage(name="kind", model="yard_crops@live", ontology="classification.red-blue", input="find", padding=0.2),
)


def draw(index: int) -> tuple[Image.Image, tuple[Annotation, ...]]:
    """A red and a blue square over dark noise, moving against each other, and where they are."""
    picture = np.random.default_rng(index).integers(0, 60, (HEIGHT, WIDTH, 3), np.uint8)
    said = []
    for name, x, y in (("red", 4 + 4 * index, 6 + 4 * index), ("blue", 72 - 4 * index, 40 - 4 * index)):
        picture[y : y + SIDE, x : x + SIDE] = COLOURS[name]
        said.append(Annotation(class_name=name, bbox_xyxy=(x, y, x + SIDE, y + SIDE)))
    return Image.fromarray(picture), tuple(said)


@dataclass(frozen=True)
class Yard:
    """A store with the shard `yard`, the shard of crops that was made of it, and a live micro-model of each."""

    store: Store

    def frames(self, shard_id: str = "yard") -> list[Frame]:
        with open_frames(self.store.shard(shard_id)) as source:
            return list(source.read())

    def line(self, stages: Sequence[Stage] = STAGES, name: str = "squares") -> Line:
        return Line(name=name, stages=tuple(stages))

    def publish_again(self, shard_id: str) -> int:
        """The live micro-model of a shard once more, as the next generation, and live."""
        card = self.store.registry.resolve(shard_id)
        copy = replace(card, generation=0, fit_key=f"copy of {card.ref}")
        published = self.store.registry.publish(copy, self.store.registry.load(card))
        self.store.registry.promote(shard_id, published.ontology, published.generation, "copied")
        return published.generation


def fit(store: Store, shard_id: str) -> None:
    how: dict[str, Any] = {**HOW, "backbone": BACKBONES[shard_id]}
    receipts = go_live(store, fit_jobs(store, plan_fits(store, [shard_id], None, **how).jobs, **how))
    assert [receipt.error for receipt in receipts] == [None]


def documented_crops(store: Store, folder: Path) -> None:
    """Run the script of the page that makes a folder of crops."""
    (code, *_) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("sys.argv", ["crops.py", store.url, "yard", SQUARES.name, str(folder)])
        exec(compile(code, "crops.py", "exec"), {})


@pytest.fixture(scope="session")
def fitted_yard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the store lies; nobody changes it."""
    folder = tmp_path_factory.mktemp("yard")
    store = Store.create(str(folder / "store"))
    (folder / "yard").mkdir()
    drawn = [draw(index) for index in range(FRAMES)]
    for index, (picture, _) in enumerate(drawn):
        picture.save(folder / "yard" / f"{index}.png")
    store.add_shard(probe(str(folder / "yard")))
    store.add_ontology(SQUARES)
    labels = [FrameLabels(shard_id="yard", frame_index=n, annotations=said) for n, (_, said) in enumerate(drawn)]
    store.annotate("yard", SQUARES.name, labels)
    fit(store, "yard")
    documented_crops(store, folder / "yard_crops")
    crops = probe(str(folder / "yard_crops"))
    store.add_shard(crops)
    ontology, said = read_coco(folder / "yard_crops.coco.json", crops).labels["classification"]
    store.add_ontology(ontology)
    store.annotate("yard_crops", ontology.name, said)
    fit(store, "yard_crops")
    return folder


@pytest.fixture
def yard(fitted_yard: Path, tmp_path: Path) -> Yard:
    """A store of one's own; pictures are those of the session."""
    shutil.copytree(fitted_yard / "store", tmp_path / "store")
    return Yard(store=Store.open(str(tmp_path / "store")))
