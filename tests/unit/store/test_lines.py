import io
from concurrent.futures import ThreadPoolExecutor

import pyarrow.parquet as pq
import pytest

from training.data.annotations import Annotation
from training.data.line import Line, Stage
from training.data.line_labels import LineLabels, StageModel
from training.errors import StoreUnusable, UnknownFrame, UnknownLine
from training.store.line_predictions import LINE_SCHEMA
from training.store.store import Store

FIND = Stage(name="find", model="dog@live", ontology="detection.dog")


def line(*, min_score: float = 0.0, name: str = "dogs") -> Line:
    return Line(name=name, stages=(FIND, Stage(name="kind", model="heads@3", input="find", min_score=min_score)))


def test_every_version_is_kept_and_the_highest_is_the_current_one(store: Store) -> None:
    assert [store.lines.save(line(min_score=score)).ref for score in (0.1, 0.2)] == ["dogs@1", "dogs@2"]
    assert store.lines.get("dogs").stages == store.lines.get("dogs@2").stages == line(min_score=0.2).stages
    assert store.lines.get("dogs@1").stages == line(min_score=0.1).stages
    assert store.lines.get("dogs@1").version == 1
    assert store.lines.get("dogs").saved_at.endswith("+00:00")
    assert store.objects.keys("lines/") == ["lines/dogs/0001.json", "lines/dogs/0002.json"]


def test_saving_the_current_version_again_changes_nothing_and_an_older_one_makes_a_new_version(store: Store) -> None:
    first = store.lines.save(line())
    assert store.lines.save(line()) == first
    store.lines.save(line(min_score=0.5))
    assert store.lines.save(line()).ref == "dogs@3"


def test_writers_at_the_same_time_each_get_a_version_of_their_own(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        saved = list(pool.map(lambda n: store.lines.save(line(min_score=n / 10)), range(8)))
    assert sorted(one.version for one in saved) == list(range(1, 9))
    assert all(store.lines.get(one.ref).stages == one.stages for one in saved)


def test_a_line_or_version_that_is_not_there_is_named_with_the_choices(store: Store) -> None:
    with pytest.raises(UnknownLine, match="dogs: no such line, there is none"):
        store.lines.get("dogs")
    store.lines.save(line())
    for ref, said in {"cats": "there is dogs", "dogs@2": "there is 1", "dogs@live": "there is 1", "../x": "line name"}.items():
        with pytest.raises(UnknownLine, match=said):
            store.lines.get(ref)
    assert store.lines.names() == ["dogs"]


def test_a_document_that_is_no_line_is_the_stores_fault(store: Store) -> None:
    store.objects.put("lines/dogs/0001.json", b'{"name": "dogs", "stages": [{"name": "find", "model": "x", "magic": 1}]}')
    with pytest.raises(StoreUnusable, match=r"lines/dogs/0001.json: .*unknown key 'magic'"):
        store.lines.get("dogs")


MODELS = tuple(
    StageModel(stage=stage, shard_id=shard, ontology=f"o.{stage}", task="detection", generation=generation)
    for stage, shard, generation in (("find", "dog", 2), ("kind", "heads", 3))
)


def said(index: int) -> LineLabels:
    box = Annotation(class_name="dog", bbox_xyxy=(1, 2, 9, 8), provenance="model", score=0.9, generation=2)
    kind = Annotation(class_name="puppy", bbox_xyxy=(1, 2, 9, 8), provenance="model", score=0.7, generation=3)
    stages, parents = ("find", "find", "kind"), (None, None, 1)
    return LineLabels(shard_id="dog", frame_index=index, annotations=(box, box, kind), stages=stages, parents=parents)


def test_what_a_line_says_comes_back_with_the_stage_model_and_parent_of_every_row(store: Store) -> None:
    empty = LineLabels(shard_id="dog", frame_index=1)
    key = store.line_predictions.write("dogs@2", MODELS, "dog", 0, 4, [said(2), empty, said(0)], {3: "BadVideo: cut off"})
    assert key == "predictions/dogs@2/shard_id=dog/gen-0002-0003/00000000-00000004.parquet"
    assert store.line_predictions.done("dogs@2", MODELS, "dog") == [(0, 4)]
    assert store.line_predictions.read("dogs@2", MODELS, "dog") == ([said(0), empty, said(2)], {3: "BadVideo: cut off"})
    table = pq.read_table(io.BytesIO(store.objects.read(key)))
    assert table.schema.names == LINE_SCHEMA.names
    rows = table.to_pylist()
    assert [row["frame_index"] for row in rows] == [0, 0, 0, 1, 2, 2, 2, 3]
    assert [(row["place"], row["parent"], row["stage"]) for row in rows[:3]] == [
        (0, None, "find"),
        (1, None, "find"),
        (2, 1, "kind"),
    ]
    assert (rows[2]["line"], rows[2]["model_shard_id"], rows[2]["model_ontology"], rows[2]["generation"]) == (
        "dogs@2",
        "heads",
        "o.kind",
        3,
    )
    assert [row["level"] for row in rows] == ["object"] * 3 + ["empty"] + ["object"] * 3 + ["error"]


def test_other_generations_and_versions_are_other_labels(store: Store) -> None:
    store.line_predictions.write("dogs@2", MODELS, "dog", 0, 1, [said(0)])
    assert store.line_predictions.done("dogs@1", MODELS, "dog") == []
    assert store.line_predictions.done("dogs@2", MODELS[:1], "dog") == []
    assert store.predictions.done("dog", "o.find", 2) == []


def test_a_clip_of_a_line_needs_every_frame_once(store: Store) -> None:
    with pytest.raises(UnknownFrame, match="frame 1 is outside, missing or said twice"):
        store.line_predictions.write("dogs@2", MODELS, "dog", 0, 2, [said(0)])
