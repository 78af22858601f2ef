"""An edge that dies under an operator's hands: a process of its own, stopped and killed."""

import asyncio
import signal

import pytest

from bus.admin.operator import Operator
from bus.broker.embedded import EmbeddedBroker
from bus.errors import EdgeSilent
from tests.journeys.clients import eventually
from tests.journeys.processes import Processes


@pytest.mark.nightly  # two seconds of waiting; tests/edges/admin has the small form
async def test_edge_killed_between_question_and_answer_is_silent(broker: EmbeddedBroker, processes: Processes) -> None:
    """The operator is told after two seconds; before, the same question had its answer. Lists name the silent edge."""
    (first, _), (second, _) = processes.edges("mahavishnu", broker.url, 2)
    async with Operator(broker.url) as operator:

        async def are_there() -> bool:
            return len(await operator.edges()) == 2

        await eventually(are_there)
        by_pid = {it.pid: it.id for it in await operator.edges()}
        dying, living = by_pid[first.pid], by_pid[second.pid]
        assert (await operator.log_level(dying, "info")).level == "info"
        first.signal(signal.SIGSTOP)
        asking = asyncio.create_task(operator.log_level(dying, "info"))
        listing = asyncio.create_task(operator.clients())
        await asyncio.sleep(0)
        first.signal(signal.SIGKILL)
        with pytest.raises(EdgeSilent) as silent:
            await asking
        assert silent.value.edge == dying
        assert (await listing).silent == (dying,)
        assert (await operator.log_level(living, "info")).level == "info"
