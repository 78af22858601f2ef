"""Running several scenarios side by side, each on servers of its own, so that the tests fit into their time."""

import asyncio
from collections.abc import Iterable

from edgebus.lab.laboratory import Result, run_scenario
from edgebus.lab.scenarios import SCENARIOS
from edgebus.lab.site import Size

AT_ONCE = 4


def run_all(names: Iterable[str], size: Size) -> dict[str, Result | BaseException]:
    """Return the result of each scenario, or what it failed with."""

    async def run() -> dict[str, Result | BaseException]:
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(name: str) -> Result:
            async with turns:
                return await run_scenario(SCENARIOS[name], size)

        chosen = list(names)
        outcomes = await asyncio.gather(*map(one, chosen), return_exceptions=True)
        return dict(zip(chosen, outcomes, strict=True))

    return asyncio.run(run())
