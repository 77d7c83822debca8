"""Several answers waited for at once."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

__all__ = ["at_once"]

Answer = TypeVar("Answer")


async def at_once(asked: Iterable[Coroutine[Any, Any, Answer]]) -> list[Answer]:
    """The answers, in order. The first error is raised, and what has not been answered by then is called off."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in asked]
    except ExceptionGroup as failed:
        first = failed.exceptions[0]
        raise first from first.__cause__
    return [task.result() for task in tasks]
