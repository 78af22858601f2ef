"""What cannot be sent fails by itself, where it was asked for; nobody else's subscription notices."""

import asyncio
from typing import Any

import pytest

from bus.broker.embedded import EmbeddedBroker
from clients import AuthenticationFailed, ClientError, Received, Recovered, Unsendable, connect
from edges import Edge, EdgeSettings
from producers import Producer
from producers.services.mahavishnu import SERVICE, WorkflowStarted
from tests.clients.fake_edge import CHANNEL, Waiting, eventually, fake_edge, short, take

HALF = "workflow:\ud83d"
ODD: list[tuple[str, dict[str, Any]]] = [(HALF, {}), (CHANNEL, {"last": 2**70}), (CHANNEL, {"since": "\udc00"})]


@pytest.mark.parametrize(("channel", "start"), ODD)
async def test_subscription_that_cannot_be_sent_is_none(channel: str, start: dict[str, Any]) -> None:
    """The call raises, by a name and as a ValueError; on the next connection only the others are asked for."""
    async with fake_edge() as edge, connect(edge.url, settings=Waiting().settings()) as client:
        talk = await edge.accept()
        healthy = client.subscribe("pool:1")
        await talk.joins(0)
        with pytest.raises(Unsendable) as unsendable:
            client.subscribe(channel, **start)
        assert isinstance(unsendable.value, ValueError)
        assert isinstance(unsendable.value, ClientError)
        assert client.statistics().subscriptions == 1
        await talk.cut()
        talk = await edge.accept()
        assert (await talk.resumes(0, 0))["channel"] == "pool:1"
        assert (await take(healthy, 2))[1] == Recovered("pool:1", 0)


@pytest.mark.parametrize("data", [{"a": "\ud83d"}, {"\ud83d": 1}, {"a": 2**70}, {"a": object()}, {1: 2}])
async def test_request_that_cannot_be_sent_raises(data: Any) -> None:
    """As an error of the client, and as the TypeError that it was."""
    async with fake_edge() as edge, connect(edge.url) as client:
        talk = await edge.accept()
        for error in (Unsendable, TypeError):
            with pytest.raises(error, match="get_pool_status"):
                await client.request("get_pool_status", data)
        events = client.subscribe(CHANNEL)
        await talk.joins(0)
        await talk.event(1)
        assert short(await take(events)) == [1]


async def test_message_over_the_limit_fails_alone(broker: EmbeddedBroker, producer: Producer) -> None:
    """What an edge takes by default is known: nothing is sent, the connection goes on."""
    async with Edge(SERVICE, EdgeSettings(port=0, redis_url=broker.url)) as edge:
        await eventually(lambda: edge.not_ready() is None)
        async with connect(f"ws://127.0.0.1:{edge.port}") as client, client.subscribe("workflow:1") as events:
            with pytest.raises(Unsendable, match="65536"):
                await client.request("get_pool_status", pool_id="x" * 70_000)
            with pytest.raises(Unsendable):
                await take(client.subscribe("workflow:" + "x" * 70_000))
            await producer.publish(WorkflowStarted(workflow_id="1"))
            [event] = await take(events)
            assert isinstance(event, Received)
            assert client.statistics().connections == 1


async def test_stricter_edge_is_believed(broker: EmbeddedBroker, producer: Producer) -> None:
    """An edge that takes less closes at what is too long for it: that fails alone, the others go on where they were.

    From then on the client knows, and sends no such message any more.
    """
    async with Edge(SERVICE, EdgeSettings(port=0, redis_url=broker.url, max_message_bytes=1_024)) as edge:
        await eventually(lambda: edge.not_ready() is None)
        client = connect(f"ws://127.0.0.1:{edge.port}", settings=Waiting().settings())
        async with client, client.subscribe("workflow:1") as events:
            with pytest.raises(Unsendable, match="max_message_bytes"):
                await client.request("get_pool_status", pool_id="x" * 2_000)
            await producer.publish(WorkflowStarted(workflow_id="1"))
            values = await take(events, 3)
            assert isinstance(values[1], Recovered)
            assert isinstance(values[2], Received)
            with pytest.raises(Unsendable):
                await client.request("get_pool_status", pool_id="x" * 2_000)
            assert client.statistics().connections == 2


@pytest.mark.parametrize("token", ["\ud83d", "x" * 70_000])
async def test_token_that_cannot_be_sent_fails_the_first_connection(token: str) -> None:
    """It is the caller's to mend."""
    async with fake_edge() as edge:
        with pytest.raises(Unsendable, match="auth"):
            await connect(edge.url, token=token, retry_first=True).__aenter__()
        await (await edge.accept()).gone()


async def test_token_that_is_too_long_for_the_edge_is_refused(broker: EmbeddedBroker) -> None:
    """A close for its length is about the token, when nothing else was said."""
    settings = EdgeSettings(port=0, redis_url=broker.url, max_message_bytes=1_024)
    async with Edge(SERVICE, settings) as edge:
        with pytest.raises(AuthenticationFailed, match="longer than the edge takes"):
            await connect(f"ws://127.0.0.1:{edge.port}", token="x" * 2_000).__aenter__()


@pytest.mark.parametrize("bad", ["\ud83d", "x" * 70_000])
async def test_token_of_a_function_that_cannot_be_sent_is_a_failed_attempt(bad: str) -> None:
    """A later one may be; neither a renewal nor a reconnection ends the client."""
    tokens = iter(["t1", bad, bad, "t2"])
    waiting = Waiting()
    async with fake_edge() as edge:
        client = connect(edge.url, token=lambda: next(tokens), settings=waiting.settings())
        opening = asyncio.create_task(client.__aenter__())
        talk = await edge.accept()
        await talk.reply(await talk.asked("auth"), status="authenticated")
        await opening
        events = client.subscribe(CHANNEL)
        await talk.joins(0)
        await talk.notice("auth.expiring", expires_in_ms=0)
        await talk.event(1)
        assert short(await take(events)) == [1]
        await talk.cut()
        await (await edge.accept()).gone()
        talk = await edge.accept()
        await talk.reply(await talk.asked("auth"), status="authenticated")
        await talk.resumes(1, 0)
        assert (await take(events, 2))[1] == Recovered(CHANNEL, 0)
        await client.close()
