"""Which line a reference means now, and which micro-models answer in it: remembered for a short while."""

from collections.abc import Callable

from services.remembered import Remembered
from training.data.line import Line, Stage
from training.errors import UnknownLine
from training.lines.ready import ReadyLine, ready_line
from training.lines.save import save_line
from training.store.card import Card
from training.store.store import Store

__all__ = ["LineCatalogue"]

MAX_LINES = 1_000
MAX_SHARDS = 20_000


class LineCatalogue:
    """Thread-safe; every method may block on the store."""

    def __init__(
        self,
        store: Store,
        *,
        resolve: Callable[[Stage], Card],
        check: Callable[[], None],
        ttl_s: float,
        clock: Callable[[], float],
    ) -> None:
        """check: raises StoreUnusable where the store is gone."""
        self._store, self._resolve, self._check = store, resolve, check
        self._lines: Remembered[str, Line] = Remembered(ttl_s=ttl_s, most=MAX_LINES, clock=clock)
        self._sizes: Remembered[str, tuple[int, int]] = Remembered(ttl_s=ttl_s, most=MAX_SHARDS, clock=clock)

    def ready(self, ref: str) -> ReadyLine:
        """The line that answers, at most `ttl_s` old.

        Raises:
            UnknownLine: there is none of that name or version.
            UnknownModel, UnknownShard: a micro-model of it is gone.
            StoreUnusable: the store cannot be read now.
        """
        line = self._lines.get(ref, lambda: self.get(ref))
        return ready_line(line, resolve=self._resolve, frame_wh=self._frame_wh)

    def get(self, ref: str) -> Line:
        """As the store has it now. Raises UnknownLine, StoreUnusable."""
        try:
            return self._store.lines.get(ref)
        except UnknownLine:
            self._check()  # an absent store has no lines either, but that is not the client's mistake
            raise

    def save(self, line: Line) -> Line:
        """Raises BadLine, StoreFull, StoreUnusable."""
        self._check()
        return save_line(self._store, line)

    def page(self, *, after: str, limit: int) -> tuple[list[Line], str | None]:
        """At most `limit` lines whose names follow `after`, in their current versions, and the next `after`."""
        names = self._store.lines.names()
        if not names:
            self._check()
        following = [name for name in names if name > after]
        lines = [self.get(name) for name in following[:limit]]
        return lines, lines[-1].name if len(following) > limit else None

    def _frame_wh(self, shard_id: str) -> tuple[int, int]:
        return self._sizes.get(shard_id, lambda: self._store.shard(shard_id).frame_wh)
