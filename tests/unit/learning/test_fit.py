from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn

from training.data.annotations import FrameLabels
from training.data.frames import Frame
from training.errors import BadBackbone, BadRecipe, NothingToLearn, WrongShape
from training.learning.batches import Batches
from training.learning.fit import fit_bank
from training.learning.labelled import Start
from training.learning.recipes import smoke
from training.learning.stack import Stack
from training.models.backbones import Backbone, empty_trunk
from training.models.bank import Bank
from training.models.detection import Detection
from training.models.matching import match_boxes
from training.models.micro_model import MicroModel
from training.models.network import DenseConfig, DenseNetwork

TINY = replace(smoke(), steps=2, batch_size=2, report_every=1)


def predict(model: MicroModel, frame: Frame, change: float = 0.0) -> FrameLabels:
    lit = (frame.image_HW3 * (1.0 + change)).clip(0, 255).astype(np.uint8)
    return Bank([model]).predict([replace(frame, image_HW3=lit)], [0])[0]


@pytest.mark.parametrize("index", range(5))
def test_the_frames_a_person_labelled_come_back_with_those_labels(squares: Any, fitted: MicroModel, index: int) -> None:
    frame, truth = squares.frame(index)
    match = match_boxes(truth.annotations, predict(fitted, frame).annotations, min_iou=0.7)
    assert len(match.pairs) == 1
    assert match.spurious == []


def test_frames_nobody_labelled_are_found_too(squares: Any, fitted: MicroModel) -> None:
    others = [squares.frame(index) for index in range(5, 15)]
    found = [match_boxes(truth.annotations, predict(fitted, frame).annotations, min_iou=0.5).pairs for frame, truth in others]
    assert sum(map(len, found)) >= 9


def test_a_brightness_change_does_not_move_a_box(squares: Any, fitted: MicroModel) -> None:
    frame, _ = squares.frame(2)
    plain, dim = predict(fitted, frame), predict(fitted, frame, change=-0.12)
    np.testing.assert_allclose(dim.annotations[0].bbox_xyxy, plain.annotations[0].bbox_xyxy, atol=3.0)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(squares: Any) -> None:
    first, again, other = (squares.fit(TINY, seed=seed).tensors() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize(("parameters", "moved"), [("head", set()), ("film", {"norm"}), ("full", {"norm", "convolution"})])
def test_only_the_parameters_a_recipe_names_leave_their_start(
    squares: Any, tmp_path: Path, parameters: str, moved: set[str]
) -> None:
    start = torchvision.models.resnet18(weights=None).state_dict()
    torch.save(start, tmp_path / "start.pth")
    backbone = Backbone(name="resnet18", weights=str(tmp_path / "start.pth"))
    model = squares.fit(replace(TINY, parameters=parameters), backbone=backbone)
    changed = set()
    for name, tensor in model.network.trunk.named_parameters():
        _, stage, rest = name.split(".", 2)
        if stage != "0" and not torch.equal(tensor, start[f"layer{stage}.{rest}"]):
            changed.add("norm" if "bn" in rest or "downsample.1" in rest else "convolution")
    assert changed == moved


def test_a_head_on_kept_maps_finds_what_it_was_fitted_to(squares: Any) -> None:
    kept = replace(smoke(), name="kept", parameters="head", cached_views=12, steps=150, neck_channels=24, mirror=0.0)
    model = squares.fit(kept)
    found = [
        match_boxes(truth.annotations, predict(model, frame).annotations, min_iou=0.5).pairs
        for frame, truth in map(squares.frame, range(5))
    ]
    assert sum(map(len, found)) >= 4


def test_kept_maps_are_those_of_the_first_views_and_are_computed_once() -> None:
    torch.manual_seed(0)
    network = DenseNetwork(
        empty_trunk("resnet18"),
        DenseConfig(backbone="resnet18", scale=1.0, output_stride=8, neck_channels=8, branches={"heat": 1}),
    ).eval()
    drawn: list[Tensor] = []

    def draw() -> tuple[Tensor, dict[str, Tensor]]:
        drawn.append(torch.rand(2, 3, 64, 64))
        return drawn[-1][None], {"mean": drawn[-1].mean(dim=(1, 2, 3))[None]}

    batches = Batches(Stack([network]), draw, [np.random.default_rng(0)], cached_views=3, batch_size=2)
    seen = {}
    for _ in range(20):
        maps, targets = batches.next()
        seen.update({float(mean): [x[0, n] for x in maps] for n, mean in enumerate(targets["mean"][0])})
    assert len(drawn) == 2, "4 views drawn by twos, the fourth left out"
    assert len(seen) == 3
    for x_3HW in torch.cat(drawn)[:3]:
        for kept, live in zip(seen[float(x_3HW.mean())], network.features(x_3HW[None]), strict=True):
            torch.testing.assert_close(kept, live[0], atol=1e-4, rtol=1e-4)


def test_a_frozen_trunk_that_starts_from_nothing_takes_the_statistics_of_the_shard(squares: Any) -> None:
    model = squares.fit(replace(TINY, parameters="head"))
    norms = [module for module in model.network.trunk.modules() if isinstance(module, nn.BatchNorm2d)]
    assert all(not torch.equal(norm.running_var, torch.ones_like(norm.running_var)) for norm in norms)
    assert all(norm.momentum == 0.1 for norm in norms)


@pytest.mark.parametrize(("parameters", "views"), [("full", 8), ("film", 8), ("head", 1)])
def test_only_a_head_can_be_fitted_to_kept_maps_and_needs_a_batch_of_them(parameters: str, views: int) -> None:
    with pytest.raises(BadRecipe, match=f"{views} cached views of parameters '{parameters}'"):
        replace(TINY, parameters=parameters, cached_views=views)


def test_one_diverging_shard_stops_no_other(squares: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    factors = iter([float("nan")])
    loss = Detection.loss
    monkeypatch.setattr(Detection, "loss", lambda *args: loss(*args) * next(factors, 1.0))  # the first step of all
    bundle = [squares.labelled(shard_id=shard_id) for shard_id in ("bad", "good")]
    outcome = fit_bank(bundle, recipe=TINY, backbone=squares.backbone)
    assert set(outcome.models) == {"good"}
    assert "bad: loss nan at step 1 of 2" in str(outcome.failures["bad"])


def test_progress_is_reported_with_the_loss(squares: Any) -> None:
    said: list[tuple[str, int, float]] = []
    fit_bank(
        [squares.labelled()],
        recipe=TINY,
        backbone=squares.backbone,
        report=lambda shard_id, step, metrics: said.append((shard_id, step, metrics["loss"])),
    )
    assert [(shard_id, step) for shard_id, step, _ in said] == [("squares", 1), ("squares", 2)]
    assert all(loss > 0 for _, _, loss in said)


def test_labels_without_any_annotation_are_nothing_to_learn_from(squares: Any) -> None:
    labelled = squares.labelled()
    empty = tuple(replace(labels, annotations=()) for labels in labelled.labels)
    with pytest.raises(NothingToLearn, match="squares: 5 labelled frames without any annotation"):
        replace(labelled, labels=empty)


def test_labels_of_other_frames_are_refused(squares: Any) -> None:
    labelled = squares.labelled()
    with pytest.raises(WrongShape, match="do not pair up"):
        replace(labelled, frames=labelled.frames[1:], labels=labelled.labels[:-1])


def test_weights_that_cannot_be_read_stop_the_whole_bundle_before_anything_is_fitted(squares: Any) -> None:
    with pytest.raises(BadBackbone):
        fit_bank([squares.labelled()], recipe=TINY, backbone=Backbone(weights="/nowhere.pth"))


def test_a_fit_goes_on_from_a_start_of_the_same_shape(squares: Any) -> None:
    first = squares.fit(TINY)
    going_on = replace(TINY, continued_steps=1, peak_lr=1e-11)
    labelled = replace(squares.labelled(5), start=Start(ref="squares@1", tensors=first.tensors()))
    bank = fit_bank([labelled], recipe=going_on, backbone=Backbone(name="resnet18", weights="none"))
    again = bank.models[labelled.shard_id].tensors()
    assert bank.started_from == {labelled.shard_id: "squares@1"}
    assert all(torch.allclose(again[name], tensor, atol=1e-9) for name, tensor in first.tensors().items())


@pytest.mark.parametrize("change", [{"continued_steps": 0}, {"neck_channels": 24}])
def test_a_fit_starts_anew_where_it_should_or_must(squares: Any, change: dict[str, int]) -> None:
    first = squares.fit(TINY)
    labelled = replace(squares.labelled(5), start=Start(ref="squares@1", tensors=first.tensors()))
    recipe = replace(replace(TINY, continued_steps=1), **change)
    assert fit_bank([labelled], recipe=recipe, backbone=Backbone(name="resnet18", weights="none")).started_from == {}
