import json
import os
import signal
from pathlib import Path

import pytest
import typer

from cluster.cli.output import EXIT_CODES, exit_code, failure, finish, print_table, verb, write_json
from training import errors


def test_every_named_error_has_an_exit_code() -> None:
    named = [found for name in errors.__all__ if isinstance(found := getattr(errors, name), type)]
    assert {exit_code(kind("x")) for kind in named} == {2}
    assert exit_code(ValueError("a bug")) is None
    assert dict(EXIT_CODES)[KeyboardInterrupt] == 130


@pytest.mark.parametrize(("raised", "code"), [(errors.BadVideo("clip.mp4:\nempty"), 2), (KeyboardInterrupt(), 130)])
def test_a_verb_says_its_error_on_one_line_and_exits(
    raised: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails() -> int:
        raise raised

    with pytest.raises(typer.Exit) as exited:
        verb(fails)()
    assert exited.value.exit_code == code
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_sigterm_ends_a_verb_in_order_and_is_left_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    before, cleaned = signal.getsignal(signal.SIGTERM), []

    def stopped() -> int:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        finally:
            cleaned.append("up")
        return 0

    with pytest.raises(typer.Exit) as exited:
        verb(stopped)()
    assert exited.value.exit_code == 143
    assert cleaned == ["up"]
    assert capsys.readouterr().err == "terminated: everything finished so far is kept\n"
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_bug_in_a_verb_keeps_its_traceback() -> None:
    def broken() -> int:
        return 1 // 0

    with pytest.raises(ZeroDivisionError):
        verb(broken)()


def test_failures_are_shown_and_written_and_make_it_exit_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"shard_id": "good", "frames": 16}]
    document = {"shards": rows, "failures": [failure("bad", errors.BadVideo("bad.mp4: empty"))]}
    assert finish(document, tmp_path / "out.json", rows=rows) == 3
    assert "bad       BadVideo: bad.mp4: empty" in capsys.readouterr().out
    assert json.loads((tmp_path / "out.json").read_text()) == document


def test_no_failure_is_exit_0() -> None:
    assert finish({"shards": [], "failures": []}, None, rows=[]) == 0


def test_json_that_cannot_be_written_is_bad_input_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(errors.BadInput, match="nowhere"):
        write_json(tmp_path / "nowhere" / "out.json", {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["a file/out.json", ".", "n" * 250])
def test_a_place_that_is_none_for_json_is_bad_input_and_leaves_nothing(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a file").write_text("x")
    with pytest.raises(errors.BadInput, match="cannot write the results"):
        write_json(Path(place), {})
    assert list(Path().iterdir()) == [Path("a file")]


def test_what_utf8_cannot_hold_is_escaped_in_json_and_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = {"shards": [], "failures": [failure("b\udcff.mp4", "é b\udcff.mp4: gone")]}
    assert finish(document, tmp_path / "out.json", rows=[]) == 3
    assert capsys.readouterr().out.splitlines()[-1] == r"b\udcff.mp4  é b\udcff.mp4: gone"
    text = (tmp_path / "out.json").read_text(encoding="utf-8")
    assert r"é b\udcff.mp4: gone" in text
    assert json.loads(text) == document
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]


def test_a_result_that_is_not_json_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        write_json(tmp_path / "out.json", {"shards": {1, 2}})
    assert list(tmp_path.iterdir()) == []


def test_a_table_has_one_line_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([{"shard": "a", "seconds": 1.23456}, {"shard": "long", "seconds": None}])
    assert capsys.readouterr().out.splitlines() == ["shard  seconds", "a      1.23", "long   -"]
