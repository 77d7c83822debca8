"""What this process computes on."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

import torch

__all__ = ["best_device", "compute_with", "one_thread", "ready_to_last"]


def best_device() -> torch.device:
    """The first CUDA device where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def compute_with(threads: int) -> None:
    """What a process does before it fits or labels: bound torch's threads, and import what its first work would wait for."""
    torch.set_num_threads(threads)
    import_module("torchvision")  # elsewhere only where it is needed: training.models.overlap


def ready_to_last() -> None:
    """What a process that answers for long does when it has all that it needs: nobody looks through that for garbage again.

    With torch that takes a fifth of a second every time, in which nothing else runs.
    """
    gc.collect()
    gc.freeze()


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute as a worker of a machine that is full does, inside the block."""
    threads = torch.get_num_threads()
    compute_with(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
