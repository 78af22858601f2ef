"""The flat dialect and the envelope on one port, against a real Redis."""

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from edges import Edge
from producers import Producer
from producers.services.session_buddy import SERVICE, SessionBuddy
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import NINE_KEYS, eventually
from tests.ports import free_port

LATER_MS = 60_000
Buddy = SessionBuddy[Any, Any, Any]


def skill(name: str, invocations: int = 1) -> dict[str, Any]:
    """Return the figures of one skill."""
    return {"skill_name": name, "total_invocations": invocations, "completion_rate": 50.0, "avg_duration_seconds": 0.5}


@pytest.fixture
async def edge(broker: EmbeddedBroker, start_edge: StartEdge) -> Edge:
    """Lend session-buddy's edge; the silent are welcomed soon."""
    return await start_edge(broker, SERVICE, welcome_delay_ms=20)


@pytest.fixture
async def patient(broker: EmbeddedBroker, start_edge: StartEdge) -> Edge:
    """Lend session-buddy's edge; the silent are not welcomed during a test."""
    return await start_edge(broker, SERVICE, welcome_delay_ms=LATER_MS)


@pytest.fixture
def buddy(producer: Producer) -> Buddy:
    """Lend the broadcaster."""
    return SessionBuddy(producer)


async def in_rooms(redis: Redis, *channels: str) -> None:
    """Wait until the edge watches exactly these channels."""
    await eventually(lambda: _watches(redis, {channel.encode() for channel in channels}))


async def _watches(redis: Redis, channels: set[bytes]) -> bool:
    names = {bytes(name) for name in await redis.pubsub_channels()}  # type: ignore[arg-type]
    return {name for name in names if not name.startswith(b"bus:")} == channels


async def test_silent_client_is_connected_then_gets_all_skills(
    edge: Edge, open_client: OpenClient, buddy: Buddy, redis: Redis
) -> None:
    """A client that says nothing gets `connected` before anything else, then the metrics of all skills."""
    client = await open_client(edge)
    connected = await client.message()
    assert connected.pop("timestamp")
    assert connected == {
        "type": "connected",
        "message": "Connected to Session-Buddy real-time metrics",
        "authenticated": False,
    }
    await in_rooms(redis, "skills")
    await buddy.broadcast_metrics([skill("a", 3), skill("b", 5)], [])
    update = await client.message()
    assert update.keys() == {"type", "timestamp", "data"}
    assert update["type"] == "metrics_update"
    assert update["data"] == {"top_skills": [skill("b", 5), skill("a", 3)], "anomalies": []}


async def test_newcomer_is_shown_the_latest(edge: Edge, open_client: OpenClient, buddy: Buddy) -> None:
    """A newcomer is shown the last metrics, once."""
    await buddy.broadcast_metrics([skill("a")], [])
    client = await open_client(edge)
    assert [(await client.message())["type"] for _ in range(2)] == ["connected", "metrics_update"]
    client.send({"type": "ping"})
    assert await client.message() == {"type": "pong"}


@pytest.mark.parametrize(
    "first", [{"type": "subscribe", "skill": "a"}, {"type": "subscribe", "skill": None}, {"type": "unsubscribe"}]
)
async def test_flat_first_message(patient: Edge, open_client: OpenClient, first: dict[str, Any]) -> None:
    """A client that begins with a flat message gets `connected` first, then the confirmation."""
    client = await open_client(patient)
    client.send(first)
    connected, confirmed = await client.message(), await client.message()
    assert connected["type"] == "connected"
    assert confirmed.pop("timestamp")
    assert confirmed == {"type": "subscription_confirmed", "skill": first.get("skill")}


@pytest.mark.parametrize("first", [b"nonsense", b"[]", b'{"type":"dance"}', b"{}", b'{"type":5}'])
async def test_flat_first_message_wrong(patient: Edge, open_client: OpenClient, first: bytes) -> None:
    """Anything else makes a client flat: it gets `connected` before anything else, then a flat error, then metrics."""
    client = await open_client(patient)
    client.send(first)
    connected, error = await client.message(), await client.message()
    assert connected["type"] == "connected"
    assert error.keys() == {"type", "error_code", "message", "timestamp"}
    assert error["type"] == "error"


async def test_flat_one_skill_then_all(patient: Edge, open_client: OpenClient, buddy: Buddy, redis: Redis) -> None:
    """Subscribed to one skill a client gets that one alone, whatever its rank; unsubscribed it gets all again."""
    client = await open_client(patient)
    client.send({"type": "subscribe", "skill": "rare"})
    assert [(await client.message())["type"] for _ in range(2)] == ["connected", "subscription_confirmed"]
    await in_rooms(redis, "skill:rare")
    many = [skill(f"often-{number}", 100) for number in range(12)]
    await buddy.broadcast_metrics([*many, skill("rare")], [])
    assert (await client.message())["data"]["top_skills"] == [skill("rare")]
    client.send({"type": "unsubscribe"})
    confirmed, latest = await client.message(), await client.message()
    assert (confirmed["type"], confirmed["skill"]) == ("subscription_confirmed", None)
    assert len(latest["data"]["top_skills"]) == 10
    await in_rooms(redis, "skills")


async def test_flat_skill_shows_its_latest(patient: Edge, open_client: OpenClient, buddy: Buddy) -> None:
    """A skill's channel keeps its last metrics for newcomers too."""
    await buddy.broadcast_metrics([skill("a"), skill("b")], [])
    client = await open_client(patient)
    client.send({"type": "subscribe", "skill": "b"})
    messages = [await client.message() for _ in range(3)]
    assert [message["type"] for message in messages] == ["connected", "subscription_confirmed", "metrics_update"]
    assert messages[2]["data"]["top_skills"] == [skill("b")]


async def test_flat_subscribed_before_the_welcome_stays_out_of_all_skills(
    edge: Edge, open_client: OpenClient, buddy: Buddy, redis: Redis
) -> None:
    """A client that chose a skill is not put among all skills by the timer."""
    client = await open_client(edge)
    client.send({"type": "subscribe", "skill": "a"})
    assert [(await client.message())["type"] for _ in range(2)] == ["connected", "subscription_confirmed"]
    assert (await (await open_client(edge)).message())["type"] == "connected"
    await in_rooms(redis, "skills", "skill:a")
    await buddy.broadcast_metrics([skill("a"), skill("b")], [])
    assert (await client.message())["data"]["top_skills"] == [skill("a")]
    client.send({"type": "ping"})
    assert await client.message() == {"type": "pong"}


async def test_ping_decides_nothing(patient: Edge, open_client: OpenClient) -> None:
    """A ping is answered flat and decides nothing: the next message may still show the envelope."""
    client = await open_client(patient)
    client.send({"type": "ping"})
    assert await client.message() == {"type": "pong"}
    client.request("subscribe", channel="skills")
    reply, welcome = await client.message(), await client.message()
    assert reply.keys() == NINE_KEYS
    assert reply["data"]["status"] == "subscribed"
    assert welcome["event"] == "session.created"


async def test_ping_then_silence_is_connected(edge: Edge, open_client: OpenClient) -> None:
    """A client that only pinged is welcomed like a silent one."""
    client = await open_client(edge)
    client.send({"type": "ping"})
    assert [(await client.message())["type"] for _ in range(2)] == ["pong", "connected"]


@pytest.mark.parametrize(
    "first",
    [
        {"type": "ping", "id": "p"},
        {"type": "subscribe", "data": {"channel": "knowledge"}},
        {"type": "event", "event": "subscribe", "data": {"room": "knowledge"}},
        {"type": "request"},
    ],
)
async def test_envelope_first_message(patient: Edge, open_client: OpenClient, first: dict[str, Any]) -> None:
    """An event, data or id key, or type request, makes it an envelope client: reply first, then the welcome."""
    client = await open_client(patient)
    client.send(first)
    reply, welcome = await client.message(), await client.message()
    assert reply.keys() == NINE_KEYS
    assert reply["type"] in {"pong", "response", "error"}
    assert (welcome["event"], welcome["data"]["server"]) == ("session.created", "session-buddy")


async def test_envelope_after_silence_leaves_skills(
    edge: Edge, open_client: OpenClient, buddy: Buddy, redis: Redis
) -> None:
    """A client that was silent first and then speaks the envelope leaves `skills`, and is welcomed in its own words."""
    client, flat = await open_client(edge), await open_client(edge)
    for one in (client, flat):
        assert (await one.message())["type"] == "connected"
    await eventually(lambda: edge.health()["rooms"] == 1)
    client.request("ping", "p")
    pong, welcome = await client.message(), await client.message()
    assert (pong["type"], pong["correlation_id"], welcome["event"]) == ("pong", "p", "session.created")
    await buddy.broadcast_metrics([skill("a")], [])
    assert (await flat.message())["type"] == "metrics_update"
    assert await client.marked() == []


async def test_envelope_client_gets_metrics_as_they_are(patient: Edge, open_client: OpenClient, buddy: Buddy) -> None:
    """Both dialects on one port: the envelope client gets reply, welcome, latest and live events with positions."""
    await buddy.broadcast_metrics([skill("a")], [])
    client = await open_client(patient)
    client.request("subscribe", channel="skills")
    reply, welcome, latest = [await client.message() for _ in range(3)]
    assert (reply["type"], welcome["event"], latest["event"]) == ("response", "session.created", "metrics_update")
    assert latest["position"] == reply["data"]["position"]
    await buddy.broadcast_metrics([skill("b")], [])
    live = await client.message()
    assert (live["previous"], live["data"]["top_skills"]) == (latest["position"], [skill("b")])
    client.request("subscribe", channel="skills")
    assert (await client.message())["type"] == "response"
    assert await client.marked() == []


async def test_flat_client_while_redis_is_away(start_edge: StartEdge, open_client: OpenClient) -> None:
    """A flat client that came while Redis was away gets metrics once it is there, without asking again."""
    port = free_port()
    edge = await start_edge(service=SERVICE, redis_url=f"redis://127.0.0.1:{port}", welcome_delay_ms=1)
    client = await open_client(edge)
    assert (await client.message())["type"] == "connected"
    client.send({"type": "subscribe", "skill": "a"})
    assert (await client.message())["error_code"] == "UNAVAILABLE"
    with EmbeddedBroker(port=port) as broker:
        await eventually(lambda: edge.health()["rooms"] == 1, 10)
        async with Producer(broker.url) as producer:
            await SessionBuddy(producer).broadcast_metrics([skill("a")], [])
        assert (await client.message())["type"] == "metrics_update"
        await client.close()
        await edge.stop()


async def test_anomalies_and_odd_lines(edge: Edge, open_client: OpenClient, redis: Redis) -> None:
    """A hand-typed line reaches flat clients if it is metrics, and is passed over if it is not."""
    client = await open_client(edge)
    assert (await client.message())["type"] == "connected"
    await in_rooms(redis, "skills")
    await redis.publish("skills", '{"event":"other","data":{}}')
    await redis.publish("skills", '{"event":"metrics_update","data":{"top_skills":[],"anomalies":[{"a":1}]}}')
    update: dict[str, Any] = await asyncio.wait_for(client.message(), 5)
    assert update["data"] == {"top_skills": [], "anomalies": [{"a": 1}]}
