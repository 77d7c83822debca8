"""What people did, append-only: acknowledged means durable, and what is delivered twice counts once."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from itertools import groupby
from threading import Lock
from typing import NoReturn

from training.data.human_actions import HumanAction
from training.data.identifiers import check_identifier
from training.errors import CorruptLedger
from training.store.action_log import ActionLog, Receipt
from training.store.journal import Journal
from training.store.objects import ObjectStore

__all__ = ["Ledger"]

_NUM_LOGS = 256
"""Logs kept for the next append; a forgotten one is read again."""


class Ledger:
    """The human actions of one store, one log for each shard and ontology; safe to share between threads and processes."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._logs: dict[str, ActionLog] = {}
        self._lock = Lock()

    def append(self, actions: Sequence[HumanAction]) -> Receipt:
        """Record actions, those of one shard and ontology as one batch; returns when all are durable.

        After an error, or when no answer arrived, hand the same actions in again: what was recorded is not recorded twice.

        Raises:
            ConflictingAction: an event id belongs to another action; nothing is recorded.
            StoreFull: no room; of actions of several shards, some may have been recorded.
        """
        ordered = sorted(actions, key=_folder)
        groups = [(self._log(folder), list(group)) for folder, group in groupby(ordered, key=_folder)]
        for log, group in groups:
            log.check(group)
        return reduce(lambda total, one: total + one, (log.append(group) for log, group in groups), Receipt())

    def recorded(self, shard_id: str, ontology: str, event_ids: Iterable[str]) -> set[str]:
        """Those of the event ids that are in the ledger now; damaged batches count as far as they can be read."""
        (folder,) = self._folders(shard_id, ontology)
        return self._log(folder).recorded(event_ids)

    def damage(self, shard_id: str, ontology: str) -> tuple[str, ...]:
        """What is wrong with batches of one log, of which not all is there."""
        (folder,) = self._folders(shard_id, ontology)
        return self._log(folder).damage()

    def read(
        self, shard_id: str | None = None, ontology: str | None = None, *, damaged: Callable[[str], None] | None = None
    ) -> Iterator[HumanAction]:
        """Actions of all shards, of one, or of one ontology of it; of each in the order they were recorded, none twice.

        Args:
            damaged: told of every batch of which not all is there; its whole records are still read.
        Raises:
            CorruptLedger: `damaged` is not given and there is such a batch; names its object.
        """
        for folder in self._folders(shard_id, ontology):
            yield from ActionLog(Journal(self._objects, folder)).read(damaged or _refuse)

    def fold(self) -> int:
        """Fold into pages what a killed writer left in parts; returns the number of new pages. Appending folds by itself."""
        return sum(Journal(self._objects, folder).fold() for folder in self._folders(None, None))

    def _folders(self, shard_id: str | None, ontology: str | None) -> Iterator[str]:
        shards = [f"{check_identifier(shard_id, 'shard id')}/"] if shard_id else self._below("ledger/")
        for shard in shards:
            named = [f"{check_identifier(ontology, 'ontology name')}/"] if ontology else self._below(f"ledger/{shard}")
            yield from (f"ledger/{shard}{name}" for name in named)

    def _below(self, folder: str) -> list[str]:
        return [name for name in self._objects.children(folder) if name.endswith("/")]

    def _log(self, folder: str) -> ActionLog:
        with self._lock:
            log = self._logs.pop(folder, None) or ActionLog(Journal(self._objects, folder))
            self._logs[folder] = log
            if len(self._logs) > _NUM_LOGS:
                del self._logs[next(iter(self._logs))]
            return log


def _folder(action: HumanAction) -> str:
    return f"ledger/{action.shard_id}/{action.ontology}/"


def _refuse(damage: str) -> NoReturn:
    raise CorruptLedger(f"{damage}; needed every batch whole: restore the object, or read what is left")
