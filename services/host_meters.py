"""What a host tells Prometheus: its bank passes, and what became of its cache since the pass before."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from services.measures import Meters
from training.models.cache import CacheCounts, ModelCache

__all__ = ["HostMeters"]


class HostMeters:
    """Not thread-safe: whoever answers tells."""

    def __init__(self, meters: Meters, cache: ModelCache) -> None:
        self._meters, self._cache = meters, cache
        self._told = CacheCounts()

    def passed(self, questions: Sequence[Any]) -> None:
        """A bank pass over these questions is done."""
        self._meters.observe("micromodels_batch_requests", len(questions))
        self._meters.observe("micromodels_batch_pictures", sum(len(question.frames) for question in questions))
        self._meters.observe("micromodels_batch_models", len({id(question.model) for question in questions}))
        counts = replace(self._cache.counts)
        for field in fields(counts):
            self._meters.count(f"micromodels_cache_{field.name}", getattr(counts, field.name) - getattr(self._told, field.name))
        self._told = counts
        self._meters.show("micromodels_cache_bytes", self._cache.num_bytes)
        self._meters.show("micromodels_cache_models", self._cache.num_models)
