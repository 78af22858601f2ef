"""The load generator sees what a server does wrong: each fault is planted, and must be in the report."""

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import Final

import pytest
from websockets.frames import Frame, Opcode

from benchmarks.built import generator
from benchmarks.generator import Answer, Generator, LoadError, described
from benchmarks.peer import EVENT, ROOM, SEQUENCE, TIME, Running, Wire, payload, resp, upgrade

pytestmark = pytest.mark.skipif(
    shutil.which("cc") is None, reason="there is no C compiler: apt-get install gcc libc6-dev"
)

_ANSWER: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
_PUBLISH: Final = resp("PUBLISH", b"room:" + ROOM, payload(b"<", b">"))
_MARK: Final = re.compile(rb"<(E!.*?)x*>")
_IN_FLIGHT: Final = 4
_SLICE: Final = 7
_LONG: Final = 40
"""Events with ``_ROOMY`` bytes each that are sent on together, more than the 4 KB from which bytes are skimmed."""
_ROOMY: Final = 300
_BURSTS: Final = 5

Fault = Callable[[list[bytes]], list[bytes]]


def message(text: bytes, opcode: Opcode = Opcode.TEXT, *, is_last: bool = True) -> bytes:
    return bytes(Frame(opcode, text, is_last).serialize(mask=False))


def mark(sequence: int, room: int = 0) -> bytes:
    return EVENT.replace(ROOM, b"%06d" % room).replace(SEQUENCE, b"%010d" % sequence).replace(TIME, b"%019d" % 1)


def read(data: bytes, slice_bytes: int) -> Answer:
    done = subprocess.run([generator(), "--frames", str(slice_bytes)], input=data, capture_output=True, check=True)
    answer: Answer = json.loads(done.stdout)
    return answer


class Server:
    """Redis and a server of WebSocket on one port each: events of a burst go to all clients, changed by ``fault``.

    The last client gets what ``odd`` makes of the events instead, where given. ``together`` events are a burst, and go
    out in slices of so many bytes.
    """

    def __init__(self, fault: Fault, odd: Fault | None, together: int, slice_bytes: int) -> None:
        self._faults, self._clients, self._burst = (fault, odd or fault), list[asyncio.StreamWriter](), list[bytes]()
        self._together, self._slice_bytes = together, slice_bytes

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Let a client in."""
        await reader.readuntil(b"\r\n\r\n")
        writer.write(_ANSWER)
        self._clients.append(writer)
        with suppress(ConnectionError):  # a client that saw a bad frame is gone
            await reader.read()
        writer.close()

    async def publish(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take publishes; the last of a burst sends the burst on."""
        try:
            while found := _MARK.search(await reader.readexactly(len(_PUBLISH))):
                self._burst.append(found[1])
                writer.write(b":1\r\n")
                if len(self._burst) == self._together:
                    *most, last = self._clients
                    self._send(most, self._faults[0](self._burst))
                    self._send([last], self._faults[1](self._burst))
                    self._burst = []
        except asyncio.IncompleteReadError:
            writer.close()

    def _send(self, clients: list[asyncio.StreamWriter], frames: list[bytes]) -> None:
        data = b"".join(frames)
        for client in clients:
            for start in range(0, len(data), self._slice_bytes):
                client.write(data[start : start + self._slice_bytes])


@asynccontextmanager
async def loaded(
    fault: Fault,
    odd: Fault | None = None,
    together: int = _IN_FLIGHT,
    slice_bytes: int = _SLICE,
    *,
    is_uniform: bool = False,
) -> AsyncIterator[Generator]:
    server = Server(fault, odd, together, slice_bytes)
    async with (
        await asyncio.start_server(server.meet, "127.0.0.1", 0) as door,
        await asyncio.start_server(server.publish, "127.0.0.1", 0) as redis,
    ):
        port, redis_port = (it.sockets[0].getsockname()[1] for it in (door, redis))
        with ExitStack() as stack:
            wire = Wire(publish=_PUBLISH, request=upgrade(), is_uniform=is_uniform)
            load = await asyncio.to_thread(Generator, stack, 0, Running((), port, wire), redis_port)
            yield load
            await asyncio.to_thread(stack.close)


async def burst(fault: Fault, odd: Fault | None = None) -> Answer:
    async with loaded(fault, odd) as load:
        await asyncio.to_thread(load.connect, 3, 1, 1, at_once=2, seconds=10)
        return await asyncio.to_thread(load.do, "burst", 0, _IN_FLIGHT, 0.1)


async def pace(odd: Fault, *, is_uniform: bool = True) -> Answer:
    """Let three clients have five bursts of long events at a rate; the last gets what ``odd`` makes of each."""
    async with loaded(roomy, odd, _LONG, 1024 * 1024, is_uniform=is_uniform) as load:
        await asyncio.to_thread(load.connect, 3, 1, 1, at_once=2, seconds=10)
        return await asyncio.to_thread(load.do, "pace", _BURSTS * _LONG / 1000, 1000)


def roomy(marks: list[bytes]) -> list[bytes]:
    return [message(it + b"x" * _ROOMY) for it in marks]


def in_the_second_burst(frames: Fault) -> Fault:
    return lambda marks: frames(marks) if b".%010d." % (_LONG + 1) in marks[0] else roomy(marks)


def whole(marks: list[bytes]) -> list[bytes]:
    return [message(it) for it in marks]


FAULTS: Final[dict[str, tuple[Fault, dict[str, int]]]] = {
    "lost": (lambda marks: whole(marks[:1] + marks[2:]), {"lost": 3}),
    "lost at the end": (lambda marks: whole(marks[:-1]), {"lost": 3}),
    "doubled": (lambda marks: whole([*marks[:2], *marks[1:]]), {"doubled": 3}),
    "swapped": (lambda marks: whole([marks[1], marks[0], *marks[2:]]), {"out_of_order": 3}),
    "another room's": (lambda marks: whole([mark(1, room=7), *marks]), {"foreign": 3}),
    "masked": (lambda marks: [bytes(Frame(Opcode.TEXT, marks[0]).serialize(mask=True))], {"bad_frames": 3}),
}
SOUND: Final[dict[str, Fault]] = {
    "one frame each": whole,
    "all in one frame": lambda marks: [message(b" ".join(marks))],
    "binary, with a ping between": lambda marks: [
        message(b"", Opcode.PING),
        message(b"\xff".join(marks), Opcode.BINARY),
    ],
    "in fragments": lambda marks: [
        message(b"".join(marks)[:50], is_last=False),
        message(b"".join(marks)[50:], Opcode.CONT),
    ],
    "close to no mark": lambda marks: whole([b"E!!E!000000.", *marks]),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_fault_is_reported(name: str) -> None:
    """Three clients, four events: what one client lacks or has too much, three have."""
    fault, wanted = FAULTS[name]
    answer = await burst(fault)
    assert {it: answer[it] for it in wanted} == wanted


@pytest.mark.parametrize("name", FAULTS)
async def test_fault_at_one_client_is_reported(name: str) -> None:
    """What the others have got is what that client's bytes are compared with."""
    fault, wanted = FAULTS[name]
    answer = await burst(whole, fault)
    assert {it: answer[it] for it in wanted} == {it: count // 3 for it, count in wanted.items()}


async def test_what_others_have_had_is_counted_by_comparison() -> None:
    """Each event is read in full by the first client that has the event."""
    answer = await burst(whole)
    assert (answer["received"], answer["alike"]) == (3 * _IN_FLIGHT, 2 * _IN_FLIGHT)


async def test_client_whose_bytes_differ_is_read_in_full() -> None:
    """The same events in frames of another form."""
    answer = await burst(whole, SOUND["in fragments"])
    assert (answer["received"], answer["lost"], answer["out_of_order"]) == (3 * _IN_FLIGHT, 0, 0)
    assert answer["alike"] == _IN_FLIGHT


async def test_most_of_what_others_have_had_at_a_rate_is_counted_unread() -> None:
    """To read 4 GB a second would be the generator's limit, not the server's."""
    answer = await pace(roomy)
    counted = [answer[it] for it in ("lost", "doubled", "out_of_order", "foreign", "bad_frames", "closed")]
    assert (answer["received"], counted) == (3 * _BURSTS * _LONG, [0] * 6)
    assert 0 < answer["unread"] < 3 * _BURSTS * _LONG


def joined(marks: list[bytes]) -> list[bytes]:
    return [message(b" ".join(it + b"x" * _ROOMY for it in marks))]


def pinged(marks: list[bytes]) -> list[bytes]:
    return [*roomy(marks[:9]), message(b"", Opcode.PING), *roomy(marks[9:])]


@pytest.mark.parametrize("frames", [pytest.param(joined, id="joined"), pytest.param(pinged, id="a ping between")])
async def test_frames_that_differ_from_client_to_client_are_read(frames: Fault) -> None:
    """A server that joins what waits for a client sends each other frames, and whatever it likes between."""
    answer = await pace(frames, is_uniform=False)
    counted = [answer[it] for it in ("lost", "doubled", "out_of_order", "foreign", "bad_frames", "closed", "unread")]
    assert (answer["received"], counted) == (3 * _BURSTS * _LONG, [0] * 7)


async def test_what_is_no_event_among_unread_bytes_is_said() -> None:
    """The wire said that there is nothing between events; so the turn is void, whatever came."""
    answer = await pace(in_the_second_burst(pinged))
    assert (answer["bad_frames"], answer["closed"]) == (1, 1)
    assert answer["reason"] == "bytes that were not read, or frames behind them, were no events of the room"


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        pytest.param(lambda marks: marks[:9] + marks[10:], {"lost": 1}, id="lost"),
        pytest.param(lambda marks: marks[:10] + marks[9:], {"doubled": 1, "lost": 0}, id="doubled"),
        pytest.param(lambda marks: marks[:-1], {"lost": 1}, id="lost at the end of a burst"),
    ],
)
async def test_fault_in_what_is_counted_unread_is_reported(change: Fault, wanted: dict[str, int]) -> None:
    """The number of bytes tells, and the first frame of the next read."""
    answer = await pace(in_the_second_burst(lambda marks: roomy(change(marks))))
    assert {it: answer[it] for it in wanted} == wanted


async def test_words_of_the_server_explain_a_loss() -> None:
    """A server that gives up a subscription says so; the clients of a benchmark do not subscribe again."""
    answer = await burst(lambda marks: [message(b'{"unsubscribed":"insufficient state"}'), *whole(marks[1:])])
    assert answer["lost"] == 3
    assert answer["reason"] == "the server said { unsubscribed : insufficient state }"


@pytest.mark.parametrize("name", SOUND)
async def test_sound_server_passes(name: str) -> None:
    """Whatever the form, and in slices of seven bytes."""
    answer = await burst(SOUND[name])
    counted = [answer[it] for it in ("lost", "doubled", "out_of_order", "foreign", "bad_frames", "closed")]
    assert (answer["received"], counted) == (answer["expected"], [0] * 6)
    assert answer["received"] == 3 * _IN_FLIGHT


async def test_refused_publish_ends_the_run() -> None:
    """Else a bench would measure a bus that carries nothing."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(_PUBLISH))
        writer.write(b"-NOSCRIPT No matching script\r\n")
        await reader.read()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as redis:
        with ExitStack() as stack:
            port = redis.sockets[0].getsockname()[1]
            running = Running((), 1, Wire(publish=_PUBLISH, request=upgrade()))
            load = await asyncio.to_thread(Generator, stack, 0, running, port)
            await asyncio.to_thread(load.do, "crowd", 1, 1, 1)
            with pytest.raises(LoadError, match="NOSCRIPT No matching script"):
                await asyncio.to_thread(load.do, "publish", 1)
            await asyncio.to_thread(stack.close)


@pytest.mark.parametrize("slice_bytes", [1, 3, 1000])
def test_frames_are_read_from_any_slices(slice_bytes: int) -> None:
    """Heads of all three lengths may be cut anywhere."""
    texts = [mark(1), mark(2) + b"x" * 200, mark(3) + b"x" * 66_000]
    data = b"".join(map(message, texts)) + message(b"", Opcode.PONG) + message(mark(4))[:-1]
    answer = read(data, slice_bytes)
    assert (answer["frames"], answer["controls"], answer["events"], answer["last"]) == (3, 1, 3, 3)
    assert (answer["bad"], answer["left"]) == (False, len(mark(4)) + 1)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\xc1\x00", id="compressed"),
        pytest.param(b"\x81\x80\x00\x00\x00\x00", id="masked"),
        pytest.param(b"\x83\x00", id="no opcode"),
        pytest.param(b"\x09\x00", id="a ping in fragments"),
        pytest.param(b"\x89\x7e\x00\x80", id="a long ping"),
        pytest.param(b"\x82\x7f\x00\x00\x00\x00\x7f\xff\xff\xff", id="without end"),
    ],
)
def test_bad_frame_is_seen(data: bytes) -> None:
    """No server may send this; a generator that read on would count anything."""
    assert read(message(mark(1)) + data, 1)["bad"] is True


def test_description_keeps_bytes() -> None:
    """A wire may hold line ends and zeros."""
    wire = Wire(publish=b"\r\n\0", request=b"x\ny", is_binary=True)
    assert b"publish 3\n\r\n\0\nend\n" in described(wire, 1, 2, is_tls=False)
    assert b"\nrequest 3\nx\ny\n" in described(wire, 1, 2, is_tls=False)
