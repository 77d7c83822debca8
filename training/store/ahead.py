"""Asking a store many small questions at once: a server answers each in its own time."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["ahead"]

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")
_NUM_AHEAD = 16


def ahead(ask: Callable[[Asked], Answer], asked: Iterable[Asked]) -> Iterator[Answer]:
    """The answers, in the order given, several at a time and never more than those ahead of who takes them.

    What one raises is raised when its turn comes.
    """
    if isinstance(asked, Sequence) and len(asked) < 2:  # as often: no threads for that
        yield from map(ask, asked)
        return
    waiting: deque[Future[Answer]] = deque()
    with ThreadPoolExecutor(_NUM_AHEAD, "ahead") as pool:
        for one in asked:
            waiting.append(pool.submit(ask, one))
            if len(waiting) == _NUM_AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
