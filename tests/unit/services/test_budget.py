import asyncio

from services.budget import Budget


def test_what_is_held_together_never_passes_the_total_and_everybody_gets_a_turn() -> None:
    async def scenario() -> tuple[int, int]:
        budget, held, most, served = Budget(10), 0, 0, 0

        async def one(amount: int) -> None:
            nonlocal held, most, served
            async with budget.hold(amount):
                held += min(amount, 10)
                most = max(most, held)
                await asyncio.sleep(0)
                held -= min(amount, 10)
                served += 1

        await asyncio.gather(*(one(amount) for amount in (3, 3, 3, 3, 10, 99, 1, 7, 5)))
        return most, served

    most, served = asyncio.run(asyncio.wait_for(scenario(), 10))
    assert most == 10
    assert served == 9


def test_one_who_gives_up_waiting_does_not_block_the_others() -> None:
    async def scenario() -> None:
        budget = Budget(10)
        async with budget.hold(8):
            impatient = asyncio.create_task(_hold(budget, 5))
            patient = asyncio.create_task(_hold(budget, 4))
            await asyncio.sleep(0)
            impatient.cancel()
        await patient

    asyncio.run(asyncio.wait_for(scenario(), 10))


async def _hold(budget: Budget, amount: int) -> None:
    async with budget.hold(amount):
        await asyncio.sleep(0)
