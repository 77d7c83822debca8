"""Which frames are reviewed next: most saved for a second of work, by hand-computed cases; and on a drawn video."""

from pathlib import Path

import av
import numpy as np
import pytest

from training.data.annotations import Annotation, FrameLabels
from training.data.ontology import Ontology
from training.data.sources import probe
from training.loop.revisit import frames_to_review, most_saving
from training.models.actions import BOX_SECONDS
from training.models.backbones import Backbone

SCRATCH = Backbone(name="mobilenet_v2", weights="none")
ONTOLOGY = Ontology(name="cars", task="detection", classes=("car",))


def blocks(*sizes: int) -> np.ndarray:
    """Frames of one block are wholly alike, those of different blocks not at all."""
    of = np.repeat(np.arange(len(sizes)), sizes)
    return (of[:, None] == of[None, :]).astype(np.float64)


def test_what_a_frame_saves_and_costs() -> None:
    ((row, saves, costs),) = most_saving(np.ones(4), blocks(4), 1, BOX_SECONDS)
    assert (row, saves, costs) == (3, pytest.approx(3 * 7.0), pytest.approx(1.7 + 7.0))
    ((_, saves, _),) = most_saving(np.ones(4), blocks(4), 1, BOX_SECONDS, weight=2.5)
    assert saves == pytest.approx(2.5 * 3 * 7.0), "each row stands for two and a half frames"


def test_a_fault_that_many_frames_share_comes_before_a_worse_one_of_a_single_frame() -> None:
    expected = np.array([9.0, 1.0, 1.0, 1.0])
    assert most_saving(expected, blocks(1, 3), 1, BOX_SECONDS)[0][0] in (1, 2, 3)


def test_a_chosen_frame_takes_the_worth_of_its_likes() -> None:
    chosen = most_saving(np.array([1.0, 1.0, 1.0, 0.9, 0.9, 0.9]), blocks(3, 3), 4, BOX_SECONDS)
    assert chosen[0][0] in (0, 1, 2)
    assert chosen[1][0] in (3, 4, 5)
    assert [saves for _, saves, _ in chosen[2:]] == [0.0, 0.0]


def test_a_frame_that_is_right_teaches_nothing_about_a_wrong_one_like_it() -> None:
    ((row, saves, _),) = most_saving(np.array([0.0, 1.0, 1.0]), blocks(3), 1, BOX_SECONDS)
    assert (row, saves) == (2, pytest.approx(7.0))


def test_of_frames_that_save_nothing_the_most_doubtful_comes_first() -> None:
    assert most_saving(np.array([0.1, 0.7, 0.2]), np.eye(3), 5, BOX_SECONDS)[0][0] == 1
    assert len(most_saving(np.array([0.1, 0.7, 0.2]), np.eye(3), 5, BOX_SECONDS)) == 3


def video(folder: Path, num_frames: int = 30) -> Path:
    path = folder / "walk.mp4"
    noise = np.random.default_rng(0).integers(0, 90, (64, 96, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.thread_count = 1
        for index in range(num_frames):
            picture = noise.copy()
            picture[20:40, 2 * index : 2 * index + 20] = 240
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def frame(index: int, score: float | None) -> FrameLabels:
    kind = "human" if score is None else "model"
    box = Annotation(class_name="car", bbox_xyxy=(2.0 * index, 20, 2.0 * index + 20, 40), score=score, provenance=kind)
    return FrameLabels(shard_id="walk", frame_index=index, annotations=(box,))


def test_the_stretch_with_low_scores_is_reviewed_once_and_no_touched_frame_is(tmp_path: Path) -> None:
    shard = probe(video(tmp_path), shard_id="walk")
    predicted = [frame(index, 0.45 if 12 <= index < 20 else 0.9) for index in range(30) if index != 29]
    candidates = [index for index in range(30) if index not in (5, 15, 25)]
    found = frames_to_review(
        shard,
        ONTOLOGY,
        labels=[frame(5, None), frame(25, None)],
        predicted=predicted,
        candidates=candidates,
        count=3,
        backbone=SCRATCH,
    )
    assert len({one.frame_index for one in found}) == 3
    assert {one.frame_index for one in found} <= set(candidates) - {29}, "a frame that could not be read was chosen"
    assert 12 <= found[0].frame_index < 20
    assert found[0].why == "low scores"
    assert found[0].worth >= found[1].worth >= found[2].worth
