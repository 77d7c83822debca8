"""Pictures too large for one pass: what is said about them in pieces is what one pass says."""

import numpy as np
import pytest
import torch

from training.data.annotations import Annotation
from training.data.frames import Frame
from training.data.ontology import Ontology
from training.data.rle import decode
from training.models.backbones import empty_trunk
from training.models.bank import Bank
from training.models.micro_model import MicroModel
from training.models.network import DenseConfig, DenseNetwork
from training.models.tasks import task_for
from training.models.tiling import forward_in_tiles
from training.models.together import Together

CPU = torch.device("cpu")
MARGIN = 128  # pixels: MobileNetV2 with random weights sees no farther
DECODING = {
    "detection": {"fewest": [99, 99], "most": [99, 99], "min_scores": [0.0, 0.0, 0.0]},
    "segmentation": {"background": False},
}


def random_model(task: str, backbone: str = "mobilenet_v2") -> MicroModel:
    """Random weights, but norms that saw pictures, so that outputs differ from place to place."""
    torch.manual_seed(0)
    ontology = Ontology(name="things", task=task, classes=("one", "other"))  # type: ignore[arg-type]
    kind = task_for(ontology)
    config = DenseConfig(
        backbone=backbone,
        scale=1.0,
        output_stride=kind.output_stride,
        neck_channels=8,
        branches=kind.branches(),
        coordinates=kind.coordinates,
    )
    network = DenseNetwork(empty_trunk(backbone), config)
    for _ in range(8):
        network(torch.rand(2, 3, 96, 96))
    return MicroModel(shard_id="shard", ontology=ontology, network=network.eval(), decoding=DECODING[task])


def picture(height: int, width: int) -> torch.Tensor:
    """(3, H, W): coarse patches under fine noise."""
    random = np.random.default_rng(0)
    patches = np.kron(random.integers(0, 200, (3, height // 32, width // 32)), np.ones((32, 32)))
    return torch.from_numpy((patches + random.integers(0, 56, patches.shape)).astype(np.uint8))


@pytest.mark.parametrize("task", ["detection", "segmentation"])
@pytest.mark.parametrize("size", [(256, 1024), (512, 608)])
@torch.inference_mode()
def test_output_maps_put_together_from_pieces_are_those_of_one_pass(task: str, size: tuple[int, int]) -> None:
    network, image = random_model(task).network, picture(*size)
    (whole,) = forward_in_tiles(Together([network], [1]), [image], CPU, max_pixels=10**9)
    (tiled,) = forward_in_tiles(Together([network], [1]), [image], CPU, max_pixels=448 * 448, margin=MARGIN)
    for name, map_NChw in whole.items():
        assert tiled[name].shape == map_NChw.shape
        torch.testing.assert_close(tiled[name], map_NChw, atol=1e-4 * float(map_NChw.std()), rtol=1e-4)


@torch.inference_mode()
def test_no_pass_sees_more_pixels_than_it_may() -> None:
    model = random_model("detection")
    seen: list[tuple[int, ...]] = []
    model.network.trunk.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape)))
    forward_in_tiles(Together([model.network], [1]), [picture(384, 640)], CPU, max_pixels=256 * 256, margin=64)
    assert len(seen) > 4
    assert max(height * width for _, _, height, width in seen) <= 256 * 256
    assert not [side for _, _, *sides in seen for side in sides if side % 32]


@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_a_frame_a_little_over_the_limit_gets_the_labels_of_one_pass(task: str) -> None:
    model = random_model(task)
    image_HW3 = picture(448, 512).permute(1, 2, 0)[:440, :500].contiguous().numpy()
    frame = Frame(shard_id="shard", frame_index=0, image_HW3=image_HW3)
    (whole,) = Bank([model]).predict([frame], [0])
    (tiled,) = Bank([model], pixels_per_pass=448 * 448).predict([frame], [0])
    assert len(tiled.annotations) == len(whole.annotations) > 0
    away_WT = np.abs(_places(whole.annotations)[:, None] - _places(tiled.annotations)).max(axis=2)
    assert max(away_WT.min(axis=0).max(), away_WT.min(axis=1).max()) < 0.01, "pixels; objects as sure may change places"
    for one, other in zip(whole.annotations, tiled.annotations, strict=True):
        assert (one.rle_counts is None) == (task == "detection")
        if one.rle_counts is not None and other.rle_counts is not None:
            assert (decode(one.rle_counts, 440, 500) != decode(other.rle_counts, 440, 500)).sum() <= 3, "pixels"


def _places(annotations: tuple[Annotation, ...]) -> np.ndarray:
    """(M, 5): xyxy and score."""
    return np.array([(*(a.bbox_xyxy or ()), a.score) for a in annotations])
