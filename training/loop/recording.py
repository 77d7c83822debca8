"""Answers from outside: checked against the store, compared with what was proposed, and kept."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property

from training.data.annotations import Annotation, FrameLabels
from training.errors import BadAnnotation, BadInput, UnknownFrame, UnknownModel
from training.loop.answers import FrameAnswer, Work, keep, worked
from training.loop.pending import proposed
from training.loop.plausible import plausible
from training.loop.review import Vocabulary, alike
from training.store.store import Store

__all__ = ["prepare", "record"]


def record(store: Store, answers: Sequence[FrameAnswer]) -> list[tuple[Work, bool]]:
    """Keep these answers; for each what it means, and whether it is new. One that comes again counts once.

    Nothing is written if any of them cannot be.

    Raises:
        ConflictingAction: an answer id belongs to another answer.
        BadInput and its kinds: as `prepare`, or two answers for one frame.
        StoreFull: some may have been kept: hand in the same again.
    """
    first: dict[tuple[str, str, str], FrameAnswer] = {}
    frames: dict[tuple[str, str, int], str] = {}
    for answer in answers:
        _check_repeat(answer, first, frames)
    works = dict(zip(first, prepare(store, first.values()), strict=True))
    written = dict(zip(works, keep(store, list(works.values())), strict=True))
    return [(works[_key(answer)], written[_key(answer)]) for answer in answers]


def prepare(store: Store, answers: Iterable[FrameAnswer]) -> list[Work]:
    """What these answers mean; writes nothing.

    Raises:
        UnknownShard, UnknownOntology, UnknownFrame: the store has no such thing.
        UnknownModel: the generation has no machine labels of that frame.
        UnknownClass, BadAnnotation: what is said cannot be true of the frame; names it.
        BadInput: a review without a generation, a first label or audit with one, a review of an audit frame, or an audit of a
            frame that was labelled to be fitted on.
    """
    shelves: dict[tuple[str, str], _Shelf] = {}
    works = []
    for answer in answers:
        key = answer.labels.shard_id, answer.ontology
        if key not in shelves:
            shelves[key] = _Shelf(store, *key)
        works.append(shelves[key].work(answer))
    return works


class _Shelf:
    """What the store has of one shard and ontology, read once for all answers about it."""

    def __init__(self, store: Store, shard_id: str, ontology: str) -> None:
        self._store = store
        self._about = Vocabulary(store.shard(shard_id), store.ontology(ontology))
        self._where = f"{shard_id} {ontology}"
        self._audits = store.audit_frames(shard_id, ontology)

    @cached_property
    def _fitted(self) -> set[int]:
        labels = self._store.labels_to_fit(self._about.shard.shard_id, self._about.ontology.name)
        return {frame.frame_index for frame in labels}

    def work(self, answer: FrameAnswer) -> Work:
        self._check(answer)
        before = self._proposed(answer)
        try:
            labels = replace(answer.labels, annotations=tuple(self._drawn(answer, before)))
        except BadAnnotation as error:
            raise BadAnnotation(f"{self._where} frame {answer.labels.frame_index}: {error}") from error
        return worked(self._about, replace(answer, labels=labels), before)

    def _check(self, answer: FrameAnswer) -> None:
        index, num_frames = answer.labels.frame_index, self._about.shard.num_frames
        if not 0 <= index < num_frames:
            raise UnknownFrame(f"{self._where}: frame {index}, needed 0..{num_frames - 1}")
        if (answer.kind == "review") != (answer.generation is not None):
            needed = "the one whose proposals were shown" if answer.kind == "review" else "none"
            raise BadInput(f"{self._where} frame {index}: {answer.kind} with generation {answer.generation}, needed {needed}")
        if answer.kind != "audit" and index in self._audits:
            raise BadInput(f"{self._where}: frame {index} is an audit frame, needed the kind audit instead of {answer.kind}")
        if answer.kind == "audit" and index in self._fitted:
            raise BadInput(f"{self._where}: frame {index} was labelled to be fitted on, needed another one to audit")

    def _proposed(self, answer: FrameAnswer) -> FrameLabels | None:
        if answer.generation is None:
            return None
        shard_id, index = answer.labels.shard_id, answer.labels.frame_index
        found = proposed(self._store, shard_id, answer.ontology, answer.generation, {index})
        if index not in found:
            raise UnknownModel(f"{self._where}: generation {answer.generation} has no machine labels of frame {index}")
        return found[index]

    def _drawn(self, answer: FrameAnswer, before: FrameLabels | None) -> Iterator[Annotation]:
        """What merely stands as it was proposed is not judged again."""
        known = before.annotations if before else ()
        for one in answer.labels.annotations:
            yield one if any(alike(one, other) for other in known) else plausible(self._about, answer.labels.frame_index, one)


def _key(answer: FrameAnswer) -> tuple[str, str, str]:
    return answer.labels.shard_id, answer.ontology, answer.answer_id


def _check_repeat(
    answer: FrameAnswer, first: dict[tuple[str, str, str], FrameAnswer], frames: dict[tuple[str, str, int], str]
) -> None:
    if first.setdefault(_key(answer), answer) != answer:
        raise BadInput(f"answer {answer.answer_id!r} comes twice with different content, needed each id once")
    frame = answer.labels.shard_id, answer.ontology, answer.labels.frame_index
    other = frames.setdefault(frame, answer.answer_id)
    if other != answer.answer_id:
        raise BadInput(f"answers {other!r} and {answer.answer_id!r} are both about frame {frame[2]} of {frame[0]}, needed one")
