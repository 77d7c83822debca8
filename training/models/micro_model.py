"""The micro-model itself: a network, the ontology it answers in, and how its answers are decoded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from training.data.ontology import Ontology
from training.errors import CorruptModel
from training.models.mixed_precision import trunk_dtype
from training.models.networks import Network, config_of, ready_network
from training.models.precision import Precision
from training.models.shared_trunk import SharedTrunk
from training.models.skeletons import num_bytes
from training.models.tasks import DenseTask, GridTask, task_for

__all__ = ["MicroModel"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroModel:
    """One fitted network of one shard and ontology.

    decoding: what the task learned about turning outputs into labels (thresholds, limits).
    network: in eval mode.
    generation: None until published.
    ready_on: the device that the network was made ready on to answer; None while it is as it was fitted.
    """

    shard_id: str
    ontology: Ontology
    network: Network
    decoding: Mapping[str, Any]
    generation: int | None = None
    ready_on: torch.device | None = None
    task: DenseTask | GridTask = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "task", task_for(self.ontology))

    @property
    def num_bytes(self) -> int:
        """Of its own tensors, without a trunk that it shares."""
        return num_bytes(self.network)

    def to_json(self) -> dict[str, Any]:
        """What a card keeps in `network` so that `restore` can rebuild the micro-model around its tensors."""
        return {
            **self.network.config.to_json(),
            "ontology": self.ontology.to_json(),
            "decoding": dict(self.decoding),
        }

    def tensors(self) -> dict[str, Tensor]:
        """The network's parameters and buffers on the CPU, contiguous."""
        return {name: tensor.detach().cpu().contiguous() for name, tensor in self.network.state_dict().items()}

    @classmethod
    def restore(
        cls,
        shard_id: str,
        generation: int | None,
        document: Mapping[str, Any],
        tensors: Mapping[str, Tensor],
        *,
        shared: SharedTrunk | None = None,
        device: torch.device | str = "cpu",
        precision: Precision = Precision.auto,
    ) -> "MicroModel":
        """Rebuild from to_json() and tensors(), ready to answer on the device: a trunk's norms are folded into its convolutions.

        Args:
            tensors: all of the network; with a shared trunk, on the same device, those that differ from it.
            precision: of a trunk of its own.
        Raises:
            CorruptModel: a tensor is missing, of another shape, or unknown.
        """
        ontology, device = Ontology.from_json(document["ontology"]), torch.device(device)
        try:
            dtype = trunk_dtype(precision, device)
            network = ready_network(config_of(document), tensors, shared=shared, device=device, dtype=dtype)
        except CorruptModel as error:
            raise CorruptModel(f"{shard_id}@{generation} {ontology.name}: {error}") from error
        return cls(
            shard_id=shard_id,
            ontology=ontology,
            network=network,
            decoding=document["decoding"],
            generation=generation,
            ready_on=device,
        )
