"""Labels from a detector that was trained on COCO: what it says of a shard, written as generation 0, and what that is worth."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from training.data.annotations import FrameLabels
from training.data.frames import Frame
from training.data.ontology import TaskName
from training.data.sources import open_frames
from training.errors import BadInput, MissingObject
from training.learning.clip import Clip, ClipReceipt
from training.learning.label_stream import Begin, StreamThreads, label_stream
from training.learning.labelling import missing_clips
from training.loop.detections import said_by
from training.loop.detectors import Detector, detector_for, knows, pretrained_network, state_hash
from training.loop.domain_check import DomainCheck, compare
from training.loop.vocabulary import Vocabulary, translate
from training.store.documents import from_json_bytes, to_json_bytes
from training.store.predictions import PRELABELS
from training.store.store import Store

__all__ = ["PrelabelJob", "PrelabelPlan", "Prelabeller", "begin", "plan_prelabels"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrelabelJob:
    """One shard and ontology, and how to label it. renamed: the detector's name of a class or keypoint -> the ontology's."""

    shard_id: str
    ontology: str
    detector: Detector
    renamed: Mapping[str, str] = field(default_factory=dict)
    min_score: float = 0.5

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "weights_hash": state_hash(self.detector)}


@dataclass(frozen=True, slots=True, kw_only=True)
class PrelabelPlan:
    """jobs: to do. vocabularies: of each ontology. failures: shards, and why no detector can label them."""

    jobs: list[PrelabelJob]
    vocabularies: dict[str, Vocabulary]
    failures: list[tuple[str, str]]


def plan_prelabels(
    store: Store,
    shard_ids: Sequence[str] | None,
    ontology: str | None,
    *,
    model: str = "auto",
    weights: str = "auto",
    renamed: Mapping[str, str],
    min_score: float = 0.5,
) -> PrelabelPlan:
    """Which detector labels what; weights are read here, so that bad ones are told before anything else is done.

    Args:
        shard_ids: None for every shard.
        ontology: None for the ontologies that each shard has annotations of; a name for that one, annotated or not.
    Raises:
        UnknownShard, UnknownOntology: named explicitly and not in the store.
        BadInput: a name in `renamed` that the detectors or the ontologies do not have.
        BadBackbone: weights that cannot be had.
    """
    plan = PrelabelPlan(jobs=[], vocabularies={}, failures=[])
    refused: dict[str, str] = {}
    for shard_id in shard_ids or store.shard_ids():
        store.shard(shard_id)
        names = [store.ontology(ontology).name] if ontology else store.labelled(shard_id)
        if not names:
            plan.failures.append((shard_id, f"{shard_id}: no annotations that tell its ontology, needed some or --ontology"))
        for name in names:
            if name not in plan.vocabularies and name not in refused:
                try:
                    plan.vocabularies[name] = _vocabulary(store, name, model, weights, renamed)
                except BadInput as error:
                    refused[name] = f"{type(error).__name__}: {error}"
            if name in refused:
                plan.failures.append((shard_id, refused[name]))
                continue
            how: dict[str, Any] = {"detector": detector_for(store.ontology(name).task, model, weights), "renamed": dict(renamed)}
            plan.jobs.append(PrelabelJob(shard_id=shard_id, ontology=name, min_score=min_score, **how))
    for detector in {job.detector for job in plan.jobs}:
        pretrained_network(detector, min_score=min_score)
    _check_renamed(store, plan, renamed)
    return plan


def begin(store: Store, job: PrelabelJob) -> list[Clip]:
    """The clips that are still to be labelled. What another detector, or other settings, said before is deleted first."""
    key, settings = _key(job.shard_id, job.ontology), job.to_json()
    try:
        same = from_json_bytes(store.objects.read(key), key) == settings
    except MissingObject:
        same = False
    if not same:
        for old in store.objects.keys(f"predictions/{job.ontology}/shard_id={job.shard_id}/gen-{PRELABELS:04d}/"):
            store.objects.delete(old)
        store.objects.put(key, to_json_bytes(settings, key))
    done = store.predictions.done(job.shard_id, job.ontology, PRELABELS)
    num_frames = store.shard(job.shard_id).num_frames
    return list(missing_clips(done, num_frames, shard_id=job.shard_id, ontology=job.ontology, generation=PRELABELS))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """A job, and the words that its answers are given in."""

    job: PrelabelJob
    task: TaskName
    vocabulary: Vocabulary


class Prelabeller:
    """Runs detectors over clips and writes what they say; keeps the last network ready between clips.

    jobs: every shard and ontology that will be asked for.
    threads: that decode.
    """

    def __init__(
        self, store: Store, jobs: Sequence[PrelabelJob], *, device: torch.device | str = "cpu", threads: int = 1
    ) -> None:
        self._store = store
        self._device = torch.device(device)
        self._threads = StreamThreads(threads)
        self._jobs = {(job.shard_id, job.ontology): job for job in jobs}
        self._ready: tuple[tuple[Detector, float], torch.nn.Module] | None = None

    def label(self, clips: Sequence[Clip], *, begin: Begin = lambda clip: None) -> Iterator[ClipReceipt]:
        """Label clips as one stream and write them; never raises for a bad shard, its receipts say what happened."""
        return label_stream(
            self._store,
            clips,
            prepare=lambda clip: self._question(self._jobs[clip.shard_id, clip.ontology]),
            predict=lambda frames, questions: [self._say(one, about) for one, about in zip(frames, questions, strict=True)],
            begin=begin,
            threads=self._threads,
        )

    def check(self, job: PrelabelJob) -> DomainCheck:
        """Compare with what people said about this shard; empty where they said nothing.

        Raises:
            MicroModelError: a labelled frame cannot be read.
        """
        truth = {frame.frame_index: frame for frame in self._store.labels(job.shard_id, job.ontology) if _by_people(frame)}
        total, question = DomainCheck(), self._question(job)
        with open_frames(self._store.shard(job.shard_id)) as source:
            for frame in source.read(sorted(truth)):
                hw = (frame.height, frame.width)
                said, masks = self._say(frame, question), question.task == "segmentation"
                total += compare([truth[frame.frame_index]], [said], masks=masks, frame_hw=hw)
        return total

    def _question(self, job: PrelabelJob) -> "_Question":
        ontology = self._store.ontology(job.ontology)
        return _Question(job=job, task=ontology.task, vocabulary=translate(ontology, *knows(job.detector), job.renamed))

    def _say(self, frame: Frame, question: "_Question") -> FrameLabels:
        """What the detector sees, in the ontology's words; one frame at a time: its masks may take hundreds of megabytes."""
        job = question.job
        image_3HW = torch.from_numpy(frame.image_HW3.copy()).permute(2, 0, 1).to(self._device).float().div_(255)
        with torch.inference_mode():
            (seen,) = self._network(job)([image_3HW])
        said = said_by(seen, question.vocabulary, task=question.task, author=job.detector.name, generation=PRELABELS)
        return FrameLabels(shard_id=job.shard_id, frame_index=frame.frame_index, annotations=said)

    def _network(self, job: PrelabelJob) -> torch.nn.Module:
        wanted = (job.detector, job.min_score)
        if self._ready is None or self._ready[0] != wanted:
            self._ready = (wanted, pretrained_network(job.detector, min_score=job.min_score).to(self._device))
        return self._ready[1]


def _vocabulary(store: Store, name: str, model: str, weights: str, renamed: Mapping[str, str]) -> Vocabulary:
    ontology = store.ontology(name)
    return translate(ontology, *knows(detector_for(ontology.task, model, weights)), renamed)


def _check_renamed(store: Store, plan: PrelabelPlan, renamed: Mapping[str, str]) -> None:
    known = {name for job in plan.jobs for names in knows(job.detector) for name in names}
    wanted = {name for one in plan.vocabularies for name in (*store.ontology(one).classes, *store.ontology(one).keypoints)}
    for theirs, ours in renamed.items() if plan.jobs else ():
        if theirs not in known or ours not in wanted:
            side, name, choices = ("detector", theirs, known) if theirs not in known else ("ontology", ours, wanted)
            listed = ", ".join(sorted(filter(None, choices)))
            raise BadInput(f"--map {theirs}={ours}: the {side} has no {name!r}, it has {listed}")


def _by_people(frame: FrameLabels) -> bool:
    return all(annotation.provenance in ("human", "imported") for annotation in frame.annotations)


def _key(shard_id: str, ontology: str) -> str:
    return f"prelabels/{ontology}/{shard_id}.json"
