"""The yardstick: a simulated annotator labels a few frames and reviews what the fleet says; the ground truth judges.

It drives the same functions as `fit`, `label` and `next`, on Ray, so that it measures what users run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from cluster.prelabel_neighbour import PrelabelRun, judge_prelabels, plan_neighbour
from cluster.progress import Progress
from cluster.reviewing import review_round
from cluster.rounds import Key, Round, fit_and_label
from cluster.sampling import choose_first_frames
from training.data.coco import read_coco
from training.data.folder import SourceWithLabels
from training.data.sources import probe
from training.errors import BadInput, MicroModelError
from training.learning.recipes import Recipe
from training.loop.annotator import draw_labels
from training.loop.detectors import Detector
from training.loop.efficiency import Spent
from training.loop.equal_quality import equal_quality
from training.loop.feasibility import feasibility
from training.loop.hybrid import can_combine, hybrid
from training.loop.simulation import Truth, baselines, judge, medians, regret
from training.loop.timings import Timings, where_from
from training.models.backbones import Backbone
from training.models.tasks import TASKS
from training.store.store import Store

__all__ = ["TILE", "simulate"]

TILE = 128  # pixels; scenes are cut into a fixed, non-overlapping grid


@dataclass(slots=True)
class _Course:
    """What came of one shard and task, a generation at a time; the baselines of each with as many frames touched."""

    truth: Truth
    generations: list[dict[str, Any]] = field(default_factory=list)
    baselines: list[dict[str, dict[str, Any]]] = field(default_factory=list)
    prelabel: dict[str, Any] | None = None


def simulate(
    store: Store,
    sources: Sequence[SourceWithLabels],
    *,
    task: str | None,
    labels: int,
    generations: int = 1,
    corrections: int = 5,
    recipe: Recipe,
    backbone: Backbone,
    seed: int,
    num_workers: int,
    timings: Timings | None = None,
    detector: Detector | None = None,
) -> dict[str, Any]:
    """Run the loop over every (shard, task) the labels allow; the JSON of DESIGN's `simulate`.

    Needs a running Ray.

    Args:
        labels: frames that are labelled first.
        corrections: frames that are reviewed after each generation but the last, beside one audit frame.
        timings: seconds in the place of the table's.
        detector: a pre-trained one, 'auto' for the usual of each task, as one more neighbour.
    Raises:
        BadBackbone: the weights of backbone or detector cannot be used.
        BadInput: several generations in a store that has some of these shards and tasks.
    """
    truths, failures = _enter(store, sources, task, timings)
    if generations > 1:
        _check_new(store, truths)
    prelabels = PrelabelRun()
    if detector is not None:
        prelabels = plan_neighbour(store, truths, model=detector.name, weights=detector.weights)
    courses, unreadable = _label_first(store, truths, labels, backbone, num_workers)
    failures += unreadable + _prelabel(store, courses, prelabels, num_workers)
    going = set(courses)
    for generation in range(1, generations + 1):
        if generation > 1:
            again = [courses[key].truth for key in courses if key in going]
            going, failed = review_round(store, again, corrections, backbone=backbone, seed=seed, num_workers=num_workers)
            failures += failed
        if not going:
            break
        done = fit_and_label(store, going, recipe=recipe, backbone=backbone, seed=seed, num_workers=num_workers)
        failures += done.failures
        going &= done.label_seconds.keys()
        for key in going:
            _judge(store, courses[key], done)
    entries = [_entry(course) for course in courses.values() if course.generations]
    return {
        "shards": entries,
        "failures": failures,
        "medians": medians(entries),
        "feasibility": feasibility(entries),
        "seconds": {one.ontology.name: where_from(one.seconds, one.ontology, timings) for one in truths},
        "versions": {name: version(name) for name in ("micromodels", "ray", "torch", "torchvision")},
        "seed": seed,
        "labels": labels,
        "corrections": corrections,
        "recipe": recipe.to_json(),
        "backbone": {"name": backbone.name, "weights": backbone.weights},
    }


def _enter(
    store: Store, sources: Sequence[SourceWithLabels], task: str | None, timings: Timings | None
) -> tuple[list[Truth], list[dict[str, str]]]:
    """Add every source to the store without its labels, which are returned, with one failure row for each bad source."""
    truths: list[Truth] = []
    failures: list[dict[str, str]] = []
    for source in sources:
        try:
            truths += _enter_one(store, source, task, timings)
        except MicroModelError as error:
            failures.append({"shard_id": source.shard_id, "error": f"{type(error).__name__}: {error}"})
    return truths, failures


def _check_new(store: Store, truths: Sequence[Truth]) -> None:
    known = [truth.shard.shard_id for truth in truths if store.registry.generations(*truth.key)]
    if known:
        raise BadInput(f"{store.url}: has generations of {', '.join(known)} already, needed a new store for several generations")


def _enter_one(store: Store, source: SourceWithLabels, task: str | None, timings: Timings | None) -> list[Truth]:
    if source.labels is None:
        raise BadInput(f"{source.path}: no {source.shard_id}.coco.json beside it, needed the ground truth")
    shard = probe(source.path, shard_id=source.shard_id, tile=TILE, stride=TILE)
    found = read_coco(source.labels, shard).labels
    wanted = [said for name, said in found.items() if name in TASKS and task in (None, name)]
    if task in TASKS and not wanted:
        raise BadInput(f"{source.labels}: no {task} labels, found {', '.join(found) or 'none'}")
    store.add_shard(shard)
    for ontology, _ in wanted:
        store.add_ontology(ontology)
    return [Truth(shard=shard, ontology=ontology, labels=labels, timings=timings) for ontology, labels in wanted]


def _label_first(
    store: Store, truths: Sequence[Truth], count: int, backbone: Backbone, num_workers: int
) -> tuple[dict[Key, _Course], list[dict[str, str]]]:
    """Draw everything on the frames that represent each shard best; the shards that can be read, and those that cannot."""
    shards = [(truth.shard, [frame.frame_index for frame in truth.labels]) for truth in truths]
    with Progress("choose frames: shards", len(shards)) as progress:
        answers = choose_first_frames(shards, count, backbone=backbone, num_workers=num_workers, progress=progress)
    courses: dict[Key, _Course] = {}
    failures: list[dict[str, str]] = []
    for truth, answer in zip(truths, answers, strict=True):
        if answer.error is None:
            draw_labels(store, truth, answer.frame_indices)
            courses[truth.key] = _Course(truth)
        else:
            failures.append({"shard_id": truth.shard.shard_id, "error": answer.error})
    return courses, failures


def _prelabel(store: Store, courses: Mapping[Key, _Course], run: PrelabelRun, num_workers: int) -> list[dict[str, str]]:
    """Give every course what a pre-trained detector says of it, or why there is none; failures."""
    for key, about in run.about.items():
        if key in courses:
            courses[key].prelabel = about
    if not run.jobs:
        return []
    judged, failures = judge_prelabels(
        store, {key: course.truth for key, course in courses.items()}, run, num_workers=num_workers
    )
    for key, numbers in judged.items():
        courses[key].prelabel = {**run.about[key], **numbers}
    return failures


def _judge(store: Store, course: _Course, done: Round) -> None:
    """Of the generation that answers now, which is an older one where the gate refused the newest."""
    truth, fit = course.truth, done.fits[course.truth.key]
    live = store.registry.live(*truth.key)
    assert live is not None
    predicted, unreadable = store.predictions.read(*truth.key, live)
    spent = Spent.from_ledger(store.ledger.read(*truth.key), truth.seconds)
    course.generations.append(
        {
            "generation": fit.generation,
            "live": live == fit.generation,
            "gate": fit.status,
            **judge(truth, predicted, spent),
            "frames_unreadable": len(unreadable),
            "fit_seconds": fit.seconds,
            "label_seconds": done.label_seconds[truth.key],
        }
    )
    neighbours = baselines(truth, sorted(spent.touched))
    if can_combine(truth.shard, truth.ontology):
        together = hybrid(truth.shard, truth.ontology, store.labels(*truth.key), predicted)
        neighbours["hybrid"] = judge(truth, together, spent)
    course.baselines.append(neighbours)


def _entry(course: _Course) -> dict[str, Any]:
    truth = course.truth
    prelabel = {} if course.prelabel is None else {"prelabel": course.prelabel}
    return {
        "shard_id": truth.shard.shard_id,
        "task": truth.ontology.task,
        "frames": len(truth.labels),
        "objects": truth.num_objects,
        "drawing_seconds": truth.num_objects * truth.seconds.draw,
        "generations": course.generations,
        "baselines": course.baselines[-1] | prelabel,
        "baselines_by_generation": course.baselines,
        "regret": regret(course.generations[-1], course.baselines[-1]),
        "equal_quality": equal_quality(truth, course.generations[-1], course.baselines[-1]),
    }
