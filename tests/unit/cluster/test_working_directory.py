"""A job goes on in its working directory when another node of its machine has unpacked it anew."""

import os
import time
from pathlib import Path

import pytest

from cluster.working_directory import kept_here


def test_a_working_directory_that_was_replaced_is_entered_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "package"
    here.mkdir()
    monkeypatch.chdir(here)
    with kept_here():
        here.rmdir()
        with pytest.raises(FileNotFoundError):
            Path.cwd()
        here.mkdir()
        (here / "cards.json").touch()
        until = time.monotonic() + 60
        while Path(os.curdir).stat().st_nlink == 0 and time.monotonic() < until:  # that of a directory that is gone
            time.sleep(0.01)
        assert (Path.cwd(), Path("cards.json").exists()) == (here, True)


def test_outside_the_block_nobody_is_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "package"
    here.mkdir()
    monkeypatch.chdir(here)
    with kept_here():
        pass
    here.rmdir()
    here.mkdir()
    time.sleep(0.5)
    with pytest.raises(FileNotFoundError):
        Path.cwd()
