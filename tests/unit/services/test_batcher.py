import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from services.batcher import Batcher

FOREVER_S = 1000.0


class Slow:
    """Answers a question with itself, once it may."""

    def __init__(self) -> None:
        self.passes: list[list[Any]] = []
        self.begun, self.may = threading.Event(), threading.Event()

    def __call__(self, questions: Any) -> Any:
        self.passes.append(list(questions))
        self.begun.set()
        assert self.may.wait(10)
        if "bad" in questions:
            raise ValueError("bad")
        return list(questions)


def run(slow: Slow, scenario: Callable[[Batcher], Awaitable[Any]], *, most: int = 8, wait_s: float = 0.0) -> Any:
    async def whole() -> Any:
        with ThreadPoolExecutor(1) as executor:
            return await asyncio.wait_for(scenario(Batcher(slow, executor, most=most, wait_s=wait_s)), 10)

    return asyncio.run(whole())


def ask(batcher: Batcher, *questions: str) -> list[asyncio.Task[Any]]:
    return [asyncio.create_task(batcher.ask(one)) for one in questions]  # type: ignore[arg-type]


def test_a_question_alone_is_answered_at_once_however_long_a_pass_may_wait() -> None:
    slow = Slow()
    slow.may.set()
    assert run(slow, lambda batcher: batcher.ask("a"), wait_s=FOREVER_S) == "a"  # type: ignore[arg-type]


def test_what_arrives_during_a_pass_makes_up_the_next_ones_of_so_many_at_most() -> None:
    slow = Slow()

    async def scenario(batcher: Batcher) -> list[Any]:
        first = ask(batcher, "a")
        await asyncio.to_thread(slow.begun.wait, 10)
        others = ask(batcher, *"bcdef")
        await asyncio.sleep(0)
        slow.may.set()
        return await asyncio.gather(*first, *others)

    assert run(slow, scenario, most=3) == list("abcdef")
    assert slow.passes == [["a"], ["b", "c", "d"], ["e", "f"]]


def test_a_pass_waits_for_a_question_that_is_on_its_way() -> None:
    slow = Slow()
    slow.may.set()

    async def scenario(batcher: Batcher) -> None:
        with batcher.coming():
            first = ask(batcher, "a")
            await asyncio.sleep(0.05)
        await batcher.ask("b")  # type: ignore[arg-type]
        await asyncio.gather(*first)

    run(slow, scenario, wait_s=FOREVER_S)
    assert slow.passes == [["a", "b"]]


def test_a_pass_goes_without_a_question_that_takes_too_long() -> None:
    slow = Slow()
    slow.may.set()

    async def scenario(batcher: Batcher) -> None:
        with batcher.coming():
            await batcher.ask("a")  # type: ignore[arg-type]

    run(slow, scenario, wait_s=0.01)
    assert slow.passes == [["a"]]


def test_a_question_that_nobody_waits_for_any_more_is_not_answered() -> None:
    slow = Slow()

    async def scenario(batcher: Batcher) -> None:
        first = ask(batcher, "a")
        await asyncio.to_thread(slow.begun.wait, 10)
        gone, other = ask(batcher, "gone", "b")
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        assert len(batcher._waiting) == 1, "its pictures are not kept until the next pass"
        slow.may.set()
        await asyncio.gather(*first, other)

    run(slow, scenario)
    assert slow.passes == [["a"], ["b"]]


def test_an_error_of_a_pass_is_told_to_all_who_asked_and_the_next_pass_is_answered() -> None:
    slow = Slow()

    async def scenario(batcher: Batcher) -> tuple[list[Any], list[Any]]:
        first = ask(batcher, "a")
        await asyncio.to_thread(slow.begun.wait, 10)
        wrong = ask(batcher, "bad", "b")
        await asyncio.sleep(0)
        slow.may.set()
        said = await asyncio.gather(*first, *wrong)
        return said, await asyncio.gather(*ask(batcher, "c"))

    (first, *wrong), later = run(slow, scenario)
    assert (first, later) == ("a", ["c"])
    assert [type(one) for one in wrong] == [ValueError, ValueError]


@pytest.mark.parametrize("wait_s", [0.0, FOREVER_S])
def test_questions_asked_one_after_the_other_each_get_their_own_answer(wait_s: float) -> None:
    slow = Slow()
    slow.may.set()

    async def scenario(batcher: Batcher) -> list[Any]:
        return [await batcher.ask(one) for one in "abc"]  # type: ignore[arg-type]

    assert run(slow, scenario, wait_s=wait_s) == list("abc")
