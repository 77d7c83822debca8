"""What `label --line` refuses, before Ray is started."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cluster.cli.main import app
from training.store.store import Store

run = CliRunner()
FIND = {"name": "find", "model": "cam@live"}


@pytest.fixture
def store(tmp_path: Path, draw: Callable[..., Path]) -> Store:
    draw(tmp_path / "data", "cam")
    assert run.invoke(app, ["add", str(tmp_path / "data"), "--store", str(tmp_path / "store")]).exit_code == 0
    return Store.open(str(tmp_path / "store"))


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        ([FIND], "BadLine: line parcels: stage 'find': cam: needed one ontology that has models"),
        ([{**FIND, "model": "street@live"}], "BadLine: line parcels: stage 'find': street: no such shard"),
        ([{**FIND, "input": "find"}], "a cycle of inputs, find <- find"),
        ([{**FIND, "labels": 5}], "unknown key 'labels'"),
    ],
)
def test_a_line_that_cannot_run_is_bad_input_and_is_not_saved(
    tmp_path: Path, store: Store, stages: list[dict[str, Any]], said: str
) -> None:
    file = tmp_path / "parcels.json"
    file.write_text(json.dumps({"name": "parcels", "stages": stages}))
    result = run.invoke(app, ["label", "--line", str(file), "--store", store.url])
    assert result.exit_code == 2
    assert said in result.stderr
    assert store.lines.names() == []


def test_a_line_that_is_not_there_and_one_with_an_ontology_are_bad_input(store: Store) -> None:
    for words, said in (
        (["--line", "parcels"], "UnknownLine: parcels"),
        (["--line", "x", "--ontology", "y"], "a line has its own"),
    ):
        result = run.invoke(app, ["label", *words, "--store", store.url])
        assert result.exit_code == 2
        assert said in result.stderr
