"""What overtakes a replay that goes at the client's pace, and what keeps its place, over real sockets."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Any, Final, cast

import pytest

from bus.broker.embedded import EmbeddedBroker
from edges import Edge
from edges.transport.connection import Connection
from producers import Producer
from producers.services.mahavishnu import Mahavishnu
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import Client, eventually
from tests.edges.signing import SECRET, token

EVENTS: Final = 150
ONE_READ_BYTES: Final = 256 * 1024
"""What the loop reads at most of a socket at once."""
TEXT_BYTES: Final = 20_000
"""Of each: three megabytes together, far more than the edge and the kernel hold for a client."""


@pytest.fixture
async def edge(broker: EmbeddedBroker, start_edge: StartEdge, producer: Producer) -> AsyncIterator[Edge]:
    """Lend an edge with a long log, whose clients' buffers are small."""
    for number in range(EVENTS):
        await Mahavishnu(producer).broadcast_workflow_stage_completed("x", str(number), {"text": "y" * TEXT_BYTES})
    edge = await start_edge(
        broker, auth_secret=SECRET, anonymous_permissions="admin", send_buffer_bytes=8192, message_rate_limit=10_000
    )
    yield edge
    assert edge.statistics()[0].slow == 0


@pytest.fixture
async def client(edge: Edge, open_client: OpenClient) -> Client:
    """Lend a client in the middle of a replay, of which it has read the answer and nothing more."""
    client = await open_client(edge, receive_buffer=4096)
    await client.welcomed()
    client.request("subscribe", "replay", channel="workflow:x", since="-1h")
    assert (await client.message())["data"]["replayed"] == EVENTS
    return client


async def until(client: Client, is_last: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    """Read up to the first such message, which is the last that is returned."""
    messages = [await client.message()]
    while not is_last(messages[-1]):
        messages.append(await client.message())
    return messages


def answers(messages: list[dict[str, Any]]) -> list[str]:
    """Return the ids of the requests that were answered, in this order."""
    return [message["correlation_id"] for message in messages if message["correlation_id"] is not None]


def stages(messages: list[dict[str, Any]]) -> list[int]:
    """Return the numbers of the events, in this order."""
    return [int(it["data"]["stage_name"]) for it in messages if it["event"] == "workflow.stage_completed"]


def is_last_event(message: dict[str, Any]) -> bool:
    return bool(message["data"].get("stage_name") == str(EVENTS - 1))


async def test_ping_auth_and_unsubscribe_are_answered_in_the_middle(client: Client) -> None:
    """What must not wait is answered while the replay goes on; everything else in its turn; everything once."""
    client.request("get_workflow_status", "status", workflow_id="x")
    client.request("subscribe", "join", channel="pool:1")
    client.request("auth", "token", token=token("alice", ["admin"]))
    client.request("ping", "ping")
    client.request("unsubscribe", "leave", channel="worker:1")
    before = await until(client, lambda it: it["correlation_id"] == "leave")
    assert answers(before) == ["token", "ping", "leave"]
    rest = await until(client, lambda it: it["correlation_id"] == "join")
    assert answers(rest) == ["status", "join"]
    assert stages([*before, *rest]) == list(range(EVENTS)), "the replay has not suffered"
    assert len(stages(before)) < EVENTS
    assert await client.marked() == []


async def test_token_in_time_keeps_a_client_with_a_slow_replay(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, producer: Producer
) -> None:
    """A new token sent while a replay goes on counts at once: the old one's end does not end the connection."""
    for number in range(EVENTS):
        await Mahavishnu(producer).broadcast_workflow_stage_completed("x", str(number), {"text": "y" * TEXT_BYTES})
    edge = await start_edge(broker, auth_required=True, auth_secret=SECRET, send_buffer_bytes=8192)
    client, ends = await open_client(edge, receive_buffer=4096), time.time() + 4
    client.request("auth", "first", token=token("alice", ["admin"], exp=ends))
    client.request("subscribe", "replay", channel="workflow:x", since="-1h")
    await until(client, lambda it: it["correlation_id"] == "replay")
    client.request("auth", "second", token=token("alice", ["admin"]))
    await eventually(lambda: time.time() > ends + 1.5, deadline_s=15)
    messages = await until(client, is_last_event)
    assert answers(messages) == ["second"]


async def test_unsubscribe_ends_the_replay_of_its_room(client: Client, producer: Producer) -> None:
    """Leaving the room that is replayed ends that: no event of it comes behind the answer, and the next is served."""
    client.request("unsubscribe", "leave", channel="workflow:x")
    client.request("subscribe", "join", channel="workflow:z")
    before = await until(client, lambda it: it["correlation_id"] == "join")
    assert answers(before) == ["leave", "join"]
    assert stages(before) == list(range(len(stages(before)))), "what came is whole as far as it goes"
    assert len(stages(before)) < EVENTS
    assert before[-2]["correlation_id"] == "leave", "nothing of the room came behind the answer"
    await Mahavishnu(producer).broadcast_workflow_stage_completed("x", "late", {})
    await Mahavishnu(producer).broadcast_workflow_started("z", {})
    assert (await client.message())["room"] == "workflow:z"


@pytest.mark.parametrize(("pool", "left"), [("1", "1"), ("a b", "%61%20b")])
async def test_unsubscribe_stays_behind_a_subscription_to_its_room(
    client: Client, producer: Producer, pool: str, left: str
) -> None:
    """To leave what one has asked to join before, by whatever name, comes after joining it; it overtakes the rest."""
    client.request("subscribe", "join", channel=f"pool:{pool}")
    client.request("get_workflow_status", "status", workflow_id="x")
    client.request("unsubscribe", "leave", channel=f"pool:{left}")
    messages = await until(client, lambda it: it["correlation_id"] == "status")
    assert answers(messages) == ["join", "leave", "status"]
    await Mahavishnu(producer).broadcast_pool_spawned(pool, {})
    assert await client.marked() == []


async def test_unsubscribe_stays_behind_a_replay_that_waits(client: Client) -> None:
    """A replay that is asked for behind another is left once it has begun, and not before."""
    client.request("unsubscribe", "leave", channel="workflow:x")
    client.request("subscribe", "again", channel="workflow:x", since="-1h")
    client.request("unsubscribe", "leave again", channel="workflow:x")
    client.request("subscribe", "join", channel="pool:1")
    messages = await until(client, lambda it: it["correlation_id"] == "join")
    assert answers(messages) == ["leave", "again", "leave again", "join"]
    assert len(stages(messages)) < 2 * EVENTS
    assert await client.marked() == []


async def test_token_that_opens_less_ends_a_replay(client: Client) -> None:
    """What the new token does not open is replayed no more, and the client is told that it left."""
    client.request("auth", "token", token=token("alice", ["pool:read"]))
    client.request("subscribe", "join", channel="pool:1")
    messages = await until(client, lambda it: it["correlation_id"] == "join")
    left = next(it for it in messages if it["event"] == "room.left")
    assert (left["room"], left["data"]) == ("workflow:x", {"reason": "forbidden", "user": None})
    assert stages(messages[messages.index(left) :]) == []
    assert len(stages(messages)) < EVENTS


@pytest.mark.parametrize("start", [{}, {"since": "-1h"}])
async def test_token_that_opens_less_overtakes_a_subscription(
    edge: Edge, open_client: OpenClient, monkeypatch: pytest.MonkeyPatch, start: dict[str, str]
) -> None:
    """Whoever may no longer read a channel when its room is open is not let in, be it the end or a replay."""
    go_on, link = asyncio.Event(), edge._parts.subscriber  # noqa: SLF001
    subscribe = link.subscribe

    async def subscribe_later(name: str) -> None:
        await go_on.wait()
        await subscribe(name)

    monkeypatch.setattr(link, "subscribe", subscribe_later)
    client = await open_client(edge)
    await client.welcomed()
    client.request("subscribe", "join", channel="workflow:x", **start)
    client.request("auth", "token", token=token("alice", ["pool:read"]))
    assert (await client.message())["correlation_id"] == "token"
    go_on.set()
    assert (await client.message())["error_code"] == "FORBIDDEN"
    assert await client.marked() == []
    assert edge.health()["rooms"] == 0


@pytest.mark.parametrize("seed", range(4))
async def test_last_word_counts_whatever_overtakes(client: Client, producer: Producer, seed: int) -> None:
    """Whatever is sent in one go behind a replay, in each room the client ends as it said last; all is answered."""
    dice, last, sent = Random(seed), dict[str, str](), list[tuple[str, str]]()  # noqa: S311 (a sequence that repeats)
    for number in range(60):
        room = dice.choice(("workflow:x", "workflow:y", "pool:1"))
        verb = dice.choice(("subscribe", "subscribe", "unsubscribe", "ping", "auth", "get_workflow_status"))
        since = {"since": "-1h"} if dice.random() < 0.5 and number < 10 else {}
        told = {"auth": {"token": token("alice", ["admin"])}, "get_workflow_status": {"workflow_id": "x"}}
        client.request(verb, str(number), **told.get(verb, {"channel": room, **(since if verb == "subscribe" else {})}))
        if verb in ("subscribe", "unsubscribe"):
            last[room] = verb
            sent.append((room, str(number)))
    seen = list[dict[str, Any]]()
    while len(answers(seen)) < 60:
        seen.append(await client.message())
    assert sorted(map(int, answers(seen))) == list(range(60))
    for room in last:
        of_room = [number for channel, number in sent if channel == room]
        assert [it for it in answers(seen) if it in of_room] == of_room, "each room's commands are answered in order"
    assert await rooms_of(client, producer) == {room for room, verb in last.items() if verb == "subscribe"}


async def rooms_of(client: Client, producer: Producer) -> set[str]:
    """Return the rooms in which the client gets an event that is published now."""
    client.request("subscribe", "marker", channel="worker:marker")
    await until(client, lambda it: it["correlation_id"] == "marker")
    for workflow in ("x", "y"):
        await Mahavishnu(producer).broadcast_workflow_started(workflow, {})
    await Mahavishnu(producer).broadcast_pool_spawned("1", {})
    await Mahavishnu(producer).broadcast_worker_status_changed(worker_id="marker", status="idle", pool_id="p")
    return {it["room"] for it in (await until(client, lambda it: it["room"] == "worker:marker"))[:-1]}


async def test_waiting_commands_are_bounded_by_their_bytes(edge: Edge, client: Client) -> None:
    """Behind a replay that is not read, the edge takes only so much; each of the rest is answered in the end, once."""
    text = b'{"type":"request","event":"get_workflow_status","data":{"workflow_id":"x","text":"%b"},"id":"%d"}'
    count = 200
    for number in range(count):
        client.send(text % (b"z" * 60_000, number))
    await eventually(lambda: edge.statistics()[0].limited["max_waiting_command_bytes"] == 1)
    (connection,) = edge._parts.registry  # noqa: SLF001
    session = cast(Connection, connection)._session  # noqa: SLF001
    assert session is not None
    assert session._client.inbox._bytes < 128 * 1024 + ONE_READ_BYTES  # noqa: SLF001
    messages = await until(client, lambda it: it["correlation_id"] == str(count - 1))
    assert answers(messages) == [str(number) for number in range(count)]
