"""A line is saved only if it can run in this store."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from training.data.line import Line, Stage
from training.errors import BadLine
from training.lines.save import read_line, save_line

FIND = Stage(name="find", model="yard@live", ontology="detection.square")
KIND = Stage(name="kind", model="yard_crops@live", ontology="classification.red-blue", input="find")


def test_what_is_left_out_is_filled_in_and_saving_it_again_is_no_new_version(yard: Any) -> None:
    short = Line(name="squares", stages=(replace(FIND, model="yard", ontology=None), replace(KIND, ontology=None)))
    saved = save_line(yard.store, short)
    assert saved.stages == (FIND, KIND)
    assert saved.ref == "squares@1"
    assert save_line(yard.store, replace(short, stages=(FIND, KIND))) == saved == yard.store.lines.get("squares")


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        ([replace(FIND, model="street@live")], "stage 'find': street: no such shard"),
        ([replace(FIND, model="..@live")], "stage 'find': shard id '..'"),
        ([replace(FIND, ontology="detection.cat")], "stage 'find': yard detection.cat: needed one ontology that has models"),
        ([replace(FIND, model="yard@7")], "stage 'find': yard@7 detection.square: not published"),
        ([FIND, KIND, replace(KIND, name="x", input="kind")], "'x': crops the answers of 'kind', which is classification"),
        ([FIND, replace(KIND, classes=("red", "green"))], "'kind': class 'green' of 'find', needed some of red, blue"),
    ],
)
def test_what_could_not_run_in_this_store_is_refused_and_nothing_is_saved(yard: Any, stages: Sequence[Stage], said: str) -> None:
    with pytest.raises(BadLine, match=f"line squares: .*{said}"):
        save_line(yard.store, yard.line(stages))
    assert yard.store.lines.names() == []


def test_live_is_refused_while_nothing_is_live_and_a_pin_is_not(yard: Any) -> None:
    for key in yard.store.objects.keys("models/yard/detection.square/live/"):
        yard.store.objects.delete(key)
    with pytest.raises(BadLine, match=r"stage 'find': yard detection\.square: no live generation"):
        save_line(yard.store, yard.line([FIND]))
    assert save_line(yard.store, yard.line([replace(FIND, model="yard@1")])).stages[0].model == "yard@1"


def test_a_file_that_is_no_line_is_named(tmp_path: Path, yard: Any) -> None:
    path = tmp_path / "line.json"
    path.write_text(json.dumps(yard.line().to_json()))
    assert read_line(path) == yard.line()
    for text, said in {"{": "not JSON", '{"name": "x"}': "no stages", "3": "int, needed an object"}.items():
        path.write_text(text)
        with pytest.raises(BadLine, match=f"line.json: {said}"):
            read_line(path)
    with pytest.raises(BadLine, match=r"none\.json: No such file"):
        read_line(tmp_path / "none.json")
