"""Held-out folds: what micro-models say about labelled frames that they were not fitted on, and what that teaches.

Nobody looks at the truth of an unlabelled frame for it. Each fold is one more fit, so recipes ask for folds or do without.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from training.data.annotations import FrameLabels
from training.errors import NothingToLearn
from training.learning.fit import fit_bank
from training.learning.labelled import LabelledFrames
from training.learning.recipes import Recipe
from training.models.backbones import Backbone
from training.models.bank import Bank
from training.models.micro_model import MicroModel
from training.models.tasks import GridTask

__all__ = ["HeldOut", "calibrated", "held_out_answers"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """truth, answers: the same frames, in order; answers hold everything that was half believed, with scores.

    sizes_hw: height and width of each, pixels.
    skipped: labelled frames that could not be held out, because without them nothing was left to learn from.
    """

    truth: tuple[FrameLabels, ...]
    answers: tuple[FrameLabels, ...]
    sizes_hw: tuple[tuple[int, int], ...]
    skipped: int


def calibrated(
    model: MicroModel,
    labelled: LabelledFrames,
    *,
    recipe: Recipe,
    backbone: Backbone,
    seed: int,
    device: torch.device | str = "cpu",
) -> tuple[MicroModel, dict[str, float]]:
    """The model with the thresholds that serve best on held-out labels, and its siblings' quality there, 'held_out_…'.

    The thresholds were chosen on the same frames, so the quality flatters a little; the siblings learned from fewer frames,
    so it is unkind too. Without folds in the recipe, the model as it is and no numbers. Raises what held_out_answers does.
    """
    task = model.task
    if not recipe.folds or isinstance(task, GridTask):
        return model, {}
    held = held_out_answers(labelled, recipe=recipe, backbone=backbone, seed=seed, device=device)
    numbers = {"frames": float(len(held.truth)), "skipped": float(held.skipped)}
    decoding: Mapping[str, Any] = model.decoding
    if held.truth:
        counted = all(frame.window is None for frame in labelled.frames)
        decoding = task.calibrated(decoding, held.truth, held.answers, counted=counted)
        answers = [task.believed(frame, decoding, counted=counted) for frame in held.answers]
        numbers |= task.measure(held.truth, answers, held.sizes_hw)
    return replace(model, decoding=decoding), {f"held_out_{name}": value for name, value in numbers.items()}


def held_out_answers(
    labelled: LabelledFrames, *, recipe: Recipe, backbone: Backbone, seed: int, device: torch.device | str = "cpu"
) -> HeldOut:
    """Every labelled frame, as micro-models see it that were fitted on the other folds.

    Frames are dealt to `recipe.folds` folds in turn, so that neighbours in time are apart.

    Raises:
        FitDiverged, BadBackbone: as fit_bank does.
    """
    folds = min(recipe.folds, len(labelled.frames))
    truth: list[FrameLabels] = []
    answers: list[FrameLabels] = []
    sizes_hw: list[tuple[int, int]] = []
    skipped = 0
    for fold in range(folds):
        held = range(fold, len(labelled.frames), folds)
        try:
            rest = _without(labelled, held)
        except NothingToLearn:
            skipped += len(held)
            continue
        fitted = fit_bank([rest], recipe=recipe, backbone=backbone, seed=seed, device=device)
        if labelled.shard_id in fitted.failures:
            raise fitted.failures[labelled.shard_id]
        model = fitted.models[labelled.shard_id]
        asked = model if isinstance(model.task, GridTask) else replace(model, decoding=model.task.permissive(model.decoding))
        truth += [labelled.labels[position] for position in held]
        sizes_hw += [labelled.sizes_hw[position] for position in held]
        answers += Bank([asked], device).predict([labelled.frames[position] for position in held], [0] * len(held))
    return HeldOut(truth=tuple(truth), answers=tuple(answers), sizes_hw=tuple(sizes_hw), skipped=skipped)


def _without(labelled: LabelledFrames, held: Sequence[int]) -> LabelledFrames:
    kept = [position for position in range(len(labelled.frames)) if position not in held]
    return replace(
        labelled,
        start=None,  # the parent has seen what is held out here
        frames=tuple(labelled.frames[position] for position in kept),
        labels=tuple(labelled.labels[position] for position in kept),
    )
