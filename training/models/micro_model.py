"""The micro-model itself: a network, the ontology it answers in, and how its answers are decoded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from training.data.ontology import Ontology
from training.models.networks import Network, empty_network
from training.models.tasks import DenseTask, GridTask, task_for

__all__ = ["MicroModel"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroModel:
    """One fitted network of one shard and ontology.

    decoding: what the task learned about turning outputs into labels (thresholds, limits).
    network: in eval mode.
    generation: None until published.
    """

    shard_id: str
    ontology: Ontology
    network: Network
    decoding: Mapping[str, Any]
    generation: int | None = None
    task: DenseTask | GridTask = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "task", task_for(self.ontology))

    @property
    def num_bytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.network.state_dict().values())

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
        cls, shard_id: str, generation: int | None, document: Mapping[str, Any], tensors: Mapping[str, Tensor]
    ) -> "MicroModel":
        """Rebuild from to_json() and tensors(); batch norms are folded into the convolutions before them, for speed."""
        values = dict(document)
        ontology, decoding = Ontology.from_json(values.pop("ontology")), values.pop("decoding")
        network = empty_network(values)
        network.load_state_dict(dict(tensors))
        network.eval().requires_grad_(False)
        fold_batch_norms(network)
        return cls(shard_id=shard_id, ontology=ontology, network=network, decoding=decoding, generation=generation)


def fold_batch_norms(module: nn.Module) -> None:
    """Fold every batch norm that directly follows a convolution in a Sequential into it; same outputs, fewer passes."""
    for child in module.children():
        fold_batch_norms(child)
    if not isinstance(module, nn.Sequential):
        return
    children = list(module.named_children())
    for (before, conv), (name, norm) in pairwise(children):
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            setattr(module, before, fuse_conv_bn_eval(conv, norm))
            setattr(module, name, nn.Identity())
