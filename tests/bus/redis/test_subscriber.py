import asyncio
from collections.abc import Iterator

import hiredis
import pytest
from redis.asyncio import Redis

from bus.errors import AddressError, BusUnavailable
from bus.redis.link import Link
from bus.redis.subscriber import Subscriber

CHANNELS = (b"workflow:a", b"workflow:b", b"global:mahavishnu")
MESSAGES = [
    (CHANNELS[0], b'{"position":"1-1","previous":"0-0","id":"x"}'),
    (CHANNELS[1], b""),
    (CHANNELS[0], b"\r\n$5\r\nhello\r\n"),
    (CHANNELS[2], "é\U0001f600".encode()),
    (CHANNELS[0], b"\x00\xff"),
]


class FakeTransport(asyncio.Transport):
    """Keeps what is written, and knows whether it was aborted."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.is_aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def abort(self) -> None:
        self.is_aborted = True

    def commands(self) -> list[list[bytes]]:
        """Return the commands that were written, word by word."""
        reader = hiredis.Reader()
        reader.feed(b"".join(self.written))
        return list(iter(reader.gets, False))


class Peer:
    """A link to nobody, and what it delivered."""

    def __init__(self) -> None:
        self.batches: list[list[tuple[bytes, bytes]]] = []
        self.link = Link(lambda batch: self.batches.append(list(batch)))
        self.transport = FakeTransport()
        self.link.connection_made(self.transport)

    @property
    def lines(self) -> list[tuple[bytes, bytes]]:
        return [line for batch in self.batches for line in batch]


def array(*words: bytes | int) -> bytes:
    """Return a push of RESP2, as Redis sends confirmations and messages."""
    parts = (b":%d\r\n" % word if isinstance(word, int) else b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
    return b"*%d\r\n" % len(words) + b"".join(parts)


def stream(messages: list[tuple[bytes, bytes]]) -> bytes:
    return b"".join(array(b"message", channel, line) for channel, line in messages)


def confirmations(verb: bytes, channels: tuple[bytes, ...] | list[bytes]) -> bytes:
    return b"".join(array(verb, channel, count) for count, channel in enumerate(channels))


@pytest.fixture
async def peer() -> Peer:
    """Return a link whose transport is a list."""
    return Peer()


def splits(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    for at in range(len(data) + 1):
        yield data[:at], data[at:]


async def test_messages_split_anywhere_are_the_same_messages() -> None:
    """Wherever one read of the socket ends and the next begins, the same lines come in the same order."""
    for head, tail in splits(stream(MESSAGES)):
        peer = Peer()
        peer.link.data_received(head)
        peer.link.data_received(tail)
        assert peer.lines == MESSAGES, len(head)
        assert all(peer.batches)
        peer.link.abort()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
async def test_messages_in_small_pieces_are_the_same_messages(peer: Peer, size: int) -> None:
    """A socket that yields a byte at a time, or an odd few, changes nothing."""
    data = stream(MESSAGES)
    for start in range(0, len(data), size):
        peer.link.data_received(data[start : start + size])
    assert peer.lines == MESSAGES


async def test_messages_of_one_read_are_one_batch(peer: Peer) -> None:
    """A read is handed on at once and whole, also where the reader is fed in slices."""
    many = [(CHANNELS[number % 3], b"%d" % number * 100) for number in range(1_000)]
    peer.link.data_received(stream(many))
    assert peer.batches == [many]


@pytest.mark.parametrize("size", [16_383, 16_384, 16_385, 262_144, 1_000_000])
async def test_long_line_is_whole(peer: Peer, size: int) -> None:
    """A line longer than what the reader is fed at a time arrives in one piece, with its neighbours around it."""
    sent = [(CHANNELS[0], b"before"), (CHANNELS[1], b"x" * size), (CHANNELS[0], b"after")]
    peer.link.data_received(stream(sent))
    assert peer.lines == sent


async def test_confirmations_split_anywhere_settle_what_was_asked() -> None:
    """A confirmation may come in pieces, and with lines of channels that were confirmed before it."""
    data = confirmations(b"subscribe", CHANNELS[:2]) + stream(MESSAGES[:1]) + confirmations(b"subscribe", CHANNELS[2:])
    for head, tail in splits(data):
        peer = Peer()
        asked = peer.link.ask(b"SUBSCRIBE", list(CHANNELS))
        await asyncio.sleep(0)
        peer.link.data_received(head)
        assert asked.done() == (head == data)
        peer.link.data_received(tail)
        assert asked.done()
        assert peer.lines == MESSAGES[:1]
        peer.link.abort()


async def test_requests_of_one_tick_share_a_command(peer: Peer) -> None:
    """What is asked for at one moment goes out as one command, in the order of the verbs."""
    subscribed = [peer.link.ask(b"SUBSCRIBE", [channel]) for channel in CHANNELS]
    left = peer.link.ask(b"UNSUBSCRIBE", [CHANNELS[0]])
    again = peer.link.ask(b"SUBSCRIBE", [CHANNELS[0]])
    await asyncio.sleep(0)
    first, second, third = peer.transport.commands()
    assert (first[0], set(first[1:])) == (b"SUBSCRIBE", set(CHANNELS))
    assert (second, third) == ([b"UNSUBSCRIBE", CHANNELS[0]], [b"SUBSCRIBE", CHANNELS[0]])
    peer.link.data_received(confirmations(b"subscribe", CHANNELS))
    assert [future.done() for future in (*subscribed, left, again)] == [True, True, True, False, False]
    peer.link.data_received(confirmations(b"unsubscribe", CHANNELS[:1]))
    assert (left.done(), again.done()) == (True, False)
    peer.link.data_received(confirmations(b"subscribe", CHANNELS[:1]))
    assert again.done()


async def test_command_is_bounded(peer: Peer) -> None:
    """A thousand channels asked for at one moment make a few commands, none of them without end."""
    asked = [peer.link.ask(b"SUBSCRIBE", [b"w:%d" % number]) for number in range(1_200)]
    await asyncio.sleep(0)
    sizes = [len(command) - 1 for command in peer.transport.commands()]
    assert sum(sizes) == 1_200
    assert max(sizes) <= 500
    assert len(sizes) <= 3
    peer.link.abort()
    await asyncio.gather(*asked, return_exceptions=True)


async def test_refusal_reaches_whoever_asked(peer: Peer) -> None:
    """An error that Redis answers with is that of the oldest request under way, and later ones are not touched."""
    first = peer.link.ask(b"SUBSCRIBE", [CHANNELS[0]])
    await asyncio.sleep(0)
    second = peer.link.ask(b"SUBSCRIBE", [CHANNELS[1]])
    await asyncio.sleep(0)
    peer.link.data_received(b"-NOPERM not this one\r\n" + confirmations(b"subscribe", CHANNELS[1:2]))
    with pytest.raises(BusUnavailable, match="NOPERM"):
        await first
    await second


async def test_lost_link_fails_what_waits_for_an_answer(peer: Peer) -> None:
    """Whoever waits when the connection ends is told so: commands, requests, and requests not yet sent."""
    command = asyncio.ensure_future(peer.link.command(b"PING"))
    sent = peer.link.ask(b"SUBSCRIBE", [CHANNELS[0]])
    await asyncio.sleep(0)
    unsent = peer.link.ask(b"SUBSCRIBE", [CHANNELS[1]])
    peer.link.connection_lost(None)
    for waiting in (command, sent, unsent):
        with pytest.raises(BusUnavailable, match="lost"):
            await waiting
    await peer.link.closed


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"+OK\r\n", b":1\r\n", array(b"subscribe", b"x", 1)]
)
async def test_answer_that_nobody_asked_for_ends_the_link_as_lost(peer: Peer, answer: bytes) -> None:
    """A peer that is no Redis, or out of step, costs the link, and is no error of ours that ends the supervisor."""
    peer.link.data_received(answer)
    await peer.link.closed
    assert peer.transport.is_aborted


@pytest.mark.parametrize(
    "answer",
    [b"*0\r\n", b"%0\r\n", b":1\r\n", array(b"message"), array(b"message", b"x", b"y", b"z"), b"%1\r\n*0\r\n:1\r\n"],
)
async def test_answer_of_no_known_form_ends_the_link_as_lost(peer: Peer, answer: bytes) -> None:
    """An answer that can be read and that Redis never gives costs the link too, and nothing more."""
    asked = peer.link.ask(b"SUBSCRIBE", [CHANNELS[0]])
    await asyncio.sleep(0)
    peer.link.data_received(answer)
    await peer.link.closed
    with pytest.raises(BusUnavailable, match="lost"):
        await asked


async def test_deliver_that_raises_ends_the_link_with_its_error() -> None:
    """A fault of ours in `deliver` is what the link ends with, so that it cannot go unseen."""

    def deliver(_batch: object) -> None:
        raise ZeroDivisionError

    link, transport = Link(deliver), FakeTransport()
    link.connection_made(transport)
    link.data_received(stream(MESSAGES))
    with pytest.raises(ZeroDivisionError):
        await link.closed
    assert transport.is_aborted


async def test_subscriber_before_its_start_is_down() -> None:
    """A subscriber that was never entered is down, refuses at once, and can be closed."""
    subscriber = Subscriber("redis://127.0.0.1:1", name="test", deliver=lambda _batch: None)
    assert not subscriber.is_up
    assert subscriber.statistics().generation == 0
    with pytest.raises(BusUnavailable, match="edgebus broker"):
        await subscriber.subscribe("workflow:a")
    await subscriber.close()
    await subscriber.closed()


def test_subscriber_refuses_another_database() -> None:
    """A URL that cannot be used is told when the subscriber is made, not by a task later."""
    with pytest.raises(AddressError):
        Subscriber("redis://127.0.0.1/3", name="test", deliver=lambda _batch: None)


async def test_channels_of_the_bus_itself_go_past_the_rooms(broker_url: str) -> None:
    """What comes on a channel that is listened to goes to its taker, from the first moment and after a reconnect."""
    lines: list[tuple[bytes, bytes]] = []
    own: asyncio.Queue[bytes] = asyncio.Queue()
    subscriber = Subscriber(broker_url, name="test-own", deliver=lines.extend)
    subscriber.listen("bus:test-own", own.put_nowait)
    async with subscriber, Redis.from_url(broker_url) as redis, asyncio.timeout(5):
        for generation in (1, 2):
            while subscriber.statistics().generation < generation or not subscriber.is_up:
                await asyncio.sleep(0)
            await redis.publish("bus:test-own", "x")
            assert await own.get() == b"x"
            [link] = [it for it in await redis.client_list() if it["name"] == "test-own"]
            await redis.client_kill(link["addr"])
    assert lines == []
