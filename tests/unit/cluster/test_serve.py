from pathlib import Path

import pytest
from typer.testing import CliRunner

from cluster.cli.main import app

run = CliRunner()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "service.example"])
def test_outside_this_machine_it_does_not_start_without_keys(host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MICROMODELS_KEYS_FILE", raising=False)
    result = run.invoke(app, ["serve", "--store", str(tmp_path / "nothing"), "--host", host])
    assert result.exit_code == 2
    assert result.stderr.startswith("KeysNeeded: ")
    assert "--keys FILE" in result.stderr


@pytest.mark.parametrize(
    "words", [["--host", "127.0.0.1"], ["--host", "localhost"], ["--host", "::1"], ["--host", "::", "--keys", "f"]]
)
def test_on_this_machine_or_with_keys_it_goes_on_to_the_store(words: list[str], tmp_path: Path) -> None:
    result = run.invoke(app, ["serve", "--store", str(tmp_path / "nothing"), *words])
    assert (result.exit_code, result.stderr.partition(":")[0]) == (2, "StoreUnusable")


def test_behind_haproxy_where_everybody_looks_local_it_does_not_start_without_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MICROMODELS_KEYS_FILE", raising=False)
    monkeypatch.setenv("RAY_SERVE_ENABLE_HA_PROXY", "1")
    result = run.invoke(app, ["serve", "--store", str(tmp_path / "nothing")])
    assert result.exit_code == 2
    assert result.stderr.startswith("KeysNeeded: ")
    assert "HAProxy" in result.stderr
