"""Many micro-models that answer together: frames in any order, each through its own model.

Where models share a trunk, frames of all of them go through it in one batch; a network of its own sees its own frames.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from itertools import groupby, pairwise

import torch

from training.data.annotations import FrameLabels
from training.data.frames import Frame
from training.errors import WrongShape
from training.models.inputs import input_size, place_frame
from training.models.micro_model import MicroModel
from training.models.tiling import forward_in_tiles
from training.models.together import Together, pass_of

__all__ = ["Bank"]

PIXELS_PER_PASS = 2_000_000
BATCH_PIXELS_CPU = 250_000  # activations of larger batches leave the caches


class Bank:
    """Micro-models addressed by their position; cheap to make of models that are ready on the device.

    device: that of restored models; fitted ones are moved there.
    pixels_per_pass: input pixels that a network sees at once, which bounds its activations: small frames are seen
        together, and maps of a frame that is larger are computed in pieces.
    """

    def __init__(
        self, models: Sequence[MicroModel], device: torch.device | str = "cpu", *, pixels_per_pass: int = PIXELS_PER_PASS
    ) -> None:
        """Raises WrongShape: a restored model is ready on another device."""
        self.models = tuple(models)
        self.device = torch.device(device)
        self._pixels_per_pass = pixels_per_pass
        for model in self.models:
            if model.ready_on is None:
                model.network.to(self.device).to(memory_format=torch.channels_last).eval()
            elif model.ready_on != self.device:
                raise WrongShape(
                    f"{model.shard_id}: a bank on {self.device}, a model ready on {model.ready_on}; needed one device"
                )

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
        asked = [(index, self._seen(frame, index)) for frame, index in zip(frames, model_of_frame, strict=True)]
        passes: dict[Hashable, list[int]] = defaultdict(list)
        for position, (index, frame) in enumerate(asked):
            network = self.models[index].network
            passes[pass_of(network), input_size(frame, network.config.scale)].append(position)
        answers: dict[int, FrameLabels] = {}
        for positions in passes.values():
            positions.sort(key=lambda position: model_of_frame[position])  # what one head answers lies side by side
            for batch in _evenly(positions, self._batch_size(*asked[positions[0]])):
                answers.update(zip(batch, self._predict_batch([asked[position] for position in batch]), strict=True))
        return [answers[position] for position in range(len(frames))]

    def _seen(self, frame: Frame, index: int) -> Frame:
        return frame if self.models[index].network.looks_around else frame.alone()

    def _predict_batch(self, asked: Sequence[tuple[int, Frame]]) -> list[FrameLabels]:
        """What frames say that take one pass, those of one model after the other."""
        runs = [(self.models[index], [frame for _, frame in run]) for index, run in groupby(asked, key=lambda one: one[0])]
        placed = [[place_frame(frame, model.network.config.scale) for frame in frames] for model, frames in runs]
        together = Together([model.network for model, _ in runs], [len(frames) for _, frames in runs])
        images = [image for run in placed for image, _ in run]
        outputs = forward_in_tiles(together, images, self.device, max_pixels=self._pixels_per_pass)
        labels: list[FrameLabels] = []
        for (model, frames), run, said in zip(runs, placed, outputs, strict=True):
            found = model.task.decode(said, [place for _, place in run], model.network.config, model.decoding)
            labels += [
                FrameLabels(shard_id=frame.shard_id, frame_index=frame.frame_index, annotations=annotations)
                for frame, annotations in zip(frames, found, strict=True)
            ]
        return labels

    def _batch_size(self, index: int, frame: Frame) -> int:
        height, width = input_size(frame, self.models[index].network.config.scale)
        most = min(self._pixels_per_pass, BATCH_PIXELS_CPU) if self.device.type == "cpu" else self._pixels_per_pass
        return max(1, most // (height * width))


def _evenly(positions: Sequence[int], most: int) -> Iterator[Sequence[int]]:
    """In as few parts as there can be of at most so many: a picture that is left over takes longer alone than with others."""
    num_parts = -(-len(positions) // most)
    ends = [len(positions) * number // num_parts for number in range(num_parts + 1)]
    return (positions[start:end] for start, end in pairwise(ends))
