"""What a store knows about costs: the cards of its micro-models, what its clips took, and the ledger of its people."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from cluster.plan_costs import Costs
from training.loop.efficiency import Spent
from training.loop.timings import Timings, seconds_for
from training.models.tasks import TASKS
from training.store.card import Card
from training.store.documents import to_json_bytes
from training.store.store import Store

__all__ = ["costs_of_store"]

_MOST = 64  # micro-models whose clips and ledgers are read, evenly spread over the store
_REVIEWED = 5  # frames of a later round, where none is on record; one audit frame comes with them
_CARDS_WRITTEN = 2  # beside the weights, and inside them


def costs_of_store(store: Store, recipe: str | None = None, timings: Timings | None = None) -> Costs:
    """What the live micro-models of a store took, as far as it is known.

    Args:
        recipe: only micro-models of this recipe; of the commonest recipe, backbone, device and threads by default.
        timings: a user's own seconds per action, for what was not measured.
    """
    alike, left_out = _alike([card for card in store.registry.live_cards() if recipe in (None, card.recipe.get("name"))])
    costs = Costs()
    if frames := tuple(shard.num_frames for shard in store.shards()):
        costs = costs.instead(f"{len(frames)} shards of the store", frames=frames)
    if alike:
        what = " ".join(str(part) for part in _kind(alike[0]) if part)
        costs = _machine(store, costs, alike, f"live cards of {what}" + f", {left_out} others left out" * bool(left_out))
        costs = _people(store, costs, [card for card in _some(alike) if card.task in TASKS], timings)
    return costs


def _machine(store: Store, costs: Costs, cards: Sequence[Card], what: str) -> Costs:
    fits = {
        "fit_s": tuple(card.fit_seconds for card in cards if card.started_from is None),
        "refit_s": tuple(card.fit_seconds for card in cards if card.started_from is not None),
    }
    for name, seconds in fits.items():
        if seconds:
            costs = costs.instead(f"{len(seconds)} {what}", **{name: seconds})
    first = cards[0]
    sizes = tuple(float(card.num_bytes + _CARDS_WRITTEN * len(to_json_bytes(card.to_json(), card.ref))) for card in cards)
    costs = costs.instead(f"{len(cards)} {what}", model_bytes=sizes, device=first.device or "cpu", threads=max(1, first.threads))
    found = [store.predictions.cost(card.shard_id, card.ontology, card.generation) for card in _some(cards)]
    clips = [clip for clip in found if clip is not None]
    if clips:
        sizes = tuple(clip.num_bytes / clip.num_frames for clip in clips)
        costs = costs.instead(f"clips of {len(clips)} shards", frame_bytes=sizes)
    if timed := tuple(sum(clip.seconds.values()) / clip.num_frames for clip in clips if clip.seconds):
        costs = costs.instead(f"clips of {len(timed)} shards", frame_s=timed)
    return costs


def _people(store: Store, costs: Costs, cards: Sequence[Card], timings: Timings | None) -> Costs:
    """By the ledger; where it has nothing, annotations are taken to be drawn by hand, and a later round to be a look at some."""
    labels_s: list[float] = []
    review_s: list[float] = []
    on_record = Counter[str]()
    for card in cards:
        seconds = seconds_for(store.ontology(card.ontology), timings)
        actions = list(store.ledger.read(card.shard_id, card.ontology, damaged=_told_by_status))
        first = [action for action in actions if action.round_kind == "labels"]
        later = [action for action in actions if action.round_kind != "labels"]
        frames = store.labels_to_fit(card.shard_id, card.ontology)
        drawing_s = seconds.draw * sum(len(frame.annotations) for frame in frames)
        rounds = len({action.generation for action in later if action.round_kind == "review"})
        labels_s.append(Spent.from_ledger(first, seconds).seconds if first else drawing_s)
        look_s = _REVIEWED * seconds.look + drawing_s / max(1, len(frames))
        review_s.append(Spent.from_ledger(later, seconds).seconds / rounds if rounds else look_s)
        on_record.update(labels_s=bool(first), review_s=bool(rounds))
    for name, values in {"labels_s": labels_s, "review_s": review_s}.items():
        if values:
            source = f"ledgers of {on_record[name]} shards, the table of seconds for {len(values) - on_record[name]}"
            costs = costs.instead(source, **{name: tuple(values)})
    return costs


def _alike(cards: Sequence[Card]) -> tuple[list[Card], int]:
    """Those of the commonest kind, and how many others there are."""
    if not cards:
        return [], 0
    ((commonest, count),) = Counter(_kind(card) for card in cards).most_common(1)
    return [card for card in cards if _kind(card) == commonest], len(cards) - count


def _kind(card: Card) -> tuple[str, str, str, int]:
    return (str(card.recipe.get("name", "")), str(card.backbone.get("name", "")), card.device, card.threads)


def _some(cards: Sequence[Card]) -> list[Card]:
    chosen = np.linspace(0, len(cards) - 1, min(_MOST, len(cards))).round()
    return [cards[int(index)] for index in chosen]


def _told_by_status(damage: str) -> None:
    """What a ledger lost is a row in the failures table of `status`."""
