import asyncio
from collections.abc import AsyncIterator

import pytest

from bus.broker.embedded import EmbeddedBroker
from edges import Edge
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import BINARY, CLOSE, PING, PONG, TEXT, Client, clients, eventually, frame, get, http

pytestmark = pytest.mark.virtual_time

NO_REDIS = "redis://127.0.0.1:1"
CONT = 0
PING_MESSAGE = '{"type":"ping","id":"ä€🎉"}'.encode()
LATER_MS = 60_000


@pytest.fixture
async def edge(start_edge: StartEdge) -> Edge:
    """Lend an edge without a Redis that does not welcome the silent during a test."""
    return await start_edge(redis_url=NO_REDIS, welcome_delay_ms=LATER_MS)


@pytest.fixture
async def client(edge: Edge) -> AsyncIterator[Client]:
    """Lend a client of that edge, and see that a neighbour noticed nothing of what it did."""
    async with clients(edge.port, 2) as (client, neighbour):
        await neighbour.welcomed()
        yield client
        assert await neighbour.marked() == []


async def test_first_frame_is_the_reply_then_the_welcome(client: Client) -> None:
    """A client that sends at once reads its reply first, then the welcome."""
    client.send({"type": "ping", "id": "p"})
    reply, welcome = await client.message(), await client.message()
    assert (reply["type"], reply["correlation_id"]) == ("pong", "p")
    assert (welcome["type"], welcome["event"]) == ("event", "session.created")
    assert welcome["data"]["message"] == "Connected to Mahavishnu orchestration"
    assert welcome["data"]["server"] == "mahavishnu"
    assert welcome["data"]["rate_limit"] == 100
    assert await client.marked() == []


async def test_first_message_wrong_is_answered_then_welcomed(client: Client) -> None:
    """An error is a reply too: the welcome follows it."""
    client.send(b"nonsense")
    assert [(await client.message())["type"] for _ in range(2)] == ["error", "event"]


async def test_silent_client_is_welcomed_after_the_delay(start_edge: StartEdge, open_client: OpenClient) -> None:
    """A client that says nothing is welcomed, once."""
    client = await open_client(await start_edge(redis_url=NO_REDIS, welcome_delay_ms=1))
    assert (await client.message())["event"] == "session.created"
    assert await client.marked() == []


@pytest.mark.parametrize("size", [1, 2, 3, 6, 7, 20])
async def test_first_bytes_cancel_the_welcome(start_edge: StartEdge, open_client: OpenClient, size: int) -> None:
    """The first bytes of a message cancel the timer, wherever the frame is split."""
    edge = await start_edge(redis_url=NO_REDIS, welcome_delay_ms=50)
    client, message = await open_client(edge), frame(TEXT, PING_MESSAGE)
    client.write(message[:size])
    await client.writer.drain()
    for _ in range(3):  # silent clients that come later are welcomed earlier
        assert (await (await open_client(edge)).message())["event"] == "session.created"
    client.write(message[size:])
    assert [(await client.message())["type"] for _ in range(2)] == ["pong", "event"]


async def test_first_fragment_cancels_the_welcome(start_edge: StartEdge, open_client: OpenClient) -> None:
    """A message that is not whole yet is being said: the client is not silent."""
    edge = await start_edge(redis_url=NO_REDIS, welcome_delay_ms=50)
    client = await open_client(edge)
    client.write(frame(TEXT, PING_MESSAGE[:5], fin=False) + frame(PING, b""))
    for _ in range(3):
        assert (await (await open_client(edge)).message())["event"] == "session.created"
    client.write(frame(CONT, PING_MESSAGE[5:]))
    assert [(await client.message())["type"] for _ in range(2)] == ["pong", "event"]


async def test_ping_frame_does_not_swallow_the_welcome(start_edge: StartEdge, open_client: OpenClient) -> None:
    """A ping frame is no message: its sender is welcomed as a silent one."""
    client = await open_client(await start_edge(redis_url=NO_REDIS, welcome_delay_ms=50))
    client.write(frame(PING, b"x"))
    assert (await client.message())["event"] == "session.created"
    assert client.pongs == 1


async def test_ping_frames_do_not_put_off_the_welcome(start_edge: StartEdge, open_client: OpenClient) -> None:
    """A client that only pings, however often, is welcomed after the delay all the same."""
    client = await open_client(await start_edge(redis_url=NO_REDIS, welcome_delay_ms=100))

    async def ping() -> None:
        while True:
            client.write(frame(PING, b"x"))
            await asyncio.sleep(0.02)  # the client's own pace, well under the delay

    async with asyncio.TaskGroup() as group:
        pinging = group.create_task(ping())
        try:
            assert (await client.message(2.0))["event"] == "session.created"
        finally:
            pinging.cancel()


@pytest.mark.parametrize("cuts", [(5, 10), (21, 22), (22, 24), (0, 0)])
async def test_fragments_are_put_together(client: Client, cuts: tuple[int, int]) -> None:
    """A text in three fragments is one message, also when a cut goes through a character, with a ping in between."""
    first, second = cuts
    client.write(frame(TEXT, PING_MESSAGE[:first], fin=False))
    client.write(frame(PING, b"now"))
    client.write(frame(CONT, PING_MESSAGE[first:second], fin=False))
    client.write(frame(CONT, PING_MESSAGE[second:]))
    assert (await client.message())["correlation_id"] == "ä€🎉"
    await client.marked()
    assert client.pongs == 1


async def test_binary_json_is_read_the_same_way(client: Client) -> None:
    """A binary frame that holds JSON is a message, whole or in fragments."""
    client.write(frame(BINARY, PING_MESSAGE))
    assert (await client.message())["type"] == "pong"
    await client.message()
    client.write(frame(BINARY, PING_MESSAGE[:3], fin=False) + frame(CONT, PING_MESSAGE[3:]))
    assert (await client.message())["type"] == "pong"


async def test_binary_that_is_no_utf8_is_a_decode_error(client: Client) -> None:
    """Bytes that are no text leave the connection open: a binary frame may hold them."""
    client.write(frame(BINARY, b'{"type":"\xff"}'))
    assert (await client.message())["error_code"] == "DECODE_ERROR"
    await client.message()
    assert await client.marked() == []


@pytest.mark.parametrize(
    ("bytes_", "code"),
    [
        (frame(TEXT, b'"\xff"'), 1007),
        (frame(TEXT, b'"\xed\xa0\x80"'), 1007),
        (frame(TEXT, b'"\xe2', fin=False) + frame(CONT, b'("'), 1007),
        (frame(TEXT, b'"\xff', fin=False), 1007),
        (frame(TEXT, b'"\xe2', fin=False) + frame(CONT, b""), 1007),
        (frame(TEXT, b"x", mask=False), 1002),
        (frame(CONT, b"x"), 1002),
        (frame(TEXT, b"x", fin=False) + frame(TEXT, b"x"), 1002),
        (frame(3, b"x"), 1002),
        (frame(PING, b"x", fin=False), 1002),
        (frame(PING, b"x" * 126), 1002),
        (b"\xc1\x80" + bytes(4), 1002),
        (frame(CLOSE, b"x"), 1002),
        (frame(TEXT, b"x", fin=False) + frame(CONT, b"x", fin=False) * 64, 1009),
        (frame(TEXT, b"x" * (64 * 1024 + 1)), 1009),
        (frame(TEXT, b"x" * 40_000, fin=False) + frame(CONT, b"x" * 40_000, fin=False), 1009),
        (frame(TEXT, b"x" * 1_000_000), 1009),
        (b"\x81\xff" + (2**62).to_bytes(8) + bytes(4), 1009),
    ],
    ids=[
        "utf-8",
        "surrogate",
        "utf-8 in the second fragment",
        "utf-8 in the first fragment",
        "utf-8 that ends early",
        "unmasked",
        "stray fragment",
        "text in a fragmented text",
        "opcode",
        "fragmented ping",
        "long ping",
        "reserved bit",
        "close frame of one byte",
        "65 fragments",
        "one byte over the limit",
        "fragments over the limit",
        "a megabyte",
        "announced only",
    ],
)
async def test_broken_peer_is_told_why(client: Client, bytes_: bytes, code: int) -> None:
    """A broken peer gets a close frame with the code, and no reset, also while it goes on sending."""
    client.write(bytes_)
    assert await client.close_code() == code


async def test_fragments_up_to_the_limit_are_one_message(client: Client) -> None:
    """64 fragments are allowed."""
    parts = [PING_MESSAGE[index : index + 1] for index in range(63)]
    client.write(frame(TEXT, parts[0], fin=False) + b"".join(frame(CONT, part, fin=False) for part in parts[1:]))
    client.write(frame(CONT, PING_MESSAGE[63:]))
    assert (await client.message())["type"] == "pong"


async def test_message_up_to_the_limit_is_answered(client: Client) -> None:
    """64 KiB are allowed."""
    text = b'{"type":"ping","id":"p","data":{"x":"' + b"x" * (64 * 1024 - 40) + b'"}}'
    client.send(text.ljust(64 * 1024))
    assert (await client.message())["type"] == "pong"


async def test_ping_flood_is_abuse(client: Client) -> None:
    """A flood of pings is closed with 1008, and what is written for it is bounded."""
    client.write(frame(PING, b"x" * 125) * 20_000)
    assert await client.close_code() == 1008
    assert client.pongs * 125 < 100_000


async def test_ping_is_answered_in_its_turn(client: Client) -> None:
    """A pong leaves before the answer to a message that came behind the ping, and after the one before it."""
    await client.welcomed()
    client.write(frame(TEXT, PING_MESSAGE) + frame(PING, b"between") + frame(TEXT, PING_MESSAGE))
    async with asyncio.timeout(5):
        assert [(await client.frame())[0] for _ in range(3)] == [TEXT, PONG, TEXT]


async def test_pings_now_and_then_are_answered(client: Client) -> None:
    """Every ping of a well-behaved client gets its pong."""
    for _ in range(50):
        client.write(frame(PING, b"x"))
    await client.welcomed()
    await client.marked()
    assert client.pongs == 50


async def test_rate_over_the_limit(client: Client) -> None:
    """Of 300 requests in one go some are answered and the rest refused with the time to wait, each exactly once."""
    for number in range(290):
        client.request("ping", f"p{number}")
    replies = [message for _ in range(291) if (message := await client.message())["event"] != "session.created"]
    assert [reply["correlation_id"] for reply in replies] == [f"p{number}" for number in range(290)]
    refused = [reply for reply in replies if reply["type"] == "error"]
    assert 50 < len(refused) < 100
    assert {reply["error_code"] for reply in refused} == {"RATE_LIMIT_EXCEEDED"}
    assert all(reply["data"]["retry_after_ms"] > 0 for reply in refused)


async def test_rate_again_and_again_is_abuse(client: Client) -> None:
    """100 refusals within 10 s close 1008."""
    for number in range(400):
        client.request("ping", f"p{number}")
    assert await client.close_code() == 1008


async def test_abuse_with_commands_waiting_is_closed_in_order(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient
) -> None:
    """A client that is not read because its commands wait is read again for its half of the close."""
    client = await open_client(await start_edge(broker, close_timeout_s=60))
    for number in range(1_000):
        client.request("subscribe", channel=f"workflow:{number}")
    assert await client.close_code() == 1008


async def test_close_of_the_client_is_echoed(client: Client) -> None:
    """The edge answers a close frame with the same code, and closes the socket."""
    client.answers_close = False
    client.write(frame(CLOSE, (1000).to_bytes(2) + b"bye"))
    assert await client.close_code() == 1000


async def test_close_of_the_client_without_a_code(client: Client) -> None:
    """An empty close frame is answered with an empty one."""
    client.answers_close = False
    client.write(frame(CLOSE, b""))
    assert await client.close_code() == 0


async def test_close_of_the_client_within_a_message(client: Client) -> None:
    """A client may close between two fragments (RFC 6455, section 5.4): that is no fault, and its code is echoed."""
    client.write(frame(TEXT, b"{", fin=False) + frame(CLOSE, (1000).to_bytes(2)))
    assert await client.close_code() == 1000


@pytest.mark.parametrize(
    ("behind", "code"),
    [(frame(CLOSE, (1000).to_bytes(2)), 1000), (frame(TEXT, b"", fin=False) * 2, 1002), (b"\xff\xff", 1002)],
    ids=["close", "fragments", "garbage"],
)
async def test_fault_with_another_end_behind_it_is_closed(client: Client, behind: bytes, code: int) -> None:
    """What ends a connection twice in one segment is told one of the reasons; the socket is not just dropped."""
    client.write(frame(TEXT, b"\xff") + behind)
    assert await client.close_code() == code


async def test_message_behind_a_close_is_ignored(edge: Edge, client: Client) -> None:
    """What follows a close frame is not carried out."""
    client.answers_close = False
    client.write(frame(CLOSE, (1000).to_bytes(2)) + frame(TEXT, PING_MESSAGE) * 3)
    assert await client.close_code() == 1000


async def test_place_of_a_client_that_vanished_is_free(edge: Edge) -> None:
    """A client that drops its socket is gone at once."""
    async with clients(edge.port, 3):
        await eventually(lambda: edge.health()["connections"] == 3)
    await eventually(lambda: edge.health()["connections"] == 0)


async def test_client_beyond_the_limit(start_edge: StartEdge, open_client: OpenClient) -> None:
    """The one too many is closed with 1013; the others, and health checks, notice nothing."""
    edge = await start_edge(redis_url=NO_REDIS, max_connections=2)
    first, second = await open_client(edge), await open_client(edge)
    third = await open_client(edge)
    assert await third.close_code() == 1013
    for client in (first, second):
        await client.welcomed()
    assert (await http(edge.port, get("/healthz")))[0] == 200
    await first.close()
    await eventually(lambda: edge.health()["connections"] == 1)
    await (await open_client(edge)).welcomed()


async def test_client_that_does_not_answer_pings(start_edge: StartEdge, open_client: OpenClient) -> None:
    """A silent client is pinged; one that does not answer is closed, one that does stays."""
    edge = await start_edge(redis_url=NO_REDIS, ping_interval_s=0.2, ping_timeout_s=0.2, welcome_delay_ms=1)
    dead, alive = await open_client(edge), await open_client(edge)
    dead.answers_pings = False
    reading = asyncio.create_task(alive.close_code(60))
    assert await dead.close_code(10) == 1011
    assert dead.pings == 1
    await eventually(lambda: alive.pings >= 2)
    assert not reading.done()
    reading.cancel()
    await asyncio.wait([reading])
