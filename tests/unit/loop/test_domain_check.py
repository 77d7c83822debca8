"""Is a detector any use? Counted by hand."""

import numpy as np
import pytest

from training.data import rle
from training.data.annotations import Annotation, FrameLabels
from training.loop.domain_check import DomainCheck, compare, interval

HW = (20, 40)


def frame(*annotations: Annotation) -> FrameLabels:
    return FrameLabels(shard_id="s", frame_index=0, annotations=annotations)


def box(x: float, width: float = 10.0, name: str = "car") -> Annotation:
    return Annotation(class_name=name, bbox_xyxy=(x, 0.0, x + width, 10.0))


def mask(x: int, width: int, name: str = "car") -> Annotation:
    mask_HW = np.zeros(HW, np.bool_)
    mask_HW[:, x : x + width] = True
    counts = rle.encode(mask_HW)
    return Annotation(class_name=name, bbox_xyxy=rle.mask_box(counts, *HW), rle_counts=counts)


def test_boxes_are_found_tight_missed_or_made_up() -> None:
    truth = frame(box(0), box(50), box(100))
    said = frame(box(0), box(50, 6), box(200), box(300, name="bus"))  # exact, IoU 0.6, nothing there, nothing there
    assert compare([truth], [said], masks=False, frame_hw=HW) == DomainCheck(frames=1, objects=3, said=4, found=2, tight=1)


def test_masks_of_one_class_are_one_object() -> None:
    truth = frame(mask(0, 10), mask(20, 10), mask(35, 5, "bus"))
    said = frame(mask(0, 10), mask(20, 4))  # 14 of 20 columns of the cars: 0.7
    assert compare([truth], [said], masks=True, frame_hw=HW) == DomainCheck(frames=1, objects=2, said=1, found=1, tight=1)


def test_the_interval_is_wilsons() -> None:
    assert interval(5, 5) == (pytest.approx(0.566, abs=0.001), 1.0)
    assert interval(8, 10) == (pytest.approx(0.490, abs=0.001), pytest.approx(0.943, abs=0.001))
    assert interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("objects", "said", "found", "tight", "verdict"),
    [
        (5, 5, 5, 5, "usable"),
        (5, 5, 4, 4, "too few labels to tell"),
        (5, 5, 0, 0, "not usable"),
        (40, 40, 40, 10, "not usable"),  # found, but hardly any that nobody has to draw again
        (20, 80, 20, 20, "not usable"),  # all there, among three times as many that are wrong
        (0, 0, 0, 0, "too few labels to tell"),
        (20, 0, 0, 0, "not usable"),
    ],
)
def test_the_verdict_is_given_only_when_the_labels_allow_it(
    objects: int, said: int, found: int, tight: int, verdict: str
) -> None:
    assert DomainCheck(frames=5, objects=objects, said=said, found=found, tight=tight).verdict == verdict


def test_shares_of_nothing_are_null() -> None:
    document = DomainCheck(frames=2).to_json()
    assert (document["precision"], document["recall"], document["recall_95"]) == (None, None, [0.0, 1.0])
