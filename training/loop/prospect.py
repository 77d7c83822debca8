"""Will this work, and what will the rest cost, where only a handful of frames have labels? From held-out labels alone."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from training.data.ontology import TaskName
from training.loop.domain_check import interval
from training.loop.efficiency import Spent, human_seconds
from training.loop.equal_quality import QUALITY
from training.loop.feasibility import GOOD_ENOUGH, SHORT
from training.models.actions import Actions, Seconds
from training.models.tasks import task_for
from training.store.card import Card
from training.store.store import Store

__all__ = ["Estimate", "Prospect", "prospect"]

_SHARES = ("precision", "recall", "tight_recall", "pck", "miou", "j", "f", "macro_f1", "accuracy")


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number told from held-out labels, and where the true one lies with 95 % confidence, if objects are independent."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospect:
    """What is known of one shard and ontology with a live micro-model.

    held_out_frames, held_out_objects: that shares were measured on; 0 where the recipe holds nothing out.
    shares: quality, 0..1, by the names of the task's numbers, `measure` the one that matters most.
    human_seconds: so far, by the ledger. drawing_seconds: of all objects, if the frames nobody labelled have as many as those
    with labels. remaining_seconds: a look at every remaining frame and its corrections, expected, and with the quality at
    either end of its interval; None where nothing was held out. machine_seconds: of the fits so far.
    """

    shard_id: str
    ontology: str
    task: TaskName
    measure: str
    generation: int
    frames: int
    touched: int
    held_out_frames: int
    held_out_objects: int
    shares: Mapping[str, Estimate]
    human_seconds: float
    drawing_seconds: float
    remaining_seconds: Estimate | None
    machine_seconds: float
    warnings: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """In plain words, as sure as held-out labels make anyone."""
        quality = self.shares.get(self.measure)
        if quality is None:
            return "nobody can tell yet"
        if quality.low >= GOOD_ENOUGH:
            return "works"
        return "does not work yet" if quality.high < GOOD_ENOUGH else "too few labels to tell"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "warnings": list(self.warnings), "verdict": self.verdict}


def prospect(store: Store, shard_id: str, ontology: str, spent: Spent, seconds: Seconds) -> Prospect | None:
    """Of the generation that answers now; None where there is none.

    Args:
        spent: what people did here so far.
        seconds: what each action costs them.
    Raises:
        UnknownShard, UnknownOntology: not in the store.
    """
    generation = store.registry.live(shard_id, ontology)
    if generation is None:
        return None
    card, task = store.registry.card(shard_id, ontology, generation), task_for(store.ontology(ontology))
    labels, frames = store.labels_to_fit(shard_id, ontology), store.shard(shard_id).num_frames
    per_frame = sum(task.num_objects(frame) for frame in labels) / max(len(labels), 1)
    held_frames = int(card.metrics.get("held_out_frames", 0))
    held_objects, touched = round(held_frames * per_frame), {frame.frame_index for frame in labels} | spent.touched
    shares = _shares(card, held_frames, held_objects)
    left = frames - len(touched)
    return Prospect(
        shard_id=shard_id,
        ontology=ontology,
        task=card.task,
        measure=QUALITY[card.task],
        generation=generation,
        frames=frames,
        touched=len(touched),
        held_out_frames=held_frames,
        held_out_objects=held_objects,
        shares=shares,
        human_seconds=spent.seconds,
        drawing_seconds=frames * per_frame * seconds.draw,
        remaining_seconds=_remaining(shares, QUALITY[card.task], left, per_frame, seconds),
        machine_seconds=sum(_fit_seconds(store, shard_id, ontology)),
        warnings=tuple(_warnings(card, len(labels), held_frames, frames)),
    )


def _fit_seconds(store: Store, shard_id: str, ontology: str) -> Iterator[float]:
    for generation in store.registry.generations(shard_id, ontology):
        yield store.registry.card(shard_id, ontology, generation).fit_seconds


def _shares(card: Card, frames: int, objects: int) -> dict[str, Estimate]:
    """Held-out numbers that are shares; Wilson's interval is too wide rather than too narrow for means of shares."""
    if not frames or not objects:
        return {}
    found = {name: value for name in _SHARES if (value := card.metrics.get(f"held_out_{name}")) is not None}
    whole = dict.fromkeys(found, objects)
    if "accuracy" in found:
        whole = dict.fromkeys(found, frames)
    if found.get("precision"):  # of what was said, which is more than what is there where some of it is wrong
        whole["precision"] = max(round(objects * found.get("recall", 1.0) / found["precision"]), 1)
    return {name: Estimate(value, *interval(value * whole[name], whole[name])) for name, value in found.items()}


def _remaining(shares: Mapping[str, Estimate], measure: str, frames: int, per_frame: float, seconds: Seconds) -> Estimate | None:
    """Every object that is not right is drawn again, everything wrong that was found is deleted."""
    if measure not in shares:
        return None
    objects, recall, precision = frames * per_frame, shares.get("recall"), shares.get("precision")

    def cost(right: float, found: float, true: float) -> float:
        wrong = found / true - found if true else 0.0
        due = Actions(draw=round(objects * (1 - right)), delete=round(objects * wrong))
        return human_seconds(due, looks=frames, seconds=seconds)

    ends = [
        cost(getattr(shares[measure], end), *(1.0 if one is None else getattr(one, end) for one in (recall, precision)))
        for end in ("value", "high", "low")
    ]
    return Estimate(*ends)


def _warnings(card: Card, labels: int, held_frames: int, frames: int) -> Iterator[str]:
    if not held_frames:
        yield f"nothing was held out by recipe {card.recipe.get('name')}: fit with --recipe careful to learn how good it is"
    if card.num_labelled != labels:
        yield f"generation {card.generation} knows {card.num_labelled} of the {labels} labelled frames"
    if labels > (1 - SHORT) * frames:
        yield f"short: {labels} of {frames} frames were labelled, so at most {1 - labels / frames:.0%} could be spared"
