import hashlib
import stat
import sys
from pathlib import Path

import pytest

from services.keys import SCOPES, KeyFile, new_key, parse_keys
from services.new_key import add_key, main
from training.errors import KeysUnusable

HASH = "0" * 64


def test_a_key_is_found_by_its_secret_and_the_file_has_only_its_hash(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    secrets = {name: add_key(file, name, ["read", "predict"]) for name in ("ann", "bob")}
    keys = KeyFile(file)
    for name, secret in secrets.items():
        found = keys.find(secret)
        assert found is not None
        assert (found.name, found.scopes) == (name, {"read", "predict"})
        assert found.sha256 == hashlib.sha256(secret.encode()).hexdigest()
        assert secret not in file.read_text()
        assert len(secret) > 40
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for wrong in ("", "mm_", secrets["ann"][:-1], f"{secrets['ann']} ", found.sha256, "ann", "é\0"):
        assert keys.find(wrong) is None


def test_a_key_whose_line_goes_away_is_refused_without_a_restart_and_a_new_one_is_known(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    first = add_key(file, "ann", ["read"])
    keys = KeyFile(file)
    second = add_key(file, "bob", ["read"])
    assert keys.find(first)
    assert keys.find(second)
    file.write_text(file.read_text().splitlines()[1])
    assert keys.find(first) is None
    assert keys.find(second)


def test_while_the_file_is_gone_or_broken_nobody_is_found_and_afterwards_they_are(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    secret = add_key(file, "ann", ["read"])
    keys, text = KeyFile(file), file.read_text()
    file.unlink()
    for _ in range(2):
        with pytest.raises(KeysUnusable, match="needed a file"):
            keys.find(secret)
    file.write_text("half a li")
    for _ in range(2):
        with pytest.raises(KeysUnusable, match="line 1"):
            keys.find(secret)
    file.write_text(text)
    assert keys.find(secret)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "at least one"),
        ("# only a comment\n\n", "at least one"),
        ("ann read", "line 1"),
        (f"# c\nann read {HASH[1:]}", "line 2"),
        (f"ann read {HASH.replace('0', 'G')}", "line 1"),
        (f"ann all {HASH}", "needed some of read, predict, annotate, jobs, admin"),
        (f"ann read, {HASH}", "needed some of"),
        (f"../ann read {HASH}", "line 1"),
        (f"ann read {HASH}\nann predict {HASH}", "two keys of one name"),
        ("mm_secret-by-mistake", "line 1"),
    ],
)
def test_a_file_that_is_not_one_of_keys_is_refused_and_its_text_is_not_told(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "keys").write_text(text)
    with pytest.raises(KeysUnusable, match=said) as caught:
        KeyFile(tmp_path / "keys")
    assert "secret-by-mistake" not in str(caught.value)


def test_admin_may_everything_and_others_what_they_have() -> None:
    (admin,), (ann,) = parse_keys(f"root admin {HASH}", "f"), parse_keys(f"ann read,predict {HASH}", "f")
    assert all(admin.may(scope) for scope in SCOPES)
    assert [ann.may(scope) for scope in SCOPES] == [True, True, False, False, False]


def test_secrets_differ_each_time() -> None:
    assert len({new_key("ann", ["read"])[1] for _ in range(100)}) == 100


def test_the_command_shows_the_secret_on_stdout_and_adds_to_a_file_that_lacks_a_last_newline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "keys"
    file.write_text(f"bob read {HASH}")
    monkeypatch.setattr(sys, "argv", ["new_key", str(file), "ann", "predict"])
    assert main() == 0
    said = capsys.readouterr()
    found = KeyFile(file).find(said.out.strip())
    assert found is not None
    assert found.name == "ann"
    assert said.out.strip() not in said.err
    before = file.read_text()
    assert main() == 2
    assert "two keys of one name" in capsys.readouterr().err
    assert file.read_text() == before


def test_a_file_that_holds_something_else_is_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "notes"
    file.write_text("shopping list\n")
    with pytest.raises(KeysUnusable):
        add_key(file, "ann", ["read"])
    with pytest.raises(KeysUnusable):
        add_key(tmp_path, "ann", ["read"])
    assert file.read_text() == "shopping list\n"
