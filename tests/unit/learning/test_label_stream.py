"""Clips as one stream: order, borders, what goes wrong alone, and how much is in memory."""

import threading
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pytest

from training.data.annotations import Annotation, FrameLabels
from training.data.frames import Frame
from training.data.ontology import Ontology
from training.data.shards import Shard
from training.errors import BadInput, BadPicture, BadVideo, StoreFull, UnknownModel
from training.learning.clip import Clip, ClipReceipt
from training.learning.label_stream import StreamThreads, label_stream
from training.store.store import Store

WIDTH, HEIGHT = 20, 10
FRAME_BYTES = WIDTH * HEIGHT * 3


class Drawn:
    """Frames that are counted while somebody has them; frame n of a shard has n in its first pixel."""

    def __init__(self) -> None:
        self.alive = self.most = self.open = 0
        self.reads: list[tuple[str, int, int]] = []
        self.bad: set[tuple[str, int]] = set()
        self.bad_is: type[BadInput] = BadVideo
        self.broken: set[tuple[str, int]] = set()
        self._lock = threading.Lock()

    def __call__(self, shard: Shard) -> "DrawnSource":
        return DrawnSource(shard, self)

    def frame(self, shard_id: str, index: int) -> Frame:
        image_HW3 = np.full((HEIGHT, WIDTH, 3), index % 256, np.uint8)
        with self._lock:
            self.alive += 1
            self.most = max(self.most, self.alive)
        weakref.finalize(image_HW3, self._gone)
        return Frame(shard_id=shard_id, frame_index=index, image_HW3=image_HW3)

    def _gone(self) -> None:
        with self._lock:
            self.alive -= 1


class DrawnSource:
    def __init__(self, shard: Shard, drawn: Drawn) -> None:
        self.shard, self._drawn = shard, drawn

    def __enter__(self) -> Self:
        self._drawn.open += 1
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._drawn.open -= 1

    def read(self, frame_indices: Iterable[int] | None = None) -> Iterator[Frame]:
        wanted = list(frame_indices or ())
        self._drawn.reads.append((self.shard.shard_id, wanted[0], wanted[-1] + 1))
        for index in wanted:
            if (self.shard.shard_id, index) in self._drawn.bad:
                raise self._drawn.bad_is(f"{self.shard.shard_id}: frame {index} is torn")
            if (self.shard.shard_id, index) in self._drawn.broken:
                raise ZeroDivisionError(f"frame {index}")
            yield self._drawn.frame(self.shard.shard_id, index)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    drawn = Drawn()
    monkeypatch.setattr("training.learning.decode_ahead.open_frames", drawn)
    return drawn


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store.create(str(tmp_path / "store"))
    store.add_ontology(Ontology(name="o", task="detection", classes=("thing",)))
    for name in "abcd":
        shard = Shard(
            shard_id=name, uri=name, kind="video", num_frames=400, width=WIDTH, height=HEIGHT, content_hash=f"sha256:{name}"
        )
        store.add_shard(shard)
    return store


def clips(shard_id: str, *borders: int) -> list[Clip]:
    pairs = pairwise(borders)
    return [Clip(shard_id=shard_id, ontology="o", generation=1, start=start, stop=stop) for start, stop in pairs]


def echo(frames: list[Frame], whose: list[Any]) -> list[FrameLabels]:
    """A box as wide as the number that is drawn on the frame, plus one, said by whoever was prepared for its shard."""
    said = []
    for frame, who in zip(frames, whose, strict=True):
        assert who == f"model of {frame.shard_id}"
        box = Annotation(class_name="thing", bbox_xyxy=(0, 0, int(frame.image_HW3[0, 0, 0]) + 1, 5), provenance="model")
        said.append(FrameLabels(shard_id=frame.shard_id, frame_index=frame.frame_index, annotations=(box,)))
    return said


def labelled(store: Store, todo: list[Clip], predict: Any = echo, threads: int = 1, **options: Any) -> list[ClipReceipt]:
    how: dict[str, Any] = {"prepare": lambda clip: f"model of {clip.shard_id}", "predict": predict, **options}
    return list(label_stream(store, todo, **how, threads=StreamThreads(threads)))


def check(store: Store, shard_id: str, frames: Iterable[int]) -> None:
    """These frames and no others have the labels of what is drawn on them."""
    labels, errors = store.predictions.read(shard_id, "o", 1)
    found = {one.frame_index: one.annotations[0].bbox_xyxy[2] - 1 for one in labels}  # type: ignore[index]
    assert found == {index: index % 256 for index in frames}
    assert errors == {}


@pytest.mark.parametrize("threads", [1, 3])
def test_every_frame_is_labelled_once_whatever_the_borders_of_clips_shards_and_batches(
    store: Store, drawn: Drawn, threads: int
) -> None:
    todo = clips("a", 0, 7, 8, 100) + clips("b", 0, 1, 2, 3) + clips("c", 0, 300, 400) + clips("d", 5, 9)
    receipts = labelled(store, todo, threads=threads)
    key = lambda one: (one.shard_id, one.start, one.stop)  # noqa: E731
    assert Counter(map(key, receipts)) == Counter(map(key, todo))
    assert all(one.num_frames == one.num_objects == one.stop - one.start and one.error is None for one in receipts)
    for shard_id, frames in {"a": range(100), "b": range(3), "c": range(400), "d": range(5, 9)}.items():
        check(store, shard_id, frames)
    assert {one.key for one in receipts} == set(store.objects.keys("predictions/"))
    assert (drawn.alive, drawn.open) == (0, 0)


def test_a_second_run_writes_the_same_objects(store: Store, drawn: Drawn) -> None:
    first = labelled(store, clips("a", 0, 10, 20))
    again = labelled(store, clips("a", 0, 10, 20))
    assert [one.key for one in first] == [one.key for one in again] == store.objects.keys("predictions/")


def test_a_batch_has_frames_of_several_shards_and_one_is_not_cut_at_the_end_of_a_clip(store: Store, drawn: Drawn) -> None:
    batches: list[list[tuple[str, int]]] = []

    def predict(frames: list[Frame], whose: list[Any]) -> list[FrameLabels]:
        batches.append([(frame.shard_id, frame.frame_index) for frame in frames])
        return echo(frames, whose)

    todo = clips("a", 0, 10, 20) + clips("b", 0, 20) + clips("c", 0, 30)
    labelled(store, todo, predict)
    assert batches == [
        [("a", n) for n in range(20)] + [("b", n) for n in range(20)] + [("c", n) for n in range(24)],
        [("c", n) for n in range(24, 30)],
    ]


def test_clips_that_follow_each_other_are_decoded_without_a_break(store: Store, drawn: Drawn) -> None:
    labelled(store, clips("a", 0, 64, 128, 192) + clips("a", 200, 210) + clips("b", 0, 64))
    assert drawn.reads == [("a", 0, 192), ("a", 200, 210), ("b", 0, 64)]


def test_threads_share_a_video_in_runs_that_are_long_enough_to_seek_for(store: Store, drawn: Drawn) -> None:
    labelled(store, clips("a", *range(0, 401, 50)), threads=4)
    assert sorted(drawn.reads) == [("a", 0, 250), ("a", 250, 400)]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("frames_of_memory", [2, 10])
def test_no_more_frames_are_in_memory_than_there_is_room_for(
    store: Store, drawn: Drawn, threads: int, frames_of_memory: int
) -> None:
    todo = [clip for name in "abcd" for clip in clips(name, 0, 50, 100)]
    receipts = labelled(store, todo, threads=threads, memory_bytes=frames_of_memory * FRAME_BYTES)
    assert sum(one.num_frames for one in receipts) == 400
    assert drawn.most <= frames_of_memory


def test_decoding_waits_for_a_slow_model_and_not_the_other_way_round(store: Store, drawn: Drawn) -> None:
    ahead: list[int] = []

    def predict(frames: list[Frame], whose: list[Any]) -> list[FrameLabels]:
        ahead.append(drawn.most)
        return echo(frames, whose)

    labelled(store, clips("a", 0, 400), predict, memory_bytes=8 * FRAME_BYTES)
    assert len(ahead) == 100, "batches of half of what is in memory"
    assert max(ahead) <= 8


def test_a_frame_that_cannot_be_read_is_a_row_and_the_clip_behind_it_is_whole(store: Store, drawn: Drawn) -> None:
    drawn.bad = {("a", 13)}
    first, torn, last = sorted(labelled(store, clips("a", 0, 10, 20, 30)), key=lambda one: one.start)
    assert [(one.num_frames, one.num_errors, one.error) for one in (first, torn, last)] == [
        (10, 0, None),
        (3, 7, None),
        (10, 0, None),
    ]
    labels, errors = store.predictions.read("a", "o", 1)
    assert [one.frame_index for one in labels] == [*range(13), *range(20, 30)]
    assert errors == dict.fromkeys(range(13, 20), "BadVideo: a: frame 13 is torn")


def test_pictures_behind_one_that_cannot_be_read_are_read(store: Store, drawn: Drawn) -> None:
    drawn.bad, drawn.bad_is = {("a", 10), ("a", 13), ("a", 19), ("a", 25)}, BadPicture
    receipts = sorted(labelled(store, clips("a", 0, 10, 20, 30)), key=lambda one: one.start)
    assert [(one.num_frames, one.num_errors, one.error) for one in receipts] == [(10, 0, None), (7, 3, None), (9, 1, None)]
    labels, errors = store.predictions.read("a", "o", 1)
    assert [one.frame_index for one in labels] == sorted(set(range(30)) - {10, 13, 19, 25})
    assert errors == {index: f"BadPicture: a: frame {index} is torn" for index in (10, 13, 19, 25)}


@pytest.mark.parametrize("kind", [BadVideo, BadPicture])
def test_a_clip_of_which_no_frame_could_be_read_is_not_written(store: Store, drawn: Drawn, kind: type[BadInput]) -> None:
    drawn.bad, drawn.bad_is = {("a", index) for index in range(10, 20)}, kind
    receipts = sorted(labelled(store, clips("a", 0, 10, 20, 30)), key=lambda one: one.start)
    why = f"no frame could be read, the first: {kind.__name__}: a: frame 10 is torn"
    assert [(one.num_frames, one.error) for one in receipts] == [(10, None), (0, why), (10, None)]
    check(store, "a", [*range(10), *range(20, 30)])
    assert store.predictions.done("a", "o", 1) == [(0, 10), (20, 30)]


def test_a_decoder_that_breaks_fails_its_clip_and_writes_nothing_of_it(store: Store, drawn: Drawn) -> None:
    drawn.broken = {("a", 13)}
    receipts = sorted(labelled(store, clips("a", 0, 10, 20, 30) + clips("b", 0, 5)), key=lambda one: (one.shard_id, one.start))
    assert [(one.start, one.error) for one in receipts] == [(0, None), (10, "ZeroDivisionError: frame 13"), (20, None), (0, None)]
    check(store, "a", [*range(10), *range(20, 30)])


def test_a_shard_without_a_model_fails_alone(store: Store, drawn: Drawn) -> None:
    def prepare(clip: Clip) -> str:
        if clip.shard_id == "b":
            raise UnknownModel("b@1 o: no weights")
        return f"model of {clip.shard_id}"

    receipts = labelled(store, clips("a", 0, 5) + clips("b", 0, 5, 10) + clips("c", 0, 5), prepare=prepare)
    errors = {(one.shard_id, one.start): one.error for one in receipts}
    reason = "UnknownModel: b@1 o: no weights"
    assert errors == {("a", 0): None, ("b", 0): reason, ("b", 5): reason, ("c", 0): None}
    assert {shard_id for shard_id, _, _ in drawn.reads} == {"a", "c"}


def test_a_shard_that_the_store_lost_fails_alone(store: Store, drawn: Drawn) -> None:
    receipts = labelled(store, clips("gone", 0, 5) + clips("a", 0, 5))
    assert {one.shard_id: (one.error or "").split(":")[0] for one in receipts} == {"gone": "UnknownShard", "a": ""}


def test_a_model_that_fails_in_a_mixed_batch_fails_its_clips_only(store: Store, drawn: Drawn) -> None:
    def predict(frames: list[Frame], whose: list[Any]) -> list[FrameLabels]:
        if any(frame.shard_id == "b" for frame in frames):
            raise RuntimeError("CUDA out of memory")
        return echo(frames, whose)

    receipts = labelled(store, clips("a", 0, 40) + clips("b", 0, 10) + clips("b", 10, 300) + clips("c", 0, 40), predict)
    errors = {(one.shard_id, one.start): one.error for one in receipts}
    reason = "RuntimeError: CUDA out of memory"
    assert errors == {("a", 0): None, ("b", 0): reason, ("b", 10): reason, ("c", 0): None}
    check(store, "a", range(40))
    check(store, "c", range(40))
    assert store.predictions.done("b", "o", 1) == []


def test_a_store_that_is_full_is_a_receipt_of_the_clip_it_had_no_room_for(store: Store, drawn: Drawn) -> None:
    def write(clip: Clip, labels: Sequence[FrameLabels], errors: Mapping[int, str], seconds: Mapping[str, float]) -> str:
        if clip.shard_id == "b":
            raise StoreFull("b: no space left")
        return f"{clip.shard_id}, {len(labels)} labels, {len(errors)} errors"

    drawn.bad = {("c", 3)}
    receipts = labelled(store, clips("a", 0, 5) + clips("b", 0, 5) + clips("c", 0, 5), write=write)
    assert {one.shard_id: one.error for one in receipts} == {"a": None, "b": "StoreFull: b: no space left", "c": None}
    assert {one.key for one in receipts} == {"a, 5 labels, 0 errors", None, "c, 3 labels, 2 errors"}


def test_a_clip_is_begun_before_its_frames_and_what_that_raises_ends_everything(store: Store, drawn: Drawn) -> None:
    begun: list[tuple[int, int]] = []

    def begin(clip: Clip) -> None:
        if clip.start == 20:
            raise ConnectionError("nobody counts")
        begun.append((clip.start, drawn.alive))

    with pytest.raises(ConnectionError, match="nobody counts"):
        labelled(store, clips("a", 0, 10, 20, 30), begin=begin)
    assert begun == [(0, 0), (10, 10)]


def test_a_clip_is_begun_before_its_model_is_loaded_and_its_source_is_opened(store: Store, drawn: Drawn) -> None:
    happened: list[str] = []

    def prepare(clip: Clip) -> str:
        happened.append(f"prepare {clip.shard_id}, {drawn.open} open")
        return f"model of {clip.shard_id}"

    todo = clips("a", 0, 5, 10) + clips("b", 0, 5)
    labelled(store, todo, prepare=prepare, begin=lambda clip: happened.append(f"begin {clip.shard_id}{clip.start}"))
    assert happened == ["begin a0", "prepare a, 0 open", "begin a5", "begin b0", "prepare b, 0 open"]


def test_whoever_stops_listening_leaves_no_video_open_and_the_threads_free_for_the_next_stream(
    store: Store, drawn: Drawn
) -> None:
    how: dict[str, Any] = {"prepare": lambda clip: f"model of {clip.shard_id}", "predict": echo, "threads": StreamThreads(2)}
    stream = label_stream(store, clips("a", *range(0, 401, 5)), **how, memory_bytes=20 * FRAME_BYTES)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert drawn.open == 0
    assert sum(one.num_frames for one in label_stream(store, clips("b", *range(0, 401, 5)), **how)) == 400


def test_streams_share_their_threads(store: Store, drawn: Drawn) -> None:
    threads, decoding = StreamThreads(1), set[int]()
    how: dict[str, Any] = {"predict": echo, "threads": threads, "begin": lambda clip: decoding.add(threading.get_ident())}
    for name in "abcd":
        list(label_stream(store, clips(name, 0, 5), prepare=lambda clip: f"model of {clip.shard_id}", **how))
    assert len(decoding) == 1


def test_the_seconds_of_a_clip_are_its_share_of_waiting_and_of_the_model(store: Store, drawn: Drawn) -> None:
    receipts = labelled(store, clips("a", 0, 10, 30) + clips("b", 0, 20))
    assert all(one.decode_seconds > 0 < one.model_seconds for one in receipts)
    each = [round((one.decode_seconds + one.model_seconds) / one.num_frames, 9) for one in receipts]
    assert len(set(each)) == 1, "one batch: a frame costs the same in all clips"


def test_nothing_to_label_is_no_receipt(store: Store, drawn: Drawn) -> None:
    assert labelled(store, []) == []
