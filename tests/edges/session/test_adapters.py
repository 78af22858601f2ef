"""A distribution is complete when every agent that is present has said so, and else the others are named."""

import asyncio
from typing import Any

import pytest

from bus.broker.embedded import EmbeddedBroker
from edges import Edge
from producers import Producer
from producers.distribution import Distributed, Distributor
from producers.services.dhruva import SERVICE
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.session.test_publish import Said, publish, talk, watch
from tests.edges.signing import SECRET

AGENT = ["adapter:acknowledge", "dhruva:read"]
REPO = "fastblocks"


async def agent(edge: Edge, open_client: OpenClient, name: str) -> Said:
    """Return an agent that has joined the repository and hears of its adapters."""
    said = await talk(edge, open_client, name, AGENT)
    await watch(said, f"distribution:{REPO}")
    join = {"type": "request", "event": "join_repository", "data": {"repo": REPO}, "id": "join"}
    assert (await said.ask(join))["data"] == {"repo": REPO, "agent_id": name, "status": "joined"}
    return said


async def acknowledge(said: Said, count: int) -> None:
    for _ in range(count):
        adapter = (await said.event("adapter.distributed"))["data"]["adapter_id"]
        data = {"adapter_id": adapter, "repo": REPO}
        answer = await said.ask(publish("adapter.acknowledged", data, f"ack {adapter}"))
        assert answer["data"]["status"] == "published"


async def distribute(broker: EmbeddedBroker, adapters: Any, deadline_s: float = 20) -> Distributed:
    async with Producer(broker.url) as producer:
        return await Distributor(producer, broker.url).distribute(REPO, adapters, deadline_s=deadline_s)


@pytest.fixture
async def edges(broker: EmbeddedBroker, start_edge: StartEdge) -> list[Edge]:
    return [await start_edge(broker, SERVICE, auth_secret=SECRET) for _ in range(2)]


async def test_distribution_completes_when_every_agent_has_all(
    broker: EmbeddedBroker, edges: list[Edge], open_client: OpenClient
) -> None:
    """Agents of two replicas acknowledge; the completion has the adapters, and comes behind the last of them."""
    agents = [await agent(edge, open_client, f"agent{number}") for number, edge in enumerate(edges)]
    work = asyncio.create_task(distribute(broker, {"a": {"version": "2"}, "b": {}}))
    for one in agents:
        await acknowledge(one, 2)
    found = await work
    assert (found.is_complete, sorted(found.acknowledged), len(found.missing)) == (True, ["agent0", "agent1"], 0)
    told = (await agents[0].event("distribution.completed"))["data"]
    assert (told["repo"], told["adapters"], told["adapters_count"]) == (REPO, ["a", "b"], 2)
    status = {"type": "request", "event": "get_distribution_status", "data": {"repo": REPO}, "id": "s"}
    assert (await agents[1].ask(status))["data"]["status"] == "completed"


async def test_agent_that_says_nothing_is_named_at_the_deadline(
    broker: EmbeddedBroker, edges: list[Edge], open_client: OpenClient
) -> None:
    """The negative of completion: nothing is called complete, and the silent agent is named; old words do not count."""
    loud, silent = [await agent(edge, open_client, name) for edge, name in zip(edges, ("loud", "silent"), strict=True)]
    for said in (loud, silent):  # of a distribution before
        await said.ask(publish("adapter.acknowledged", {"adapter_id": "a", "repo": REPO}, "before"))
    work = asyncio.create_task(distribute(broker, ["a"], deadline_s=2))
    await acknowledge(loud, 1)
    found = await work
    assert (found.is_complete, sorted(found.acknowledged)) == (False, ["loud"])
    assert dict(found.missing) == {"silent": ("a",)}
    told = (await loud.event("distribution.overdue"))["data"]
    assert (told["adapters"], told["missing"]) == (["a"], ["silent"])
    assert [it["event"] for it in loud.events if it["event"] == "distribution.completed"] == []


async def test_agent_that_leaves_is_waited_for_no_more(
    broker: EmbeddedBroker, edges: list[Edge], open_client: OpenClient
) -> None:
    """Who goes away acknowledges nothing, and holds up nobody."""
    staying, going = [await agent(edge, open_client, name) for edge, name in zip(edges, ("stays", "goes"), strict=True)]
    work = asyncio.create_task(distribute(broker, ["a"]))
    await acknowledge(staying, 1)
    await going.event("adapter.distributed")
    await going.client.close()
    found = await work
    assert (found.is_complete, sorted(found.acknowledged)) == (True, ["stays"])


async def test_acknowledgement_in_the_name_of_another_is_refused(edges: list[Edge], open_client: OpenClient) -> None:
    """The agent is the token's user."""
    one = await agent(edges[0], open_client, "one")
    forged = publish("adapter.acknowledged", {"adapter_id": "a", "repo": REPO, "agent_id": "two"}, "x")
    assert (await one.ask(forged))["error_code"] == "FORBIDDEN"


async def test_distribution_of_nothing_is_refused(broker: EmbeddedBroker) -> None:
    """There is no adapter to wait for."""
    with pytest.raises(ValueError, match="distribute needs an adapter"):
        await distribute(broker, [])
