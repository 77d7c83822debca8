"""A generation on trial: started, judged by what can be known without knowing what is true, promoted."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal

from training.errors import AlreadyLive, ConflictingCanary, UnknownModel
from training.loop.canary_figures import Sums
from training.store.canaries import Canary, CanaryLimits
from training.store.decisions import Decision
from training.store.registry import Registry

__all__ = ["EARLY_ERRORS", "end_canary", "judge", "promote_canary", "running_canary", "start_canary"]

EARLY_ERRORS = 5  # failed requests of a generation on trial after which nobody waits for more
MIN_SLOWER_S = 0.01  # what a request may take longer whatever the ratio: nobody notices it, and busy machines are no steadier
MIN_COMPARED = 10  # pictures that both have to have answered before their agreement counts


def judge(limits: CanaryLimits, sums: Sums) -> str | None:
    """Why the generation on trial has to go; None as long as nothing is known against it."""
    canary, live = sums.canary.figures(), sums.live.figures()
    enough = min(sums.canary.requests, sums.live.requests) >= limits.min_requests
    if enough or sums.canary.errors >= EARLY_ERRORS:
        more = (canary["error_share"] or 0) - (live["error_share"] or 0)
        if more > limits.more_errors:
            return f"{canary['error_share']:.1%} of its requests failed, of the live generation {live['error_share'] or 0:.1%}"
    if not enough:
        return None
    return _slower(limits, canary, live) or _different(limits, canary, live) or _disagreeing(limits, sums)


def start_canary(registry: Registry, shard_id: str, ontology: str | None, generation: int, share: float, **more: Any) -> Canary:
    """Give a published generation a share of the requests for the live one.

    Args:
        more: `limits` and `started_by` of the trial.
    Raises:
        UnknownModel: it is not published, or no generation is live.
        AlreadyLive: it answers anyway.
        ConflictingCanary: another one is on trial.
        BadInput: a share that is none.
    """
    card = registry.resolve(f"{shard_id}@{generation}", ontology)
    live = registry.live(shard_id, card.ontology)
    if live is None:
        raise UnknownModel(f"{shard_id} {card.ontology}: no live generation, needed one to compare with")
    if live == generation:
        raise AlreadyLive(f"{card.ref} {card.ontology}: is live, needed another generation")
    what = Canary(shard_id=shard_id, ontology=card.ontology, generation=generation, against=live, share=share, **more)
    return registry.canaries.start(what)


def running_canary(registry: Registry, shard_id: str, ontology: str) -> Canary | None:
    """The trial that runs; one that was against a generation which is not live any more does not."""
    canary = registry.canaries.newest(shard_id, ontology)
    runs = canary is not None and canary.running and registry.live(shard_id, ontology) == canary.against
    return canary if runs else None


def end_canary(
    registry: Registry, canary: Canary, outcome: Literal["rolled-back", "withdrawn"], reason: str, **more: Any
) -> Canary:
    """End a trial; a later `fit` does not make its generation live either.

    Args:
        more: `by` and `figures` of the end.
    Raises:
        ConflictingCanary: it is over.
    """
    ended = registry.canaries.end(canary, outcome, reason, **more)
    refusal = Decision(generation=canary.generation, promoted=False, reason=reason, verdict={"status": outcome})
    registry.decide(canary.shard_id, canary.ontology, refusal)
    return ended


def promote_canary(registry: Registry, canary: Canary, *, by: str | None = None) -> Canary:
    """Make a generation on trial live, which ends the trial."""
    reason = f"after trial {canary.number} against {canary.against}" + (f", by {by}" if by else "")
    registry.promote(canary.shard_id, canary.ontology, canary.generation, reason)
    with suppress(ConflictingCanary):  # somebody else ended it just now; the promotion stands
        return registry.canaries.end(canary, "promoted", reason, by=by)
    return canary


def _slower(limits: CanaryLimits, canary: Mapping[str, Any], live: Mapping[str, Any]) -> str | None:
    new, old = canary["median_s"], live["median_s"]
    if new is None or old is None or new <= max(limits.slower * old, old + MIN_SLOWER_S):
        return None
    return f"a request takes {new:.3f} s, with the live generation {old:.3f} s"


def _different(limits: CanaryLimits, canary: Mapping[str, Any], live: Mapping[str, Any]) -> str | None:
    new, old = canary["empty_share"], live["empty_share"]
    if new is not None and old is not None and abs(new - old) > limits.other_empty:
        return f"it finds nothing on {new:.0%} of the pictures, the live generation on {old:.0%}"
    new, old = canary["mean_score"], live["mean_score"]
    if new is not None and old is not None and old - new > limits.less_sure:
        return f"its mean score is {new:.2f}, of the live generation {old:.2f}"
    return None


def _disagreeing(limits: CanaryLimits, sums: Sums) -> str | None:
    if sums.compared < MIN_COMPARED or (same := sums.agreed / sums.compared) >= limits.agreement:
        return None
    return f"on {sums.compared} pictures it says {same:.0%} of what the live generation says"
