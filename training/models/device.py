"""What this process computes on."""

from importlib import import_module

import torch

__all__ = ["best_device", "compute_with"]


def best_device() -> torch.device:
    """The first CUDA device where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def compute_with(threads: int) -> None:
    """What a process does before it fits or labels: bound torch's threads, and import what its first work would wait for."""
    torch.set_num_threads(threads)
    import_module("torchvision")  # elsewhere only where it is needed: training.models.overlap
