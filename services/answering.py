"""Questions and answers of one host, in plain torch: prepare each on its own, answer many models in one bank pass."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from services.host_meters import HostMeters
from services.measures import Meters
from services.payload import Picture
from services.settings import Settings
from training.data.annotations import FrameLabels
from training.data.frames import Frame
from training.data.pictures import decode_picture
from training.errors import TooLarge
from training.lines.ready import ReadyLine
from training.lines.run import CropLimits, LineRun
from training.models.bank import Bank
from training.models.cache import ModelCache
from training.models.device import best_device
from training.models.micro_model import MicroModel
from training.store.card import Card
from training.store.store import Store

__all__ = ["Answer", "Answerer", "LineWork", "Question"]

_MIB = 2**20
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Decoded pictures and the model to ask about them; holds the model even if the cache lets go of it."""

    model: MicroModel
    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """labels and sizes_wh (pixels of the upright picture): one per picture, in order; seconds as in schemas.Timings.

    keypoint_names: of the model's ontology, empty unless its task is keypoints.
    """

    labels: tuple[FrameLabels, ...]
    sizes_wh: tuple[tuple[int, int], ...]
    model_s: float
    batch_images: int
    keypoint_names: tuple[str, ...] = ()
    prepare_s: float = 0.0
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LineWork:
    """A line on its way over decoded pictures. models: of its stages, in their order; held as long as the run."""

    models: tuple[MicroModel, ...]
    frames: tuple[Frame, ...]
    run: LineRun


class Answerer:
    """Blocking and thread-safe, except that `answer` must be called by one thread at a time."""

    def __init__(self, store: Store, settings: Settings, meters: Meters | None = None) -> None:
        """meters: are told of every bank pass."""
        self._settings = settings
        self._device = best_device()
        self._cache = ModelCache(store.registry, settings.cache_mib * _MIB, self._device, precision=settings.precision)
        self._meters = None if meters is None else HostMeters(meters, self._cache)

    def prefetch(self, cards: Sequence[Card]) -> None:
        """Load models that are not in memory, all at once; `prepare` says what is wrong with one."""
        self._cache.prefetch(cards)

    def prepare(self, card: Card, pictures: Sequence[Picture]) -> Question:
        """Load the model (unless cached) and decode the pictures.

        Raises:
            BadPicture: a picture that cannot be decoded.
            TooLarge: a picture that the network would see at more than `max_input_pixels`.
        """
        model = self._cache.get(card)
        self._check_input(model, pictures)
        return Question(model=model, frames=self._decode(card, pictures))

    def prepare_line(self, line: ReadyLine, pictures: Sequence[Picture]) -> LineWork:
        """Load the models of all stages and decode the pictures.

        Raises:
            BadPicture, TooLarge: as prepare, of the stages that see whole pictures.
        """
        models = tuple(self._cache.get(stage.card) for stage in line.stages)
        for place in line.line.levels[0]:
            self._check_input(models[place], pictures)
        limits = CropLimits(max_crops=self._settings.max_crops, max_pixels=self._settings.max_crop_pixels)
        frames = self._decode(line.stages[0].card, pictures)
        return LineWork(models=models, frames=frames, run=LineRun(line, models, frames, limits))

    def answer(self, questions: Sequence[Question]) -> list[Answer | Exception]:
        """One bank pass over all questions; if it fails, each on its own, so that only the guilty one gets the error."""
        try:
            answers = _answers(questions, self._device)
        except Exception as error:
            if len(questions) == 1:
                return [error]
            _log.exception("bank pass failed questions=%d, asking each alone", len(questions))
            return [answer for question in questions for answer in self.answer([question])]
        if self._meters is not None:
            self._meters.passed(questions)
        return [*answers]

    def _check_input(self, model: MicroModel, pictures: Sequence[Picture]) -> None:
        for picture in pictures:
            input_pixels, limit = round(picture.num_pixels * model.network.config.scale**2), self._settings.max_input_pixels
            if input_pixels > limit:
                raise TooLarge(f"{picture.name}: {input_pixels} pixels at the scale of {model.shard_id}, needed at most {limit}")

    def _decode(self, card: Card, pictures: Sequence[Picture]) -> tuple[Frame, ...]:
        decoded = (decode_picture(one.data, name=one.name, max_pixels=self._settings.max_image_pixels) for one in pictures)
        return tuple(Frame(shard_id=card.shard_id, frame_index=n, image_HW3=image_HW3) for n, image_HW3 in enumerate(decoded))


def _answers(questions: Sequence[Question], device: torch.device) -> list[Answer]:
    models = list({id(question.model): question.model for question in questions}.values())
    index_of = {id(model): index for index, model in enumerate(models)}
    frames = [frame for question in questions for frame in question.frames]
    model_of_frame = [index_of[id(question.model)] for question in questions for _ in question.frames]
    started = time.perf_counter()
    labels = iter(Bank(models, device).predict(frames, model_of_frame))
    model_s = time.perf_counter() - started
    return [
        Answer(
            labels=tuple(next(labels) for _ in question.frames),
            sizes_wh=tuple((frame.width, frame.height) for frame in question.frames),
            model_s=model_s,
            batch_images=len(frames),
            keypoint_names=question.model.ontology.keypoints,
        )
        for question in questions
    ]
