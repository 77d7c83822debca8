"""Everything that the service tells Prometheus: names, meanings and tags, none of which is a micro-model.

Every Ray node exports what its processes say; `ray_` is put before the names, `_total` after those of counters.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from ray.util.metrics import Counter, Gauge, Histogram

__all__ = ["MEASURES", "Measure", "Meters", "RayMeters"]

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_SIZES: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)


@dataclass(frozen=True, slots=True)
class Measure:
    """What is told, and by which tags: names of routes, tasks, reasons, so that a fleet of any size makes the same series.

    boundaries: of a histogram's buckets.
    """

    kind: Literal["counter", "gauge", "histogram"]
    description: str
    tags: tuple[str, ...] = ()
    boundaries: tuple[float, ...] = ()


MEASURES: Final[Mapping[str, Measure]] = {
    "micromodels_requests": Measure("counter", "Requests that an ingress answered.", ("route", "method", "task", "status")),
    "micromodels_request_seconds": Measure(
        "histogram", "From a request's head to the last byte sent.", ("route", "task"), _SECONDS
    ),
    "micromodels_pictures": Measure("counter", "Pictures that hosts labelled.", ("task",)),
    "micromodels_phase_seconds": Measure("histogram", "A request on its host, by phase.", ("phase",), _SECONDS),
    "micromodels_abstentions": Measure("counter", "Pictures that no micro-model was found for.", ("reason",)),
    "micromodels_refusals": Measure("counter", "Requests turned away, not answered or given up.", ("where", "reason")),
    "micromodels_canary_requests": Measure(
        "counter", "Requests for micro-models with a trial, by who answered.", ("arm", "outcome")
    ),
    "micromodels_canary_ends": Measure("counter", "Trials that ended.", ("outcome",)),
    "micromodels_canaries": Measure("gauge", "Trials that an ingress takes part in."),
    "micromodels_batch_requests": Measure("histogram", "Requests in one bank pass.", (), _SIZES),
    "micromodels_batch_pictures": Measure("histogram", "Pictures and crops in one bank pass.", (), _SIZES),
    "micromodels_batch_models": Measure("histogram", "Micro-models in one bank pass.", (), _SIZES),
    "micromodels_cache_hits": Measure("counter", "Micro-models that were asked for and were in memory."),
    "micromodels_cache_misses": Measure("counter", "Micro-models that were asked for and were not."),
    "micromodels_cache_loads": Measure("counter", "Micro-models read from the store."),
    "micromodels_cache_evictions": Measure("counter", "Micro-models that had to make room for others."),
    "micromodels_cache_bytes": Measure("gauge", "Weights that a host holds."),
    "micromodels_cache_models": Measure("gauge", "Micro-models that a host holds."),
}


class Meters(Protocol):
    """Who is told. Names and tags are those of MEASURES."""

    def count(self, name: str, by: float = 1, **tags: str) -> None:
        """More of a counter."""
        ...

    def observe(self, name: str, value: float, **tags: str) -> None:
        """One more value of a histogram."""
        ...

    def show(self, name: str, value: float) -> None:
        """The value that a gauge has now."""
        ...


class RayMeters:
    """Of a process of a running Ray."""

    def __init__(self) -> None:
        of = {kind: {n: one for n, one in MEASURES.items() if one.kind == kind} for kind in ("counter", "gauge", "histogram")}
        self._counters = {name: Counter(name, one.description, one.tags) for name, one in of["counter"].items()}
        self._gauges = {name: Gauge(name, one.description, one.tags) for name, one in of["gauge"].items()}
        self._histograms = {
            name: Histogram(name, one.description, list(one.boundaries), one.tags) for name, one in of["histogram"].items()
        }

    def count(self, name: str, by: float = 1, **tags: str) -> None:
        if by:
            self._counters[name].inc(by, tags)

    def observe(self, name: str, value: float, **tags: str) -> None:
        self._histograms[name].observe(value, tags)

    def show(self, name: str, value: float) -> None:
        self._gauges[name].set(value)
