"""A real browser and the allow-list of origins: the page that is listed comes in, the same page elsewhere does not."""

from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bus.broker.embedded import EmbeddedBroker
from producers import Producer
from producers.services.mahavishnu import WorkflowStarted
from tests.journeys.browser import Page
from tests.journeys.clients import eventually
from tests.journeys.processes import EDGEBUS, Processes, wait_ready
from tests.ports import free_port

SUBSCRIBE = {"type": "request", "event": "subscribe", "data": {"channel": "workflow:wf"}, "id": "s1"}


async def test_page_of_another_origin_is_refused(
    broker: EmbeddedBroker, producer: Producer, processes: Processes, tmp_path: Path
) -> None:
    """One page served at two origins: the listed one gets events, the other never opens and sees 1006."""
    with ExitStack() as stack:
        listed, other = (stack.enter_context(Page().served()) for _ in range(2))
        port = free_port()
        edge = processes.start(
            *(*EDGEBUS, "edge", "mahavishnu", "--port", str(port), "--redis", broker.url),
            *("--set", f"allowed_origins={listed.origin}"),
        )
        wait_ready(edge, port)
        for name, page in (("listed", listed), ("other", other)):
            page.open(processes, port, tmp_path / name)

        assert await eventually(lambda: listed.first("opened")) == listed.origin
        listed.orders.put({"send": SUBSCRIBE})
        await eventually(lambda: [it for it in listed.saw if it.get("message", {}).get("correlation_id") == "s1"])
        await producer.publish(WorkflowStarted(workflow_id="wf", adapter="local"))
        await eventually(lambda: [it for it in listed.saw if it.get("message", {}).get("event") == "workflow.started"])

        assert await eventually(lambda: other.first("closed")) == 1006
        assert other.first("opened") is None
        assert other.first("message") is None


async def test_page_of_elsewhere_is_refused_without_a_list(
    broker: EmbeddedBroker, processes: Processes, tmp_path: Path
) -> None:
    """A page that a developer visits reads nothing of the edge on this machine: not by its address, nor by a name.

    The name is the page's own, which its owner made lead here (DNS rebinding). The control: a page of this machine.
    """
    [(_, port)] = processes.edges("mahavishnu", broker.url)
    with ExitStack() as stack:
        visited, rebound = (stack.enter_context(Page("evil.example").served()) for _ in range(2))
        own = stack.enter_context(Page().served())
        visited.open(processes, port, tmp_path / "visited")
        rebound.open(processes, port, tmp_path / "rebound", edge_host="evil.example")
        own.open(processes, port, tmp_path / "own")
        assert await eventually(lambda: own.first("opened")) == own.origin
        for page in (visited, rebound):
            assert await eventually(partial(page.first, "closed")) == 1006
            assert page.first("opened") is None
