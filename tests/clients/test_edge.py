"""The client at a real edge with a real Redis."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from bus.channel import Channel
from bus.service import Service
from clients import Dismissed, Gap, Interrupted, Received, Recovered, Refused, Unreachable, Value, connect
from clients.settings import ClientSettings
from edges import Edge, EdgeSettings
from producers import Producer
from producers.services import excalidraw, mahavishnu, session_buddy
from producers.services.mahavishnu import SERVICE, WorkflowStageCompleted, WorkflowStarted
from tests.clients.fake_edge import Waiting, eventually, fake_edge, take

HTTP_STATUSES = {404: Dismissed, 503: Unreachable}


@asynccontextmanager
async def running(broker: EmbeddedBroker, service: object = SERVICE, port: int = 0) -> AsyncIterator[Edge]:
    settings = EdgeSettings(port=port, redis_url=broker.url)
    async with Edge(service, settings) as edge:  # type: ignore[arg-type]
        await eventually(lambda: edge.not_ready() is None)
        yield edge


async def test_events_and_requests_are_typed(broker: EmbeddedBroker, producer: Producer) -> None:
    """From a producer's model to the same model at the client, and an answer folded from the log."""
    event = WorkflowStarted(workflow_id="1", adapter="local")
    async with running(broker) as edge, connect(f"ws://127.0.0.1:{edge.port}", service=SERVICE) as client:
        async with client.subscribe("workflow:1") as one, client.subscribe("global") as both:
            published = await producer.publish(event)
            [here], [there] = await take(one), await take(both)
        assert isinstance(here, Received)
        assert isinstance(there, Received)
        assert here.model == there.model == event
        assert here.id == there.id == published.id
        assert {here.channel: here.position, there.channel: there.position} == published.positions
        status = await client.request("get_workflow_status", workflow_id="1")
        assert (type(status), status.status) == (mahavishnu.WorkflowStatus, "running")
        with pytest.raises(Refused, match="workflow_id"):
            await client.request("get_workflow_status")


async def test_client_without_the_code_asks_what_there_is(broker: EmbeddedBroker) -> None:
    """The edge's catalogue says by which names to subscribe, and which requests there are."""
    async with running(broker) as edge, connect(f"ws://127.0.0.1:{edge.port}") as client:
        found = await client.services()
    assert found["name"] == "mahavishnu"
    assert "workflow:{workflow_id}" in [it["pattern"] for it in found["channels"]]
    assert "get_pool_status" in [it["request"] for it in found["requests"]]


async def test_restarted_edge_is_resumed_without_loss(broker: EmbeddedBroker, producer: Producer) -> None:
    """What is published while there is no edge reaches the client from the log, once and in order."""
    waiting = Waiting()
    waiting.is_held = True
    async with running(broker) as edge:
        port = edge.port
        client = connect(f"ws://127.0.0.1:{port}", service=SERVICE, settings=waiting.settings())
        await client.__aenter__()
        events = client.subscribe("workflow:1")
        await events.joined()
        await producer.publish(WorkflowStarted(workflow_id="1"))
        [first] = await take(events)
    sleeper = await waiting.sleeper()
    for name in ("a", "b"):
        await producer.publish(WorkflowStageCompleted(workflow_id="1", stage_name=name, result={}))
    async with running(broker, port=port):
        waiting.is_held = False
        sleeper.set()
        values = await take(events, 4)
        await client.close()
    assert isinstance(first, Received)
    assert isinstance(values[0], Interrupted)
    assert values[1] == Recovered("workflow:1", 2)
    assert [value.model.stage_name for value in values[2:]] == ["a", "b"]  # type: ignore[union-attr]
    assert events.position == values[3].position  # type: ignore[union-attr]


async def test_advice_of_a_drained_edge_is_followed(broker: EmbeddedBroker, producer: Producer) -> None:
    """The client stays away for as long as the leaving edge said, and lacks nothing when it is back."""
    waiting = Waiting()
    waiting.is_held = True
    settings = EdgeSettings(port=0, redis_url=broker.url, drain_notice_s=0.0, drain_window_s=0.3)
    async with Edge(SERVICE, settings) as edge:
        await eventually(lambda: edge.not_ready() is None)
        port = edge.port
        client = connect(f"ws://127.0.0.1:{port}", service=SERVICE, settings=waiting.settings())
        await client.__aenter__()
        events = client.subscribe("workflow:1")
        await events.joined()
        await edge.drain()
    sleeper = await waiting.sleeper()
    await producer.publish(WorkflowStarted(workflow_id="1"))
    async with running(broker, port=port):
        waiting.is_held = False
        sleeper.set()
        values = await take(events, 3)
        await client.close()
    assert waiting.slept[0] == pytest.approx(0.3, abs=0.002)
    assert [type(value) for value in values] == [Interrupted, Recovered, Received]


async def test_past_is_replayed_by_span_position_and_number(broker: EmbeddedBroker, producer: Producer) -> None:
    """All three ways into the past end in the present."""
    for name in ("a", "b", "c"):
        await producer.publish(WorkflowStageCompleted(workflow_id="1", stage_name=name, result={}))
    async with running(broker) as edge, connect(f"ws://127.0.0.1:{edge.port}", service=SERVICE) as client:
        async with client.subscribe("workflow:1", since="-15m") as events:
            values = await take(events, 4)
        position = values[2].position  # type: ignore[union-attr]
        async with client.subscribe("workflow:1", since=position) as events:
            assert await take(events, 2) == [Recovered("workflow:1", 1), values[3]]
        async with client.subscribe("workflow:1", last=2) as events:
            assert await take(events, 3) == [Recovered("workflow:1", 2), *values[2:]]
        async with client.subscribe("workflow:1", since="1-1") as events:
            gap, *rest = await take(events, 4)
        assert isinstance(gap, Gap)
        assert (gap.after, gap.reason, rest) == ("1-1", "unknown", values[1:])


async def test_slow_caller_gets_everything_from_the_log(broker: EmbeddedBroker, producer: Producer) -> None:
    """A caller who falls behind its queue again and again still has every event once and in order."""
    settings = ClientSettings(queue_limit=32)
    async with running(broker) as edge, connect(f"ws://127.0.0.1:{edge.port}", settings=settings) as client:
        async with client.subscribe("workflow:1") as events:
            for number in range(200):
                name = str(number)
                await producer.publish(WorkflowStageCompleted(workflow_id="1", stage_name=name, result={}))
            names: list[str] = []
            slow = 0
            while len(names) < 200:
                [value] = await take(events)
                assert not isinstance(value, Gap)
                slow += isinstance(value, Interrupted)
                if isinstance(value, Received):
                    names.append(value.data["stage_name"])
        assert names == [str(number) for number in range(200)]
        assert slow > 1


async def test_live_and_latest_channels(broker: EmbeddedBroker, producer: Producer) -> None:
    """A live channel has events without positions; a latest one shows its last value to a newcomer."""
    await producer.publish(session_buddy.MetricsUpdate(top_skills=[], anomalies=[]))
    async with (
        running(broker, session_buddy.SERVICE) as buddy,
        connect(f"ws://127.0.0.1:{buddy.port}", service=session_buddy.SERVICE) as client,
        client.subscribe("skills") as events,
    ):
        [value] = await take(events)
        assert isinstance(value, Received)
        assert isinstance(value.model, session_buddy.MetricsUpdate)
    async with (
        running(broker, excalidraw.SERVICE) as edge,
        connect(f"ws://127.0.0.1:{edge.port}", service=excalidraw.SERVICE) as client,
        client.subscribe("cursor:d") as events,
    ):
        await excalidraw.Excalidraw(producer).broadcast_cursor_moved("d", "u", {"x": 1, "y": 2})
        [value] = await take(events)
        assert isinstance(value, Received)
        assert value.position is None


@pytest.mark.parametrize("status", [404, 503])
async def test_handshake_that_is_refused(status: int) -> None:
    """An address that will never be an edge's is told apart from one that is not ready."""
    async with fake_edge(status=status) as edge:
        with pytest.raises(HTTP_STATUSES[status], match=str(status)):
            await connect(edge.url).__aenter__()


async def test_gap_stands_where_the_events_are_gone(broker: EmbeddedBroker, producer: Producer) -> None:
    """A log that lost events behind the second: the client that comes from the first is told so after the second."""
    at = {number: await stage(producer, number) for number in (1, 2, 5)}
    async with Redis.from_url(broker.url) as redis:
        await redis.zadd(mahavishnu.WORKFLOW.fill("1").forks_key, {at[2]: int(at[5].partition("-")[0])})
    async with running(broker) as edge, connect(f"ws://127.0.0.1:{edge.port}") as client:
        values = await take(client.subscribe("workflow:1", since=at[1]), 4)
    recovered, second, gap, fifth = values
    assert (recovered, gap) == (Recovered("workflow:1", 2), Gap("workflow:1", at[2], at[5], "diverged"))
    assert [value.position for value in (second, fifth) if isinstance(value, Received)] == [at[2], at[5]]


async def stage(producer: Producer, number: int) -> str:
    """Publish an event of one workflow; return its position."""
    published = await producer.publish(WorkflowStageCompleted(workflow_id="1", stage_name=str(number), result={}))
    return published.positions["workflow:1"] or ""


@pytest.mark.parametrize("service", [session_buddy.SERVICE, None])
@pytest.mark.parametrize("is_away", [False, True])
async def test_latest_value_that_is_gone_is_replaced(
    broker: EmbeddedBroker, producer: Producer, service: Service | None, is_away: bool
) -> None:
    """A replica took over that lacks the newest value: the client is shown the one before it again, behind a gap.

    So nobody stays with a value that nobody else has: neither who was there nor who was away meanwhile.
    """
    waiting, skills = Waiting(), session_buddy.SKILLS.fill()
    waiting.is_held = True
    async with (
        Redis.from_url(broker.url) as redis,
        running(broker, session_buddy.SERVICE) as edge,
        connect(f"ws://127.0.0.1:{edge.port}", service=service, settings=waiting.settings()) as client,
        client.subscribe("skills") as events,
    ):
        older = await metrics(producer)
        dump = await redis.dump(skills.log_key) or b""
        newer = await metrics(producer)
        assert positions(await take(events, 2)) == [older, newer]
        if is_away:
            client._connections.current._websocket.transport.abort()  # type: ignore[union-attr]  # noqa: SLF001 (as a network would)
            sleeper = await waiting.sleeper()
        await lose(redis, skills, dump)
        await eventually(lambda: edge._parts.subscriber.statistics().generation == 2)  # noqa: SLF001 (nothing else tells)
        await eventually(lambda: edge.not_ready() is None)
        if is_away:
            sleeper.set()
        values = await take(events)
        while not isinstance(values[-1], Received):
            values += await take(events)
    assert [value for value in values if isinstance(value, Gap)] == [Gap("skills", newer, older, "diverged")]
    assert positions(values[-1:]) == [older]


async def lose(redis: Redis, channel: Channel, dump: bytes) -> None:
    """Let a log be again what it was, and cut the link of the edge."""
    async with redis.pipeline(transaction=True) as pipeline:
        pipeline.delete(channel.log_key)
        pipeline.restore(channel.log_key, 0, dump)
        pipeline.client_kill_filter(_type="pubsub")
        await pipeline.execute()


async def metrics(producer: Producer) -> str:
    """Publish a value of a latest channel; return its position."""
    published = await producer.publish(session_buddy.MetricsUpdate(top_skills=[], anomalies=[]))
    return published.positions["skills"] or ""


def positions(values: list[Value]) -> list[str | None]:
    return [value.position for value in values if isinstance(value, Received)]
