"""What is doubtful about machine labels, frame by frame, as far as it can be told without the truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from training.data.annotations import FrameLabels
from training.data.ontology import Ontology
from training.data.shards import Shard
from training.loop.interpolate import interpolate
from training.models.matching import sureness
from training.models.tasks import Task, task_for

__all__ = ["Doubt", "doubts"]

FAINT = 0.5  # of the score that is usual on the labelled frames: from there down, nothing is believed


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """How many objects of a frame may need correcting, by each sign of it.

    faint: scores far below those on the labelled frames, 0..1 an object.
    jump: corrections that the frame would need if everything moved evenly from the frame before to the frame after.
    count: objects more than on any labelled frame, or fewer than on every one.
    """

    faint: float = 0.0
    jump: float = 0.0
    count: float = 0.0

    @property
    def objects(self) -> float:
        """Signs of one fault come together, so the strongest is believed and they are not added up."""
        return max(self.faint, self.jump, self.count)


def doubts(
    shard: Shard, ontology: Ontology, *, labels: Sequence[FrameLabels], predicted: Sequence[FrameLabels]
) -> dict[int, Doubt]:
    """The doubt about every frame that the machine labelled; neighbours in time exist in videos, usual counts not in scenes.

    labels: what people said.  predicted: what one generation says, on the labelled frames too.
    """
    task = task_for(ontology)
    said = {frame.frame_index: frame for frame in predicted}
    usual = _usual_score([said[frame.frame_index] for frame in labels if frame.frame_index in said] or predicted)
    counts = [] if shard.kind == "scene" else [task.num_objects(frame) for frame in labels]
    return {
        index: Doubt(
            faint=sum(_faint(sureness(annotation), usual) for annotation in frame.annotations),
            jump=_jump(task, said, index, (shard.height, shard.width)) if shard.kind == "video" else 0.0,
            count=_outside(task.num_objects(frame), counts),
        )
        for index, frame in said.items()
    }


def _usual_score(frames: Sequence[FrameLabels]) -> float:
    scores = [sureness(annotation) for frame in frames for annotation in frame.annotations]
    return median(scores) if scores else 1.0


def _faint(score: float, usual: float) -> float:
    """0 from the usual score up, 1 from FAINT of it down."""
    return min(max((1 - score / usual) / (1 - FAINT), 0.0), 1.0) if usual else 0.0


def _jump(task: Task, said: Mapping[int, FrameLabels], index: int, frame_hw: tuple[int, int]) -> float:
    before, after = said.get(index - 1), said.get(index + 1)
    if before is None or after is None:
        return 0.0
    (between,) = interpolate([before, after], [index], frame_hw)
    return float(task.actions(between, said[index], frame_hw).due)


def _outside(number: int, counts: Sequence[int]) -> float:
    return float(max(min(counts) - number, number - max(counts), 0)) if counts else 0.0
