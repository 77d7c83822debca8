"""Which fits are done together: those of one shape, as many as the device is faster with and its memory holds."""

from collections.abc import Iterable, Iterator
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from training.learning.prepare import Fit

__all__ = ["MOST_AT_ONCE", "fits_at_once", "group_bytes", "groups", "step_bytes"]

MOST_AT_ONCE = 32
GROUP_SHARE = 4  # a group takes a part in this many of what the GPU has free: step_bytes is a guess
CPU_GROUP_BYTES = 8 * 2**30


def fits_at_once(device: str) -> int:
    """How many fits a device is faster with than with one after the other; docs/experiments.md has what was measured.

    device: 'cpu', or anything else for a GPU.
    """
    return 1 if device == "cpu" else MOST_AT_ONCE


def group_bytes(device: torch.device) -> int:
    """What the fits of one group may take of a device: of a GPU a quarter of what is free, or only kept by torch for later."""
    if device.type != "cuda":
        return CPU_GROUP_BYTES
    free, _ = torch.cuda.mem_get_info(device)
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(free + kept) // GROUP_SHARE


def groups(fits: Iterable[Fit], *, at_once: int, max_bytes: int) -> Iterator[list[Fit]]:
    """Fits of equal shape together; a group comes as soon as it is full, so few fits are held at a time.

    Args:
        at_once: largest group. Networks that draw random numbers of their own are never put together.
        max_bytes: of all that a group holds while it is fitted; a single fit may be larger.
    """
    waiting: dict[str, list[Fit]] = {}
    room: dict[str, int] = {}
    for fit in fits:
        shape = fit.shape
        if shape not in room:
            room[shape] = _room(fit, at_once, max_bytes)
        waiting.setdefault(shape, []).append(fit)
        if len(waiting[shape]) == room[shape]:
            yield waiting.pop(shape)
    yield from waiting.values()


def step_bytes(fit: Fit) -> int:
    """About what one fit needs: what a step keeps for its gradients, twice for what comes and goes, and what is learned."""
    width, height = fit.views.crop
    network = deepcopy(fit.network)
    saved: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    x_NCHW = torch.zeros(fit.recipe.batch_size, 3, height, width, device=network.mean.device)
    with saved_tensors_hooks(note, lambda tensor: tensor):
        maps = network.features(x_NCHW)
        answers = network.answer(maps)  # keeps what is noted alive, so that no address is used twice
    kept = sum(x.nbytes for x in maps) * fit.recipe.cached_views // fit.recipe.batch_size
    learned = sum(parameter.nbytes for parameter in network.parameters() if parameter.requires_grad)
    del answers
    pictures = sum(image.nbytes for image in fit.views.images)
    return 2 * sum(saved.values()) + kept + 4 * learned + pictures


def _room(fit: Fit, at_once: int, max_bytes: int) -> int:
    if at_once == 1 or any(_draws(module) for module in fit.network.modules()):
        return 1
    return max(1, min(at_once, max_bytes // step_bytes(fit)))


def _draws(module: nn.Module) -> bool:
    from torchvision.ops import StochasticDepth  # as in training.models.overlap

    return isinstance(module, nn.Dropout | StochasticDepth) and module.p > 0
