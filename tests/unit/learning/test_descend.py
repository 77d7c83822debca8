"""Fits side by side against the same fits one at a time.

In float64: AdamW's first step is the sign of a gradient, so in float32 the noise of a gradient that is almost zero decides where
whole networks go, fitted together or not.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from numpy.typing import NDArray
from torch import Tensor

from training.data.annotations import Annotation, FrameLabels
from training.data.frames import Frame
from training.data.ontology import Ontology
from training.data.rle import encode, mask_box
from training.errors import FitDiverged
from training.learning.augment import Chance
from training.learning.descend import descend
from training.learning.fit import fit_bank
from training.learning.labelled import LabelledFrames
from training.learning.prepare import Fit, prepare
from training.learning.recipes import Recipe, smoke
from training.models.backbones import Backbone
from training.models.tasks import task_for

NAME = "shufflenet_v2_x0_5"
SCRATCH = Backbone(name=NAME, weights="none")
TINY = replace(smoke(), steps=3, batch_size=2, neck_channels=8, report_every=1)
SHARDS = ("one", "two", "three")

State = dict[str, Tensor]


def labelled(shard_id: str, task: str) -> LabelledFrames:
    """Three frames of noise with a bright square on each, another for every shard."""
    random = np.random.default_rng(SHARDS.index(shard_id))
    points = ("nose", "tail") if task == "keypoints" else ()
    frames, labels = [], []
    for index in range(3):
        image = random.integers(0, 120, (64, 96, 3)).astype(np.uint8)
        x, y, side = (int(random.integers(8, 30)) for _ in range(3))
        image[y : y + side, x : x + side] = 240
        mask = np.zeros(image.shape[:2], np.bool_)
        mask[y : y + side, x : x + side] = True
        said: dict[str, Any] = {"class_name": "square", "bbox_xyxy": (x, y, x + side, y + side)}
        if task == "segmentation":
            said = {"class_name": "square", "rle_counts": (counts := encode(mask)), "bbox_xyxy": mask_box(counts, 64, 96)}
        if task == "keypoints":
            said["keypoints_xyv"] = (x, y, 2, x + side, y + side, 2)
        frames.append(Frame(shard_id=shard_id, frame_index=index, image_HW3=image))
        labels.append(FrameLabels(shard_id=shard_id, frame_index=index, annotations=(Annotation(**said),)))
    ontology = Ontology(name=task, task=task, classes=("square",), keypoints=points)
    return LabelledFrames(shard_id=shard_id, ontology=ontology, frames=tuple(frames), labels=tuple(labels))


def prepared(shard_id: str, task: str, recipe: Recipe, backbone: Backbone) -> Fit:
    """A fit in float64."""
    torch.manual_seed(0)
    shard = labelled(shard_id, task)
    what = task_for(shard.ontology)
    decoding = what.learned_limits(shard.labels, shard.sizes_hw)
    fit = prepare(shard, what, 1.0, decoding, recipe=recipe, backbone=backbone, seed=0, device=torch.device("cpu"))  # type: ignore[arg-type]
    fit.network.double()
    return fit


def state(fit: Fit) -> State:
    return {name: tensor.detach().clone() for name, tensor in fit.network.state_dict().items()}


def descended(fits: list[Fit]) -> tuple[list[State], dict[tuple[str, int], float], dict[str, FitDiverged]]:
    losses: dict[tuple[str, int], float] = {}
    failures = descend(fits, lambda shard_id, step, metrics: losses.update({(shard_id, step): metrics["loss"]}))
    return [state(fit) for fit in fits], losses, failures


@pytest.fixture
def float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    """Weights with statistics of their own, so that norms are held."""
    torch.manual_seed(3)
    model = torchvision.models.get_model(NAME, weights=None)
    with torch.no_grad():
        for _ in range(10):
            model(torch.randn(4, 3, 64, 64))
    path: Path = tmp_path_factory.mktemp("weights") / "start.pth"
    torch.save(model.state_dict(), path)
    return Backbone(name=NAME, weights=str(path))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("task", "change", "start"),
    [
        ("detection", {"parameters": "head", "cached_views": 4}, "pretrained"),
        ("detection", {"parameters": "head", "cached_views": 4}, "scratch"),
        ("detection", {"parameters": "film"}, "pretrained"),
        ("detection", {"parameters": "full"}, "pretrained"),
        ("detection", {"parameters": "full"}, "scratch"),
        ("segmentation", {"parameters": "head"}, "pretrained"),
        ("segmentation", {"parameters": "film"}, "scratch"),
        ("keypoints", {"parameters": "full"}, "pretrained"),
    ],
)
def test_fits_side_by_side_are_the_fits_one_at_a_time(
    pretrained: Backbone, task: str, change: dict[str, Any], start: str
) -> None:
    backbone = pretrained if start == "pretrained" else SCRATCH
    recipe = replace(TINY, **change)
    began = [state(prepared(shard_id, task, recipe, backbone)) for shard_id in SHARDS]
    together, losses, _ = descended([prepared(shard_id, task, recipe, backbone) for shard_id in SHARDS])
    alone: list[State] = []
    for shard_id in SHARDS:
        (after,), said, _ = descended([prepared(shard_id, task, recipe, backbone)])
        alone.append(after)
        for key, loss in said.items():
            assert losses[key] == pytest.approx(loss, rel=1e-7)
    assert len(losses) == len(SHARDS) * recipe.steps
    for before, one, fused in zip(began, alone, together, strict=True):
        moved = {name for name in before if not torch.equal(before[name], one[name])}
        assert moved, "nothing was learned"
        assert {name for name in before if not torch.equal(before[name], fused[name])} == moved
        for name in before:
            torch.testing.assert_close(fused[name], one[name], rtol=1e-5, atol=1e-7, msg=name)
    assert any(not torch.allclose(together[0][name], together[1][name]) for name in together[0])


@pytest.mark.usefixtures("float64")
def test_a_diverging_fit_changes_no_other(pretrained: Backbone) -> None:
    recipe = replace(TINY, parameters="full")
    (one, _, two), losses, failures = descended([_broken(s, pretrained, recipe, s == "two") for s in ("one", "two", "three")])
    assert "two: loss nan at step 2 of 3, needed a finite number" in str(failures["two"])
    assert set(failures) == {"two"}
    assert ("two", 1) in losses
    assert ("two", 2) not in losses
    for shard_id, after in (("one", one), ("three", two)):
        (alone,), _, _ = descended([prepared(shard_id, "detection", recipe, pretrained)])
        for name in alone:
            torch.testing.assert_close(after[name], alone[name], rtol=1e-5, atol=1e-7, msg=name)


def _broken(shard_id: str, backbone: Backbone, recipe: Recipe, broken: bool) -> Fit:
    """A fit whose second batch of pictures is lit by what is not a number."""
    fit = prepared(shard_id, "detection", recipe, backbone)
    if broken:
        choose, chosen = fit.views.choose, iter(range(recipe.steps))
        fit.views.choose = lambda: unlit(*choose()) if next(chosen) == 1 else choose()  # type: ignore[method-assign]
    return fit


def unlit(frames: NDArray[np.int64], chance: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    chance[:, Chance.GAIN] = np.nan
    return frames, chance


def test_a_descent_ends_early_when_every_fit_has_diverged(pretrained: Backbone) -> None:
    said: list[int] = []
    recipe = replace(TINY, steps=40, report_every=2, parameters="head")
    fit = prepared("one", "detection", recipe, pretrained)
    fit.network.float()
    choose = fit.views.choose

    def counted() -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        said.append(1)
        return unlit(*choose())

    fit.views.choose = counted  # type: ignore[method-assign]
    assert "loss nan at step 1 of 40" in str(descend([fit], lambda *said: None)["one"])
    assert len(said) == 2


def test_a_bank_of_mixed_shapes_is_the_bank_fitted_one_at_a_time(pretrained: Backbone) -> None:
    recipe = replace(TINY, parameters="head", cached_views=2)
    bundle = [labelled("one", "detection"), labelled("two", "segmentation"), labelled("three", "detection")]
    loop, fused = (fit_bank(bundle, recipe=recipe, backbone=pretrained, at_once=at_once) for at_once in (1, 8))
    assert set(loop.models) == set(fused.models) == set(SHARDS)
    for shard_id, model in loop.models.items():
        for name, tensor in fused.models[shard_id].tensors().items():
            torch.testing.assert_close(tensor, model.tensors()[name], rtol=1e-3, atol=1e-5, msg=f"{shard_id} {name}")
