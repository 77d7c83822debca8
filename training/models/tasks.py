"""What a task is: it owns its branches, targets, loss, decoding, metrics and what a correction costs.

Nothing outside the task files asks which task it has; `task_for` is the one table.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from training.data.annotations import Annotation, FrameLabels
from training.data.ontology import Ontology
from training.errors import BadInput
from training.models.actions import Actions, Seconds
from training.models.classification import Classification
from training.models.detection import Detection
from training.models.geometry import Placement
from training.models.grid import GridNetwork
from training.models.keypoints import Keypoints
from training.models.network import DenseNetwork, NetworkConfig
from training.models.segmentation import Segmentation
from training.models.truth import Truth

__all__ = ["TASKS", "DenseTask", "GridTask", "Task", "task_for"]


class Task(Protocol):
    """One kind of label. Coordinates of labels are frame pixels; a Placement takes them to input pixels."""

    ontology: Ontology
    output_stride: int
    """Input pixels per cell of the maps that are used."""
    seconds: Seconds
    """What each action costs a person."""

    def branches(self) -> dict[str, int]:
        """Head branch -> number of channels."""
        ...

    def object_sizes(self, labels: Sequence[FrameLabels]) -> list[float]:
        """Side in frame pixels of what must stay visible; the resolution policy reads it. Empty when size does not matter."""
        ...

    def learned_limits(self, labels: Sequence[FrameLabels], sizes_hw: Sequence[tuple[int, int]]) -> dict[str, Any]:
        """What decoding may assume after seeing the labelled frames; stored in the card as `decoding`.

        sizes_hw: height and width of each frame, pixels.
        """
        ...

    def decode(
        self,
        outputs: Mapping[str, Tensor],
        placements: Sequence[Placement],
        config: NetworkConfig,
        decoding: Mapping[str, Any],
    ) -> list[tuple[Annotation, ...]]:
        """What N placed frames show, in frame pixels; provenance 'model', scores in 0..1."""
        ...

    def num_objects(self, frame: FrameLabels) -> int:
        """How many things a person has to say about a frame."""
        ...

    def measure(
        self, truth: Sequence[FrameLabels], predicted: Sequence[FrameLabels], sizes_hw: Sequence[tuple[int, int]]
    ) -> dict[str, float]:
        """Quality of the same frames' labels, by the names the field uses. sizes_hw: height and width of each, pixels."""
        ...

    def actions(self, truth: FrameLabels, predicted: FrameLabels, frame_hw: tuple[int, int]) -> Actions:
        """What a person must do to one frame so that it says what is true. frame_hw: its height and width, pixels."""
        ...


class DenseTask(Task, Protocol):
    """Says where things are, in maps; its head is learned by gradient descent."""

    coordinates: bool
    """Whether the head sees where in the picture it is."""

    def free_turn(self, labels: Sequence[FrameLabels]) -> float:
        """How far views may be turned and still look like this shard, degrees."""
        ...

    def initialise(self, network: DenseNetwork, labels: Sequence[FrameLabels]) -> None:
        """Start the head where the labels say the average answer is."""
        ...

    def truth(
        self,
        labels: Sequence[FrameLabels],
        sizes_hw: Sequence[tuple[int, int]],
        decoding: Mapping[str, Any],
        device: torch.device,
    ) -> Truth:
        """What the branches should say about any view of these frames.

        sizes_hw: height and width of each frame, pixels. device: where it will be asked for.
        """
        ...

    def loss(self, outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
        """(N,) one loss per picture."""
        ...

    def permissive(self, decoding: Mapping[str, Any]) -> dict[str, Any]:
        """Decoding that lets through everything half believed, so that thresholds can be chosen by what it lets through."""
        ...

    def believed(self, frame: FrameLabels, decoding: Mapping[str, Any], *, counted: bool) -> FrameLabels:
        """Of what permissive decoding let through, what this one would have; `counted` as in calibrated."""
        ...

    def calibrated(
        self, decoding: Mapping[str, Any], truth: Sequence[FrameLabels], answers: Sequence[FrameLabels], *, counted: bool
    ) -> dict[str, Any]:
        """Decoding with the thresholds that serve best on held-out frames.

        Args:
            answers: what permissive decoding let through on the same frames, in order.
            counted: whether the number of objects on a frame says anything; it does not of tiles.
        """
        ...


@runtime_checkable
class GridTask(Task, Protocol):
    """Says something about the whole frame; its head is solved in closed form on a frozen trunk."""

    cells: int
    """Rows and columns of the grid that the frame is seen in."""
    num_others: int
    """How many unlabelled frames it wants to see, to know what is usual."""

    def solve(self, network: GridNetwork, features_ND: Tensor, labels: Sequence[FrameLabels], others_MD: Tensor) -> float:
        """Set the linear layer; the mean squared error on each labelled frame fitted without it.

        features_ND: of the labelled frames. others_MD: of the unlabelled ones.
        """
        ...


TASKS: dict[str, Callable[[Ontology], DenseTask | GridTask]] = {
    "classification": Classification,
    "detection": Detection,
    "segmentation": Segmentation,
    "keypoints": Keypoints,
}


def task_for(ontology: Ontology) -> DenseTask | GridTask:
    """The task of an ontology.

    Raises:
        BadInput: this version cannot fit that task.
    """
    if ontology.task not in TASKS:
        raise BadInput(f"ontology {ontology.name}: task {ontology.task!r} cannot be fitted, needed one of {', '.join(TASKS)}")
    return TASKS[ontology.task](ontology)
