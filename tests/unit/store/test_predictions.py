import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from training.data.annotations import Annotation, FrameLabels
from training.errors import BadInput, CorruptLabels, UnknownFrame
from training.store.store import Store

CLIP = ("dog", "detection.dog", 2)


def said(index: int, score: float = 0.5, shard_id: str = "dog") -> FrameLabels:
    annotation = Annotation(class_name="dog", bbox_xyxy=(1.0, 2.0, 3.0, 4.0), provenance="model", generation=2, score=score)
    return FrameLabels(shard_id=shard_id, frame_index=index, annotations=(annotation,))


def empty(index: int) -> FrameLabels:
    return FrameLabels(shard_id="dog", frame_index=index)


def test_predictions_come_back_by_frame_with_empty_and_unreadable_ones(store: Store) -> None:
    store.predictions.write(*CLIP, 4, 6, [said(4), said(5)])
    key = store.predictions.write(*CLIP, 0, 4, [said(2), empty(0), said(1)], {3: "truncated"})
    assert key == "predictions/detection.dog/shard_id=dog/gen-0002/00000000-00000004.parquet"
    assert store.predictions.done(*CLIP) == [(0, 4), (4, 6)]
    assert store.predictions.read(*CLIP) == ([empty(0), said(1), said(2), said(4), said(5)], {3: "truncated"})
    assert store.predictions.done("dog", "detection.dog", 1) == []
    assert store.predictions.read("dog", "detection.dog", 1) == ([], {})


def test_writing_a_clip_again_gives_the_same_bytes_under_the_same_key(store: Store) -> None:
    first = store.objects.read(store.predictions.write(*CLIP, 0, 2, [said(0), said(1)]))
    second = store.objects.read(store.predictions.write(*CLIP, 0, 2, [said(1), said(0)]))
    assert first == second
    assert len(store.objects.keys("predictions/")) == 1
    store.predictions.write(*CLIP, 0, 2, [said(0), empty(1)], {})
    assert store.predictions.read(*CLIP)[0] == [said(0), empty(1)]


def test_a_clip_says_what_it_took_and_its_labels_are_the_same(store: Store) -> None:
    assert store.predictions.cost(*CLIP) is None
    key = store.predictions.write(*CLIP, 0, 2, [said(0), said(1)], seconds={"decode": 0.25, "model": 1.5})
    cost = store.predictions.cost(*CLIP)
    assert cost is not None
    assert (cost.num_frames, cost.num_bytes) == (2, len(store.objects.read(key)))
    assert cost.seconds == {"decode": 0.25, "model": 1.5}
    assert store.predictions.read(*CLIP) == ([said(0), said(1)], {})
    store.predictions.write(*CLIP, 0, 2, [said(0), said(1)])
    unmeasured = store.predictions.cost(*CLIP)
    assert unmeasured is not None
    assert unmeasured.seconds == {}


def test_a_clip_read_at_last_replaces_its_errors(store: Store) -> None:
    store.predictions.write(*CLIP, 0, 2, [said(0)], {1: "truncated"})
    store.predictions.write(*CLIP, 0, 2, [said(0), said(1)])
    assert store.predictions.read(*CLIP) == ([said(0), said(1)], {})


def test_clips_come_one_at_a_time_and_those_that_overlap_as_one(store: Store) -> None:
    store.predictions.write(*CLIP, 0, 4, [said(0), said(1), said(2)], {3: "truncated"})
    store.predictions.write(*CLIP, 2, 6, [said(2, 0.75), said(3), said(5)], {4: "truncated"})
    store.predictions.write(*CLIP, 6, 7, [], {6: "gone"})
    store.predictions.write(*CLIP, 8, 9, [empty(8)])
    assert list(store.predictions.clips(*CLIP)) == [
        ([said(0), said(1), said(2, 0.75), said(3), said(5)], {4: "truncated"}),
        ([], {6: "gone"}),
        ([empty(8)], {}),
    ]


def test_the_files_are_plain_parquet_that_others_read(store: Store) -> None:
    store.predictions.write("2024", "detection.dog", 1, 0, 3, [said(0, shard_id="2024"), said(1, shard_id="2024")], {2: "gone"})
    rows = pq.read_table(Path(store.url) / "predictions" / "detection.dog", partitioning=None).to_pylist()
    assert [(row["frame_index"], row["level"], row["error"]) for row in rows] == [
        (0, "object", None),
        (1, "object", None),
        (2, "error", "gone"),
    ]
    assert rows[0]["shard_id"] == "2024"


@pytest.mark.parametrize("left", [0, 40, -1])
def test_a_damaged_object_is_named(store: Store, left: int) -> None:
    key = store.predictions.write(*CLIP, 0, 2, [said(0), said(1)])
    store.objects.put(key, store.objects.read(key)[:left])
    with pytest.raises(CorruptLabels, match=re.escape(key)):
        store.predictions.read(*CLIP)


def test_the_snippet_of_the_page_reads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.create(str(tmp_path / "store"))
    for name, number in (("2024", 2), ("quay", 3)):
        store.predictions.write(name, "detection.boat", 1, 0, number, [said(n, shard_id=name) for n in range(number)])
    page = (Path(__file__).resolve().parents[3] / "docs" / "store.md").read_text(encoding="utf-8")
    (snippet,) = (one for one in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL) if "predictions/" in one)
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec(snippet, found)
    assert sorted(found["boxes"]["shard_id"].to_pylist()) == ["2024"] * 2 + ["quay"] * 3
    assert sorted(found["frames"]["shard_id"]) == ["2024"] * 2 + ["quay"] * 3
    with pytest.raises(pa.ArrowException):
        pq.read_table("store/predictions/detection.boat")


@pytest.mark.parametrize(
    ("start", "stop", "labels", "errors"),
    [
        (0, 2, [said(0)], {}),
        (0, 2, [said(0), said(1), said(2)], {}),
        (0, 2, [said(0), said(1)], {1: "also"}),
        (0, 2, [said(0), said(0)], {}),
        (0, 2, [said(0), said(1, shard_id="cat")], {}),
    ],
)
def test_every_frame_of_a_clip_is_said_exactly_once(
    store: Store, start: int, stop: int, labels: list[FrameLabels], errors: dict[int, str]
) -> None:
    with pytest.raises(UnknownFrame, match=r"dog clip 0\.\.2"):
        store.predictions.write(*CLIP, start, stop, labels, errors)
    assert store.predictions.done(*CLIP) == []


@pytest.mark.parametrize(("start", "stop"), [(2, 2), (3, 1), (-1, 1)])
def test_an_impossible_clip_is_refused(store: Store, start: int, stop: int) -> None:
    with pytest.raises(BadInput, match="needed 0 <= start < stop"):
        store.predictions.write(*CLIP, start, stop, [])


def test_some_frames_of_a_generation_are_read_without_the_others(store: Store) -> None:
    for start in (0, 4, 8):
        store.predictions.write(*CLIP, start, start + 4, [said(n) for n in range(start, start + 3)], {start + 3: "cut"})
    store.objects.put("predictions/detection.dog/shard_id=dog/gen-0002/00000004-00000008.parquet", b"not to be read")
    assert store.predictions.of(*CLIP, {1, 3, 8}) == {1: said(1), 8: said(8)}
    assert store.predictions.of("dog", "detection.dog", 1, {1}) == {}


def test_what_is_written_says_which_generation_said_it(store: Store) -> None:
    store.predictions.write("dog", "detection.dog", 5, 0, 1, [said(0)])
    assert store.predictions.read("dog", "detection.dog", 5)[0][0].annotations[0].generation == 5
