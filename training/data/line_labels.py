"""What an assembly line says about a frame: the annotations of all its stages, and which of them was made from which."""

from dataclasses import dataclass

from training.data.annotations import FrameLabels
from training.data.ontology import TaskName
from training.errors import WrongShape

__all__ = ["LineLabels", "StageModel"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageModel:
    """Which micro-model answers in a stage."""

    stage: str
    shard_id: str
    ontology: str
    task: TaskName
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LineLabels(FrameLabels):
    """The annotations of one frame, all in its own pixels.

    stages: of each annotation, the stage that made it.
    parents: of each, the place among them of the one that was cropped; None where the stage saw the whole picture.
    Raises:
        WrongShape: not one stage and parent for each annotation, or a parent that does not come before its child.
    """

    stages: tuple[str, ...] = ()
    parents: tuple[int | None, ...] = ()

    def __post_init__(self) -> None:
        where, counts = f"{self.shard_id} frame {self.frame_index}", (len(self.annotations), len(self.stages), len(self.parents))
        if len(set(counts)) > 1:
            raise WrongShape(f"{where}: {counts} annotations, stages and parents, needed as many of each")
        if any(parent is not None and not 0 <= parent < place for place, parent in enumerate(self.parents)):
            raise WrongShape(f"{where}: parents {self.parents}, needed each before its children")
