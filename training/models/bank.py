"""Many micro-models that answer together: frames in any order, each through its own model.

Today every model runs its own network; the fused pass will come behind the same interface.
"""

from collections import defaultdict
from collections.abc import Sequence

import torch

from training.data.annotations import FrameLabels
from training.data.frames import Frame
from training.errors import WrongShape
from training.models.inputs import place_frame
from training.models.micro_model import MicroModel
from training.models.tiling import forward_in_tiles

__all__ = ["Bank"]

PIXELS_PER_PASS = 2_000_000
BATCH_PIXELS_CPU = 250_000  # activations of larger batches leave the caches


class Bank:
    """Micro-models addressed by their position.

    pixels_per_pass: input pixels that a network sees at once, which bounds its activations: small frames are seen
        together, and maps of a frame that is larger are computed in pieces.
    """

    def __init__(
        self, models: Sequence[MicroModel], device: torch.device | str = "cpu", *, pixels_per_pass: int = PIXELS_PER_PASS
    ) -> None:
        self.models = tuple(models)
        self.device = torch.device(device)
        self._pixels_per_pass = pixels_per_pass
        for model in self.models:
            model.network.to(self.device).to(memory_format=torch.channels_last).eval()

    @torch.inference_mode()
    def predict(self, frames: Sequence[Frame], model_of_frame: Sequence[int]) -> list[FrameLabels]:
        """What each frame shows, in the order given.

        Args:
            model_of_frame: index into `models`, one per frame.
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
            size = self._batch_size(frames[positions[0]], model.network.config.scale)
            for batch in (positions[start : start + size] for start in range(0, len(positions), size)):
                found = self._predict_batch(model, [frames[position] for position in batch])
                answers.update(zip(batch, found, strict=True))
        return [answers[position] for position in range(len(frames))]

    def _predict_batch(self, model: MicroModel, frames: Sequence[Frame]) -> list[FrameLabels]:
        placed = [place_frame(frame, model.network.config.scale) for frame in frames]
        outputs = forward_in_tiles(model.network, [image for image, _ in placed], self.device, max_pixels=self._pixels_per_pass)
        found = model.task.decode(outputs, [place for _, place in placed], model.network.config, model.decoding)
        return [
            FrameLabels(shard_id=frame.shard_id, frame_index=frame.frame_index, annotations=annotations)
            for frame, annotations in zip(frames, found, strict=True)
        ]

    def _batch_size(self, frame: Frame, scale: float) -> int:
        height, width = frame.seen_HW3.shape[:2]
        most = min(self._pixels_per_pass, BATCH_PIXELS_CPU) if self.device.type == "cpu" else self._pixels_per_pass
        return max(1, int(most / (height * width * scale**2)))
