"""A folder of labelled data: what belongs together, and what is left over."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.data.folder import labelled_folder, left_over
from training.errors import BadInput, DuplicateShard, UnsupportedInput

_PICTURE = np.zeros((4, 4, 3), np.uint8)


def _found(directory: Path) -> list[tuple[str, str, str | None]]:
    return [(one.shard_id, one.path.name, one.labels and one.labels.name) for one in labelled_folder(directory)]


def test_videos_scenes_and_folders_get_the_labels_beside_them(tmp_path: Path, write_picture: Any) -> None:
    write_picture("scene.png", _PICTURE)
    write_picture("frames/1.png", _PICTURE)
    for name in (
        "clip.mp4",
        "map.tif",
        "clip.coco.json",
        "frames.coco.json",
        "scene.coco.json",
        "README.md",
        "clip.csv",
        ".hidden",
    ):
        (tmp_path / name).write_text("x")
    (tmp_path / "empty").mkdir()
    assert _found(tmp_path) == [
        ("clip", "clip.mp4", "clip.coco.json"),
        ("frames", "frames", "frames.coco.json"),
        ("map", "map.tif", None),
        ("scene", "scene.png", "scene.coco.json"),
    ]
    assert [path.name for path in left_over(tmp_path)] == ["README.md", "clip.csv", "empty"]
    assert all(one.path.is_absolute() for one in labelled_folder(tmp_path))


def test_labels_without_what_they_label_are_named(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_text("x")
    (tmp_path / "other.coco.json").write_text("{}")
    with pytest.raises(BadInput, match=r"other.coco.json: no video, picture or folder 'other' beside it"):
        labelled_folder(tmp_path)


def test_two_sources_of_one_name_are_refused(tmp_path: Path) -> None:
    for name in ("clip.mp4", "clip.avi"):
        (tmp_path / name).write_text("x")
    with pytest.raises(DuplicateShard, match=r"clip.mp4 and .*clip.avi: both are 'clip'"):
        labelled_folder(tmp_path)


def test_a_folder_of_nothing_but_pictures_is_one_source(tmp_path: Path, write_picture: Any) -> None:
    write_picture("frames/1.png", _PICTURE)
    write_picture("frames/2.png", _PICTURE)
    (tmp_path / "frames" / "notes.txt").write_text("x")
    (tmp_path / "frames.coco.json").write_text("{}")
    assert _found(tmp_path / "frames") == [("frames", "frames", "frames.coco.json")]
    assert [path.name for path in left_over(tmp_path / "frames")] == ["notes.txt"]


def test_geotiffs_alone_are_scenes(tmp_path: Path) -> None:
    for name in ("a.tif", "b.tif"):
        (tmp_path / name).write_text("x")
    assert _found(tmp_path) == [("a", "a.tif", None), ("b", "b.tif", None)]


def test_a_single_file_brings_its_labels(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_text("x")
    (tmp_path / "clip.coco.json").write_text("{}")
    assert _found(tmp_path / "clip.mp4") == [("clip", "clip.mp4", "clip.coco.json")]
    with pytest.raises(UnsupportedInput, match=r"clip.coco.json"):
        labelled_folder(tmp_path / "clip.coco.json")


@pytest.mark.parametrize("look", ["iterdir", "is_file"])
def test_what_cannot_be_looked_at_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, look: str) -> None:
    (tmp_path / "clip.mp4").touch()
    (tmp_path / "locked").mkdir()
    (tmp_path / "locked" / "1.png").touch()
    looked: Any = getattr(Path, look)

    def refusing(path: Path) -> Any:
        if "locked" in path.parts:
            raise PermissionError(13, "Permission denied", str(path))
        return looked(path)

    monkeypatch.setattr(Path, look, refusing)
    for folder in (tmp_path, tmp_path / "locked") if look == "iterdir" else (tmp_path / "locked",):
        with pytest.raises(BadInput, match=r"/locked(/1\.png)?: Permission denied, needed files and folders that can be read$"):
            labelled_folder(folder)


def test_a_video_beside_which_no_name_of_labels_is_short_enough_is_named(tmp_path: Path) -> None:
    video = tmp_path / f"{'a' * 248}.mp4"
    video.touch()
    with pytest.raises(BadInput, match="File name too long, needed files and folders that can be read"):
        labelled_folder(video)


def test_nothing_to_add_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="nothing to add"):
        labelled_folder(tmp_path)
    with pytest.raises(BadInput, match="no such file or folder"):
        labelled_folder(tmp_path / "missing")
