"""A line over frames: every level of its stages is asked in one pass, about all crops of all frames."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from training.data.annotations import Annotation, FrameLabels
from training.data.frames import Frame
from training.data.line import PICTURE
from training.data.line_labels import LineLabels
from training.errors import TooLarge
from training.lines.crop import Crop, cut
from training.lines.ready import ReadyLine
from training.models.bank import Bank
from training.models.micro_model import MicroModel

__all__ = ["CROP_PIXELS", "Ask", "CropLimits", "LineRun", "run_line"]

CROP_PIXELS = 8_000_000  # of crops held at once; of more, some are cut when the others are answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One question of a run: what a stage's micro-model says about some frames. stage: its place in the line."""

    stage: int
    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CropLimits:
    """max_crops: of one frame, in all stages. max_pixels: of all crops of a run together, as the networks see them."""

    max_crops: int
    max_pixels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """A stage is to say something about a frame, or about one of the annotations found on it."""

    stage: int
    frame: int
    parent: int | None


def run_line(line: ReadyLine, bank: Bank, frames: Sequence[Frame]) -> list[LineLabels]:
    """What the line says about each frame, in the order given; the frames may be of any shards.

    Args:
        bank: of the stages' micro-models, in their order; see `bank_of`.
    """
    run = LineRun(line, bank.models, frames)
    while asks := run.asks():
        stages = [ask.stage for ask in asks for _ in ask.frames]
        labels = iter(bank.predict([frame for ask in asks for frame in ask.frames], stages))
        run.take([[next(labels) for _ in ask.frames] for ask in asks])
    return run.results()


class LineRun:
    """A line on its way over some frames: `asks` says what to find out, `take` takes the answers, until nothing is asked.

    It computes nothing itself, so that whoever runs it can answer it together with other questions.
    """

    def __init__(
        self, line: ReadyLine, models: Sequence[MicroModel], frames: Sequence[Frame], limits: CropLimits | None = None
    ) -> None:
        """models: of the stages, in their order."""
        self._line, self._models, self._frames, self._limits = line, tuple(models), tuple(frames), limits
        self._levels = deque(line.line.levels)
        self._waiting: deque[_Wanted] = deque()
        self._asked: list[list[tuple[_Wanted, Crop | None]]] = []
        self._found: list[list[tuple[Annotation, str, int | None]]] = [[] for _ in frames]
        self._num_crops = [0] * len(self._frames)
        self._crop_pixels = 0.0

    @property
    def num_crops(self) -> int:
        """Crops cut so far, of all frames."""
        return sum(self._num_crops)

    def asks(self) -> list[Ask]:
        """The next questions, one for each stage of a level that has any; none when the line is through.

        Raises:
            TooLarge: a frame has more crops, or all together have more pixels, than the limits allow.
        """
        while self._waiting or self._levels:
            if not self._waiting:
                self._waiting.extend(self._wanted(self._levels.popleft()))
            if asks := self._cut_some():
                return asks
        return []

    def take(self, answers: Sequence[Sequence[FrameLabels]]) -> None:
        """What was said to each of the asks, in their order."""
        for asked, labels in zip(self._asked, answers, strict=True):
            for (wanted, crop), said in zip(asked, labels, strict=True):
                self._keep(wanted, crop, said.annotations)
        self._asked = []

    def results(self) -> list[LineLabels]:
        """Of the frames, in their order; of each, what a stage says about the picture first and crops level by level."""
        return [
            LineLabels(
                shard_id=frame.shard_id,
                frame_index=frame.frame_index,
                annotations=tuple(annotation for annotation, _, _ in found),
                stages=tuple(stage for _, stage, _ in found),
                parents=tuple(parent for _, _, parent in found),
            )
            for frame, found in zip(self._frames, self._found, strict=True)
        ]

    def _wanted(self, level: Sequence[int]) -> Iterator[_Wanted]:
        for place in level:
            stage = self._line.stages[place].stage
            for number, found in enumerate(self._found):
                if stage.input == PICTURE:
                    yield _Wanted(stage=place, frame=number, parent=None)
                    continue
                for parent, (annotation, said_by, _) in enumerate(found):
                    if said_by == stage.input and (not stage.classes or annotation.class_name in stage.classes):
                        yield _Wanted(stage=place, frame=number, parent=parent)

    def _cut_some(self) -> list[Ask]:
        """As many of the waiting as may be held at once, grouped by stage."""
        chosen: dict[int, list[tuple[_Wanted, Crop | None]]] = {}
        pixels = 0
        while self._waiting and pixels < CROP_PIXELS:
            wanted = self._waiting.popleft()
            crop = None if wanted.parent is None else self._crop(wanted, wanted.parent)
            if wanted.parent is not None and crop is None:
                continue
            chosen.setdefault(wanted.stage, []).append((wanted, crop))
            pixels += 0 if crop is None else crop.frame.width * crop.frame.height
        self._asked = list(chosen.values())
        return [
            Ask(stage=place, frames=tuple(self._frames[wanted.frame] if crop is None else crop.frame for wanted, crop in asked))
            for place, asked in chosen.items()
        ]

    def _crop(self, wanted: _Wanted, parent: int) -> Crop | None:
        box = self._found[wanted.frame][parent][0].bbox_xyxy
        assert box is not None, "a line crops only what says where it is"
        ready = self._line.stages[wanted.stage]
        size_wh = ready.frame_wh if ready.stage.crop_size == "frame" else None
        crop = cut(self._frames[wanted.frame], box, padding=ready.stage.padding, size_wh=size_wh)
        if crop is not None:
            self._count(wanted, crop)
        return crop

    def _count(self, wanted: _Wanted, crop: Crop) -> None:
        scale = self._models[wanted.stage].network.config.scale
        self._num_crops[wanted.frame] += 1
        self._crop_pixels += crop.frame.width * crop.frame.height * scale**2
        if self._limits is None:
            return
        stage = self._line.stages[wanted.stage].stage
        where = f"picture {wanted.frame}, stage {stage.name!r} of {self._line.line.ref}"
        if self._num_crops[wanted.frame] > self._limits.max_crops:
            raise TooLarge(
                f"{where}: more than {self._limits.max_crops} crops; a min_score of {stage.input!r} would make them fewer"
            )
        if self._crop_pixels > self._limits.max_pixels:
            raise TooLarge(
                f"{where}: all crops of the request have more than {self._limits.max_pixels} pixels; send fewer pictures"
            )

    def _keep(self, wanted: _Wanted, crop: Crop | None, said: Sequence[Annotation]) -> None:
        ready, found = self._line.stages[wanted.stage], self._found[wanted.frame]
        for one in said:
            if one.score is not None and one.score < ready.stage.min_score:
                continue
            placed = one if crop is None else crop.back(one)
            if placed is None:
                continue
            if wanted.parent is not None and placed.level == "image":
                placed = replace(placed, level="object", bbox_xyxy=found[wanted.parent][0].bbox_xyxy)
            found.append((replace(placed, generation=ready.card.generation), ready.stage.name, wanted.parent))
