"""What a fit learns from."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from training.data.annotations import FrameLabels
from training.data.frames import Frame
from training.data.ontology import Ontology
from training.errors import NothingToLearn, WrongShape
from training.store.bases import Base

__all__ = ["LabelledFrames", "Start"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """An earlier micro-model that a fit may go on from: its name ('shard@3') and all tensors of its network.

    base: the trunk that it shares with others; None where it has one of its own.
    """

    ref: str
    tensors: Mapping[str, Tensor]
    base: Base | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledFrames:
    """Frames of one shard that a person labelled completely, and what that person said.

    others: unlabelled frames of the shard, for tasks that learn from them what is usual; they may be smaller.
    others_scale: pixels of `others` per pixel of `frames`.
    start: used if the recipe has `continued_steps` and the networks have the same shape; else the fit starts from the backbone.
    Raises:
        WrongShape: not one FrameLabels per frame, in the same order.
        NothingToLearn: no frame, or no annotation on any of them but for ambiguous objects.
    """

    shard_id: str
    ontology: Ontology
    frames: tuple[Frame, ...]
    labels: tuple[FrameLabels, ...]
    others: tuple[Frame, ...] = ()
    others_scale: float = 1.0
    start: Start | None = None

    @property
    def sizes_hw(self) -> list[tuple[int, int]]:
        """Height and width of each labelled frame, pixels."""
        return [(frame.height, frame.width) for frame in self.frames]

    def __post_init__(self) -> None:
        if [frame.frame_index for frame in self.frames] != [label.frame_index for label in self.labels]:
            raise WrongShape(f"{self.shard_id}: {len(self.frames)} frames and {len(self.labels)} labels do not pair up")
        said = [annotation for label in self.labels for annotation in label.annotations]
        if not any(annotation.level == "image" or not annotation.ambiguous for annotation in said):
            found = "with ambiguous annotations only" if said else "without any annotation"
            raise NothingToLearn(f"{self.shard_id}: {len(self.frames)} labelled frames {found}, needed one")
