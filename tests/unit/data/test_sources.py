"""What a path is, and what its shard is called."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.data.sources import kind_of, probe, shard_id_of
from training.errors import BadInput, UnsupportedInput


def test_the_hash_is_of_the_files_bytes(write_video: Any) -> None:
    path = write_video("a.mp4")
    assert probe(path).content_hash == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def test_a_relative_path_becomes_absolute(write_video: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video("a.mp4")
    monkeypatch.chdir(path.parent)
    shard = probe("a.mp4", shard_id="named")
    assert (shard.uri, shard.shard_id) == (str(path), "named")
    assert probe(f"../{path.parent.name}/a.mp4", shard_id="named") == shard


def test_suffixes_count_in_any_case(write_video: Any, write_picture: Any) -> None:
    assert kind_of(write_video("a.mp4").rename(write_video("b.mp4").with_name("A.MP4"))) == "video"
    assert (
        kind_of(write_picture("a.png", np.zeros((4, 4, 3), np.uint8)).rename(Path(write_video("c.mp4")).with_name("A.PNG")))
        == "scene"
    )


def test_other_suffixes_and_missing_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.docx").write_text("x")
    with pytest.raises(UnsupportedInput, match=r"a.docx: suffix '.docx', needed"):
        probe(tmp_path / "a.docx")
    with pytest.raises(BadInput, match=r"b.mp4: no such file"):
        probe(tmp_path / "b.mp4")


def test_names_are_made_safe_and_stay_apart() -> None:
    assert shard_id_of("/x/davis_dog.mp4") == "davis_dog"
    assert shard_id_of("/x/v1.2.mp4") == "v1.2"
    changed = [shard_id_of(f"/x/{name}.mp4") for name in ("a b", "a-b", "a_b", "-a-b", "été", "视频", "n" * 300)]
    assert len(set(changed)) == len(changed)
    assert all(len(name) <= 200 for name in changed)
