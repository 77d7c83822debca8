"""Many micro-models that answer together: frames in any order, each through its own model.

Today every model runs its own network; the fused pass will come behind the same interface.
"""

from collections import defaultdict
from collections.abc import Sequence

import torch

from training.data.annotations import FrameLabels
from training.data.frames import Frame
from training.errors import WrongShape
from training.models.inputs import place_frame, stack_inputs
from training.models.micro_model import MicroModel

__all__ = ["Bank"]

PIXELS_PER_PASS = 2_000_000  # bounds the activations of one pass, whatever the frame size


class Bank:
    """Micro-models addressed by their position."""

    def __init__(self, models: Sequence[MicroModel], device: torch.device | str = "cpu") -> None:
        self.models = tuple(models)
        self.device = torch.device(device)
        for model in self.models:
            model.network.to(self.device).eval()

    @torch.inference_mode()
    def predict(
        self, frames: Sequence[Frame], model_of_frame: Sequence[int], *, min_score: float | None = None
    ) -> list[FrameLabels]:
        """What each frame shows, in the order given.

        Args:
            model_of_frame: index into `models`, one per frame.
            min_score: replaces every model's own confidence threshold.
        Raises:
            WrongShape: not one model index per frame.
        """
        if len(frames) != len(model_of_frame):
            raise WrongShape(f"{len(frames)} frames with {len(model_of_frame)} model indices, needed one each")
        frames = [
            frame if self.models[index].network.looks_around else frame.alone()
            for frame, index in zip(frames, model_of_frame, strict=True)
        ]
        groups: dict[tuple[int, int, int], list[int]] = defaultdict(list)
        for position, (frame, index) in enumerate(zip(frames, model_of_frame, strict=True)):
            groups[index, *frame.seen_HW3.shape[:2]].append(position)
        answers: dict[int, FrameLabels] = {}
        for (index, _, _), positions in groups.items():
            model = self.models[index]
            for batch in _batches(positions, frames, model.network.config.scale):
                found = self._predict_batch(model, [frames[position] for position in batch], min_score)
                answers.update(zip(batch, found, strict=True))
        return [answers[position] for position in range(len(frames))]

    def _predict_batch(self, model: MicroModel, frames: Sequence[Frame], min_score: float | None) -> list[FrameLabels]:
        placed = [place_frame(frame, model.network.config.scale) for frame in frames]
        outputs = model.network(stack_inputs([image for image, _ in placed], self.device))
        decoding = model.decoding if min_score is None else {**model.decoding, "min_scores": [min_score] * 3}
        found = model.task.decode(outputs, [place for _, place in placed], model.network.config, decoding)
        return [
            FrameLabels(shard_id=frame.shard_id, frame_index=frame.frame_index, annotations=annotations)
            for frame, annotations in zip(frames, found, strict=True)
        ]


def _batches(positions: Sequence[int], frames: Sequence[Frame], scale: float) -> list[Sequence[int]]:
    frame = frames[positions[0]]
    size = max(1, int(PIXELS_PER_PASS / (frame.width * frame.height * scale**2)))
    return [positions[start : start + size] for start in range(0, len(positions), size)]
