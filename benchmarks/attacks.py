"""The attacks of strangers, and mistakes of people beside Redis, for ``benchmarks.strangers``: one function for each.

A case is prepared in the measuring process, with a connection to Redis. The attack runs in a process of its own, on the
other core than the edge, and returns one line with the outcome. The target is an edge of akosha. The neighbour is in
the room ``metrics``, and holds a token where the edge asks for tokens.
"""

import base64
import contextlib
import itertools
import os
import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Self

import jwt
import orjson
from redis import Redis
from websockets.frames import Frame, Opcode

from bus.channel import Channel
from bus.envelope import envelope, splice
from bus.log.appending import Entry
from producers.services.akosha import PATTERNS

__all__ = ["CASES", "SECRET", "Aim", "Case", "Stranger", "token"]

SECRET: Final = "a secret of the benchmark, long enough for HS256"  # noqa: S105 (of an edge that ends with the run)
_MESSAGE_BYTES: Final = 64_000
_LACKING: Final = 187
"""Events of 16 KB: three megabytes."""
_REQUIRED: Final = ("auth_required=true",)


def token(user: str) -> str:
    """Return a token for an hour, with which ``user`` may read every room."""
    now = int(time.time())
    return jwt.encode({"sub": user, "permissions": ["admin"], "iat": now, "exp": now + 3_600}, SECRET, "HS256")


@dataclass(frozen=True, slots=True)
class Aim:
    """The target of an attack, and the attack's end (``time.monotonic``)."""

    port: int
    redis_url: str
    until: float

    @property
    def goes_on(self) -> bool:
        """Whether there is time left."""
        return time.monotonic() < self.until

    def beats(self, per_second: float) -> Iterator[int]:
        """Count at a pace until the time is up; late counts are made up for."""
        began = time.monotonic()
        for number in itertools.count():
            time.sleep(max(0.0, min(began + number / per_second, self.until) - time.monotonic()))
            if not self.goes_on:
                return
            yield number


class Stranger:
    """A client that sends any bytes, and reads on call alone."""

    def __init__(self, port: int, *, shown: str | None = None, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(30)
        self.socket.connect(("127.0.0.1", port))
        self._received = bytearray()
        self._shake_hands(shown)

    def __enter__(self) -> Self:
        """Connect."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Drop the socket."""
        self.socket.close()

    def _shake_hands(self, shown: str | None) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        lines = ["GET / HTTP/1.1", "Host: 127.0.0.1", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13"]
        lines += [] if shown is None else [f"Authorization: Bearer {shown}"]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())
        while (end := self._received.find(b"\r\n\r\n")) < 0:
            self._read()
        if b" 101 " not in self._received[:end]:
            raise ConnectionError("the edge did not accept the handshake")
        del self._received[: end + 4]

    def _read(self) -> None:
        data = self.socket.recv(1024 * 1024)
        if not data:
            raise ConnectionError("the edge closed the connection")
        self._received += data

    def send(self, text: bytes) -> None:
        """Send one message."""
        self.socket.sendall(Frame(Opcode.TEXT, text).serialize(mask=True))

    def ask(self, verb: str, **data: Any) -> None:
        """Send a request."""
        self.send(orjson.dumps({"type": "request", "event": verb, "data": data, "id": verb}))

    def message(self) -> dict[str, Any] | None:
        """Return the next message; None for a close."""
        while (found := self._next_frame()) is None:
            self._read()
        opcode, payload = found
        return None if opcode == Opcode.CLOSE else orjson.loads(payload) if opcode == Opcode.TEXT else self.message()

    def _next_frame(self) -> tuple[int, bytes] | None:
        if len(self._received) < 10 and not self._is_short():
            return None
        length, head = self._received[1], 2
        if length >= 126:
            head = 4 if length == 126 else 10
            length = int.from_bytes(self._received[2:head])
        if len(self._received) < head + length:
            return None
        opcode, payload = self._received[0] & 15, bytes(self._received[head : head + length])
        del self._received[: head + length]
        return opcode, payload

    def _is_short(self) -> bool:
        """Whether the head of the next frame is whole, though fewer than ten bytes have come."""
        return len(self._received) >= 4 or (len(self._received) >= 2 and self._received[1] < 126)

    def messages(self) -> Iterator[dict[str, Any]]:
        """Yield messages until the edge closes."""
        while (message := self.message()) is not None:
            yield message

    def skim(self) -> None:
        """Throw away the bytes so far."""
        self._received.clear()
        while self.has_come and self.socket.recv(1024 * 1024):
            pass

    @property
    def has_come(self) -> bool:
        """Whether there are bytes to read, or the end."""
        return bool(select.select([self.socket], [], [], 0)[0])


def _filled(piece: bytes) -> bytes:
    """Return a ping of 64 KB, filled with ``piece``."""
    return b'{"type":"ping","x":[' + piece * (_MESSAGE_BYTES // len(piece)) + b"0]}"


def _entries(channel: Channel, count: int, data: dict[str, Any]) -> list[Entry]:
    """Return events for a log."""
    line = orjson.dumps(envelope("event", event="pattern.detected", data=data, room=channel.name))
    return [Entry(channel, str(number), "pattern.detected", line) for number in range(count)]


def _nothing() -> list[Entry]:
    return []


def _quiet(_: "Redis") -> None:
    """Leave Redis as it is."""


@dataclass(frozen=True, slots=True)
class Case:
    """One attack.

    Attributes:
        words: for the table.
        attack: does the attack; returns the outcome in a line.
        settings: of the edge.
        has_keys: whether the edge checks tokens, with ``SECRET``.
        stored: events in Redis before the attack.
        prepare: writes further data into Redis.

    """

    words: str
    attack: Callable[[Aim], str]
    settings: Sequence[str] = ()
    has_keys: bool = False
    stored: Callable[[], list[Entry]] = _nothing
    prepare: Callable[[Any], None] = _quiet


# Brackets.


def _sends(piece: bytes) -> Callable[[Aim], str]:
    """Send 8 Mbit/s of messages; come back after every close."""

    def attack(aim: Aim) -> str:
        sent, text = 0, _filled(piece)
        while aim.goes_on:
            with contextlib.suppress(OSError), Stranger(aim.port) as stranger:
                for _ in aim.beats(16):
                    stranger.send(text)
                    stranger.skim()
                    sent += 1
            time.sleep(0.05)
        return f"{sent} messages of 64 KB"

    return attack


def _shakes_hands(aim: Aim) -> str:
    """Open handshakes with long lists in their heads, 6 Mbit/s in all."""
    lists = "\r\n".join([f"Upgrade: {'a,' * 3_500}websocket"] * 6)
    head = f"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n{lists}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    sent = 0
    for _ in aim.beats(16):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", aim.port), 30) as plain:
            plain.sendall(head.encode())
            plain.recv(1024)
            sent += 1
    return f"{sent} handshakes of {len(head) // 1000} KB"


def _types_lines(aim: Aim) -> str:
    """Publish brackets by hand into a watched room."""
    line = b'{"event":"e","data":{"x":[' + b"[]," * 60_000 + b"0]}}"
    with Stranger(aim.port) as watcher, contextlib.closing(Redis.from_url(aim.redis_url)) as redis:
        watcher.ask("subscribe", channel="insights")
        watcher.message()
        told = sum(redis.publish("insights", line) for _ in aim.beats(5))
    return f"{told} lines of 180 KB"


# What waits.


def _queues(aim: Aim) -> str:
    """Ask for a replay, read no byte, and queue requests behind the replay."""
    text = b'{"type":"request","event":"get_patterns","data":{"x":[' + b"{}," * 21_000 + b'0]},"id":"r"}'
    with contextlib.ExitStack() as stack:
        strangers = [stack.enter_context(Stranger(aim.port, receive_buffer=4_096)) for _ in range(5)]
        for stranger in strangers:
            stranger.ask("subscribe", channel="patterns", since="-1h")
        time.sleep(0.5)
        sent = sum(_pushes(stranger, text, 64) for stranger in strangers)
        while aim.goes_on:
            time.sleep(0.1)
    return f"5 clients sent {sent / 1e6:.1f} MB"


def _pushes(stranger: Stranger, text: bytes, count: int) -> int:
    """Send messages, as far as the edge takes them within a second; return the bytes taken."""
    sent, whole = 0, Frame(Opcode.TEXT, text).serialize(mask=True) * count
    stranger.socket.settimeout(1)
    with contextlib.suppress(OSError):
        while sent < len(whole):
            sent += stranger.socket.send(whole[sent : sent + 65_536])
    return sent


# Who gets in.


def _holds_places(aim: Aim) -> str:
    """Hold 60 connections without a token, while a user with a token tries to get in."""
    held: list[Stranger] = []
    tries = entered = 0
    for _ in aim.beats(10):
        _hold(aim.port, held, 60)
        tries += 1
        with contextlib.suppress(OSError), Stranger(aim.port, shown=token("user")) as user:
            user.ask("ping")
            entered += (user.message() or {}).get("type") == "pong"
    for stranger in held:
        stranger.socket.close()
    return f"a user with a token got in {entered} of {tries} times"


def _hold(port: int, held: list[Stranger], count: int) -> None:
    """Replace closed connections."""
    for stranger in [it for it in held if it.has_come]:  # nothing comes but an end
        stranger.socket.close()
        held.remove(stranger)
    with contextlib.suppress(OSError):
        while len(held) < count:
            held.append(Stranger(port))


# Answers.


def _asks(per_second: float, **data: Any) -> Callable[[Aim], str]:
    """Ask at a pace, and read the answers."""

    def attack(aim: Aim) -> str:
        asked = answered = 0
        with contextlib.suppress(OSError), Stranger(aim.port) as stranger:
            for _ in aim.beats(per_second):
                stranger.ask("get_patterns", **data)
                asked += 1
                answers = (it for it in stranger.messages() if it["event"] == "get_patterns")
                answered += next(answers, None) is not None
        return f"{answered} of {asked} questions answered"

    return attack


def _lasts(aim: Aim) -> str:
    """Ask for the last event of a large log, from 16 clients."""
    replays = 0
    with contextlib.ExitStack() as stack:
        strangers = [stack.enter_context(Stranger(aim.port)) for _ in range(16)]
        for number in aim.beats(100):
            strangers[number % 16].ask("subscribe", channel="patterns", last=1)
            strangers[number % 16].skim()
            replays += 1
    return f"{replays} subscriptions with last=1"


def _repairs(aim: Aim) -> str:
    """Have a room of five lack three megabytes, as if the link had been away, again and again; all five read."""
    repairs = 0
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(Redis.from_url(aim.redis_url))
        pool = stack.enter_context(ThreadPoolExecutor(5))
        members = [stack.enter_context(Stranger(aim.port)) for _ in range(5)]
        previous, rounds = "0-0", 0
        for member in members:
            member.ask("subscribe", channel="patterns")
            while (member.message() or {}).get("type") != "response":
                pass
        for rounds, _ in enumerate(aim.beats(0.5), 1):
            last = rounds * _LACKING
            for number in range(last - _LACKING, last):
                previous, line = _append(redis, number + 1, previous)
            redis.publish(PATTERNS.fill().redis, line)
            repairs += sum(pool.map(_has_all, members, itertools.repeat(last)))
    return f"{repairs} repairs of 3 MB whole at their members, of {rounds * 5}"


def _append(redis: "Redis", number: int, previous: str) -> tuple[str, bytes]:
    """Append an event without publishing; return the event's position, and the line that was not published."""
    channel = PATTERNS.fill()
    data = {"pattern_id": "p", "number": number, "text": "x" * 16_000}
    line = orjson.dumps(envelope("event", event="pattern.detected", data=data, room=channel.name))
    fields: Any = {"previous": previous, "id": str(number), "event": "pattern.detected", "line": line}
    position: Any = redis.xadd(channel.log_key, fields, maxlen=1_000)
    return position.decode(), splice(line, position.decode(), previous)


def _has_all(member: Stranger, last: int) -> bool:
    """Read up to the last event; tell whether the events came in order."""
    numbers = [0]
    with contextlib.suppress(OSError):
        while numbers[-1] != last and (message := member.message()) is not None:
            numbers += [message["data"]["number"]] if message["event"] == "pattern.detected" else []
    return numbers[1:] == list(range(last - _LACKING + 1, last + 1))


def _patterns(size: int, count: int = 1_000) -> Callable[[], list[Entry]]:
    return lambda: _entries(PATTERNS.fill(), count, {"pattern_id": "p", "text": "x" * size})


def _brackets() -> list[Entry]:
    return _entries(PATTERNS.fill(), 64, {"pattern_id": "p", "x": [[] for _ in range(80_000)]})


# Revocations.


def _know_many(redis: Any) -> None:
    pipe = redis.pipeline(transaction=False)
    for first in range(0, 200_000, 1_000):
        pipe.zadd("bus:revoked", {f"id:{number}": time.time() * 1_000 for number in range(first, first + 1_000)})
    pipe.execute()


def _revokes(aim: Aim) -> str:
    """Revoke 20 tokens a second."""
    count = 0
    with contextlib.closing(Redis.from_url(aim.redis_url)) as redis:
        for number in aim.beats(20):
            now_ms = int(time.time() * 1_000)
            redis.zadd("bus:revoked", {f"id:new-{number}": now_ms})
            redis.publish("bus:revoked", f"id:new-{number} {now_ms}")
            count += 1
    return f"{count} revocations, 200,000 known"


CASES: Final[dict[str, Case]] = {
    "arrays": Case("64 KB messages of [], at 8 Mbit/s", _sends(b"[],")),
    "objects": Case("64 KB messages of {}, at 8 Mbit/s", _sends(b"{},")),
    "tokenless": Case("the same without a token where one is required", _sends(b"[],"), _REQUIRED, has_keys=True),
    "heads": Case("handshakes with 20,000 values of Upgrade", _shakes_hands),
    "typed": Case("180 KB lines of [] by redis-cli PUBLISH", _types_lines),
    "queued": Case("64 requests of 64 KB behind a replay that is not read", _queues, stored=_patterns(4_000)),
    "places": Case("60 strangers on 50 places", _holds_places, ("max_connections=50", *_REQUIRED), has_keys=True),
    "questions": Case("get_patterns over 1,000 events of 500 bytes", _asks(30, limit=1_000), stored=_patterns(500)),
    "nested": Case("get_patterns over 64 events of [[],…]", _asks(1, limit=1_000), stored=_brackets),
    "answers": Case("answers of 2 MB to a client that reads at once", _asks(2, limit=1_000), stored=_patterns(2_000)),
    "repairs": Case("3 MB that a room of five lacked, all of whom read", _repairs),
    "lasts": Case("last=1 of a log of 40 MB, by 16 clients", _lasts, stored=_patterns(200_000, 200)),
    "revoked": Case("revocations with 200,000 known", _revokes, has_keys=True, prepare=_know_many),
}
