"""Running several scenarios side by side, each on servers of its own, and telling what each counted."""

import asyncio
from collections.abc import Iterable

from edgebus.lab.laboratory import Result, run_scenario
from edgebus.lab.scenarios import SCENARIOS
from edgebus.lab.stage.site import Size

AT_ONCE = 3
_COUNTED = ("published", "delivered", "repaired", "told", "lost", "doubled", "refused", "returned_per_s")


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


def told(name: str, result: Result) -> str:
    """Return what a run counted, as one line."""
    found = result.findings
    promises = " ".join(sorted({it.promise for it in found.broken}))
    counts = ", ".join(f"{getattr(found, column)} {column}" for column in _COUNTED)
    return f"{name}: {counts}, whole after {found.whole_s:.2f} s: {result.verdict} {promises}".rstrip()
