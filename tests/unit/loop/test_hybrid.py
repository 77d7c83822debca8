from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from training.data.annotations import Annotation, FrameLabels
from training.data.ontology import Ontology
from training.data.shards import Shard
from training.loop.bridges import AT_THE_ENDS, BRIDGED
from training.loop.hybrid import hybrid
from training.loop.interpolate import interpolate
from training.models.tasks import task_for

SHARD = Shard(shard_id="s", uri="/s.mp4", kind="video", num_frames=100, width=640, height=480, content_hash="sha256:0", fps=10.0)
CARS = Ontology(name="detection.car", task="detection", classes=("car",))
MICE = Ontology(name="keypoints.car", task="keypoints", classes=("car",), keypoints=("nose",))
KEYFRAMES = (10, 30, 50, 70, 90)
Path = Callable[[float], float]


def at(index: int, *annotations: Annotation) -> FrameLabels:
    return FrameLabels(shard_id="s", frame_index=index, annotations=annotations)


def truth_of(path: Path) -> list[FrameLabels]:
    return [at(i, Annotation(class_name="car", bbox_xyxy=(path(i), 200.0, path(i) + 40, 240.0))) for i in range(100)]


def even(frame: float) -> float:
    return 100 + 2 * frame


def winding(frame: float) -> float:
    return 250 + 120 * float(np.sin(frame / 6))


def seen_by_model(truth: Sequence[FrameLabels], jitter: float, missed: Sequence[int] = ()) -> list[FrameLabels]:
    rng = np.random.default_rng(0)
    found = []
    for frame in truth:
        shift = rng.normal(scale=jitter, size=4)
        boxes = [np.add(a.bbox_xyxy or (), shift).tolist() for a in frame.annotations if frame.frame_index not in missed]
        said = (Annotation(class_name="car", bbox_xyxy=(a, b, c, d), provenance="model", score=0.8) for a, b, c, d in boxes)
        found.append(at(frame.frame_index, *said))
    return found


def people(truth: Sequence[FrameLabels]) -> list[FrameLabels]:
    return [truth[index] for index in KEYFRAMES]


def tight_recall(truth: Sequence[FrameLabels], answers: Sequence[FrameLabels]) -> float:
    return task_for(CARS).measure(truth, answers, [(480, 640)] * len(truth))["tight_recall"]


@pytest.mark.parametrize("path", [even, winding])
def test_it_is_as_good_as_the_better_of_model_and_interpolation(path: Path) -> None:
    truth = truth_of(path)
    model = seen_by_model(truth, 5.0, missed=[3, 20, 21, 22, 60])
    interpolated = interpolate(people(truth), range(100))
    together = hybrid(SHARD, CARS, people(truth), model)
    assert tight_recall(truth, together) >= max(tight_recall(truth, model), tight_recall(truth, interpolated)) - 0.02
    assert tight_recall(truth, together) > 0.95


def test_frames_of_people_come_back_as_they_are() -> None:
    truth = truth_of(winding)
    together = hybrid(SHARD, CARS, people(truth), seen_by_model(truth, 5.0))
    assert [frame for frame in together if frame.frame_index in KEYFRAMES] == people(truth)
    assert [frame.frame_index for frame in together] == list(range(100))


def test_a_wrong_box_far_off_the_track_does_not_drag_it() -> None:
    truth = truth_of(even)
    model = seen_by_model(truth, 1.0)
    wrong = replace(model[40].annotations[0], bbox_xyxy=(even(40) + 24, 200.0, even(40) + 64, 240.0))
    model[40] = at(40, wrong)
    together = hybrid(SHARD, CARS, people(truth), model)
    assert tight_recall(truth[38:43], together[38:43]) == 1.0


def test_a_bridged_box_says_so_and_is_less_sure_the_longer_the_bridge() -> None:
    truth = truth_of(even)
    together = hybrid(SHARD, CARS, people(truth), seen_by_model(truth, 1.0, missed=range(55, 62)))
    (edge,), (middle,), (seen,) = (together[index].annotations for index in (55, 58, 62))
    assert (edge.provenance, middle.provenance, seen.provenance) == ("interpolation", "interpolation", "model")
    assert (middle.score or 1) < (edge.score or 1) < (seen.score or 1) == 0.8


def trembling(frame: float) -> float:
    return 100.0 + 20 * (int(frame) % 2)


def test_nothing_is_bridged_where_the_object_is_never_where_a_straight_line_says() -> None:
    truth, missed = truth_of(trembling), [0, 44, 99]
    together = hybrid(SHARD, CARS, people(truth), seen_by_model(truth, 1.0, missed=missed))
    assert not any(together[index].annotations for index in missed)


def test_an_object_that_no_person_has_confirmed_is_not_bridged() -> None:
    model = seen_by_model(truth_of(even), 1.0, missed=[40])
    people_saw_nothing = [at(index) for index in KEYFRAMES]
    together = hybrid(SHARD, CARS, people_saw_nothing, model)
    assert together[39].annotations
    assert not together[40].annotations


def test_a_track_that_often_darts_keeps_its_darts() -> None:
    def twitching(frame: float) -> float:
        return 100.0 + 45 * (int(frame) % 6 == 0)

    truth = truth_of(twitching)
    together = hybrid(SHARD, CARS, people(truth), seen_by_model(truth, 1.0))
    assert tight_recall(truth, together) > 0.95


def test_a_longer_gap_of_a_model_that_finds_the_object_elsewhere_stays_a_gap() -> None:
    truth, missed = truth_of(even), range(52, 52 + BRIDGED + 1)
    together = hybrid(SHARD, CARS, people(truth), seen_by_model(truth, 1.0, missed=missed))
    assert not any(together[index].annotations for index in missed)


def test_where_the_model_finds_nothing_it_is_interpolation() -> None:
    truth = truth_of(even)
    together = hybrid(SHARD, CARS, people(truth), [at(index) for index in range(100)])
    assert tight_recall(truth[10:91], together[10:91]) == 1.0
    assert not together[10 - AT_THE_ENDS - 1].annotations


def test_the_ends_of_a_video_are_bridged() -> None:
    truth = truth_of(even)
    together = hybrid(SHARD, CARS, people(truth), seen_by_model(truth, 1.0, missed=[0, 1, 97, 98, 99]))
    assert tight_recall(truth, together) == 1.0


def test_a_few_boxes_that_no_person_has_confirmed_stay_as_the_model_says() -> None:
    truth = truth_of(even)
    model = seen_by_model(truth, 1.0)
    odd = Annotation(class_name="car", bbox_xyxy=(500.0, 20.0, 520.0, 50.0), provenance="model", score=0.3)
    model[33] = replace(model[33], annotations=(*model[33].annotations, odd))
    assert odd in hybrid(SHARD, CARS, people(truth), model)[33].annotations


def test_a_track_bears_the_id_that_people_gave_it() -> None:
    truth = truth_of(even)
    named = [replace(frame, annotations=(replace(frame.annotations[0], track_id="7"),)) for frame in people(truth)]
    together = hybrid(SHARD, CARS, named, seen_by_model(truth, 1.0, missed=[44]))
    assert {annotation.track_id for frame in together for annotation in frame.annotations} == {"7"}


def test_keypoints_lose_their_jitter_and_unplaced_ones_stay_unplaced() -> None:
    rng = np.random.default_rng(1)

    def with_nose(frame: FrameLabels, jitter: float, v: float = 2.0) -> FrameLabels:
        (box,) = frame.annotations
        x, y = even(frame.frame_index) + 20 + rng.normal() * jitter, 220 + rng.normal() * jitter
        return replace(frame, annotations=(replace(box, keypoints_xyv=(x, y, v)),))

    truth = truth_of(even)
    model = [with_nose(frame, 6.0) for frame in seen_by_model(truth, 1.0)]
    model[44] = with_nose(truth[44], 0, v=0.0)
    together = hybrid(SHARD, MICE, [with_nose(frame, 0) for frame in people(truth)], model)
    noses = np.array([frame.annotations[0].keypoints_xyv for frame in together])
    expected = np.array([(even(index) + 20, 220.0) for index in range(100)])
    assert noses[44, 2] == 0
    assert np.abs(noses[:, :2] - expected)[np.arange(100) != 44].max() < 4


def test_pictures_without_time_stay_as_the_model_says() -> None:
    truth = truth_of(even)
    model = seen_by_model(truth, 5.0)
    together = hybrid(replace(SHARD, kind="images", fps=None), CARS, people(truth), model)
    assert [frame for frame in together if frame.frame_index not in KEYFRAMES] == [
        frame for frame in model if frame.frame_index not in KEYFRAMES
    ]


def test_masks_stay_as_the_model_says() -> None:
    masked = [at(i, Annotation(class_name="car", bbox_xyxy=(i, 0.0, i + 9, 9.0), rle_counts="11", score=0.5)) for i in range(9)]
    assert hybrid(SHARD, replace(CARS, task="segmentation"), [], masked) == masked
    assert hybrid(SHARD, CARS, [], masked) == masked
