"""What a line has to be, whatever store it is for."""

import json
from typing import Any

import pytest

from training.data.line import MAX_STAGES, Line, Stage
from training.data.line_labels import LineLabels
from training.errors import BadLine, WrongShape


def stage(name: str, takes: str = "picture", **values: Any) -> Stage:
    return Stage(name=name, model="yard@live", input=takes, **values)


def line(*stages: Stage) -> Line:
    return Line(name="squares", stages=stages)


def test_stages_that_can_be_asked_together_are_a_level_whatever_order_they_are_declared_in() -> None:
    made = line(stage("points", "kind"), stage("find"), stage("kind", "find"), stage("roads"), stage("size", "find"))
    assert made.levels == ((1, 3), (2, 4), (0,))


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        ([stage("a", "b"), stage("b", "a")], "line squares: a cycle of inputs, a <- b <- a"),
        ([stage("a", "a")], "a cycle of inputs, a <- a"),
        ([stage("find"), stage("x", "a"), stage("a", "b"), stage("b", "a")], "a cycle of inputs, a <- b <- a"),
        ([stage("find"), stage("kind", "finds")], "stage 'kind' takes 'finds', needed one of picture, find, kind"),
        ([stage("find"), stage("find")], "two stages called 'find'"),
        ([], "0 stages, needed 1 to 16"),
        ([stage(f"s{n}") for n in range(MAX_STAGES + 1)], "17 stages, needed 1 to 16"),
    ],
)
def test_stages_that_never_reach_the_picture_or_are_too_many_are_refused_by_name(stages: list[Stage], said: str) -> None:
    with pytest.raises(BadLine, match=said):
        line(*stages)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"name": "picture"}, "means the whole picture"),
        ({"name": "../x"}, "stage name '../x'"),
        ({"model": "yard@newest"}, "model 'yard@newest', needed 'shard', 'shard@live' or 'shard@3'"),
        ({"model": "yard@0"}, "model 'yard@0'"),
        ({"min_score": 1.5}, "min_score 1.5, needed 0 to 1"),
        ({"min_score": float("nan")}, "min_score nan"),
        ({"input": "find", "padding": -1}, "padding -1, needed 0 to 5"),
        ({"input": "find", "crop_size": "large"}, "crop_size 'large', needed one of frame, pixels"),
        ({"classes": ("red",)}, "of the whole picture, needed another stage"),
        ({"padding": 0.1}, "of the whole picture, needed another stage"),
    ],
)
def test_a_stage_that_cannot_be_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(BadLine, match=said):
        Stage(**{"name": "kind", "model": "yard@live", **values})


def test_a_line_written_as_json_and_read_again_is_the_same() -> None:
    made = line(stage("find", min_score=0.5), stage("kind", "find", classes=("red",), padding=0.2, crop_size="pixels"))
    assert Line.from_json(json.loads(json.dumps(made.to_json()))) == made


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "line: list, needed an object with name, stages"),
        ({"name": "x"}, "line: no stages"),
        ({"name": "x", "stages": {}}, "line: stages is {}, needed a list of stages"),
        ({"name": "x", "stages": [3]}, "line: stage 0: int, needed an object"),
        ({"name": "x", "stages": [{"name": "find"}]}, "line: stage 0: no model"),
        ({"name": "x", "stages": [{"name": "find", "model": 3}]}, "line: stage 0: model is 3, needed a text"),
        ({"name": "x", "stages": [{"name": "a", "model": "b", "classes": "red"}]}, "classes is 'red', needed a list of texts"),
        ({"name": "x", "stages": [{"name": "a", "model": "b", "min_score": True}]}, "min_score is True, needed a number"),
        ({"name": "x", "stages": [{"name": "a", "model": "b", "from": "c"}]}, "unknown key 'from'"),
        ({"name": "a b", "stages": [{"name": "a", "model": "b"}]}, "line name 'a b'"),
    ],
)
def test_json_that_is_no_line_is_refused_where_it_is_wrong(document: object, said: str) -> None:
    with pytest.raises(BadLine, match=said):
        Line.from_json(document)


def test_labels_of_a_line_need_a_stage_and_an_earlier_parent_for_each_annotation() -> None:
    with pytest.raises(WrongShape, match=r"\(0, 1, 1\) annotations, stages and parents"):
        LineLabels(shard_id="yard", frame_index=3, stages=("find",), parents=(None,))
    with pytest.raises(WrongShape, match="needed each before its children"):
        LineLabels(shard_id="yard", frame_index=3, annotations=("a", "b"), stages=("x", "y"), parents=(1, None))  # type: ignore[arg-type]
