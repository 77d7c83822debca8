"""Average precision and OKS: cases computed by hand, and the reference implementation on random boxes."""

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from faster_coco_eval import COCOeval_faster

from training.data.annotations import Annotation, FrameLabels
from training.models.coco_metrics import measure_boxes, measure_points, point_sigmas

HALF = 51 / 101  # of the 101 recalls, those up to 0.5
PARTS = ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
COCO_POINTS = ["nose", *(f"{side}_{part}" for part in PARTS for side in ("left", "right"))]


def frame(*annotations: Annotation) -> FrameLabels:
    return FrameLabels(shard_id="s", frame_index=0, annotations=annotations)


def box(x1: float, y1: float, x2: float, y2: float, name: str = "car", **more: Any) -> Annotation:
    return Annotation(class_name=name, bbox_xyxy=(x1, y1, x2, y2), **more)


def mouse(x: float, *, moved: tuple[float, float] = (0, 0), v: float = 2, **more: Any) -> Annotation:
    """Two points in a box of 40 x 48, each moved to the right."""
    points = (x + 30 + moved[0], 50.0, 2.0, x + 10 + moved[1], 30.0, v)
    return Annotation(class_name="mouse", bbox_xyxy=(x, 24.0, x + 40, 72.0), keypoints_xyv=points, **more)


def test_average_precision_of_a_case_computed_by_hand() -> None:
    """One of two found at IoU 0.625: right at 0.5, 0.55 and 0.6, and never found beyond a recall of 0.5."""
    truth = [frame(box(0, 0, 10, 10), box(20, 0, 30, 10)), frame()]
    found, nothing_there = box(0, 0, 10, 6.25, score=0.9), box(50, 0, 60, 10, score=0.8)
    measured = measure_boxes(truth, [frame(found, nothing_there), frame()])
    assert measured == pytest.approx({"ap": 0.3 * HALF, "ap50": HALF}), "what is less sure costs nothing"
    surer = box(50, 0, 60, 10, score=0.95)
    assert measure_boxes(truth, [frame(found), frame(surer)])["ap50"] == pytest.approx(HALF / 2)


def test_what_has_no_score_is_sure() -> None:
    truth = [frame(box(0, 0, 10, 10))]
    drawn, guessed = box(0, 0, 10, 10), box(50, 0, 60, 10, score=0.99)
    assert measure_boxes(truth, [frame(guessed, drawn)]) == {"ap": 1.0, "ap50": 1.0}


def test_classes_count_alike_and_only_those_that_are_there() -> None:
    truth = [frame(*(box(20 * n, 0, 20 * n + 10, 10) for n in range(5)), box(0, 50, 10, 60, "bus"))]
    said = [frame(*truth[0].annotations[:5], box(50, 50, 60, 60, "tram", score=0.9))]
    assert measure_boxes(truth, said)["ap"] == pytest.approx(0.5)


def test_ambiguous_truths_are_nobodys_miss_and_nobodys_false_alarm() -> None:
    doubtful, clear = box(0, 0, 10, 10, ambiguous=True), box(20, 0, 30, 10)
    said = frame(box(0, 0, 10, 10, score=0.9), box(20, 0, 30, 10, score=0.8))
    assert measure_boxes([frame(doubtful, clear)], [said])["ap"] == 1
    assert measure_boxes([frame(doubtful, clear)], [frame(box(20, 0, 30, 10, score=0.8))])["ap"] == 1


def test_where_nothing_is_to_be_found_finding_nothing_is_right() -> None:
    said, doubtful = box(0, 0, 10, 10, score=0.9), box(0, 0, 10, 10, ambiguous=True)
    assert measure_boxes([], []) == {"ap": 1, "ap50": 1}
    assert measure_boxes([frame()], [frame()]) == {"ap": 1, "ap50": 1}
    assert measure_boxes([frame()], [frame(said)]) == {"ap": 0, "ap50": 0}
    assert measure_boxes([frame(doubtful)], [frame(said)]) == {"ap": 1, "ap50": 1}
    assert measure_boxes([frame(box(0, 0, 10, 10))], [frame()]) == {"ap": 0, "ap50": 0}
    assert measure_points([frame()], [frame()], ("a", "b")) == {"oks": 0, "ap_oks": 1}


def test_more_objects_in_a_picture_than_coco_counts_are_counted() -> None:
    crowd = [frame(*(box(20 * n, 0, 20 * n + 10, 10) for n in range(250)))]
    assert measure_boxes(crowd, crowd)["ap"] == 1


@pytest.mark.parametrize("seed", range(3))
def test_the_reference_implementation_agrees(seed: int) -> None:
    truth, said = random_frames(seed), random_frames(seed, moved=4.0)
    measured = measure_boxes(truth, said)
    assert measured == pytest.approx(by_pycocotools(truth, said))
    assert 0.05 < measured["ap"] < measured["ap50"] < 0.95


def test_similarity_of_a_case_computed_by_hand() -> None:
    """Points 1 and 2 pixels off; the squared scale is 0.53 x 40 x 48, and no point's sigma is known."""
    spread = 2 * (0.53 * 40 * 48) * (2 * 0.025) ** 2
    near, far = np.exp(-1 / spread), np.exp(-4 / spread)
    truth, said = [frame(mouse(8), mouse(100))], [frame(mouse(8, moved=(1, 2), score=0.9))]
    measured = measure_points(truth, said, ("nose", "tail"))
    assert measured["oks"] == pytest.approx((near + far) / 2), "over the objects that were found"
    assert 0.60 < measured["oks"] < 0.65
    assert measured["ap_oks"] == pytest.approx(0.3 * HALF), "right at 0.5, 0.55 and 0.6; the other is missed"
    placed = measure_points([frame(mouse(8, v=0))], said, ("nose", "tail"))
    assert placed["oks"] == pytest.approx(near), "a point that nobody placed is not judged"


def test_objects_without_points_are_not_judged_and_answers_without_points_are_wrong() -> None:
    bare = box(8, 24, 48, 72, "mouse", score=0.9)
    assert measure_points([frame(bare)], [frame(mouse(8))], ("nose", "tail")) == {"oks": 0, "ap_oks": 1}
    assert measure_points([frame(mouse(8))], [frame(bare)], ("nose", "tail")) == {"oks": 0, "ap_oks": 0}


def test_cocos_points_have_cocos_sigmas_in_any_order_and_others_one() -> None:
    theirs = COCOeval_faster(iouType="keypoints").params.kpt_oks_sigmas
    assert point_sigmas(COCO_POINTS) == pytest.approx(theirs.tolist())
    assert point_sigmas(COCO_POINTS[::-1]) == pytest.approx(theirs[::-1].tolist())
    assert point_sigmas(("nose", "tail")) == [0.025, 0.025], "the nose of something else"


def test_measuring_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    measure_points([frame(mouse(8))], [frame(mouse(8, score=0.9))], ("nose", "tail"))
    measure_boxes([frame(mouse(8))], [frame(mouse(8, score=0.9))])
    assert capfd.readouterr() == ("", "")


def random_frames(seed: int, moved: float = 0.0) -> list[FrameLabels]:
    """20 frames of boxes of two classes; moved and scored, with some left out, if they are to be judged."""
    truth, shift = np.random.default_rng(seed), np.random.default_rng(seed + 100)
    frames = []
    for _ in range(20):
        corners = truth.uniform(0, 300, (6, 2)).round(1)
        sides = truth.uniform(20, 60, (6, 2)).round(1)
        names, doubtful = truth.choice(["car", "bus"], 6), truth.random(6) < 0.2
        places = corners + shift.normal(0, moved, (6, 2))
        boxes = [(*place, *(place + side)) for place, side in zip(places.tolist(), sides)]
        frames.append(
            frame(
                *(
                    box(*xyxy, name, score=float(shift.random())) if moved else box(*xyxy, name, ambiguous=bool(ambiguous))
                    for xyxy, name, ambiguous in zip(boxes, names.tolist(), doubtful)
                    if not moved or shift.random() < 0.8
                )
            )
        )
    return frames


def by_pycocotools(truth: list[FrameLabels], said: list[FrameLabels]) -> dict[str, float]:
    with contextlib.redirect_stdout(io.StringIO()):
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        datasets = [COCO(), COCO()]
        for dataset, frames in zip(datasets, (truth, said)):
            rows = [
                {
                    "image_id": n,
                    "category_id": 1 + (one.class_name == "bus"),
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "iscrowd": int(one.ambiguous),
                    "score": one.score,
                }
                for n, labels in enumerate(frames)
                for one in labels.annotations
                for x1, y1, x2, y2 in [one.bbox_xyxy or (0, 0, 0, 0)]
            ]
            dataset.dataset = {
                "images": [{"id": n} for n in range(len(frames))],
                "categories": [{"id": 1}, {"id": 2}],
                "annotations": [{**row, "id": number} for number, row in enumerate(rows, 1)],
            }
            dataset.createIndex()
        evaluation = COCOeval(*datasets, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {"ap": float(evaluation.stats[0]), "ap50": float(evaluation.stats[1])}
