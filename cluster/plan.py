"""What a fleet needs: hours of workers, wall time, storage, requests and people, from what things took on some hardware."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from random import Random
from statistics import mean
from typing import Any

from cluster.plan_costs import Costs, spread
from cluster.plan_days import Day, Workload, draw_days
from cluster.plan_requests import Requests, fit_requests, label_requests
from cluster.plan_schedule import Fleet, Lease, Run, simulate_run
from training.errors import BadInput

__all__ = ["Preemption", "plan"]

_HOUR = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Preemption:
    """How often a working worker is taken away, and the seconds until its successor asks for work."""

    per_hour: float = 0.0
    restart_s: float = 60.0


def plan(
    costs: Costs, work: Workload, workers: Sequence[int], *, preemption: Preemption | None = None, seed: int = 0
) -> dict[str, Any]:
    """The plan as JSON; `fleets` has one entry for each number of workers, in their order.

    Raises:
        BadInput: a cost that is needed is not known; names it.
    """
    for name in ("fit_s", "frame_s", *(() if work.frames else ("frames",))):
        if not getattr(costs, name):
            raise BadInput(f"costs: no {name}, needed a store with fitted and labelled shards, --costs FILE or --measure")
    days = draw_days(costs, work, seed)
    return {
        "shards": work.shards,
        "generations": work.generations,
        "measured_shards": {"fit": len(costs.fit_s), "label": len(costs.frame_s)},
        "fleets": [_fleet(costs, work, one, preemption or Preemption(), days, seed) for one in workers],
        "storage_bytes": _storage_bytes(costs, work, days),
        "requests": asdict(_requests(work, days)),
        "human_hours": _human_hours(costs, work),
        "draws": len(days),
        "seed": seed,
    }


def _fleet(costs: Costs, work: Workload, workers: int, preemption: Preemption, days: Sequence[Day], seed: int) -> dict[str, Any]:
    how: dict[str, Any] = {"preemptions_per_hour": preemption.per_hour, "restart_s": preemption.restart_s}
    fit = Fleet(workers=workers, startup_s=costs.fit_startup_s, overhead_s=costs.fit_overhead_s, **how)
    label = Fleet(workers=workers, startup_s=costs.label_startup_s, **how)  # blocks have their overhead in them
    random = Random(seed)
    bundles = _leases(work.shards, max(1, min(work.bundle, work.shards // workers)))
    fits: list[list[Run]] = []
    labels: list[list[Run]] = []
    later = work.generations - 1
    for day in days:
        first = simulate_run(day.fit_s, bundles, fit, random)
        fits.append([first, *([simulate_run(day.refit_s, bundles, fit, random)] * later if later else [])])
        blocks_s = day.blocks_s(workers, costs.label_overhead_s)
        labels.append([simulate_run(blocks_s, _leases(len(blocks_s), 1), label, random)] * work.generations)
    both = [one + other for one, other in zip(fits, labels, strict=True)]
    return {"workers": workers, **_told(both, costs), "fit": _told(fits, costs), "label": _told(labels, costs)}


def _leases(units: int, size: int) -> list[Lease]:
    return [tuple(range(first, min(first + size, units))) for first in range(0, units, size)]


def _told(days: Sequence[Sequence[Run]], costs: Costs) -> dict[str, Any]:
    """What the draws say together: of walls and hours the median and 90th percentile, of the rest the mean.

    Workers are held, and paid for, from the call to the end of each job; utilisation is the useful share of that.
    """
    walls_s = [sum(run.wall_s for run in day) for day in days]
    useful_s = [sum(run.useful_s for run in day) for day in days]
    held_s = [sum(run.held_s for run in day) for day in days]
    held_h = _percentiles([seconds / _HOUR for seconds in held_s])
    return {
        "wall_s": _percentiles(walls_s),
        "gpu_hours": held_h if costs.device != "cpu" else None,
        "cpu_hours": {name: hours * costs.threads for name, hours in held_h.items()},
        "useful_worker_hours": _percentiles([seconds / _HOUR for seconds in useful_s]),
        "utilisation": sum(useful_s) / sum(held_s) if sum(held_s) else 0.0,
        "lost_worker_hours": mean(sum(run.lost_s for run in day) for day in days) / _HOUR,
        "preemptions": mean(sum(run.preemptions for run in day) for day in days),
        "quarantined": mean(sum(run.quarantined for run in day) for day in days),
    }


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    found = spread(values)
    return {"p50": found["median"], "p90": found["p90"]}


def _storage_bytes(costs: Costs, work: Workload, days: Sequence[Day]) -> dict[str, float | None]:
    """Of all generations; sources stay where they are, annotations and ledger are some kilobytes a shard."""
    frames = mean(sum(day.frames) for day in days)
    models = work.generations * work.shards * mean(costs.model_bytes) if costs.model_bytes else None
    labels = work.generations * frames * mean(costs.frame_bytes) if costs.frame_bytes else None
    return {"models": models, "predictions": labels}


def _requests(work: Workload, days: Sequence[Day]) -> Requests:
    clips = round(mean(day.num_clips for day in days))
    each = [fit_requests(work.shards, number) + label_requests(work.shards, clips) for number in range(1, work.generations + 1)]
    return sum(each, Requests())


def _human_hours(costs: Costs, work: Workload) -> dict[str, float | None]:
    """First labels of every shard, and a round of reviews before each later generation."""
    first = work.shards * mean(costs.labels_s) / _HOUR if costs.labels_s else None
    later = work.shards * (work.generations - 1) * mean(costs.review_s) / _HOUR if costs.review_s else None
    return {"labels": first, "reviews": later}
