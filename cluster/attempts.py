"""Which clips were begun, how often that cost a process, which of them are over, and which shards are given up.

`label` runs it as a Ray actor.

Nothing here has to survive: what is written is in the store, so one that starts again only lets clips be labelled once more.
Receipts are rows: a process that holds them needs nothing but Python.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Attempt", "Attempts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """deaths: how often a clip was begun and its process ended before it. receipt: of a clip that is over."""

    deaths: int = 0
    receipt: Mapping[str, Any] | None = None


class Attempts:
    """What is known about clips that were handed out; `name` is whatever tells one from another."""

    def __init__(self) -> None:
        self._begun: dict[str, int] = {}
        self._over: dict[str, Mapping[str, Any]] = {}
        self._given_up: dict[str, str] = {}

    def known(self, names: Sequence[str]) -> list[Attempt]:
        """Of each clip, in order, before its labelling is begun."""
        return [Attempt(deaths=self._begun.get(name, 0), receipt=self._over.get(name)) for name in names]

    def begin(self, name: str) -> None:
        """It is counted as a death until it is over."""
        self._begun[name] = self._begun.get(name, 0) + 1

    def end(self, name: str, receipt: Mapping[str, Any]) -> None:
        """It is over, and need not be done again if its process dies before all it was handed is."""
        self._begun.pop(name, None)
        self._over[name] = receipt

    def give_up(self, shard_id: str, why: str) -> None:
        """None of its clips need be tried any more."""
        self._given_up[shard_id] = why

    def given_up(self) -> dict[str, str]:
        """Shards, and why."""
        return dict(self._given_up)

    def forget(self, names: Sequence[str]) -> None:
        """Their receipts have arrived."""
        for name in names:
            self._over.pop(name, None)
