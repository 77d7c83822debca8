import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cluster.cli.main import VERBS, app
from training.store.store import Store

run = CliRunner()
NAMES = [function.__name__.replace("_", "-") for function in VERBS]


@pytest.mark.parametrize("name", NAMES)
def test_every_verb_has_help_with_an_example(name: str) -> None:
    result = run.invoke(app, [name, "--help"])
    assert result.exit_code == 0
    assert "Example: micromodels" in result.stdout


def test_help_loads_neither_torch_nor_ray() -> None:
    probe = "import sys, cluster.cli.main; print([name for name in ('torch', 'ray', 'pyarrow') if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("words", [["fit"], ["label", "--no-such-option"], ["nothing"], ["export", "--store", "x"]])
def test_bad_usage_exits_2(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MICROMODELS_STORE", raising=False)
    assert run.invoke(app, words).exit_code == 2


@pytest.mark.parametrize("size", ["0", "-1", "many", "2:1", "0:2", ":2", "2:", "1:2:3"])
def test_a_fleet_has_a_size_or_a_smallest_and_a_largest_one(size: str, tmp_path: Path) -> None:
    result = run.invoke(app, ["fit", "--store", str(tmp_path), f"--workers={size}"])
    assert result.exit_code == 2
    assert "MIN:MAX" in result.stderr
    assert repr(size) in result.stderr


@pytest.mark.parametrize("name", ["fit", "label", "serve"])
def test_a_store_that_does_not_exist_is_named_and_exits_2(name: str, tmp_path: Path) -> None:
    result = run.invoke(app, [name, "--store", str(tmp_path / "nothing")])
    assert result.exit_code == 2
    assert "StoreUnusable" in result.stderr
    assert str(tmp_path / "nothing") in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "nothing").exists()


def test_the_store_can_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store.create(str(tmp_path / "store"))
    monkeypatch.setenv("MICROMODELS_STORE", str(tmp_path / "store"))
    result = run.invoke(app, ["fit", "no_such_shard"])
    assert "no_such_shard" in result.output
    assert result.exit_code in (2, 3)


def test_a_simulation_on_several_nodes_needs_a_store_that_they_see(
    tmp_path: Path, draw: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(tmp_path / "data", "one")
    monkeypatch.setattr("cluster.session.ray_session", lambda num_cpus: nullcontext())
    monkeypatch.setattr("cluster.resources.num_nodes", lambda: 3)
    result = run.invoke(app, ["simulate", str(tmp_path / "data"), "--weights", "none"])
    assert result.exit_code == 2
    assert "without --store on a cluster of 3 nodes, needed a store that all of them see" in result.stderr


def test_an_unknown_recipe_exits_2_before_any_work(tmp_path: Path) -> None:
    Store.create(str(tmp_path / "store"))
    result = run.invoke(app, ["fit", "--store", str(tmp_path / "store"), "--recipe", "magic"])
    assert result.exit_code == 2
    assert "BadRecipe: recipe 'magic', needed one of quality, careful, fast, film, head, smoke" in result.stderr


@pytest.mark.parametrize(("name", "said"), [("fit", "no shard has annotations"), ("label", "no live micro-model")])
def test_a_store_with_nothing_to_do_says_so_and_exits_2(name: str, said: str, tmp_path: Path) -> None:
    Store.create(str(tmp_path / "store"))
    options = ["--weights", "none"] if name == "fit" else []
    result = run.invoke(app, [name, "--store", str(tmp_path / "store"), *options])
    assert result.exit_code == 2
    assert said in result.stderr
