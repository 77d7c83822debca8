"""A bound on what requests hold in memory together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["Budget"]


class Budget:
    """Lets requests in, first come first served, while what they hold adds up to no more than `total`."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._held = 0
        self._turn = asyncio.Lock()  # only the next in line waits for room
        self._freed = asyncio.Event()

    @asynccontextmanager
    async def hold(self, amount: int) -> AsyncIterator[None]:
        """Wait until `amount` fits, and keep it until the block ends; more than the total counts as the total."""
        amount = min(amount, self._total)
        async with self._turn:
            while self._held + amount > self._total:
                self._freed.clear()
                await self._freed.wait()
            self._held += amount
        try:
            yield
        finally:
            self._held -= amount
            self._freed.set()
