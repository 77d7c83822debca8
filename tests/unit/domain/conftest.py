from pathlib import Path

import pytest

from training.data.shards import Shard
from training.data.sources import probe
from training.data.world.video import draw_video
from training.models.backbones import Backbone
from training.models.eye import Eye
from training.store.store import Store


@pytest.fixture(scope="session")
def eye() -> Eye:
    return Eye(Backbone(weights="none"))


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Shard]:
    """A video of each of two cameras of the generated world."""
    folder = tmp_path_factory.mktemp("videos")
    cameras = {"pond": "pond", "road": "crossing"}
    for seed, (name, camera) in enumerate(cameras.items()):
        draw_video(folder / f"{name}.mp4", seed=seed, num_frames=32, width=128, height=96, camera=camera)
    return {name: probe(folder / f"{name}.mp4") for name in cameras}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(str(tmp_path / "store"))
