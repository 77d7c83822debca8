"""Published generations through the gate: the live one and the new one answer the audit frames, and audits decide."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

import torch

from training.data.annotations import FrameLabels
from training.data.frames import Frame
from training.data.sources import open_frames
from training.errors import MicroModelError
from training.learning.fit_job import FitReceipt
from training.loop.canary import end_canary, running_canary, start_canary
from training.loop.gate import Verdict, judge_generation
from training.models.bank import Bank
from training.models.cache import ModelCache
from training.models.tasks import task_for
from training.store.canaries import Canary
from training.store.card import Card
from training.store.decisions import Decision
from training.store.store import Store

__all__ = ["go_live"]

FRAMES_IN_MEMORY = 8


def go_live(
    store: Store, receipts: Sequence[FitReceipt], *, device: torch.device | str = "cpu", canary: float | None = None
) -> list[FitReceipt]:
    """Make what was fitted live, or refuse it; the receipts say which and why.

    A generation that was decided on before is not judged again: the first decision stands. One that cannot be judged is an
    error in its receipt and stops no other.

    Args:
        canary: what would replace a live generation is put on trial instead, with this share of the requests.
    """
    return [
        receipt if receipt.generation is None else _decided(store, receipt, receipt.generation, device, canary)
        for receipt in receipts
    ]


def _decided(store: Store, receipt: FitReceipt, generation: int, device: torch.device | str, canary: float | None) -> FitReceipt:
    try:
        card = store.registry.card(receipt.shard_id, receipt.ontology, generation)
        decision = store.registry.decision(receipt.shard_id, receipt.ontology, generation)
        decision = decision or _decide(store, card, device, canary)
        live = store.registry.live(receipt.shard_id, receipt.ontology)
    except MicroModelError as error:
        return replace(receipt, generation=None, error=f"{type(error).__name__}: {error}")
    return replace(receipt, live=live == generation, status=decision.status, reason=decision.reason)


def _on_trial(canary: Canary) -> Decision:
    """Nobody has decided yet, and `verdict` says why."""
    reason = f"trial {canary.number} against {canary.against} with {canary.share:.0%} of the requests"
    return Decision(generation=canary.generation, promoted=False, reason=reason, verdict={"status": "canary"})


def _decide(store: Store, card: Card, device: torch.device | str, canary: float | None) -> Decision:
    live = store.registry.live(card.shard_id, card.ontology)
    running = None if live is None else running_canary(store.registry, card.shard_id, card.ontology)
    if running is not None and running.generation == card.generation:
        return _on_trial(running)
    verdict = _verdict(store, card, live, device)
    if canary is not None and verdict.promote and live not in (None, card.generation):
        if (before := running_canary(store.registry, card.shard_id, card.ontology)) is not None:
            end_canary(store.registry, before, "withdrawn", f"generation {card.generation} came")
        return _on_trial(start_canary(store.registry, card.shard_id, card.ontology, card.generation, canary))
    decision = Decision(generation=card.generation, promoted=verdict.promote, reason=verdict.reason, verdict=verdict.to_json())
    store.registry.decide(card.shard_id, card.ontology, decision)
    return decision


def _verdict(store: Store, card: Card, live: int | None, device: torch.device | str) -> Verdict:
    generations = [card.generation] if live is None else [card.generation, live]
    truth = store.audit_labels(card.shard_id, card.ontology)
    new, *others = _answers(store, card, generations, truth, device)
    shard, task = store.shard(card.shard_id), task_for(store.ontology(card.ontology))
    sizes_hw = [shard.size_hw(frame.frame_index) for frame in truth]
    return judge_generation(task, truth, others[0] if others else None, new, sizes_hw)


def _answers(
    store: Store, card: Card, generations: Sequence[int], truth: Sequence[FrameLabels], device: torch.device | str
) -> list[list[FrameLabels]]:
    """What each generation says about the audit frames, which are decoded a few at a time."""
    answers: list[list[FrameLabels]] = [[] for _ in generations]
    if truth:
        models = ModelCache(store.registry, 0, device)  # the bank holds what it needs
        cards = [store.registry.card(card.shard_id, card.ontology, generation) for generation in generations]
        bank = Bank([models.get(one) for one in cards], device)
        for frames in _frames(store, card.shard_id, [frame.frame_index for frame in truth]):
            for number, said in enumerate(answers):
                said += bank.predict(frames, [number] * len(frames))
    return answers


def _frames(store: Store, shard_id: str, frame_indices: Sequence[int]) -> Iterator[list[Frame]]:
    with open_frames(store.shard(shard_id)) as source:
        frames = iter(source.read(frame_indices))
        while batch := list(islice(frames, FRAMES_IN_MEMORY)):
            yield batch
