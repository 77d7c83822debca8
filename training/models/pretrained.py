"""Weights that somebody else trained: from torch's cache, a download that is given up in time, a path or a URL."""

import multiprocessing
import pickle
from pathlib import Path
from typing import Any

import fsspec
import torch
from torch import Tensor, nn

from training.errors import BadBackbone

__all__ = ["download", "load_state", "read_state_dict", "weights_enum"]

DOWNLOAD_PATIENCE_S = 20.0


def weights_enum(name: str) -> Any:
    """torchvision's weights of a network, an Enum.

    Raises:
        BadBackbone: torchvision has no such network.
    """
    import torchvision  # as in training.models.overlap

    try:
        return torchvision.models.get_model_weights(name)
    except ValueError as error:
        raise BadBackbone(f"{name!r} is not a torchvision model") from error


def load_state(model: nn.Module, state: dict[str, Tensor], weights: str, name: str) -> None:
    """Put a state dict into a network.

    Raises:
        BadBackbone: it does not fit; names the weights and the first key that disagrees.
    """
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise BadBackbone(f"weights {weights!r} do not fit {name}: {first}") from error


def download(weights: Any, name: str) -> dict[str, Tensor]:
    """The state dict of a torchvision enum member: from torch's cache, else downloaded within DOWNLOAD_PATIENCE_S.

    A dead network may hang a connection for minutes, so the download runs in a process of its own that is ended.

    Raises:
        BadBackbone: neither cached nor downloadable.
    """
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    if not cached.exists():
        process = multiprocessing.get_context("spawn").Process(target=_fetch, args=(weights.url, str(cached)), daemon=True)
        process.start()
        process.join(DOWNLOAD_PATIENCE_S)
        if process.is_alive():
            process.kill()
            process.join()
    if not cached.exists():
        raise BadBackbone(f"weights {weights} of {name}: not cached at {cached} and not downloadable from {weights.url}")
    return read_state_dict(str(cached))


def _fetch(url: str, path: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, path, progress=False)
    except OSError:
        raise SystemExit(1) from None


def read_state_dict(uri: str) -> dict[str, Tensor]:
    """The tensors of a .pth (read with weights_only) or .safetensors file at a path or URL.

    Raises:
        BadBackbone: it cannot be read, or holds something else.
    """
    try:
        with fsspec.open(uri, "rb") as file:
            if uri.endswith(".safetensors"):
                from safetensors.torch import load

                return load(file.read())
            state = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, ValueError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise BadBackbone(f"weights {uri!r} cannot be read as a state dict: {_first_line(error)}") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise BadBackbone(f"weights {uri!r} hold {type(state).__name__}, needed a state dict of tensors")
    return dict(state)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
