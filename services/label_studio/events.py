"""What people submit in Label Studio becomes labels and ledger, once however often it is told; and fits are asked for."""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from services.catalogue import Catalogue
from services.label_studio.answers import said, unmoved
from services.label_studio.binding import Binding
from services.label_studio.projects import Project, Projects
from services.label_studio.refitting import Refitter
from services.label_studio.regions import proposal_of
from services.label_studio.results import Result, read_result
from services.label_studio.rounds import round_of
from services.label_studio.schemas import AnnotationEvent, Done, Event, TaskIn
from services.settings import Settings
from training.data.annotations import FrameLabels
from training.data.human_actions import HumanAction
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
        if not event.annotations:
            return kept
        project = self._projects.of(event.project.label_config)
        results = [read_result(annotation.result, project.controls) for annotation in event.annotations]
        for annotation, result in zip(event.annotations, results, strict=True):
            task = tasks.get(annotation.task) or (event.tasks[0] if len(event.tasks) == 1 else None)
            if task is None:
                kept.done.notes.append(f"annotation {annotation.id}: without its task, needed the payload sent too")
            elif annotation.was_cancelled:
                kept.done.notes.append(f"annotation {annotation.id}: skipped by the person")
            else:
                kept.done.notes += [f"annotation {annotation.id}: {note}" for note in result.notes()]
                answers = self._answers(project, task, annotation, result, kept.done.notes)
                self._keep_one(event.project.id, answers, kept)
        return kept

    def _keep_one(self, project_id: int | None, of_one: Iterable[FrameAnswer], kept: _Kept) -> None:
        answers = [
            replace(answer, seconds=answer.seconds if number == 0 or answer.seconds is None else 0.0)  # one person, one time
            for number, answer in enumerate(of_one)
        ]
        for work, new in record(self._store, answers):
            kept.done.recorded += new
            kept.done.known += not new
            kept.models.add(work.key)
            if project_id is not None:
                self._store.projects.add(TOOL, project_id, *work.key)

    def _answers(
        self, project: Project, task: TaskIn, annotation: AnnotationEvent, result: Result, notes: list[str]
    ) -> Iterator[FrameAnswer]:
        for binding, subject in project.subjects(task):
            if (frame := subject.frame) is None:
                notes.append(f"annotation {annotation.id}: of no frame of the store, needed shard_id and frame_index in its task")
            elif (answer := self._answer(binding, frame, annotation, result, notes)) is not None:
                yield answer

    def _answer(
        self, binding: Binding, frame: tuple[str, int], annotation: AnnotationEvent, result: Result, notes: list[str]
    ) -> FrameAnswer | None:
        name, (shard_id, index) = binding.ontology.name, frame
        height, width = self._store.shard(shard_id).size_hw(index)
        when = _when(annotation.updated_at)
        mine = f"{TOOL} {annotation.unique_id or annotation.id} "
        answer_id = f"{mine}{when}"[:150]
        before = [one for one in self._store.ledger.read(shard_id, name) if one.event_id.startswith(mine)]
        if (newest := _overtaken(before, answer_id, when)) is not None:
            notes.append(f"annotation {annotation.id}: of {when}, older than what {name} has of {newest}, left out")
            return None
        found = said(binding, result.regions, (width, height), self._settings.max_image_pixels)
        if found is None:
            return None
        notes += found.notes
        if not found.annotations and result.elsewhere(binding):
            drawn = f"nothing is drawn with {binding.control.name!r:.100}, but with a control that is left out"
            notes.append(f"annotation {annotation.id}: {drawn}: nothing is kept of {name}")
            return None
        shown = {was[0] for one in result.regions if (was := proposal_of(binding, one.id)) is not None}
        had_prediction = annotation.parent_prediction is not None
        kind, generation, proposals = round_of(self._store, shard_id, index, name, shown, had_prediction=had_prediction)
        if kind == "labels" and (shown or had_prediction):
            notes.append(f"annotation {annotation.id}: charged as drawn, since no `label` has written what was proposed here")
        was_here = {place: was for place, (of, was) in found.places.items() if of == generation and was < len(proposals)}
        first = {was: place for place, was in reversed(was_here.items())}  # a copy of a region has the id of none, or of its own
        for place, number in was_here.items():
            found.annotations[place] = unmoved(binding, found.annotations[place], proposals[number], (width, height))
        return FrameAnswer(
            answer_id=answer_id,
            kind=kind,
            ontology=name,
            labels=FrameLabels(shard_id=shard_id, frame_index=index, annotations=tuple(found.annotations)),
            who=f"{TOOL}:{annotation.completed_by or 'unknown'}",
            when=when,
            generation=generation,
            seconds=_seconds(before, when, annotation.lead_time),
            same={place: str(was) for was, place in first.items()},
        )


def _overtaken(before: Sequence[HumanAction], answer_id: str, when: str) -> str | None:
    """When the same annotation was submitted later than `when`; None if it was not, or if this answer is in the ledger too."""
    newest = max((one.when for one in before), key=datetime.fromisoformat, default=when)
    known = any(one.event_id.startswith(f"{answer_id}/") for one in before)
    return newest if _is_older(when, newest) and not known else None


def _seconds(before: Iterable[HumanAction], when: str, total: float | None) -> float | None:
    """Since the same annotation was submitted before: Label Studio adds up all the time it was open."""
    if total is None:
        return None
    return max(total - sum(one.seconds or 0.0 for one in before if _is_older(one.when, when)), 0.0)


def _is_older(when: str, other: str) -> bool:
    return datetime.fromisoformat(when) < datetime.fromisoformat(other)


def _when(text: str) -> str:
    """Raises BadRequest."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.utcoffset() is None:
            raise BadRequest(f"updated_at {text!r:.60}: without an offset from UTC")
        return moment.astimezone(UTC).isoformat()
    except (ValueError, OverflowError) as error:
        raise BadRequest(f"updated_at {text!r:.60}: not ISO 8601, or of no year that UTC has") from error
