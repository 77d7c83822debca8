"""One small micro-model, fitted once for all tests of what a fitted model does."""

from dataclasses import replace

import numpy as np
import pytest

from training.data.annotations import Annotation, FrameLabels
from training.data.frames import Frame
from training.data.ontology import Ontology
from training.learning.fit import fit_bank
from training.learning.labelled import LabelledFrames
from training.learning.recipes import Recipe, smoke
from training.models.backbones import Backbone
from training.models.micro_model import MicroModel

BACKBONE = Backbone(name="resnet18", weights="none")
LEARNS = replace(smoke(), name="learns", steps=70, batch_size=4, neck_channels=24, peak_lr=2e-3, mirror=0.0)


class Squares:
    """A shard of frames on which a bright square wanders over a dim gradient."""

    backbone = BACKBONE

    def frame(self, index: int, *, shard_id: str = "squares") -> tuple[Frame, FrameLabels]:
        height, width, side = 64, 96, 24
        x, y = 6 + (index * 13) % (width - side - 12), 5 + (index * 7) % (height - side - 10)
        image = np.zeros((height, width, 3), np.uint8)
        image[..., 0] = np.linspace(20, 90, width)[None, :]
        image[..., 2] = np.linspace(90, 20, height)[:, None]
        image[y : y + side, x : x + side] = (230, 200, 40)
        said = Annotation(class_name="square", bbox_xyxy=(x, y, x + side, y + side))
        frame = Frame(shard_id=shard_id, frame_index=index, image_HW3=image)
        return frame, FrameLabels(shard_id=shard_id, frame_index=index, annotations=(said,))

    def labelled(self, count: int = 5, *, shard_id: str = "squares") -> LabelledFrames:
        pairs = [self.frame(index, shard_id=shard_id) for index in range(count)]
        return LabelledFrames(
            shard_id=shard_id,
            ontology=Ontology(name="squares", task="detection", classes=("square",)),
            frames=tuple(frame for frame, _ in pairs),
            labels=tuple(labels for _, labels in pairs),
        )

    def fit(self, recipe: Recipe, *, seed: int = 0, backbone: Backbone = BACKBONE) -> MicroModel:
        return fit_bank([self.labelled()], recipe=recipe, backbone=backbone, seed=seed).models["squares"]


@pytest.fixture(scope="session")
def squares() -> Squares:
    return Squares()


@pytest.fixture(scope="session")
def fitted(squares: Squares) -> MicroModel:
    return squares.fit(LEARNS)
