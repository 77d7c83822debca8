"""What a path is, and what its shard is called."""

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.data.sources import kind_of, probe, shard_id_of
from training.data.video_file import open_video
from training.errors import BadInput, BadPicture, BadVideo, UnsupportedInput


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


@pytest.mark.parametrize(("name", "error"), [("a.mp4", BadVideo), ("a.png", BadPicture), ("a.tif", BadPicture)])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, error: type[BadInput]) -> None:
    (tmp_path / name).symlink_to("/proc/self/mem")  # can be opened, and not be read
    with pytest.raises(error, match=rf"{name}: Input/output error, needed a \w+ that can be read"):
        probe(tmp_path / name)


def test_a_path_that_the_system_does_not_take_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"x\.mp4: File name too long, needed a video"):
        kind_of(tmp_path / f"{'x' * 300}.mp4")
    with pytest.raises(BadVideo, match=r"x\.mp4: File name too long, needed a video"), open_video(f"{tmp_path}/{'x' * 300}.mp4"):
        pass


@pytest.mark.parametrize("name", [b"b\xff.mp4", b"b\xff.png", b"b\xff.tif", b"b\xff", b"b\xff/a.png"])
def test_a_path_that_is_not_utf8_is_refused(write_video: Any, write_picture: Any, tmp_path: Path, name: bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    if name.endswith(b".mp4"):
        write_video("a.mp4", 2).rename(path)
    else:
        inside = path / "a.png" if not path.suffix else path
        inside.parent.mkdir(exist_ok=True)
        write_picture("a" + inside.suffix, np.zeros((8, 8, 3), np.uint8)).rename(inside)
    with pytest.raises(BadInput, match=r"/b\\udcff.*: a name that is not UTF-8, needed one that is"):
        probe(path)
