"""Keypoints by hand-computed cases."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from training.data.annotations import Annotation, FrameLabels
from training.data.ontology import Ontology
from training.models.detection import ALWAYS_SCORE
from training.models.geometry import Placement
from training.models.keypoints import Keypoints
from training.models.network import DenseConfig
from training.models.placements import Placements
from training.models.sides import mirrored_order

NAMES = ("nose", "left_ear", "right_ear")
ONTOLOGY = Ontology(name="mice", task="keypoints", classes=("mouse",), keypoints=NAMES)
CONFIG = DenseConfig(backbone="mobilenet_v2", scale=1.0, output_stride=4, neck_channels=8, branches={})
PLACE = Placement(frame_width=192, frame_height=96, width=192, height=96, scale_x=1, scale_y=1)
EASY = {"fewest": [9], "most": [9], "min_scores": [ALWAYS_SCORE] * 3, "margins": None}
HW = (96, 192)


def mouse(x: float, *, hidden: bool = False) -> Annotation:
    points = (x + 30.0, 50.0, 2.0, x + 10.0, 30.0, 2.0, x + 12.0, 66.0, 1.0 if hidden else 2.0)
    return Annotation(class_name="mouse", bbox_xyxy=(x, 24.0, x + 40, 72.0), keypoints_xyv=points)


def frame(*mice: Annotation) -> FrameLabels:
    return FrameLabels(shard_id="s", frame_index=0, annotations=mice)


def test_nothing_is_taught_in_an_ambiguous_box_and_its_points_are_no_background() -> None:
    unsure = replace(mouse(100), ambiguous=True)
    targets = targets_of([frame(mouse(20), unsure)], PLACE)
    rows, columns = slice(24 // 4, 72 // 4), slice(100 // 4, 140 // 4)
    weight_hw = targets["point_weight"][0, 0]
    assert float(weight_hw[rows, columns].max()) == 0.0
    assert float(weight_hw.sum()) == weight_hw.numel() - 12 * 10
    assert float(targets["point"][0, 0, 50 // 4, 130 // 4]) == 0.0


def targets_of(labels: list[FrameLabels], place: Placement) -> dict[str, torch.Tensor]:
    """Of one view of one frame."""
    truth = Keypoints(ONTOLOGY).truth(labels, [HW], {}, torch.device("cpu"))
    return truth.targets(np.array([0]), Placements.of([place]), CONFIG.output_stride)


def answers(targets: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The outputs of a network that learned its targets by heart."""
    rows, columns = targets["heat"].shape[-2:]
    y, x = torch.arange(rows)[:, None] + 0.5, torch.arange(columns)[None, :] + 0.5
    x1, y1, x2, y2 = targets["box"].unbind(1)
    distances = torch.stack([x - x1, y - y1, x2 - x, y2 - y], dim=1).clamp(min=0.1)
    heats = {name: torch.logit(targets[name].clamp(1e-4, 1 - 1e-4)) for name in ("heat", "point")}
    return {**heats, "box": distances.log(), "offset": targets["offset"]}


def points_of(annotation: Annotation) -> np.ndarray:
    return np.array(annotation.keypoints_xyv).reshape(-1, 3)


@pytest.mark.parametrize("mirror", [False, True])
def test_points_of_two_objects_learned_by_heart_stay_with_their_own(mirror: bool) -> None:
    task = Keypoints(ONTOLOGY)
    place = Placement(frame_width=192, frame_height=96, width=192, height=96, scale_x=1, scale_y=1, mirror=mirror)
    truth = frame(mouse(8), mouse(100))
    targets = targets_of([truth], place)
    found = sorted(task.decode(answers(targets), [place], CONFIG, EASY)[0], key=lambda a: (a.bbox_xyxy or (0,))[0])
    assert len(found) == 2
    for true, said in zip(truth.annotations, found):
        wanted = points_of(true)
        if mirror:  # what the network calls left in a mirrored picture is the animal's right
            wanted = wanted[list(mirrored_order(NAMES))]
        np.testing.assert_allclose(points_of(said)[:, :2], wanted[:, :2], atol=1.0)


def test_a_hidden_point_is_placed_by_its_offset_and_said_to_be_hidden() -> None:
    task = Keypoints(ONTOLOGY)
    targets = targets_of([frame(mouse(8, hidden=True))], PLACE)
    (found,) = task.decode(answers(targets), [PLACE], CONFIG, EASY)[0]
    np.testing.assert_allclose(points_of(found)[2], (20.0, 66.0, 1.0), atol=1.0)
    assert points_of(found)[0, 2] == 2


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (("nose", "left_ear", "right_ear"), (0, 2, 1)),
        (("wingL", "wingR", "forelegL4", "forelegR4", "Lower"), (1, 0, 3, 2, 4)),
        (("leftear", "tailbase"), (0, 1)),
    ],
)
def test_left_and_right_change_places_in_a_mirrored_picture(names: tuple[str, ...], order: tuple[int, ...]) -> None:
    assert tuple(mirrored_order(names)) == order


def test_pck_and_rmse_of_a_case_computed_by_hand() -> None:
    """The box is 40 x 48: a point is right within 4.8 pixels."""
    true = mouse(8)
    moved = points_of(true) + np.array([[3, 0, 0], [0, 4, 0], [0, 12, 0]])
    said = Annotation(
        class_name="mouse", bbox_xyxy=true.bbox_xyxy, keypoints_xyv=tuple(moved.ravel()), score=0.9, provenance="model"
    )
    measured = Keypoints(ONTOLOGY).measure([frame(true)], [frame(said)], [HW])
    assert measured["pck"] == pytest.approx(2 / 3)
    assert measured["rmse_px"] == pytest.approx(np.sqrt((9 + 16 + 144) / 3))
    missed = Keypoints(ONTOLOGY).measure([frame(true, mouse(100))], [frame(said)], [HW])
    assert missed["pck"] == pytest.approx(2 / 6), "the points of a missed object are wrong"
    assert missed["recall"] == 0.5
    assert missed["oks"] == measured["oks"] == pytest.approx(np.exp(-np.array([9, 16, 144]) / 5.088).mean())


def test_a_right_box_with_a_wrong_point_is_adjusted() -> None:
    true = mouse(8)
    moved = points_of(true) + np.array([[0, 0, 0], [0, 0, 0], [0, 12, 0]])
    said = Annotation(
        class_name="mouse", bbox_xyxy=true.bbox_xyxy, keypoints_xyv=tuple(moved.ravel()), score=0.9, provenance="model"
    )
    actions = Keypoints(ONTOLOGY).actions(frame(true), frame(said), HW)
    assert (actions.adjust, actions.confirm, actions.due) == (1, 0, 1)


def drawn_around(annotation: Annotation, margin: float) -> Annotation:
    points = points_of(annotation)[:, :2]
    low, high = points.min(axis=0), points.max(axis=0)
    reach = margin * float((high - low).max())
    return replace(annotation, bbox_xyxy=(*(low - reach).tolist(), *(high + reach).tolist()))


def test_boxes_drawn_around_points_are_found_around_points() -> None:
    task = Keypoints(ONTOLOGY)
    labelled = [frame(drawn_around(mouse(20.0), 0.2)), frame(drawn_around(mouse(120.0), 0.2))]
    limits = task.learned_limits(labelled, [HW] * len(labelled))
    np.testing.assert_allclose(limits["margins"], [0.2] * 4, atol=1e-6)
    (truth,) = labelled[0].annotations
    outputs = answers(targets_of([labelled[0]], PLACE))
    outputs["box"] += 0.3  # boxes a third too large, points right
    loose, exact = (
        task.decode(outputs, [PLACE], CONFIG, {**EASY, "margins": known})[0][0] for known in (None, limits["margins"])
    )
    assert np.abs(np.subtract(loose.bbox_xyxy, truth.bbox_xyxy)).max() > 4
    np.testing.assert_allclose(exact.bbox_xyxy, truth.bbox_xyxy, atol=0.5)


def test_boxes_that_reach_differently_far_are_left_to_detection() -> None:
    labelled = [frame(drawn_around(mouse(20.0), 0.05)), frame(drawn_around(mouse(120.0), 0.4))]
    assert Keypoints(ONTOLOGY).learned_limits(labelled, [HW] * len(labelled))["margins"] is None
