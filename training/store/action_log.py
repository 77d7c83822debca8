"""The human actions of one shard and ontology: recorded once, however often they are delivered."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock

from training.data.human_actions import HumanAction
from training.errors import AlreadyExists, ConflictingAction, MicroModelError
from training.store.journal import PAGE, Batch, Journal

__all__ = ["ActionLog", "Receipt"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Every action handed in is durable: recorded now, or a duplicate of one that was recorded before.

    keys: the objects that were committed. damage: what is wrong with older batches of the same shards.
    """

    recorded: int = 0
    duplicates: int = 0
    keys: tuple[str, ...] = ()
    damage: tuple[str, ...] = ()

    def __add__(self, other: "Receipt") -> "Receipt":
        return Receipt(
            recorded=self.recorded + other.recorded,
            duplicates=self.duplicates + other.duplicates,
            keys=self.keys + other.keys,
            damage=self.damage + other.damage,
        )


class ActionLog:
    """One journal, how far it was read, and the events seen on the way; threads may append through the same one.

    A batch is committed under the next number, by a writer that has seen every number before it: so no event is recorded
    twice and no batch is lost, however many writers there are.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._last = 0
        self._digests: dict[str, bytes] = {}
        self._damage: list[str] = []
        self._lock = Lock()

    def check(self, actions: Sequence[HumanAction]) -> None:
        """Raises ConflictingAction when one of these could not be recorded as things are."""
        with self._lock:
            if not self._last:
                self._catch_up()
            self._fresh(actions)

    def recorded(self, event_ids: Iterable[str]) -> set[str]:
        """Those that are recorded now."""
        with self._lock:
            self._catch_up()
            return {name for name in event_ids if name in self._digests}

    def damage(self) -> tuple[str, ...]:
        """What is wrong with batches of which not all is there."""
        with self._lock:
            self._catch_up()
            return tuple(self._damage)

    def append(self, actions: Sequence[HumanAction]) -> Receipt:
        """Record in one batch what is not recorded yet. Raises ConflictingAction, StoreFull."""
        with self._lock:
            fresh, keys = self._commit(actions)
            if keys and self._last % PAGE == 0:
                self._fold()
            duplicates = len(actions) - len(fresh)
            return Receipt(recorded=len(fresh), duplicates=duplicates, keys=keys, damage=tuple(self._damage))

    def read(self, damaged: Callable[[str], None]) -> Iterator[HumanAction]:
        """The events after those seen so far, and word of every batch of which not all is there."""
        for batch in self._journal.batches(self._last):
            if batch.damage:
                damaged(batch.damage)
            yield from self._unseen(batch, damaged)
            self._last = batch.number

    def _commit(self, actions: Sequence[HumanAction]) -> tuple[list[HumanAction], tuple[str, ...]]:
        while fresh := self._fresh(actions):
            with suppress(AlreadyExists):
                key = self._journal.create(self._last + 1, [action.to_json() for action in fresh])
                self._last += 1
                self._digests.update((action.event_id, action.digest) for action in fresh)
                return fresh, (key,)
            self._catch_up()
        return [], ()

    def _catch_up(self) -> None:
        for _ in self.read(self._damage.append):
            pass

    def _fresh(self, actions: Sequence[HumanAction]) -> list[HumanAction]:
        """What is not recorded yet, each event once."""
        fresh: dict[str, HumanAction] = {}
        for action in actions:
            same = fresh.get(action.event_id)
            seen = same.digest if same else self._digests.get(action.event_id)
            if seen is None:
                fresh[action.event_id] = action
            elif seen != action.digest:
                raise ConflictingAction(
                    f"{self._journal.folder}: event {action.event_id!r} comes again as another {action.action} of frame"
                    f" {action.frame_index}, needed the same action or another event id"
                )
        return list(fresh.values())

    def _unseen(self, batch: Batch, damaged: Callable[[str], None]) -> Iterator[HumanAction]:
        """Events of a batch but those seen before: a restored backup may hold what was delivered again meanwhile."""
        for row in batch.rows:
            try:
                action = HumanAction.from_json(row)
            except MicroModelError as error:
                damaged(f"{self._journal.folder} batch {batch.number}: {error}")
                continue
            seen = self._digests.get(action.event_id)
            if seen is None:
                self._digests[action.event_id] = action.digest
                yield action
            elif seen != action.digest:
                damaged(f"{self._journal.folder} batch {batch.number}: event {action.event_id!r} differs from an earlier one")

    def _fold(self) -> None:
        """The batch is durable by now, so a failure here is only told to the log: the next page tries again."""
        try:
            self._journal.fold()
        except MicroModelError as error:
            log.warning("ledger not folded folder=%s error=%s", self._journal.folder, error)
