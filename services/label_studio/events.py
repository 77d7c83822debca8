"""What people submit in Label Studio becomes labels and ledger, once however often it is told; and fits are asked for."""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from services.catalogue import Catalogue
from services.label_studio.answers import said, unmoved
from services.label_studio.binding import Binding
from services.label_studio.projects import Project, Projects
from services.label_studio.refitting import Refitter
from services.label_studio.regions import proposal_of
from services.label_studio.rounds import round_of
from services.label_studio.schemas import AnnotationEvent, Done, Event, TaskIn
from services.settings import Settings
from training.data.annotations import FrameLabels
from training.errors import BadRequest
from training.loop.answers import FrameAnswer
from training.loop.recording import record
from training.store.store import Store

__all__ = ["TOOL", "Events"]

TOOL: Final = "label-studio"
_KEPT: Final = ("ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_CREATED")
_TRAIN: Final = "START_TRAINING"
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Kept:
    """done: told to Label Studio. models: (shard id, ontology) of what was said."""

    done: Done = field(default_factory=Done)
    models: set[tuple[str, str]] = field(default_factory=set)


class Events:
    """Answers `/webhook`."""

    def __init__(self, catalogue: Catalogue, settings: Settings, projects: Projects, refitter: Refitter) -> None:
        self._catalogue, self._settings, self._projects, self._refitter = catalogue, settings, projects, refitter
        self._running: set[asyncio.Task[Done]] = set()

    async def take(self, event: Event, who: str | None) -> Done:
        """Do what an event asks for; goes on when nobody waits for the answer any more, as Label Studio does after a second.

        Args:
            who: name of the key.
        Raises:
            BadLabelConfig, BadAnnotation, UnknownClass, UnknownFrame, BadRequest, ConflictingAction: nothing is kept.
            JobsNotConfigured: a fit is asked for, and there is nobody to run it.
        """
        task = asyncio.create_task(self._taken(event, who))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    @property
    def _store(self) -> Store:
        return self._catalogue.store

    async def _taken(self, event: Event, who: str | None) -> Done:
        if event.action == _TRAIN:
            models = [] if event.project.id is None else await asyncio.to_thread(self._store.projects.of, TOOL, event.project.id)
            return await self._refitter.demanded(models, who)
        if event.action not in _KEPT:
            return Done(notes=[f"{event.action}: of no use here"])
        kept = await asyncio.to_thread(self._keep, event)
        jobs = [job for model in sorted(kept.models) if (job := await self._refitter.due(*model, who)) is not None]
        done = kept.done.model_copy(update={"jobs": jobs})
        _log.info("label studio event=%s recorded=%d known=%d notes=%r", event.action, done.recorded, done.known, done.notes)
        return done

    def _keep(self, event: Event) -> _Kept:
        """All annotations of the event, in order: of one frame the last is believed."""
        kept, tasks = _Kept(), {task.id: task for task in event.tasks}
        project = self._projects.of(event.project.label_config) if event.annotations else None
        for annotation in event.annotations:
            task = tasks.get(annotation.task) or (event.tasks[0] if len(event.tasks) == 1 else None)
            if task is None or project is None:
                kept.done.notes.append(f"annotation {annotation.id}: without its task, needed the payload sent too")
            elif annotation.was_cancelled:
                kept.done.notes.append(f"annotation {annotation.id}: skipped by the person")
            else:
                self._keep_one(project, event.project.id, task, annotation, kept)
        return kept

    def _keep_one(self, project: Project, project_id: int | None, task: TaskIn, annotation: AnnotationEvent, kept: _Kept) -> None:
        answers = [
            replace(answer, seconds=answer.seconds if number == 0 or answer.seconds is None else 0.0)  # one person, one time
            for number, answer in enumerate(self._answers(project, task, annotation, kept.done.notes))
        ]
        for work, new in record(self._store, answers):
            kept.done.recorded += new
            kept.done.known += not new
            kept.models.add(work.key)
            if project_id is not None:
                self._store.projects.add(TOOL, project_id, *work.key)

    def _answers(self, project: Project, task: TaskIn, annotation: AnnotationEvent, notes: list[str]) -> Iterator[FrameAnswer]:
        for binding, subject in project.subjects(task):
            if (frame := subject.frame) is None:
                notes.append(f"annotation {annotation.id}: of no frame of the store, needed shard_id and frame_index in its task")
            elif (answer := self._answer(binding, frame, annotation, notes)) is not None:
                yield answer

    def _answer(
        self, binding: Binding, frame: tuple[str, int], annotation: AnnotationEvent, notes: list[str]
    ) -> FrameAnswer | None:
        name, (shard_id, index) = binding.ontology.name, frame
        height, width = self._store.shard(shard_id).size_hw(index)
        found = said(binding, annotation.result, (width, height), self._settings.max_image_pixels)
        if found is None:
            return None
        notes += found.notes
        shown = {was[0] for one in annotation.result if (was := proposal_of(binding, one.id)) is not None}
        had_prediction = annotation.parent_prediction is not None
        kind, generation, proposals = round_of(self._store, shard_id, index, name, shown, had_prediction=had_prediction)
        if kind == "labels" and (shown or had_prediction):
            notes.append(f"annotation {annotation.id}: charged as drawn, since no `label` has written what was proposed here")
        was_here = {place: was for place, (of, was) in found.places.items() if of == generation and was < len(proposals)}
        first = {was: place for place, was in reversed(was_here.items())}  # a copy of a region has the id of none, or of its own
        for place, number in was_here.items():
            found.annotations[place] = unmoved(binding, found.annotations[place], proposals[number], (width, height))
        when = _when(annotation.updated_at)
        unique = annotation.unique_id or str(annotation.id)
        return FrameAnswer(
            answer_id=f"{TOOL} {unique} {when}"[:150],
            kind=kind,
            ontology=name,
            labels=FrameLabels(shard_id=shard_id, frame_index=index, annotations=tuple(found.annotations)),
            who=f"{TOOL}:{annotation.completed_by or 'unknown'}",
            when=when,
            generation=generation,
            seconds=self._seconds(shard_id, name, unique, when, annotation.lead_time),
            same={place: str(was) for was, place in first.items()},
        )

    def _seconds(self, shard_id: str, ontology: str, unique: str, when: str, total: float | None) -> float | None:
        """Since the same annotation was submitted before: Label Studio adds up all the time it was open."""
        if total is None:
            return None
        mine = f"{TOOL} {unique} "
        earlier = (
            one.seconds or 0.0
            for one in self._store.ledger.read(shard_id, ontology)
            if one.event_id.startswith(mine) and datetime.fromisoformat(one.when) < datetime.fromisoformat(when)
        )
        return max(total - sum(earlier), 0.0)


def _when(text: str) -> str:
    """Raises BadRequest."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.utcoffset() is None:
            raise BadRequest(f"updated_at {text!r:.60}: without an offset from UTC")
        return moment.astimezone(UTC).isoformat()
    except (ValueError, OverflowError) as error:
        raise BadRequest(f"updated_at {text!r:.60}: not ISO 8601, or of no year that UTC has") from error
