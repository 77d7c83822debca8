"""A folder of pictures that is away, or that holds a link to nowhere, is told like a video that is away."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cluster import describing
from training.data.sources import probe
from training.domain.describe import describe_each
from training.errors import BadInput, BadPicture
from training.store.store import Store


@pytest.fixture
def album(tmp_path: Path, store: Store) -> Path:
    """A shard of three pictures that is in the store."""
    folder = tmp_path / "album"
    folder.mkdir()
    for name in "abc":
        Image.new("RGB", (64, 48), (90, 90, 90)).save(folder / f"{name}.png")
    store.add_shard(probe(folder))
    return folder


def test_a_folder_that_is_away_says_why(album: Path, store: Store, quick_eye: Any) -> None:
    album.rename(album.with_name("elsewhere"))
    (said,) = describe_each(store, quick_eye, ["album"])
    assert type(said) is BadInput
    assert "album: No such file or directory" in str(said)
    failures = describing._failure(store, quick_eye, "album")
    assert failures["album"].startswith("BadInput: ")


def test_a_picture_that_is_away_says_which(album: Path, store: Store, quick_eye: Any) -> None:
    (album / "b.png").unlink()
    (album / "b.png").symlink_to("nowhere.png")
    (said,) = describe_each(store, quick_eye, ["album"])
    assert isinstance(said, BadPicture)
    assert "b.png (frame 1): No such file or directory" in str(said)
