"""Running a scenario, and the verdict of a run."""

import asyncio
from dataclasses import asdict, field
from typing import Any, Final

from bus.values import frozen
from edgebus.lab.judge.checker import Findings, check
from edgebus.lab.scenarios import Scenario
from edgebus.lab.stage.servers import EdgeNotStarted
from edgebus.lab.stage.site import Precondition, PreconditionFailed, Site, Size

__all__ = ["FULL", "SMALL", "Result", "run_scenario"]

SMALL: Final = Size("small", settle_s=20.0, patience=4.0)
FULL: Final = Size("full", settle_s=15.0)
_DEADLINE_S: Final = 120.0


@frozen
class Result:
    """The outcome of one run.

    Attributes:
        verdict: ``kept``; ``broken``, a promise did not hold; ``void``, a precondition did not: no promise is judged.

    """

    scenario: str
    size: str
    verdict: str
    findings: Findings = field(default_factory=Findings)
    preconditions: tuple[Precondition, ...] = ()
    took_s: float = 0.0

    def as_data(self) -> dict[str, Any]:
        """Return the outcome as data for JSON."""
        data = asdict(self)
        return {**{key: data[key] for key in ("scenario", "size", "verdict", "took_s")}, **_shown(data)}


def _shown(data: dict[str, Any]) -> dict[str, Any]:
    counts = {
        "published": "published",
        "delivered": "delivered",
        "repaired": "repaired",
        "told_as_gap": "told",
        "lost_in_silence": "lost",
        "known_to_producer_alone": "with_primary",
        "doubled": "doubled",
        "refused_connections": "refused",
        "balancer_retries": "retries",
        "returned": "returned",
        "peak_returns_per_second": "returned_per_s",
        "closed_by_edges": "closed",
        "seconds_until_prompt": "prompt_s",
        "seconds_until_whole": "whole_s",
        "broken": "broken",
    }
    return {key: data["findings"][name] for key, name in counts.items()} | {"preconditions": data["preconditions"]}


async def run_scenario(scenario: Scenario, size: Size, *, deadline_s: float = _DEADLINE_S) -> Result:
    """Run one scenario and judge it.

    Raises:
        TimeoutError: the run did not end within ``deadline_s``.

    """
    began_s = asyncio.get_running_loop().time()
    async with asyncio.timeout(deadline_s), Site(size) as site:
        is_void = False
        # Groups: a scenario that does several things at once raises its errors in one.
        try:
            await scenario.run(site)
        except* PreconditionFailed:
            is_void = True  # the fault was another one than meant, so neither kept nor broken would be true
        except* EdgeNotStarted as group:
            is_void = True
            site.preconditions += [Precondition(str(error), holds=False) for error in group.exceptions]
    took_s = asyncio.get_running_loop().time() - began_s
    findings = Findings() if is_void else check(site.evidence())
    verdict = "void" if is_void else "broken" if findings.broken else "kept"
    return Result(scenario.name, size.name, verdict, findings, tuple(site.preconditions), took_s)
