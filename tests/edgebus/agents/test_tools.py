"""The tools of ``edgebus mcp``, called by the package's own client."""

import asyncio
import functools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

import orjson
import pytest
from mcp import Client
from redis.asyncio import Redis

from bus.admin.operator import Operator
from bus.admin.values import ClientInfo, EdgeEntry, Page, RoomRow
from bus.broker.embedded import EmbeddedBroker
from bus.errors import BusUnavailable
from bus.log.log import Log
from clients import connect
from edgebus.agents.bounds import ANSWER_BYTES, fitting
from edgebus.agents.bus_tools import BusTools
from edgebus.agents.ecosystem import Ecosystem
from edgebus.agents.server import server_of, with_tools
from edgebus.agents.watching import Listening
from edgebus.catalogue import all_services
from edges import Edge, EdgeSettings
from producers import CapturingProducer, Producer
from producers.services.mahavishnu import SERVICE, WorkflowStarted

EDGE = EdgeEntry(
    "mahavishnu-h-8690-1-a",
    "mahavishnu",
    host="h",
    port=8690,
    connections=2,
    max_connections=10,
    rooms=2,
    ready="yes",
    started=1,
    events_in=7,
    deliveries=14,
)
ROOMS = (RoomRow("workflow:wf_1", 2), RoomRow("global", 1))
CLIENTS = (
    ClientInfo("c1", EDGE.id, rooms=("workflow:wf_1", "global")),
    ClientInfo("c2", EDGE.id, rooms=("workflow:wf_1",)),
)
NOWHERE = "redis://127.0.0.1:1"
READS = {
    "websocket_health_check",
    "websocket_get_status",
    "websocket_list_rooms",
    "websocket_get_metrics",
    "websocket_broadcast_test_event",
    "edges",
    "rooms",
    "clients",
    "services",
    "history",
    "listen",
    "doctor",
    "trace",
}


class FakeOperator:
    """Edges without Redis."""

    def __init__(self, *edges: EdgeEntry) -> None:
        self._edges = edges
        self.asked: list[dict[str, Any]] = []

    async def edges(self, service: str | None = None) -> list[EdgeEntry]:
        return [it for it in self._edges if service in (None, it.service)]

    async def rooms(self, edge_ids: Any = None, **wanted: Any) -> Page[RoomRow]:
        self.asked.append(wanted)
        return Page(tuple(it for it in ROOMS if it.channel.startswith(wanted.get("prefix", ""))), cursor="more")

    async def clients(self, edge_ids: Any = None, **wanted: Any) -> Page[ClientInfo]:
        self.asked.append(wanted)
        return Page(CLIENTS, silent=("dead",))


class AwayOperator(FakeOperator):
    """Redis is away."""

    async def edges(self, service: str | None = None) -> list[EdgeEntry]:
        raise BusUnavailable("Redis is away " + "x" * 5_000)


@asynccontextmanager
async def tools_of(operator: Any, producer: Any = None) -> AsyncIterator[Client]:
    services = all_services()
    async with Log(NOWHERE, name="test") as log:
        tools = BusTools(NOWHERE, cast(Operator, operator), log, Listening(NOWHERE), producer, services)
        ecosystem = Ecosystem(cast(Operator, operator), producer, services)
        async with Client(with_tools(ecosystem, tools, allow_publish=producer is not None)) as client:
            yield client


async def answer(client: Client, tool: str, **arguments: Any) -> Any:
    told = await client.call_tool(tool, arguments)
    assert not told.is_error, told.content
    return told.structured_content


async def refusal(client: Client, tool: str, **arguments: Any) -> str:
    told = await client.call_tool(tool, arguments)
    assert told.is_error, told.structured_content
    return str(getattr(told.content[0], "text", ""))


async def test_tools_have_the_ecosystems_names() -> None:
    """The five names are there, each with a sentence; those that only read say so, and none publishes unasked."""
    async with tools_of(FakeOperator(EDGE)) as client:
        tools = {it.name: it for it in (await client.list_tools()).tools}
    assert tools.keys() == READS
    assert all(it.description for it in tools.values())
    reads = {name for name, it in tools.items() if it.annotations is not None and it.annotations.read_only_hint}
    assert reads == READS - {"websocket_broadcast_test_event"}


async def test_health_check_has_the_old_keys() -> None:
    """Of one service as the old tool had it, and of all with each service's own."""
    async with tools_of(FakeOperator(EDGE)) as client:
        one = await answer(client, "websocket_health_check", service="mahavishnu")
        every = await answer(client, "websocket_health_check")
        none = await answer(client, "websocket_health_check", service="akosha")
    assert one.items() >= {"status": "healthy", "host": "h", "port": 8690, "connections": 2, "rooms": 2}.items()
    assert every["services"]["mahavishnu"]["status"] == every["status"] == "healthy"
    assert (none["status"], none["connections"], none["rooms"]) == ("stopped", 0, 0)


async def test_status_names_clients_and_rooms() -> None:
    """Ids of connections, rooms with their subscribers, and totals."""
    async with tools_of(FakeOperator(EDGE)) as client:
        told = await answer(client, "websocket_get_status", service="mahavishnu")
        none = await answer(client, "websocket_get_status", service="akosha")
    assert told == {
        "server": {"status": "running", "server": "mahavishnu", "host": "h", "port": 8690, "edges": 1},
        "connections": ["c1", "c2"],
        "rooms": {
            "workflow:wf_1": {"subscribers": 2, "connection_ids": ["c1", "c2"]},
            "global": {"subscribers": 1, "connection_ids": ["c1"]},
        },
        "total_connections": 2,
        "total_rooms": 2,
    }
    assert none == {"server": {"status": "not_running"}, "connections": [], "rooms": {}}


async def test_rooms_and_metrics_have_the_old_keys() -> None:
    """Subscribers by room, and the counters of the old tool with figures behind them."""
    async with tools_of(FakeOperator(EDGE)) as client:
        rooms = await answer(client, "websocket_list_rooms")
        none = await answer(client, "websocket_list_rooms", service="akosha")
        metrics = await answer(client, "websocket_get_metrics", service="mahavishnu")
    assert rooms["rooms"] == {"workflow:wf_1": {"subscribers": 2}, "global": {"subscribers": 1}}
    assert (rooms["total_rooms"], rooms["is_complete"]) == (2, False)
    assert none == {"rooms": {}, "total_rooms": 0, "is_complete": True}
    assert metrics.items() >= {"total_broadcasts": 7, "total_deliveries": 14, "current_connections": 2}.items()
    assert metrics["uptime_seconds"] > 0


async def test_test_event_is_published_where_it_was_allowed() -> None:
    """On the room's channel, with the caller's data, and how many are there to see it."""
    async with CapturingProducer() as producer, tools_of(FakeOperator(EDGE), producer) as client:
        told = await answer(client, "websocket_broadcast_test_event", room="workflow:wf_1", data={"n": 1})
        also = await answer(
            client, "websocket_broadcast_test_event", channel="workflow:wf_1", event_type="workflow.started"
        )
        assert (await refusal(client, "websocket_broadcast_test_event")).endswith(
            "name the room, such as workflow:wf_123"
        )
        assert "several services" in await refusal(client, "websocket_broadcast_test_event", room="global")
        assert "edge's own" in await refusal(
            client, "websocket_broadcast_test_event", room="workflow:wf_1", event_type="room.gap"
        )
        lines = [orjson.loads(it) for it in producer.lines["workflow:wf_1"]]
    assert told.items() >= {"status": "broadcasted", "room": "workflow:wf_1", "subscribers": 2}.items()
    assert [it["event"] for it in lines] == ["test.event", also["event_type"]]
    assert lines[0]["data"].items() >= {"test": True, "n": 1}.items()


async def test_nothing_is_published_unasked() -> None:
    """The ecosystem's tool says how to allow it, and there is no other that writes."""
    async with tools_of(FakeOperator(EDGE)) as client:
        assert "--allow-publish" in await refusal(client, "websocket_broadcast_test_event", room="workflow:wf_1")
        assert "publish" not in {it.name for it in (await client.list_tools()).tools}


async def test_publish_validates_as_the_command_does() -> None:
    """An event that is not valid is named field by field, and a valid one is on its channels."""
    async with CapturingProducer() as producer, tools_of(FakeOperator(EDGE), producer) as client:
        told = await answer(
            client, "publish", event="workflow.started", data={"workflow_id": "wf_1", "adapter": "local"}
        )
        assert set(told["positions"]) == {"workflow:wf_1", "global"}
        assert "workflow_id: Field required" in await refusal(client, "publish", event="workflow.started", data={})
        assert "did you mean workflow.started?" in await refusal(client, "publish", event="workflow.startd", data={})
        assert len(producer.events) == 1


async def test_lists_come_in_pages() -> None:
    """Filters and cursor go to the edges, and who did not answer is named."""
    operator = FakeOperator(EDGE)
    async with tools_of(operator) as client:
        rooms = await answer(client, "rooms", prefix="work", by="rate", limit=5, cursor="c")
        clients = await answer(client, "clients", room="workflow:wf_1", slow=True)
        edges = await answer(client, "edges")
    assert operator.asked[0] == {"by": "rate", "prefix": "work", "limit": 5, "cursor": "c"}
    assert operator.asked[1].items() >= {"room": "workflow:wf_1", "slow": True, "limit": 100}.items()
    assert ([it["channel"] for it in rooms["rooms"]], rooms["cursor"]) == (["workflow:wf_1"], "more")
    assert ([it["id"] for it in clients["clients"]], clients["silent"]) == (["c1", "c2"], ["dead"])
    assert [it["id"] for it in edges["edges"]] == [EDGE.id]


@pytest.mark.parametrize(
    ("tool", "arguments", "sentence"),
    [
        ("history", {}, "Field required"),
        ("history", {"channel": "__keyspace@0__:x"}, "is a channel of no service at hand"),
        ("history", {"channel": "workflow:wf_1", "count": 0}, "greater than or equal to 1"),
        ("history", {"channel": "workflow:wf_1", "count": 501}, "less than or equal to 500"),
        ("history", {"channel": "w" * 301}, "at most 300 characters"),
        ("history", {"channel": ["workflow"]}, "valid string"),
        ("history", {"channel": "workflow:wf_1"}, "edgebus broker"),
        ("listen", {"channel": "bus:admin:x"}, "is a channel of no service at hand"),
        ("listen", {"channel": "workflow:wf_1", "seconds": 61}, "less than or equal to 60"),
        ("listen", {"channel": "workflow:wf_1", "seconds": -1}, "greater than 0"),
        ("listen", {"channel": "global"}, "say which"),
        ("rooms", {"by": "size"}, "'members', 'rate' or 'name'"),
        ("rooms", {"cursor": "x" * 100_001}, "at most 100000 characters"),
        ("websocket_get_status", {"service": "nope"}, "give one of mahavishnu"),
        ("trace", {"event_id": "x" * 129}, "at most 128 characters"),
        ("nope", {}, "Unknown tool"),
    ],
)
async def test_wrong_call_gets_a_sentence(tool: str, arguments: Mapping[str, Any], sentence: str) -> None:
    """An agent's mistake, or a Redis that is away, is an error to read: of bounded length, and without a traceback."""
    async with tools_of(FakeOperator()) as client:
        told = await refusal(client, tool, **arguments)
    assert sentence in told
    assert "Traceback" not in told
    assert len(told) < 1_500


async def test_redis_away_is_told_by_every_tool() -> None:
    """The health check answers so, as the old one did; the others are errors, cut to a length for reading."""
    async with tools_of(AwayOperator()) as client:
        assert (await answer(client, "websocket_health_check"))["status"] == "error"
        for tool in ("websocket_get_status", "websocket_list_rooms", "websocket_get_metrics", "edges"):
            told = await refusal(client, tool)
            assert "Redis is away" in told
            assert len(told) < 1_100


def test_answers_are_of_bounded_size() -> None:
    """As many rows as fit, and one at least, so that no answer is empty without need."""
    row = "x" * (ANSWER_BYTES // 4)
    assert fitting([row] * 10) == [row] * 3
    assert fitting(["x" * 2 * ANSWER_BYTES, "y"]) == ["x" * 2 * ANSWER_BYTES]


async def test_history_and_listen_on_a_real_redis(broker: EmbeddedBroker) -> None:
    """What was and what comes, typed lines and all, each with its end."""
    event = functools.partial(WorkflowStarted, workflow_id="wf_1")
    async with (
        Producer(broker.url) as producer,
        Redis.from_url(broker.url) as redis,
        server_of(broker.url, all_services()) as server,
        Client(server) as client,
    ):
        for adapter in ("a", "b", "c"):
            await producer.publish(event(adapter=adapter))
        past = await answer(client, "history", channel="workflow:wf_1", count=2)
        assert [it["data"]["adapter"] for it in past["events"]] == ["b", "c"]
        assert "of no service at hand" in await refusal(client, "history", channel="nothing:here")
        assert (await answer(client, "trace"))["events"] == []
        assert "only of sampled events" in await refusal(client, "trace", event_id="e")
        await redis.hset("bus:trace:e", mapping={"event": "workflow.started"})
        assert [it["event"] for it in (await answer(client, "trace", event_id="e"))["events"]] == ["workflow.started"]

        listening = asyncio.create_task(answer(client, "listen", channel="workflow:wf_1", events=2, seconds=30))
        while not dict(await redis.pubsub_numsub("workflow:wf_1"))[b"workflow:wf_1"]:
            await asyncio.sleep(0)
        await redis.publish("workflow:wf_1", b"hello")
        await redis.publish("workflow:wf_1", b'{"event":"note","data":{}}')
        await producer.publish(event(adapter="d"))
        await producer.publish(event(adapter="e"))
        heard = await listening
        assert [it["event"] for it in heard["events"]] == ["note", "workflow.started"]
        assert (heard["ended_by"], heard["unreadable"]) == ("events", 1)
        nothing = await answer(client, "listen", channel="workflow:wf_2", seconds=0.01)
        assert (nothing["events"], nothing["ended_by"]) == ([], "seconds")


async def test_tools_see_real_edges(broker: EmbeddedBroker) -> None:
    """Two replicas with a client each: rooms over both, clients of a room, and totals."""
    settings = EdgeSettings(port=0, redis_url=broker.url)
    async with (
        Edge(SERVICE, settings) as one,
        Edge(SERVICE, settings) as other,
        connect(f"ws://127.0.0.1:{one.port}") as first,
        connect(f"ws://127.0.0.1:{other.port}") as second,
        server_of(broker.url, all_services(), allow_publish=True) as server,
        Client(server) as client,
    ):
        rooms = {"workflow:wf_1": {"subscribers": 2}, "global": {"subscribers": 1}}
        async with first.subscribe("workflow:wf_1"), second.subscribe("workflow:wf_1"), second.subscribe("global"):
            async with asyncio.timeout(20):
                while (await answer(client, "websocket_list_rooms", service="mahavishnu"))["rooms"] != rooms:
                    await asyncio.sleep(0)
            status = await answer(client, "websocket_get_status", service="mahavishnu")
            members = await answer(client, "clients", room="global")
            sent = await answer(client, "websocket_broadcast_test_event", room="mahavishnu/global")
    assert (status["server"]["status"], status["server"]["edges"]) == ("running", 2)
    assert len(status["connections"]) == 2
    assert sorted(status["rooms"]["workflow:wf_1"]["connection_ids"]) == sorted(status["connections"])
    assert [it["rooms_count"] for it in members["clients"]] == [2]
    assert (sent["status"], sent["subscribers"]) == ("broadcasted", 1)


async def test_doctor_says_what_the_command_says() -> None:
    """A Redis out of reach is a finding too, with the line to type."""
    async with tools_of(FakeOperator()) as client:
        told = await answer(client, "doctor")
    assert (told["level"], told["is_reached"]) == ("fail", False)
    (finding,) = told["findings"]
    assert (finding["level"], bool(finding["text"]), bool(finding["fix"])) == ("fail", True, True)


async def test_only_so_many_listen_at_once(broker: EmbeddedBroker) -> None:
    """A call beyond the bound is refused, and one that was cancelled makes room."""
    listening = Listening(broker.url)
    channel = all_services()[0].channel("workflow:wf_1")
    calls = [asyncio.create_task(listening.listen(channel, seconds=60, events=1)) for _ in range(16)]
    await asyncio.sleep(0)
    with pytest.raises(Exception, match="16 calls of listen are under way"):
        await listening.listen(channel, seconds=1, events=1)
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    assert (await listening.listen(channel, seconds=0.01, events=1))["ended_by"] == "seconds"
