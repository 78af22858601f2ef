"""A peer of the benchmarks: how to install and start a server, and the wire as templates of bytes.

Knows no peer. The load generator (``benchmarks/load``) drives every peer by the same code from such templates.
"""

import contextlib
import importlib
import os
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from bus.broker.child import spawn_bound

__all__ = [
    "BUILD",
    "EVENT",
    "HASH",
    "KEY",
    "POSITION",
    "ROOM",
    "ROOMS",
    "ROOT",
    "SALT",
    "SEQUENCE",
    "TIME",
    "NotInstallable",
    "Peer",
    "Running",
    "Step",
    "Tls",
    "Wire",
    "free_port",
    "known",
    "payload",
    "resp",
    "spawned",
    "until_listening",
    "upgrade",
]

ROOT: Final = Path(__file__).resolve().parents[1]
BUILD: Final = ROOT / "build" / "bench"
"""Folder for downloads and programs of peers, with a folder per peer; outside of git."""
START_DEADLINE_S: Final = 15.0

# Tokens: the generator overwrites each in place, by as many bytes, so lengths that stand in front of them stay true.
ROOM: Final = b"@ROOM@"
"""The room, six digits: ``000042``."""
SEQUENCE: Final = b"@SEQUENCE@"
"""The number of the event in its room, ten digits, from 1 on."""
TIME: Final = b"@NANOSECONDS-CLOCK@"
"""CLOCK_MONOTONIC when the event was published, 19 digits."""
SALT: Final = b"@SALT-NUM@"
"""A random number of ten digits, less than 2^32."""
HASH: Final = b"@HEXADECIMAL-DIGITS-BY-THIRTYTWO"
"""32 random hexadecimal digits."""
# Tokens of another length than what they stand for; in the upgrade request and in subscriptions only.
ROOMS: Final = b"@ROOMS@"
"""All rooms of the connection, six digits each, joined by the wire's ``rooms_separator``."""
KEY: Final = b"@KEY@"
"""The key of the handshake (Sec-WebSocket-Key)."""
POSITION: Final = b"@POSITION@"
"""The position in the room at which a client resumes (the comeback alone)."""

EVENT: Final = b"E!" + ROOM + b"." + SEQUENCE + b"." + TIME
"""The mark of an event: stands once, anywhere, in a publish, and reaches clients unchanged.

The generator looks for ``E!`` and 37 bytes of the right form behind; several events may stand in one frame."""


class NotInstallable(Exception):
    """A peer cannot be had on the machine; the message has the reason."""


@dataclass(frozen=True, slots=True)
class Tls:
    """A certificate and a key, as PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a client after the upgrade: a message to send, and a part of the server's answer.

    Both may be empty: a step without ``send`` waits for a word of the server's own accord.
    """

    send: bytes = b""
    expect: bytes = b""


@dataclass(frozen=True, slots=True)
class Wire:
    """The way clients speak to a peer, and the bytes of a publish; everything is bytes with tokens.

    Attributes:
        publish: all bytes of one publish of a 200-byte event: a command of RESP (``resp(...)`` makes one), or a whole
            HTTP request. Tokens ROOM, SEQUENCE, TIME, SALT, HASH; holds EVENT once.
        request: the whole upgrade request with its empty line; tokens ROOM (the first room), ROOMS, KEY.
        steps: after the upgrade, in order, once per connection.
        subscribe: the message that subscribes to one room (token ROOM, in a comeback POSITION); sent once per room of
            the connection. Empty: the request has subscribed already.
        subscribed: bytes that the answer to a subscription contains (token ROOM); empty: no answer is waited for.
        ping: the whole payload of a message of the server that wants ``pong`` for its answer; empty: there is none.
            Control frames of WebSocket are answered by the generator anyway.
        pong: the answer to ``ping``.
        is_binary: messages of the client are binary frames, not text.
        rooms_separator: between the rooms of ROOMS.
        publish_to: ``redis``, or ``http`` for a peer that has no other way in than its own port.
        prepare: commands that Redis gets once before the first publish, such as SCRIPT LOAD.
        resume: like ``subscribe``, for a client that comes back at POSITION; empty: the peer is not asked to.
        is_uniform: all clients of a room get its events in the same frames, and nothing between; then most bytes may be
            counted by their length at a rate (decisions/0168).
    """

    publish: bytes
    request: bytes
    steps: tuple[Step, ...] = ()
    subscribe: bytes = b""
    subscribed: bytes = b""
    ping: bytes = b""
    pong: bytes = b""
    is_binary: bool = False
    rooms_separator: bytes = b","
    publish_to: Literal["redis", "http"] = "redis"
    prepare: tuple[tuple[bytes | str, ...], ...] = ()
    resume: bytes = b""
    is_uniform: bool = False


@dataclass(frozen=True, slots=True)
class Running:
    """A peer's server at work.

    Attributes:
        pids: the processes that were started; descendants are found, and count as well.
        port: of the server, on 127.0.0.1; over TLS when a certificate was given.
        wire: how to speak to this server.
        publish_port: where ``publish`` goes for ``http``; None: to ``port``.
        end_of: where a room (six digits) ends, for POSITION: text without a space. Read by a client of Redis that
            decodes. Given with a wire that has ``resume``.
    """

    pids: tuple[int, ...]
    port: int
    wire: Wire
    publish_port: int | None = None
    end_of: Callable[[Any, str], str] | None = None


class Peer(Protocol):
    """A server beside ours, or ours. A module ``benchmarks/peers/<name>/peer.py`` has a tuple ``PEERS`` of them."""

    @property
    def name(self) -> str:
        """Short and unique: ``centrifugo``, ``centrifugo-history``."""

    @property
    def has_tls(self) -> bool:
        """Whether ``start`` takes a certificate."""

    def install(self) -> None:
        """Fetch and build what is needed, into ``BUILD / name``; return at once when that is done already.

        Raises:
            NotInstallable: with the reason in one line.
        """

    def version(self) -> str:
        """Return what is measured: program and version. Called after ``install``."""

    def start(self, stack: ExitStack, core: int, redis_port: int, tls: Tls | None = None) -> Running:
        """Start the server on ``core`` (see ``spawned``); return once it takes connections; ``stack`` ends it."""


FOLDERS: Final = ("ours", "floor", "websockets", "centrifugo", "centrifuge", "nchan", "socketio", "python_socketio")


def known() -> dict[str, Peer]:
    """Return all peers by name, in the order of the table."""
    modules = [importlib.import_module(f"benchmarks.peers.{folder}.peer") for folder in FOLDERS if _is_there(folder)]
    return {peer.name: peer for module in modules for peer in module.PEERS}


def _is_there(folder: str) -> bool:
    return (ROOT / "benchmarks" / "peers" / folder / "peer.py").exists()


def upgrade(path: str = "/", **headers: str) -> bytes:
    """Return an upgrade request for ``path``; an underscore in a header's name is a hyphen."""
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY.decode()}\r\n{more}\r\n"
    ).encode()


def resp(*arguments: bytes | str) -> bytes:
    """Return a command of Redis in its protocol (RESP): an array of strings with their lengths."""
    parts = [part.encode() if isinstance(part, str) else part for part in arguments]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


def payload(front: bytes = b"", end: bytes = b"", *, size: int = 200) -> bytes:
    """Return an event's text of ``size`` bytes in all: ``front``, the mark, a filling of ``x``, ``end``."""
    return front + EVENT + b"x" * (size - len(front) - len(EVENT) - len(end)) + end


def spawned(
    stack: ExitStack,
    core: int,
    command: Sequence[str | Path],
    *,
    folder: Path = ROOT,
    environment: Mapping[str, str] | None = None,
    log: Path | None = None,
) -> int:
    """Start a program on ``core``; return its process id. The program ends with ``stack``, and with this process."""
    path = log or Path(os.devnull)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as output:
        child = spawn_bound(
            ["taskset", "-c", str(core), *command],  # before the program's threads are there, and its own view of cores
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    stack.callback(child.stop_blocking)
    return child.pid


def free_port() -> int:
    """Return a port that nobody has now."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        port: int = holder.getsockname()[1]
        return port


def until_listening(port: int, deadline_s: float = START_DEADLINE_S) -> None:
    """Wait until somebody takes connections on ``port``.

    Raises:
        TimeoutError: nobody did within ``deadline_s``.
    """
    give_up = time.monotonic() + deadline_s
    while time.monotonic() < give_up:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.01)
    raise TimeoutError(f"nobody took a connection on port {port} within {deadline_s:g} s")
