"""A folder of pictures is a shard: natural order, one size, nothing dropped in silence."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from training.data.images import pictures_in
from training.data.sources import open_frames, probe
from training.errors import BadInput, BadPicture, UnknownFrame


def _grey(level: int, width: int = 12, height: int = 8) -> Any:
    return np.full((height, width, 3), level, np.uint8)


def test_frames_follow_the_natural_order_of_names(write_picture: Any) -> None:
    for number in (10, 2, 1, 33):
        folder = write_picture(f"clip/frame{number}.png", _grey(number)).parent
    shard = probe(folder)
    assert (shard.kind, shard.shard_id, shard.num_frames, shard.width, shard.height) == ("images", "clip", 4, 12, 8)
    with open_frames(shard) as frames:
        found = [(frame.frame_index, int(frame.image_HW3[0, 0, 0])) for frame in frames.read()]
        assert found == [(0, 1), (1, 2), (2, 10), (3, 33)]
        assert [frame.frame_index for frame in frames.read([3, 1, 3])] == [1, 3]
        with pytest.raises(UnknownFrame, match="clip: frame 4"):
            frames.read([4])


def test_sizes_are_compared_upright(write_picture: Any) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    write_picture("clip/a.png", _grey(1, 12, 8))
    folder = write_picture("clip/b.png", _grey(2, 8, 12), exif=exif).parent
    assert [frame.image_HW3.shape for frame in open_frames(probe(folder)).read()] == [(8, 12, 3)] * 2


def test_the_odd_size_is_named(write_picture: Any) -> None:
    for name in ("a", "c", "d"):
        write_picture(f"clip/{name}.png", _grey(1))
    odd = write_picture("clip/b.png", _grey(1, 5, 5))
    with pytest.raises(BadInput, match=r"b.png: 5x5, needed 12x8"):
        probe(odd.parent)


def test_texts_and_hidden_files_are_passed_over_and_others_refused(write_picture: Any) -> None:
    folder = write_picture("clip/a.png", _grey(1)).parent
    for name in (".hidden", "notes.txt", "labels.json", "times.csv"):
        (folder / name).write_text("x")
    assert probe(folder).num_frames == 1
    (folder / "model.bin").write_text("x")
    with pytest.raises(BadInput, match=r"model.bin: found among pictures"):
        probe(folder)


def test_a_broken_picture_is_named(write_picture: Any) -> None:
    path = write_picture("clip/a.png", _grey(1))
    path.with_name("b.png").write_bytes(path.read_bytes()[:40])
    with pytest.raises(BadPicture, match=r"b.png: 40 bytes"):
        probe(path.parent)


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no pictures"):
        probe(tmp_path)


def test_the_hash_covers_names_and_bytes(write_picture: Any) -> None:
    path = write_picture("clip/a.png", _grey(1))
    first = probe(path.parent).content_hash
    assert probe(path.parent).content_hash == first
    renamed = path.rename(path.with_name("b.png"))
    second = probe(path.parent).content_hash
    write_picture("clip/b.png", _grey(2))
    assert len({first, second, probe(renamed.parent).content_hash}) == 3


def test_a_folder_that_changed_after_it_was_added_is_noticed(write_picture: Any) -> None:
    path = write_picture("clip/a.png", _grey(1))
    shard = probe(path.parent)
    write_picture("clip/b.png", _grey(1))
    with pytest.raises(BadInput, match="2 pictures, needed the 1 that were added"):
        list(open_frames(shard).read())


def test_a_folder_is_listed_once_however_often_it_is_read(write_picture: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, shard = _three_pictures(write_picture)
    listed: list[str] = []

    def counted(directory: Any) -> list[Path]:
        listed.append(directory)
        return pictures_in(directory)

    monkeypatch.setattr("training.data.images.pictures_in", counted)
    with open_frames(shard) as frames:
        assert [frame.frame_index for index in range(3) for frame in frames.read([index])] == [0, 1, 2]
    assert len(listed) == 1


def _three_pictures(write_picture: Any) -> tuple[Path, Any]:
    for level, name in enumerate("abc"):
        folder = write_picture(f"clip/{name}.png", _grey(level)).parent
    return folder, probe(folder)


def test_a_link_to_nowhere_among_the_pictures_is_named(write_picture: Any) -> None:
    folder = write_picture("clip/a.png", _grey(1)).parent
    (folder / "b.png").symlink_to(folder / "nowhere.png")
    with pytest.raises(BadPicture, match=r"clip/b\.png: No such file or directory, needed a picture that can be read"):
        probe(folder)


def test_a_picture_that_went_away_is_named_with_its_frame_and_the_others_can_be_read(write_picture: Any) -> None:
    folder, shard = _three_pictures(write_picture)
    (folder / "b.png").unlink()
    (folder / "b.png").symlink_to("nowhere.png")
    with open_frames(shard) as frames:
        with pytest.raises(BadPicture, match=r"b\.png \(frame 1\): No such file or directory, needed"):
            list(frames.read())
        assert [frame.frame_index for frame in frames.read([0, 2])] == [0, 2]


def test_a_folder_that_went_away_is_no_bad_picture(write_picture: Any) -> None:
    """All of its frames are away, and may be there again the next time."""
    folder, shard = _three_pictures(write_picture)
    folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(BadInput, match=r"clip: No such file or directory, needed a folder of pictures") as raised:
        list(open_frames(shard).read())
    assert not isinstance(raised.value, BadPicture)


def test_a_picture_whose_name_is_not_utf8_is_refused_in_letters_that_can_be_printed(write_picture: Any) -> None:
    path = write_picture("clip/a.png", _grey(1))
    path.rename(path.with_name(os.fsdecode(b"b\xff.png")))
    with pytest.raises(BadInput, match="a name that is not UTF-8") as raised:
        probe(path.parent)
    assert r"clip/b\udcff.png: " in str(raised.value)
    assert str(raised.value).isprintable()
