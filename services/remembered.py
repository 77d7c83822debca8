"""What was found out, remembered for a short while."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["Remembered"]

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Remembered(Generic[Key, Value]):
    """Thread-safe; nothing is older than `ttl_s`, and the least recently found out go when there are more than `most`."""

    def __init__(self, *, ttl_s: float, most: int, clock: Callable[[], float]) -> None:
        self._ttl_s, self._most, self._clock = ttl_s, most, clock
        self._lock = threading.Lock()
        self._known: OrderedDict[Key, tuple[float, Value]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: Key, ask: Callable[[], Value]) -> Value:
        """What is remembered, else what `ask` says; its errors are let through and not remembered."""
        now = self._clock()
        with self._lock:
            known = self._known.get(key)
        if known is not None and now < known[0]:
            return known[1]
        value = ask()
        with self._lock:
            self._known[key] = (now + self._ttl_s, value)
            self._known.move_to_end(key)
            while len(self._known) > self._most:
                self._known.popitem(last=False)
        return value
