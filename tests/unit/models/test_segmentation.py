"""Segmentation by hand-computed cases."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from training.data import rle
from training.data.annotations import Annotation, FrameLabels
from training.data.ontology import Ontology
from training.models.actions import Actions
from training.models.geometry import Placement
from training.models.mask_metrics import boundary_f, measure_masks, overlap
from training.models.network import DenseConfig
from training.models.placements import Placements
from training.models.segmentation import IGNORE, Segmentation

ONTOLOGY = Ontology(name="ground", task="segmentation", classes=("road", "grass"))
CONFIG = DenseConfig(backbone="mobilenet_v2", scale=1.0, output_stride=4, neck_channels=8, branches={"mask": 3})
HW = (64, 96)
PLACE = Placement(frame_width=96, frame_height=64, width=96, height=64, scale_x=1, scale_y=1)


def mask(top: int, bottom: int, left: int = 0, right: int = 96) -> NDArray[np.bool_]:
    painted = np.zeros(HW, np.bool_)
    painted[top:bottom, left:right] = True
    return painted


def frame(**masks: NDArray[np.bool_]) -> FrameLabels:
    said = [Annotation(class_name=name, rle_counts=rle.encode(one), bbox_xyxy=(0, 0, 1, 1)) for name, one in masks.items()]
    return FrameLabels(shard_id="s", frame_index=0, annotations=tuple(said))


def targets_of(labels: list[FrameLabels], place: Placement, *, background: bool = True) -> dict[str, torch.Tensor]:
    """Of one view of one frame."""
    truth = Segmentation(ONTOLOGY).truth(labels, [HW], {"background": background}, torch.device("cpu"))
    return truth.targets(np.array([0]), Placements.of([place]), CONFIG.output_stride)


def test_pixels_that_no_mask_covers_are_background_unless_the_frames_are_covered_almost_completely() -> None:
    task = Segmentation(ONTOLOGY)
    sparse, dense = frame(road=mask(40, 64)), frame(road=mask(40, 64), grass=mask(0, 38))
    assert task.learned_limits([sparse], [HW]) == {"background": True}
    assert task.learned_limits([dense], [HW]) == {"background": False}
    (wanted,) = targets_of([sparse], PLACE, background=True)["mask"]
    assert (int(wanted[50, 5]), int(wanted[39, 5])) == (1, 0)
    (wanted,) = targets_of([dense], PLACE, background=False)["mask"]
    assert (int(wanted[50, 5]), int(wanted[39, 5]), int(wanted[5, 5])) == (1, IGNORE, 2)


def test_an_ambiguous_mask_is_neither_learned_nor_judged() -> None:
    task, unsure = Segmentation(ONTOLOGY), frame(road=mask(30, 50))
    unsure = replace(unsure, annotations=tuple(replace(one, ambiguous=True) for one in unsure.annotations))
    truth = replace(unsure, annotations=(*unsure.annotations, *frame(grass=mask(45, 64)).annotations))
    (wanted,) = targets_of([truth], PLACE)["mask"]
    assert (int(wanted[35, 5]), int(wanted[47, 5]), int(wanted[5, 5])) == (IGNORE, 2, 0)
    assert task.num_objects(truth) == 1
    much = replace(unsure, annotations=(replace(frame(road=mask(0, 60)).annotations[0], ambiguous=True),))
    much = replace(much, annotations=(*much.annotations, *frame(grass=mask(60, 61)).annotations))
    assert task.learned_limits([much], [HW]) == {"background": True}, "of what is sure a quarter is covered"
    assert task.actions(unsure, frame(), HW) == task.actions(unsure, frame(road=mask(30, 50)), HW) == Actions()
    measured = task.measure([truth], [frame(grass=mask(45, 64), road=mask(30, 45))], [HW])
    assert (measured["j"], measured["miou"]) == (1.0, 1.0)


def test_frames_of_several_sizes_are_learned_and_measured_each_by_its_own() -> None:
    task, whole = Segmentation(ONTOLOGY), frame(road=mask(40, 64))
    painted = np.zeros((30, 50), np.bool_)
    painted[10:] = True
    cut = replace(frame(road=painted), frame_index=1)
    sizes = [HW, (30, 50)]
    assert task.learned_limits([whole, cut], sizes) == {"background": True}
    assert task.measure([whole, cut], [whole, cut], sizes)["j"] == 1.0


def test_masks_follow_the_view_and_nothing_is_asked_beyond_the_frame() -> None:
    view = Placement(frame_width=96, frame_height=64, width=96, height=64, scale_x=1, scale_y=1, shift_x=16, mirror=True)
    (wanted,) = targets_of([frame(road=mask(40, 64, 0, 20))], view, background=True)["mask"]
    assert int(wanted[50, 8]) == IGNORE
    assert int(wanted[50, 94]) == 1, "the left twenty columns, mirrored and shifted right, end beyond the view"
    assert int(wanted[50, 60]) == 0


def test_targets_learned_by_heart_decode_to_the_labels() -> None:
    task = Segmentation(ONTOLOGY)
    truth = frame(road=mask(40, 64, 8, 60), grass=mask(0, 24))
    wanted = targets_of([truth], PLACE, background=True)["mask"]
    logits = 20.0 * torch.nn.functional.one_hot(wanted, 3).permute(0, 3, 1, 2).float()
    decoded = task.decode({"mask": logits}, [PLACE], CONFIG, {"background": True})[0]
    found = {a.class_name: rle.decode(a.rle_counts or "", *HW) for a in decoded}
    assert np.array_equal(found["road"], mask(40, 64, 8, 60))
    assert np.array_equal(found["grass"], mask(0, 24))
    assert decoded[0].bbox_xyxy == (8, 40, 60, 64)
    assert decoded[0].score is not None
    assert decoded[0].score > 0.99


def test_without_background_every_pixel_gets_a_class() -> None:
    logits = torch.zeros(1, 3, 16, 24)
    logits[:, 0] = 5.0
    logits[:, 1, 8:] = 1.0
    logits[:, 2, :8] = 1.0
    decoded = Segmentation(ONTOLOGY).decode({"mask": logits}, [PLACE], CONFIG, {"background": False})[0]
    assert sum(int(rle.decode(a.rle_counts or "", *HW).sum()) for a in decoded) == 64 * 96


def test_the_loss_of_the_right_answer_is_far_below_that_of_the_start() -> None:
    task = Segmentation(ONTOLOGY)
    targets = targets_of([frame(road=mask(40, 64), grass=mask(0, 24))], PLACE, background=True)
    right = 20.0 * torch.nn.functional.one_hot(targets["mask"], 3).permute(0, 3, 1, 2).float()
    assert task.loss({"mask": right}, targets).item() < 0.05 * task.loss({"mask": torch.zeros_like(right)}, targets).item()


def test_actions_of_a_case_computed_by_hand() -> None:
    task = Segmentation(ONTOLOGY)
    truth = frame(road=mask(0, 20))
    assert task.actions(truth, frame(road=mask(0, 19)), HW) == Actions(confirm=1)
    assert task.actions(truth, frame(road=mask(0, 12)), HW) == Actions(adjust=1)
    assert task.actions(truth, frame(road=mask(0, 8)), HW) == Actions(draw=1, delete=1)
    assert task.actions(truth, frame(road=mask(0, 20), grass=mask(30, 40)), HW) == Actions(confirm=1, delete=1)
    assert task.actions(truth, frame(), HW) == Actions(draw=1)


def test_region_similarity_of_a_case_computed_by_hand() -> None:
    assert overlap(mask(0, 20), mask(10, 30)) == pytest.approx(1 / 3)
    assert overlap(mask(0, 0), mask(0, 0)) == 1.0


def test_boundary_accuracy_of_cases_computed_by_hand() -> None:
    """At 64 x 96 the tolerance is one pixel: 0.8 % of a diagonal of 115 pixels, rounded up."""
    assert boundary_f(mask(0, 20), mask(0, 20)) == 1.0
    assert boundary_f(mask(0, 20), mask(0, 21)) == 1.0
    assert boundary_f(mask(0, 20), mask(0, 23)) == 0.0
    assert boundary_f(mask(0, 20), mask(0, 0)) == 0.0
    half = mask(0, 20)
    half[20:30, 48:] = True  # right half ten pixels lower
    assert 0.4 < boundary_f(mask(0, 20), half) < 0.6


def test_miou_counts_pixels_of_all_frames_together_and_leaves_out_the_undecided() -> None:
    true, said = np.zeros(HW, np.int64), np.zeros(HW, np.int64)
    true[:32], said[:32] = 1, 1
    said[32:40] = 1
    undecided = np.where(mask(32, 36), IGNORE, true)
    assert measure_masks([(true, said)], num_classes=2, ignore=IGNORE)["miou"] == pytest.approx(32 / 40)
    assert measure_masks([(undecided, said)], num_classes=2, ignore=IGNORE)["miou"] == pytest.approx(32 / 36)
    twice = measure_masks([(true, said), (true, true)], num_classes=2, ignore=IGNORE)
    assert twice["miou"] == pytest.approx(64 / 72)
    assert twice["j"] == pytest.approx((32 / 40 + 1) / 2)
