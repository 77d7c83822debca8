"""Detection by hand-computed cases: what is asked for, what comes back, what it costs to correct."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from training.data.annotations import Annotation, FrameLabels
from training.data.ontology import Ontology
from training.models.actions import Actions
from training.models.detection import ALWAYS_SCORE, NEVER_SCORE, SOMETIMES_SCORE, Detection
from training.models.geometry import Placement
from training.models.network import DenseConfig
from training.models.placements import Placements

ONTOLOGY = Ontology(name="cars", task="detection", classes=("car", "bus"))
CONFIG = DenseConfig(backbone="mobilenet_v2", scale=1.0, output_stride=8, neck_channels=8, branches={"heat": 2, "box": 4})
PLACE = Placement(frame_width=128, frame_height=64, width=128, height=64, scale_x=1.0, scale_y=1.0)
EASY = {"fewest": [9, 9], "most": [9, 9], "min_scores": [ALWAYS_SCORE, SOMETIMES_SCORE, NEVER_SCORE]}


def frame(*annotations: Annotation) -> FrameLabels:
    return FrameLabels(shard_id="s", frame_index=0, annotations=annotations)


def box(x1: float, y1: float, x2: float, y2: float, name: str = "car", score: float | None = None) -> Annotation:
    return Annotation(class_name=name, bbox_xyxy=(x1, y1, x2, y2), score=score, provenance="model" if score else "human")


def targets_of(labels: list[FrameLabels], place: Placement) -> dict[str, torch.Tensor]:
    """Of one view of one frame."""
    truth = Detection(ONTOLOGY).truth(labels, [(place.frame_height, place.frame_width)], {}, torch.device("cpu"))
    return truth.targets(np.array([0]), Placements.of([place]), CONFIG.output_stride)


def answers(targets: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The outputs of a network that learned its targets by heart."""
    rows, columns = targets["heat"].shape[-2:]
    y, x = torch.arange(rows)[:, None] + 0.5, torch.arange(columns)[None, :] + 0.5
    x1, y1, x2, y2 = targets["box"].unbind(1)
    distances = torch.stack([x - x1, y - y1, x2 - x, y2 - y], dim=1).clamp(min=0.1)
    return {"heat": torch.logit(targets["heat"].clamp(1e-4, 1 - 1e-4)), "box": distances.log()}


def crowd(x1: float, y1: float, x2: float, y2: float) -> Annotation:
    return replace(box(x1, y1, x2, y2), ambiguous=True)


def test_a_crowd_is_no_object_and_what_is_found_in_it_no_mistake() -> None:
    task, truth = Detection(ONTOLOGY), frame(crowd(0, 0, 100, 60), box(104, 4, 120, 20))
    assert task.num_objects(truth) == 1
    assert task.learned_limits([truth], [(64, 128)])["most"] == [1, 0]
    said = frame(box(10, 10, 30, 30, score=0.9), box(104, 4, 120, 20, score=0.8))
    measured = task.measure([truth], [said], [(64, 128)])
    assert (measured["precision"], measured["recall"]) == (1.0, 1.0)
    assert task.actions(truth, said, (64, 128)) == Actions(confirm=1)
    outside = frame(box(90, 10, 118, 30, score=0.9))
    assert task.actions(frame(crowd(0, 0, 100, 60)), outside, (64, 128)) == Actions(delete=1), "a third of it lies in the crowd"


def test_as_many_objects_come_back_as_frames_were_labelled_with() -> None:
    heat = torch.full((1, 2, 40, 80), -9.0)
    heat[0, 0, ::2, ::2] = 3.0  # 800 objects, each of a cell
    outputs = {"heat": heat, "box": torch.full((1, 4, 40, 80), -0.7)}
    place = Placement(frame_width=640, frame_height=320, width=640, height=320, scale_x=1.0, scale_y=1.0)
    task = Detection(ONTOLOGY)
    assert len(task.decode(outputs, [place], CONFIG, EASY)[0]) == 300
    assert len(task.decode(outputs, [place], CONFIG, {**EASY, "most": [450, 0]})[0]) == 800


def test_targets_learned_by_heart_decode_to_the_labels() -> None:
    task = Detection(ONTOLOGY)
    labels = frame(box(10, 8, 42, 40), box(60, 20, 120, 60, "bus"))
    outputs = answers(targets_of([labels], PLACE))
    decoded = sorted(task.decode(outputs, [PLACE], CONFIG, EASY)[0], key=lambda a: a.class_name)
    assert [a.class_name for a in decoded] == ["bus", "car"]
    np.testing.assert_allclose([a.bbox_xyxy for a in decoded], [(60, 20, 120, 60), (10, 8, 42, 40)], atol=1e-3)


def test_labels_follow_a_mirrored_and_magnified_view() -> None:
    task = Detection(ONTOLOGY)
    view = Placement(
        frame_width=128, frame_height=64, width=160, height=96, scale_x=1.25, scale_y=1.25, shift_x=-3, shift_y=5, mirror=True
    )
    labels = frame(box(10, 8, 42, 40))
    (decoded,) = task.decode(answers(targets_of([labels], view)), [view], CONFIG, EASY)[0]
    np.testing.assert_allclose(decoded.bbox_xyxy, (10, 8, 42, 40), atol=1e-3)


def test_an_object_whose_centre_left_the_view_is_neither_wanted_nor_punished() -> None:
    view = Placement(frame_width=128, frame_height=64, width=64, height=64, scale_x=1, scale_y=1, shift_x=-36)
    targets = targets_of([frame(box(10, 8, 58, 40))], view)
    assert targets["heat"].max() == 0
    assert targets["heat_weight"][0, 0, 3, 1] == 0
    assert targets["heat_weight"][0, 0, 3, 7] == 1
    assert targets["heat_weight"][0, 1].min() == 1, "another class is still learned there"


def test_a_tiles_object_may_reach_into_the_neighbour_and_a_frames_may_not() -> None:
    task = Detection(ONTOLOGY)
    outputs = answers(targets_of([frame(box(-10, 8, 42, 40))], PLACE))
    tile = Placement(frame_width=128, frame_height=64, width=128, height=64, scale_x=1, scale_y=1, bounded=False)
    assert abs(task.decode(outputs, [tile], CONFIG, EASY)[0][0].bbox_xyxy[0] + 10) < 1e-3
    assert task.decode(outputs, [PLACE], CONFIG, EASY)[0][0].bbox_xyxy[0] == 0


def test_what_lies_around_a_tile_is_neither_learned_nor_answered() -> None:
    task = Detection(ONTOLOGY)
    tile = Placement(
        frame_width=64, frame_height=32, width=128, height=64, scale_x=1, scale_y=1, shift_x=32, shift_y=16, bounded=False
    )
    inside, outside = box(-4, 4, 20, 28), box(-30, 4, -6, 28)
    targets = targets_of([frame(inside)], tile)
    seen = targets["heat_weight"][0, 0]
    assert seen[2:6, 4:12].min() == 1, "the tile itself"
    assert seen.sum() == 4 * 8, "nobody said what lies around it"
    whole = PLACE.boxes_to_frame(tile.boxes_to_input(np.array([a.bbox_xyxy for a in (inside, outside)], np.float32)))
    outputs = answers(targets_of([frame(*(box(*corners) for corners in whole.tolist()))], PLACE))
    (found,) = task.decode(outputs, [tile], CONFIG, EASY)[0]
    np.testing.assert_allclose(found.bbox_xyxy, inside.bbox_xyxy, atol=1e-3)


def test_calibration_asks_for_the_scores_that_held_out_frames_call_for() -> None:
    task = Detection(ONTOLOGY)
    limits = task.learned_limits([frame(box(4, 4, 28, 28))], [(64, 128)])
    right, wrong = box(4, 4, 28, 28, score=0.12), box(80, 20, 120, 60, score=0.5)
    unsure = [frame(right)] * 3
    lower = task.calibrated(limits, [frame(box(4, 4, 28, 28))] * 3, unsure, counted=True)
    assert lower["min_scores"][0] <= 0.12 < limits["min_scores"][0]
    higher = task.calibrated(limits, [frame(box(4, 4, 28, 28))], [frame(box(4, 4, 28, 28, score=0.9), wrong)], counted=True)
    assert higher["min_scores"][2] > 0.5
    same = task.calibrated(limits, [frame(box(4, 4, 28, 28))], [frame(box(4, 4, 28, 28, score=0.9))], counted=True)
    assert same["min_scores"] == limits["min_scores"], "nothing to learn, nothing changed"


def test_what_no_labelled_frame_had_must_be_surer_to_be_believed() -> None:
    task = Detection(ONTOLOGY)
    one, two = box(4, 4, 28, 28), box(80, 20, 120, 60)
    outputs = answers(targets_of([frame(one, two)], PLACE))
    outputs["heat"] = outputs["heat"].clamp(max=float(torch.logit(torch.tensor(0.4))))
    limits = task.learned_limits([frame(one), frame(one)], [(64, 128)] * 2)
    assert len(task.decode(outputs, [PLACE], CONFIG, limits)[0]) == 1, "0.4 is enough for the first, not for a second"
    tile = replace(PLACE, bounded=False)
    assert len(task.decode(outputs, [tile], CONFIG, limits)[0]) == 2, "a tile is cut anywhere: its number of objects says nothing"
    limits = task.learned_limits([frame(one), frame(one, two)], [(64, 128)] * 2)
    assert len(task.decode(outputs, [PLACE], CONFIG, limits)[0]) == 2, "two were seen before"


def test_measures_of_a_case_computed_by_hand() -> None:
    truth = [frame(box(0, 0, 10, 10), box(20, 0, 30, 10))]
    predicted = [frame(box(0, 0, 10, 6, score=0.9), box(50, 0, 60, 10, score=0.8))]
    measured = Detection(ONTOLOGY).measure(truth, predicted, [(64, 128)] * len(truth))
    shares = {"precision": 0.5, "recall": 0.5, "tight_recall": 0.0, "mean_iou": np.float32(0.6)}
    assert {name: measured[name] for name in shares} == shares
    assert measured["ap50"] == pytest.approx(51 / 101), "one of two objects found, before anything else"


def test_actions_of_a_case_computed_by_hand() -> None:
    truth = frame(box(0, 0, 10, 10), box(20, 0, 30, 10), box(40, 0, 50, 10), box(60, 0, 70, 10))
    predicted = frame(
        box(0, 0, 10, 10, score=0.9),  # right
        box(20, 0, 30, 6, score=0.8),  # IoU 0.6: inexact
        box(40, 0, 50, 10, "bus", 0.7),  # wrong class
        box(90, 0, 99, 10, score=0.6),  # nothing there
    )
    assert Detection(ONTOLOGY).actions(truth, predicted, (64, 128)) == Actions(draw=1, delete=1, adjust=2, confirm=1)


def test_the_loss_of_the_right_answer_is_far_below_that_of_the_start() -> None:
    task = Detection(ONTOLOGY)
    targets = targets_of([frame(box(10, 8, 42, 40))], PLACE)
    start = {"heat": torch.full_like(targets["heat"], -3.9), "box": torch.zeros_like(targets["box"])}
    assert task.loss(answers(targets), targets).item() < 0.1 * task.loss(start, targets).item()


def test_sides_are_learned_from_what_people_drew_and_not_from_what_they_let_stand() -> None:
    drawn, confirmed = box(8, 8, 24, 24), box(72, 24, 104, 56, score=0.9)
    targets = targets_of([frame(drawn, confirmed)], PLACE)
    assert [float(targets["heat"][0, 0, y, x]) for y, x in ((2, 2), (5, 11))] == [1.0, 1.0]
    assert [bool(targets["box_weight"][0, y, x] > 0) for y, x in ((2, 2), (5, 11))] == [True, False]
