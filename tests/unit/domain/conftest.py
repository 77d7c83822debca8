from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from training.data.frames import Frame
from training.data.shards import Shard
from training.data.sources import probe
from training.data.world.video import draw_video
from training.store.descriptors import Descriptor
from training.store.store import Store


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Shard]:
    """A video of each of two cameras of the generated world."""
    folder = tmp_path_factory.mktemp("videos")
    cameras = {"pond": "pond", "road": "crossing"}
    for seed, (name, camera) in enumerate(cameras.items()):
        draw_video(folder / f"{name}.mp4", seed=seed, num_frames=32, width=128, height=96, camera=camera)
    return {name: probe(folder / f"{name}.mp4") for name in cameras}


class QuickEye:
    """Sees mean and spread of the colours of four quarters: enough where it does not matter who looks."""

    identity = "quick-0"
    num_features = 24

    def glance(self, frame: Frame) -> NDArray[np.float32]:
        height, width = frame.height // 2, frame.width // 2
        quarters = [frame.image_HW3[y : y + height, x : x + width] / 255 for y in (0, height) for x in (0, width)]
        seen_D = np.concatenate([part for one in quarters for part in (one.mean(axis=(0, 1)), one.std(axis=(0, 1)))])
        return (seen_D / np.linalg.norm(seen_D)).astype(np.float32)


@pytest.fixture(scope="session")
def quick_eye() -> QuickEye:
    return QuickEye()


@pytest.fixture
def on_a_circle() -> Callable[..., Descriptor]:
    """Shard id, degrees of its frames, how far its own frames are -> a descriptor whose rows lie on a circle."""

    def make(shard_id: str, *degrees: float, own: float = 0.1, apart: float = 0.01) -> Descriptor:
        num_frames = len(degrees)
        distance_VK = np.full((2, num_frames), apart, np.float32)
        distance_VK[1] = own
        return Descriptor(
            shard_id=shard_id,
            eye="circle",
            frames_K=np.arange(num_frames),
            seen_MD=np.stack([*map(point, degrees), *map(point, degrees)]),
            own_VK=distance_VK,
            ring_P2=np.empty((0, 2)),
        )

    return make


def point(degrees: float) -> NDArray[np.float32]:
    return np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], np.float32)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(str(tmp_path / "store"))
