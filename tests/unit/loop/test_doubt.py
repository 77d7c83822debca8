"""Signs of wrong machine labels, on hand-made cases."""

import pytest

from training.data.annotations import Annotation, FrameLabels
from training.data.ontology import Ontology
from training.data.shards import SceneGrid, Shard
from training.loop.doubt import Doubt, doubts

ONTOLOGY = Ontology(name="cars", task="detection", classes=("car",))
VIDEO = Shard(shard_id="s", uri="/s.mp4", kind="video", num_frames=9, width=400, height=100, content_hash="sha256:0")
GRID = SceneGrid(width=1152, height=128, tile=128, stride=128, bands=(1, 2, 3), dtype="uint8")
SCENE = Shard(shard_id="s", uri="/s.png", kind="scene", num_frames=9, width=128, height=128, content_hash="sha256:0", scene=GRID)


def car(x: float, score: float | None = 0.8) -> Annotation:
    kind = "human" if score is None else "model"
    return Annotation(class_name="car", bbox_xyxy=(x, 0.0, x + 20.0, 20.0), score=score, provenance=kind)


def frame(index: int, *annotations: Annotation) -> FrameLabels:
    return FrameLabels(shard_id="s", frame_index=index, annotations=annotations)


def walk(**changed: tuple[Annotation, ...]) -> list[FrameLabels]:
    """A car that moves 4 pixels a frame, but for the frames that are said otherwise, as in f3=()."""
    return [frame(i, *changed.get(f"f{i}", (car(4.0 * i),))) for i in range(9)]


LABELS = [frame(0, car(0, None)), frame(8, car(32, None))]


def test_even_motion_with_usual_scores_is_not_in_doubt() -> None:
    assert set(doubts(VIDEO, ONTOLOGY, labels=LABELS, predicted=walk()).values()) == {Doubt()}


def test_a_box_that_jumps_is_drawn_anew_between_its_neighbours() -> None:
    found = doubts(VIDEO, ONTOLOGY, labels=LABELS, predicted=walk(f4=(car(200.0),)))
    assert found[4].jump == 2, "one to delete, one to draw"
    assert found[4].count == 0


def test_an_object_that_blinks_is_in_doubt_by_one_and_not_by_the_sum_of_its_signs() -> None:
    found = doubts(VIDEO, ONTOLOGY, labels=LABELS, predicted=walk(f4=()))
    assert (found[4].jump, found[4].count, found[4].objects) == (1, 1, 1)
    twice = doubts(VIDEO, ONTOLOGY, labels=LABELS, predicted=walk(f4=(car(16.0), car(300.0))))
    assert (twice[4].jump, twice[4].count, twice[4].objects) == (1, 1, 1)


@pytest.mark.parametrize(("score", "faint"), [(0.9, 0.0), (0.8, 0.0), (0.6, 0.5), (0.4, 1.0), (0.1, 1.0)])
def test_scores_are_measured_by_those_on_the_labelled_frames(score: float, faint: float) -> None:
    found = doubts(VIDEO, ONTOLOGY, labels=LABELS, predicted=walk(f4=(car(16.0, score),)))
    assert found[4].faint == pytest.approx(faint)


def test_tiles_have_no_neighbours_in_time_and_no_usual_count() -> None:
    found = doubts(SCENE, ONTOLOGY, labels=LABELS, predicted=walk(f4=()))
    assert found[4] == Doubt()
