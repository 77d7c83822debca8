"""Thresholds come from labelled frames that the answering model was not fitted on."""

from dataclasses import replace

import numpy as np

from training.data.annotations import Annotation, FrameLabels
from training.data.frames import Frame
from training.data.ontology import Ontology
from training.learning.fit import fit_bank
from training.learning.folds import calibrated, held_out_answers
from training.learning.labelled import LabelledFrames
from training.learning.recipes import recipe
from training.models.backbones import Backbone
from training.models.detection import LOWEST_SCORE

SCRATCH = Backbone(name="mobilenet_v2", weights="none")
RECIPE = replace(recipe("smoke"), folds=2)
ONTOLOGY = Ontology(name="dots", task="detection", classes=("dot",))


def dots(*left_edges: int | None) -> LabelledFrames:
    """One bright square a frame; None for a frame without."""
    frames, labels = [], []
    for index, x in enumerate(left_edges):
        image_HW3 = np.full((64, 96, 3), 40, np.uint8)
        boxes: tuple[Annotation, ...] = ()
        if x is not None:
            image_HW3[20:44, x : x + 24] = 230
            boxes = (Annotation(class_name="dot", bbox_xyxy=(x, 20, x + 24, 44)),)
        frames.append(Frame(shard_id="s", frame_index=index, image_HW3=image_HW3))
        labels.append(FrameLabels(shard_id="s", frame_index=index, annotations=boxes))
    return LabelledFrames(shard_id="s", ontology=ONTOLOGY, frames=tuple(frames), labels=tuple(labels))


def test_every_labelled_frame_is_answered_once_and_permissively() -> None:
    held = held_out_answers(dots(4, 20, 40, 60), recipe=RECIPE, backbone=SCRATCH, seed=0)
    assert sorted(frame.frame_index for frame in held.truth) == [0, 1, 2, 3]
    assert [frame.frame_index for frame in held.truth] == [frame.frame_index for frame in held.answers]
    scores = [annotation.score or 0.0 for frame in held.answers for annotation in frame.annotations]
    assert all(score >= LOWEST_SCORE for score in scores)
    assert held.skipped == 0


def test_a_fold_that_leaves_nothing_to_learn_is_skipped_and_counted() -> None:
    held = held_out_answers(dots(4, None), recipe=RECIPE, backbone=SCRATCH, seed=0)
    assert ([frame.frame_index for frame in held.truth], held.skipped) == ([1], 1)


def test_without_folds_nothing_changes_and_with_them_the_card_says_on_how_many_frames() -> None:
    labelled = dots(4, 20, 40, 60)
    model = fit_bank([labelled], recipe=RECIPE, backbone=SCRATCH).models["s"]
    same, nothing = calibrated(model, labelled, recipe=recipe("smoke"), backbone=SCRATCH, seed=0)
    assert (same, nothing) == (model, {})
    _, numbers = calibrated(model, labelled, recipe=RECIPE, backbone=SCRATCH, seed=0)
    assert (numbers["held_out_frames"], numbers["held_out_skipped"]) == (4.0, 0.0)
    assert 0 <= numbers["held_out_recall"] <= 1
