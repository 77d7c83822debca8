"""Predictions for Label Studio's tasks: each binding of a project asks the micro-model that its picture is for."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from services.asking import Hosts
from services.at_once import at_once
from services.catalogue import Catalogue, reference
from services.deciding import decide
from services.label_studio.binding import Binding
from services.label_studio.pictures import Subject, picture_of
from services.label_studio.projects import Project, Projects
from services.label_studio.regions import Region, regions
from services.label_studio.rounds import Audits
from services.label_studio.schemas import PredictIn, PredictionOut, TaskIn
from services.payload import Picture
from services.problems import status_of
from services.rules import RuleBook
from services.settings import Settings
from services.tally import tally
from training.data.annotations import Annotation
from training.errors import MicroModelError, TooLarge
from training.loop.pending import proposed
from training.store.card import Card

__all__ = ["Predictor"]

AT_ONCE = 8  # tasks of one request: what hosts answer together
INTERNAL = 500


@dataclass(frozen=True, slots=True)
class _Said:
    """Of one binding: regions with the scores behind them, or why there are none."""

    regions: list[Region]
    why_not: str = ""


class Predictor:
    """Answers `/predict`, by live generations alone: what people correct is to be what the store calls live."""

    def __init__(self, catalogue: Catalogue, hosts: Hosts, book: RuleBook, settings: Settings, projects: Projects) -> None:
        self._catalogue, self._hosts, self._book = catalogue, hosts, book
        self._settings, self._projects = settings, projects

    async def predict(self, given: PredictIn) -> list[PredictionOut]:
        """One for each task, in order; an empty one says why in its `model_version`.

        Raises:
            BadLabelConfig, TooLarge: nothing can be predicted for the project, or too many tasks.
            MicroModelError: the service cannot answer now (5xx).
        """
        if len(given.tasks) > self._settings.max_stream_images:
            raise TooLarge(f"{len(given.tasks)} tasks in one request, needed at most {self._settings.max_stream_images}")
        project = await asyncio.to_thread(self._projects.of, given.label_config)
        version = await asyncio.to_thread(self._projects.version, project)
        if given.params.context is not None:
            why_not = "no prediction: nothing is predicted for what is being drawn"
            return [PredictionOut(result=[], model_version=why_not) for _ in given.tasks]
        turns, audits = asyncio.Semaphore(AT_ONCE), Audits(self._catalogue.store)

        async def one(task: TaskIn) -> PredictionOut:
            async with turns:
                return _shaped(await self._task(project, task, audits), version)

        return await at_once(one(task) for task in given.tasks)

    async def _task(self, project: Project, task: TaskIn, audits: Audits) -> list[_Said]:
        try:
            subjects = project.subjects(task)
        except MicroModelError as error:
            return [_Said([], str(error))]
        return [await self._binding(binding, subject, audits) for binding, subject in subjects]

    async def _binding(self, binding: Binding, subject: Subject, audits: Audits) -> _Said:
        try:
            kept = await asyncio.to_thread(self._kept, binding, subject, audits)
            return kept if kept is not None else await self._asked(binding, subject)
        except MicroModelError as error:
            if status_of(error) >= INTERNAL:
                raise
            return _Said([], str(error))

    def _kept(self, binding: Binding, subject: Subject, audits: Audits) -> _Said | None:
        """What `label` wrote of a frame: the very proposals that a review is compared with. None if it wrote none."""
        if (frame := subject.frame) is None:
            return None
        store, name = self._catalogue.store, binding.ontology.name
        if audits.has(*frame, name):
            return _Said([], "an audit frame is drawn before anything is proposed")
        card = self._catalogue.resolve(reference(frame[0], "live", name))
        found = proposed(store, frame[0], name, card.generation, {frame[1]}).get(frame[1])
        if found is None:
            return None
        height, width = store.shard(frame[0]).size_hw(frame[1])
        return _Said(regions(binding, found.annotations, (width, height), card.generation))

    async def _asked(self, binding: Binding, subject: Subject) -> _Said:
        picture = await asyncio.to_thread(picture_of, subject, self._catalogue.store, self._settings)
        card = await self._card(binding, subject, picture)
        if isinstance(card, str):
            return _Said([], card)
        answer = await self._hosts.predict(card, [picture])
        shaped = partial(regions, binding, size_wh=answer.sizes_wh[0], generation=card.generation)
        said: Sequence[Annotation] = answer.labels[0].annotations
        return _Said(await asyncio.to_thread(shaped, said))

    async def _card(self, binding: Binding, subject: Subject, picture: Picture) -> Card | str:
        """Of the shard that the task names, or that rules or looks find; else why none is for it."""
        name = binding.ontology.name
        if subject.shard_id is not None:
            return await asyncio.to_thread(self._catalogue.resolve, reference(subject.shard_id, "live", name))
        rules = await asyncio.to_thread(self._book.rules)
        decided, _ = await decide(self._catalogue, self._hosts, rules, [picture], [subject.about], name)
        found = decided[0]
        if found.card is not None:
            return found.card
        reason = "no-model" if found.abstention is None else found.abstention.reason
        tally().abstentions[reason] += 1
        return f"abstained: {reason}"


def _shaped(said: Sequence[_Said], version: str) -> PredictionOut:
    result = [region for one in said for region in one.regions]
    scores = [region["score"] for region in result]
    reasons = dict.fromkeys(one.why_not for one in said if one.why_not)
    why_not = None if result or not reasons else f"no prediction: {'; '.join(reasons)}"
    return PredictionOut(result=result, score=sum(scores) / len(scores) if scores else 0.0, model_version=why_not or version)
