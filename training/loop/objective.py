"""What a recipe is worth on a shard: label efficiency on held-out frames, and the compute that a fit takes."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from training.data.annotations import FrameLabels
from training.errors import NothingToLearn
from training.learning.fit import fit_bank
from training.learning.folds import HeldOut, held_out_answers
from training.learning.labelled import LabelledFrames
from training.learning.recipes import Recipe
from training.models.actions import Actions
from training.models.backbones import Backbone
from training.models.tasks import GridTask, task_for

__all__ = ["HeldOutScore", "score_recipe", "warm_up"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutScore:
    """One recipe on one shard.

    due: what a person would have to do to the labelled frames, each answered by a micro-model that was not fitted on it.
    objects: on those frames. frames: how many could be held out.
    seconds: of compute of one fit with its answers, mean over the folds: of all processor cores together, or of a GPU.
    """

    shard_id: str
    ontology: str
    due: Actions
    objects: int
    frames: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "HeldOutScore":
        return cls(**{**document, "due": Actions(**document["due"])})


def score_recipe(
    labelled: LabelledFrames, *, recipe: Recipe, folds: int, backbone: Backbone, seed: int, device: torch.device | str = "cpu"
) -> HeldOutScore:
    """Fit the recipe once for each of `folds` folds, starting anew, and count what is wrong on the frames held out.

    Answers are believed as `fit` would have it: by the fixed thresholds, or, if the recipe has folds of its own, by those
    that serve best on the held-out frames, which flatters a little.

    Raises:
        NothingToLearn: nothing can be held out that shows anything; names the shard.
        FitDiverged, BadBackbone: as fit_bank does.
    """
    device = torch.device(device)
    began = _compute_s(device)
    held = held_out_answers(labelled, recipe=replace(recipe, folds=folds), backbone=backbone, seed=seed, device=device)
    spent = _compute_s(device) - began
    task = task_for(labelled.ontology)
    objects = sum(task.num_objects(frame) for frame in held.truth)
    if not objects:
        annotated = sum(bool(frame.annotations) for frame in labelled.labels)
        raise NothingToLearn(f"{labelled.shard_id}: {annotated} labelled frames with annotations, needed two to hold one out")
    due = Actions()
    for truth, said, frame_hw in zip(held.truth, _believed(labelled, held, recipe), held.sizes_hw, strict=True):
        due += task.actions(truth, said, frame_hw)
    fits = min(folds, len(labelled.frames)) - bool(held.skipped)  # all annotations can be in one fold only
    return HeldOutScore(
        shard_id=labelled.shard_id,
        ontology=labelled.ontology.name,
        due=due,
        objects=objects,
        frames=len(held.truth),
        seconds=spent / fits,
    )


def warm_up(labelled: LabelledFrames, *, recipe: Recipe, backbone: Backbone, device: torch.device | str = "cpu") -> None:
    """One step of a fit, so that what a process does once is not charged to whatever it measures first."""
    views = recipe.batch_size if recipe.cached_views else 0
    fit_bank([labelled], recipe=replace(recipe, steps=1, cached_views=views), backbone=backbone, device=device)


def _believed(labelled: LabelledFrames, held: HeldOut, recipe: Recipe) -> list[FrameLabels]:
    task = task_for(labelled.ontology)
    if isinstance(task, GridTask):
        return list(held.answers)
    counted = all(frame.window is None for frame in labelled.frames)
    decoding = task.learned_limits(labelled.labels, labelled.sizes_hw)
    if recipe.folds:
        decoding = task.calibrated(decoding, held.truth, held.answers, counted=counted)
    return [task.believed(frame, decoding, counted=counted) for frame in held.answers]


def _compute_s(device: torch.device) -> float:
    """A clock that other processes on the same cores do not drive."""
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.monotonic()
