"""A line over the pictures of one request: what each level of its stages asks joins the questions of other requests."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass

from services.answering import Answer, LineWork, Question
from training.data.line_labels import LineLabels
from training.lines.ready import ReadyLine

__all__ = ["LineAnswer", "answer_line"]

AskHost = Callable[[Question], Awaitable[Answer | Exception]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LineAnswer:
    """labels and sizes_wh (pixels of the upright picture): one per picture, in order; seconds as in line_schemas.LineTimings.

    keypoint_names: by stage, of those whose task is keypoints.
    """

    labels: tuple[LineLabels, ...]
    sizes_wh: tuple[tuple[int, int], ...]
    keypoint_names: Mapping[str, tuple[str, ...]]
    num_crops: int
    prepare_s: float
    crop_s: float
    model_s: float


async def answer_line(
    line: ReadyLine, prepare: Callable[[], LineWork], ask: AskHost, *, executor: Executor | None = None
) -> LineAnswer:
    """Run the line; cutting crops and placing what is said of them is done in `executor`, answering by `ask`.

    Raises:
        BadPicture, TooLarge: of prepare; or more crops than the limits allow.
        Exception: what a micro-model could not answer.
    """
    loop, started = asyncio.get_running_loop(), time.perf_counter()
    work = await loop.run_in_executor(executor, prepare)
    prepared = time.perf_counter()
    model_s = 0.0
    while asks := await loop.run_in_executor(executor, work.run.asks):
        asked = time.perf_counter()
        questions = [Question(model=work.models[one.stage], frames=one.frames) for one in asks]
        answers = [_answered(one) for one in await asyncio.gather(*map(ask, questions))]
        model_s += time.perf_counter() - asked
        await loop.run_in_executor(executor, work.run.take, [answer.labels for answer in answers])
    named = zip(line.stages, work.models, strict=True)
    return LineAnswer(
        labels=tuple(work.run.results()),
        sizes_wh=tuple((frame.width, frame.height) for frame in work.frames),
        keypoint_names={one.stage.name: model.ontology.keypoints for one, model in named if model.ontology.keypoints},
        num_crops=work.run.num_crops,
        prepare_s=prepared - started,
        crop_s=time.perf_counter() - prepared - model_s,
        model_s=model_s,
    )


def _answered(answer: Answer | Exception) -> Answer:
    if isinstance(answer, Exception):
        raise answer
    return answer
