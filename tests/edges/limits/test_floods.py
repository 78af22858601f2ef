"""Limits of connections and of whole edges, over real sockets: each says its name to whom it hits, and is counted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import orjson
import pytest

from bus.broker.embedded import EmbeddedBroker
from edges import Edge
from edges.limits.registry import Registry
from edges.transport.connection import Connection
from producers import Producer
from producers.services.mahavishnu import Mahavishnu
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import PING, TEXT, Client, Closed, clients, eventually, frame, get, http, upgrade
from tests.edges.signing import SECRET, token

pytestmark = pytest.mark.virtual_time

NO_REDIS = "redis://127.0.0.1:1"
CONT = 0
HALVES = 200
LATER_MS = 60_000


def limited(edge: Edge) -> dict[str, int]:
    """Return the limits that hit somebody, and how often."""
    return {name: count for name, count in edge.statistics()[0].limited.items() if count}


@pytest.mark.parametrize(
    ("sent", "code", "reason", "limit"),
    [
        (frame(TEXT, b"x" * 65_537), 1009, "a message has more than max_message_bytes", "max_message_bytes"),
        (
            frame(TEXT, b"x" * 40_000, fin=False) + frame(CONT, b"x" * 40_000),
            1009,
            "a message has more than max_message_bytes",
            "max_message_bytes",
        ),
        (
            frame(TEXT, b"", fin=False) + frame(CONT, b"", fin=False) * 64,
            1009,
            "a message has more than max_fragments",
            "max_fragments",
        ),
        (frame(PING, b"") * 201, 1008, "control_rate_limit exceeded", "control_rate_limit"),
    ],
)
async def test_limit_of_one_connection_closes_it_by_name(
    start_edge: StartEdge, open_client: OpenClient, sent: bytes, code: int, reason: str, limit: str
) -> None:
    """What breaks a limit of frames is closed, and the reason names the setting."""
    edge = await start_edge(redis_url=NO_REDIS, welcome_delay_ms=LATER_MS)
    client = await open_client(edge)
    client.write(sent)
    with pytest.raises(Closed) as closed:
        await client.text()
    assert (closed.value.code, closed.value.reason) == (code, reason)
    assert limited(edge) == {limit: 1}


async def test_messages_too_many_a_second(start_edge: StartEdge, open_client: OpenClient) -> None:
    """A message over the rate is refused by the setting's name, and a hundred of them end it."""
    edge = await start_edge(redis_url=NO_REDIS, message_rate_limit=1)
    client = await open_client(edge)
    for _ in range(102):
        client.request("ping")
    refusals = list[dict[str, str]]()
    closed = await collected(client, refusals)
    assert all(it["error_message"].startswith("message_rate_limit: more than 1 ") for it in refusals)
    assert closed.reason == "message_rate_limit exceeded again and again"
    assert limited(edge)["message_rate_limit"] == 100


async def test_messages_count_by_their_bytes(start_edge: StartEdge, open_client: OpenClient) -> None:
    """A large message counts for several, before anything looks inside; only a small one is read for its answer."""
    edge = await start_edge(redis_url=NO_REDIS, message_rate_limit=1, welcome_delay_ms=LATER_MS)
    client = await open_client(edge)
    for number in range(2):
        client.request("ping", f"large {number}", filler="x" * 60_000)
    client.send(b'{"type":"ping","id":"wide","x":[' + b"[]," * 20_000 + b"0]}")
    client.request("ping", "small")
    replies = [message for _ in range(5) if (message := await client.message())["event"] != "session.created"]
    assert [(it["type"], it["error_code"], it["correlation_id"]) for it in replies] == [
        ("pong", None, "large 0"),
        ("error", "RATE_LIMIT_EXCEEDED", None),
        ("error", "RATE_LIMIT_EXCEEDED", None),
        ("error", "RATE_LIMIT_EXCEEDED", "small"),
    ]
    assert 4_000 < replies[-1]["data"]["retry_after_ms"] <= 7_000
    assert limited(edge) == {"message_rate_limit": 3}


async def collected(client: Client, refusals: list[dict[str, str]]) -> Closed:
    """Return how the edge closes a client, which takes note of the errors before that."""
    try:
        while True:
            message = await client.message()
            if message["type"] == "error":
                refusals.append(message)
    except Closed as closed:
        return closed


async def test_rooms_of_one_connection(broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient) -> None:
    """One room too many is refused by the setting's name; the others stay."""
    edge = await start_edge(broker, max_rooms=1)
    client = await open_client(edge)
    await client.welcomed()
    await client.subscribe("workflow:1")
    client.request("subscribe", channel="workflow:2")
    refusal = await client.message()
    assert refusal["error_code"] == "SUBSCRIPTION_LIMIT"
    assert refusal["error_message"].startswith("max_rooms: ")
    assert limited(edge) == {"max_rooms": 1}


async def test_rooms_of_the_whole_edge(broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient) -> None:
    """A room more than the edge may have is refused for now; one that is there already is open to all."""
    edge = await start_edge(broker, max_open_rooms=1)
    client, other = await open_client(edge), await open_client(edge)
    await client.welcomed()
    await client.subscribe("workflow:1")
    client.request("subscribe", channel="workflow:2")
    refusal = await client.message()
    assert (refusal["error_code"], refusal["data"]["retry_after_ms"]) == ("UNAVAILABLE", 1_000)
    assert refusal["error_message"].startswith("max_open_rooms: ")
    await other.welcomed()
    await other.subscribe("workflow:1")
    assert limited(edge) == {"max_open_rooms": 1}
    for one in (client, other):
        one.request("unsubscribe", channel="workflow:1")
        await one.message()
    await eventually(lambda: not edge._parts.hub.channels)  # noqa: SLF001 (when it has lingered long enough)
    await client.subscribe("workflow:2")


async def test_replays_of_the_whole_edge_take_turns(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, producer: Producer
) -> None:
    """Whoever wants a replay while too many are under way waits; a turn is over after a second then."""
    edge = await start_edge(broker, max_replays=1, send_buffer_bytes=8192)
    for number in range(20):
        await Mahavishnu(producer).broadcast_workflow_stage_completed("x", str(number), {"text": "y" * 20_000})
    trickle, other = await open_client(edge, receive_buffer=4096), await open_client(edge)
    for client in (trickle, other):
        await client.welcomed()
    trickle.request("subscribe", channel="workflow:x", last=20)
    await trickle.message()
    trickle.writer.transport.pause_reading()  # type: ignore[attr-defined]
    other.request("subscribe", channel="workflow:x", last=20)
    reply = await other.message()
    assert (reply["type"], reply["data"]["replayed"]) == ("response", 20)
    assert edge.statistics()[0].slow == 0
    assert [(await other.message())["data"]["stage_name"] for _ in range(20)] == [str(it) for it in range(20)]


async def test_clients_of_one_address(start_edge: StartEdge) -> None:
    """One client too many of an address is answered 429 with the setting's name; health checks are not counted."""
    edge = await start_edge(redis_url=NO_REDIS, max_connections_per_address=2)
    async with clients(edge.port, 2):
        status, headers, body = await http(edge.port, upgrade())
        assert (status, headers["retry-after"]) == (429, "1")
        error = "max_connections_per_address: the limit is 2; try again later"
        assert orjson.loads(body) == {"error": error}
        assert (await http(edge.port, get("/healthz")))[0] == 200
    await eventually(lambda: edge.health()["connections"] == 0)
    async with clients(edge.port, 2):
        assert limited(edge) == {"max_connections_per_address": 1}


async def test_connects_of_one_address(start_edge: StartEdge) -> None:
    """New clients of one address come at a rate, with a burst of twice that."""
    edge = await start_edge(redis_url=NO_REDIS, connects_per_second_per_address=1)
    async with clients(edge.port, 2):
        status, _, body = await http(edge.port, upgrade())
    assert status == 429
    assert b"connects_per_second_per_address" in body
    assert limited(edge) == {"connects_per_second_per_address": 1}


async def test_clients_of_one_user(start_edge: StartEdge, open_client: OpenClient) -> None:
    """One client too many of a user is told so by the setting's name and sent away, once it is known whose it is."""
    edge = await start_edge(redis_url=NO_REDIS, max_connections_per_user=1, auth_secret=SECRET)
    opened = [await open_client(edge) for _ in range(2)]
    for client in opened:
        await client.welcomed()
    for _ in range(2):
        opened[0].request("auth", token=token("ada"))
        assert (await opened[0].message())["data"]["status"] == "authenticated"
    opened[1].request("auth", "r1", token=token("ada"))
    refusal = await opened[1].message()
    sentence = "max_connections_per_user: the limit is 1; try again later"
    assert (refusal["error_code"], refusal["error_message"]) == ("RATE_LIMIT_EXCEEDED", sentence)
    assert (refusal["correlation_id"], refusal["data"]) == ("r1", {"retry_after_ms": 1_000})
    with pytest.raises(Closed, match="1013: max_connections_per_user"):
        await opened[1].text()
    assert await opened[0].marked() == []
    assert limited(edge) == {"max_connections_per_user": 1}


async def shown(edge: Edge, open_client: OpenClient, who: str) -> tuple[Client, dict[str, Any]]:
    """Open a client that shows a new token of ``who``; return it with the answer."""
    client = await open_client(edge)
    client.request("auth", token=token(who, ["workflow:read"]))
    return client, await client.message()


async def test_ghost_gives_way_to_a_newcomer(
    start_edge: StartEdge, open_client: OpenClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket that a user left behind answers no ping: the user is in again within seconds, and not after 40."""
    monkeypatch.setattr("edges.transport.keepalive.PROOF_S", 0.5)
    edge = await start_edge(redis_url=NO_REDIS, auth_secret=SECRET, max_connections_per_user=1)
    ghost = await open_client(edge)
    ghost.answers_pings = False
    ghost.request("auth", token=token())
    assert (await ghost.message())["data"]["status"] == "authenticated"

    async def gets_in() -> bool:
        async with clients(edge.port) as (client,):
            client.request("auth", token=token())
            return bool((await client.message())["type"] == "response")

    assert not await gets_in()
    await eventually(gets_in, 15)
    assert edge.settings.ping_interval_s == 20


async def test_living_connection_keeps_its_place(start_edge: StartEdge, open_client: OpenClient) -> None:
    """Whoever answers stays, however often others come in its name: the second browser tab does not end the first."""
    edge = await start_edge(redis_url=NO_REDIS, auth_secret=SECRET, max_connections_per_user=1)
    first = await open_client(edge)
    first.request("auth", token=token())
    assert (await first.message())["data"]["status"] == "authenticated"
    for number in range(1, 4):
        async with clients(edge.port) as (second,):
            second.request("auth", token=token())
            assert (await second.message())["error_code"] == "RATE_LIMIT_EXCEEDED"
        first.request("ping", str(number))
        while (await first.message())["correlation_id"] != str(number):
            pass
        assert first.pings == number, "one ping for each that was refused"
    assert edge.health()["connections"] == 1


async def test_clients_of_one_user_by_their_tokens(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, producer: Producer
) -> None:
    """Tokens count by their user: one too many is refused; renewals, others, and who takes a free place are not."""
    edge = await start_edge(broker, auth_required=True, auth_secret=SECRET, max_connections_per_user=2)
    (first, _), (second, reply), (bob, bobs) = [await shown(edge, open_client, it) for it in ("ada", "ada", "bob")]
    assert [it["data"]["status"] for it in (reply, bobs)] == ["authenticated"] * 2
    third, refusal = await shown(edge, open_client, "ada")
    sentence = "max_connections_per_user: the limit is 2; try again later"
    assert (refusal["error_code"], refusal["error_message"]) == ("RATE_LIMIT_EXCEEDED", sentence)
    assert await third.close_code() == 1013
    assert (await first.message())["event"] == "session.created"
    first.request("auth", "renewal", token=token("ada", ["workflow:read"], jti="2"))
    assert (await first.message())["data"]["status"] == "authenticated"
    for member in (second, bob):
        await member.message()
        await member.subscribe("workflow:1")
    await Mahavishnu(producer).broadcast_workflow_started("1", {})
    assert [(await member.message())["event"] for member in (second, bob)] == ["workflow.started"] * 2
    await first.close()
    await eventually(lambda: edge.health()["connections"] == 2)
    assert (await shown(edge, open_client, "ada"))[1]["data"]["user_id"] == "ada"
    assert limited(edge) == {"max_connections_per_user": 1}


@pytest.mark.parametrize("most", [1, None])
async def test_clients_of_one_user_by_their_handshakes(start_edge: StartEdge, most: int | None) -> None:
    """A token of the handshake counts likewise; with the limit off, everybody comes in (the control)."""
    edge = await start_edge(redis_url=NO_REDIS, auth_secret=SECRET, max_connections_per_user=most)
    header = f"Authorization: Bearer {token('ada')}"
    told = list[str]()
    async with AsyncExitStack() as stack:
        for _ in range(2):
            client = await Client.connect(edge.port)
            stack.push_async_callback(client.close)
            client.write(upgrade("/", header))
            await client.head()
            message = await client.message()
            told.append(message["event"] if message["type"] == "event" else message["error_code"])
    assert told == ["session.created", "session.created" if most is None else "RATE_LIMIT_EXCEEDED"]


async def test_clients_of_the_whole_edge(start_edge: StartEdge, open_client: OpenClient) -> None:
    """One client too many is closed with 1013 and the setting's name."""
    edge = await start_edge(redis_url=NO_REDIS, max_connections=1)
    await open_client(edge)
    with pytest.raises(Closed, match="1013: the edge is at capacity: max_connections"):
        await (await open_client(edge)).text()
    assert limited(edge) == {"max_connections": 1}


async def test_strangers_keep_no_user_out(start_edge: StartEdge, open_client: OpenClient) -> None:
    """Whoever has shown no token holds no place of an edge that wants one; a user beyond the places is told so."""
    edge = await start_edge(
        redis_url=NO_REDIS, auth_required=True, auth_secret=SECRET, max_connections=2, auth_deadline_s=60
    )
    strangers = [await open_client(edge) for _ in range(5)]
    first, reply = await shown(edge, open_client, "ada")
    second = await Client.connect(edge.port)
    second.write(upgrade("/", f"Authorization: Bearer {token('bob')}"))
    assert (await second.head())[0] == 101
    assert (await second.message())["event"] == "session.created"
    assert reply["data"]["status"] == "authenticated"
    third, refusal = await shown(edge, open_client, "eve")
    sentence = "max_connections: every place of this edge is taken; try again later"
    assert (refusal["error_code"], refusal["error_message"]) == ("UNAVAILABLE", sentence)
    assert (refusal["correlation_id"], refusal["data"]) == ("r1", {"retry_after_ms": 1_000})
    assert await third.close_code() == 1013
    await second.close()
    await eventually(lambda: not edge._parts.registry.is_full)  # noqa: SLF001
    strangers[0].request("auth", token=token("eve"))
    assert (await strangers[0].message())["data"]["status"] == "authenticated"
    first.request("auth", token=token("ada", jti="2"))
    assert [(await first.message())["event"] for _ in range(2)] == ["session.created", "auth"]
    assert limited(edge) == {"max_connections": 1}


async def test_strangers_are_handshakes(start_edge: StartEdge) -> None:
    """Too many without a token push out their own oldest; a user behind the same number of them gets in."""
    edge = await start_edge(
        redis_url=NO_REDIS, auth_required=True, auth_secret=SECRET, max_handshakes=2, auth_deadline_s=60
    )
    async with clients(edge.port, 4) as strangers:
        await eventually(lambda: limited(edge).get("max_handshakes") == 2)
        for dropped in strangers[:2]:
            with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
                await dropped.message()
        strangers[3].request("auth", token=token())
        assert (await strangers[3].message())["data"]["status"] == "authenticated"


async def hold_half(edge: Edge) -> None:
    """Begin a handshake and leave it at that; when the edge ends it, begin anew."""
    while True:
        client = await Client.connect(edge.port)
        client.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        try:
            await client.reader.read()
        except ConnectionError:
            pass
        finally:
            client.writer.transport.abort()


@asynccontextmanager
async def halves(edge: Edge) -> AsyncIterator[None]:
    """Hold half handshakes for as long as the body runs, and begin when there are as many as there may be."""
    tasks = [asyncio.create_task(hold_half(edge)) for _ in range(HALVES)]
    try:
        await eventually(lambda: limited(edge).get("max_handshakes") or len(edge._parts.registry) == HALVES)  # noqa: SLF001
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def connect_s(edge: Edge) -> float:
    """Return how long a client takes from its connection to its first answer, seconds."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    client = await Client.connect(edge.port)
    try:
        client.write(upgrade())
        assert (await client.head())[0] == 101
        client.request("ping")
        await client.message()
    finally:
        await client.close()
    return loop.time() - began


@pytest.mark.parametrize("max_handshakes", [HALVES // 2, 2 * HALVES])
async def test_half_handshakes_keep_nobody_out(start_edge: StartEdge, max_handshakes: int) -> None:
    """A flood of handshakes that never end takes no place, drops its own oldest, and costs a client little time."""
    edge = await start_edge(redis_url=NO_REDIS, max_connections=10, max_handshakes=max_handshakes)
    async with halves(edge):
        assert max([await connect_s(edge) for _ in range(10)]) < 2.0
        assert len(edge._parts.registry) <= 2 * max_handshakes + 10  # noqa: SLF001


async def test_half_handshakes_refusing_the_newest(start_edge: StartEdge, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: were the newest refused instead, those who never end would keep everybody out."""
    edge = await start_edge(redis_url=NO_REDIS, max_connections=10, max_handshakes=HALVES // 2)
    enter = Registry.enter

    def refuse(self: Registry, connection: Connection, address: str, now: float) -> None:
        if len(self) >= HALVES // 2:
            connection.cut()
        else:
            enter(self, connection, address, now)

    monkeypatch.setattr(Registry, "enter", refuse)
    tasks = [asyncio.create_task(hold_half(edge)) for _ in range(HALVES // 2)]
    await eventually(lambda: len(edge._parts.registry) == HALVES // 2)  # noqa: SLF001
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await connect_s(edge)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
