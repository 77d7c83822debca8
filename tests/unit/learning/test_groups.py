from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from training.learning.fit import fit_bank
from training.learning.groups import group_bytes, groups, step_bytes
from training.learning.labelled import LabelledFrames, Start
from training.learning.prepare import Fit, prepare
from training.learning.recipes import Recipe, smoke
from training.models.backbones import Backbone
from training.models.tasks import task_for

SCRATCH = Backbone(name="shufflenet_v2_x0_5", weights="none")
HEAD = replace(smoke(), steps=1, batch_size=2, neck_channels=8, parameters="head")
LARGE = 2**40


def ready(labelled: LabelledFrames, recipe: Recipe = HEAD, scale: float = 1.0) -> Fit:
    task = task_for(labelled.ontology)
    decoding = task.learned_limits(labelled.labels, labelled.sizes_hw)
    device = torch.device("cpu")
    return prepare(labelled, task, scale, decoding, recipe=recipe, backbone=SCRATCH, seed=0, device=device)  # type: ignore[arg-type]


def names(found: Any) -> list[list[str]]:
    return [[fit.labelled.shard_id for fit in group] for group in found]


def test_fits_of_one_shape_come_together_and_a_full_group_at_once(squares: Any) -> None:
    scales = {"a": 1.0, "b": 0.5, "c": 1.5, "d": 1.0, "e": 1.5}
    seen: list[str] = []

    def coming() -> Any:
        for shard_id, scale in scales.items():
            seen.append(shard_id)
            yield ready(squares.labelled(2, shard_id=shard_id), scale=scale)

    found = groups(coming(), at_once=2, max_bytes=LARGE)
    first = [fit.labelled.shard_id for fit in next(found)]
    assert (first, seen) == (["a", "d"], ["a", "b", "c", "d"])
    assert names(found) == [["c", "e"], ["b"]]


@pytest.mark.parametrize("change", [{"steps": 2}, {"neck_channels": 16}, {"parameters": "film"}])
def test_other_recipes_are_other_shapes(squares: Any, change: dict[str, Any]) -> None:
    assert ready(squares.labelled(2)).shape != ready(squares.labelled(2), replace(HEAD, **change)).shape


def test_a_fit_that_goes_on_is_not_put_with_those_that_start(squares: Any) -> None:
    recipe = replace(HEAD, continued_steps=1)
    start = Start(ref="a@1", tensors=ready(squares.labelled(2)).network.state_dict())
    bundle = [squares.labelled(2, shard_id="a"), replace(squares.labelled(2, shard_id="b"), start=start)]
    assert names(groups((ready(one, recipe) for one in bundle), at_once=8, max_bytes=LARGE)) == [["a"], ["b"]]


def test_a_group_is_as_large_as_its_memory_allows_and_at_least_one(squares: Any) -> None:
    fits = [ready(squares.labelled(2, shard_id=shard_id)) for shard_id in "abcde"]
    one = step_bytes(fits[0])
    assert names(groups(fits, at_once=8, max_bytes=2 * one + 1)) == [["a", "b"], ["c", "d"], ["e"]]
    assert names(groups(fits, at_once=8, max_bytes=one // 2)) == [["a"], ["b"], ["c"], ["d"], ["e"]]


def test_more_learned_larger_batches_and_kept_maps_need_more_memory(squares: Any) -> None:
    def needed(**change: Any) -> int:
        return step_bytes(ready(squares.labelled(2), replace(HEAD, **change)))

    head = needed()
    assert head < needed(parameters="film") < needed(parameters="full")
    assert head < needed(cached_views=8) < needed(cached_views=80)
    assert 1.5 * head < needed(batch_size=4) < 2.5 * head


def test_measuring_a_fit_leaves_it_as_it_is(squares: Any) -> None:
    fit = ready(squares.labelled(2), replace(HEAD, parameters="full"))
    before = {name: tensor.clone() for name, tensor in fit.network.state_dict().items()}
    step_bytes(fit)
    assert all(torch.equal(before[name], tensor) for name, tensor in fit.network.state_dict().items())
    assert all(parameter.grad is None for parameter in fit.network.parameters())


def test_networks_that_draw_random_numbers_are_fitted_one_at_a_time(squares: Any) -> None:
    fits = [ready(squares.labelled(2, shard_id=shard_id)) for shard_id in "ab"]
    for fit in fits:
        fit.network.smooth.append(nn.Dropout(0.5))
    assert names(groups(fits, at_once=8, max_bytes=LARGE)) == [["a"], ["b"]]


def test_a_group_takes_a_quarter_of_what_a_gpu_has_free_or_torch_keeps_unused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (6000, 10_000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 3000)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 1000)
    assert group_bytes(torch.device("cuda", 0)) == 2000
    assert group_bytes(torch.device("cpu")) == 8 * 2**30


def test_a_bank_holds_the_bound_it_is_given(squares: Any) -> None:
    order: list[tuple[str, int]] = []
    fit_bank(
        [squares.labelled(2, shard_id=shard_id) for shard_id in "ab"],
        recipe=replace(HEAD, steps=2, report_every=1),
        backbone=SCRATCH,
        at_once=8,
        max_bytes=1,
        report=lambda shard_id, step, metrics: order.append((shard_id, step)),
    )
    assert order == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]
