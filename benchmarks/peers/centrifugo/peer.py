"""Centrifugo with its Redis engine, without history and with it."""

import os
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import orjson

from benchmarks.peer import BUILD, ROOM, Peer, Running, Tls, free_port, payload, spawned, until_listening
from benchmarks.peers.centrifugo.wire import CHANNEL, wire
from benchmarks.peers.installing import compiled_with, go, installed
from benchmarks.peers.overheard import overheard

__all__ = ["PEERS"]

_VERSION: Final = "v6.9.1"
_MODULE: Final = "github.com/centrifugal/centrifugo/v6"
_FOLDER: Final = BUILD / "centrifugo"
_PROGRAM: Final = _FOLDER / _VERSION / "centrifugo"
_CONFIGURATIONS: Final = Path(__file__).parent


class Centrifugo:
    """One process of Centrifugo; its clients speak JSON, and need no token."""

    has_tls = True

    def __init__(self, name: str, *, has_history: bool) -> None:
        self.name, self._has_history = name, has_history
        self._configuration = _CONFIGURATIONS / ("history_on.json" if has_history else "history_off.json")

    def install(self) -> None:
        """Compile it, from its module of Go."""
        if not _PROGRAM.exists():
            folder = _PROGRAM.parent
            folder.mkdir(parents=True, exist_ok=True)
            environment = {**os.environ, "GOBIN": str(folder)}
            installed(go(), "install", "-ldflags=-s", f"{_MODULE}@{_VERSION}", folder=folder, environment=environment)

    def version(self) -> str:
        """Return what the program says it was compiled from: `centrifugo version` knows it in releases only."""
        return f"centrifugo {compiled_with(_PROGRAM, _MODULE)}"

    def start(self, stack: ExitStack, core: int, redis_port: int, tls: Tls | None = None) -> Running:
        """Start it, and publish once by its HTTP interface to learn what it writes to Redis."""
        port, inside = free_port(), free_port()
        environment = {
            "CENTRIFUGO_HTTP_SERVER_PORT": str(port),
            "CENTRIFUGO_HTTP_SERVER_INTERNAL_PORT": str(inside),
            "CENTRIFUGO_ENGINE_REDIS_ADDRESS": f"redis://127.0.0.1:{redis_port}",
        } | _over(tls)
        command: list[str | Path] = [_PROGRAM, "--config", self._configuration]
        pid = spawned(stack, core, command, environment=environment, log=_FOLDER / f"{self.name}.log")
        until_listening(port)
        with overheard(redis_port) as redis:
            _publish(inside)
            words = wire(redis.event(), has_history=self._has_history)
        return Running((pid,), port, words, end_of=_end_of)


def _over(tls: Tls | None) -> dict[str, str]:
    if tls is None:
        return {}
    return {
        "CENTRIFUGO_HTTP_SERVER_TLS_ENABLED": "true",
        "CENTRIFUGO_HTTP_SERVER_TLS_EXTERNAL": "true",  # the inside port has none
        "CENTRIFUGO_HTTP_SERVER_TLS_CERT_PEM": str(tls.certificate),
        "CENTRIFUGO_HTTP_SERVER_TLS_KEY_PEM": str(tls.key),
    }


def _publish(port: int) -> None:
    event = orjson.loads(payload(b'{"text":"', b'"}'))
    body = orjson.dumps({"channel": CHANNEL.decode(), "data": event})
    request = urllib.request.Request(f"http://127.0.0.1:{port}/api/publish", body)
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 (our own child's port)
        said = orjson.loads(answer.read())
    assert "error" not in said, said


def _end_of(redis: Any, room: str) -> str:
    channel = CHANNEL.replace(ROOM, room.encode()).decode()
    epoch, offset = redis.hmget(f"centrifugo.stream.meta.{channel}", "e", "s")
    return f'"epoch":"{epoch}","offset":{offset}'


PEERS: Final[tuple[Peer, ...]] = (
    Centrifugo("centrifugo", has_history=False),
    Centrifugo("centrifugo-history", has_history=True),
)
