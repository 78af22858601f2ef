"""An edge as ``edgebus edge`` starts it, with everything on: log, positions, limits, statistics."""

import platform
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from benchmarks.peer import (
    BUILD,
    HASH,
    POSITION,
    ROOM,
    ROOT,
    SALT,
    Peer,
    Running,
    Tls,
    Wire,
    free_port,
    payload,
    resp,
    spawned,
    until_listening,
    upgrade,
)
from bus.channel import Family
from bus.log.appending import SCRIPT, Entry, command
from bus.version import own_version
from producers.services.excalidraw import SELECTION
from producers.services.mahavishnu import WORKFLOW

__all__ = ["PEERS", "WIRE", "Ours"]

_CLIENTS: Final = 20_000
_EVENT: Final = "workflow.started"


def _line(family: Family) -> bytes:
    """Return a line as producers write it around 200 bytes of data; 511 bytes once published."""
    return (
        b'{"id":"%b-000","correlation_id":null,"type":"event","event":"%b","data":%b,'
        b'"timestamp":"2026-01-01T00:00:00.000000+00:00","room":"%b","error_code":null,"error_message":null}'
    ) % (HASH, _EVENT.encode(), payload(b'{"text":"', b'"}'), _channel(family))


def _channel(family: Family) -> bytes:
    return family.fill(ROOM.decode()).name.encode()


def _publish(family: Family) -> bytes:
    """Return the bus's own command; its one argument that differs from call to call is the salt of the position."""
    entry = Entry(family.fill(ROOM.decode()), (HASH + b"-000").decode(), _EVENT, _line(family))
    one, other = command(entry), command(entry)
    return resp(*(SALT if a != b else a if isinstance(a, bytes) else str(a) for a, b in zip(one, other, strict=True)))


def _subscribe(family: Family, more: bytes = b"") -> bytes:
    channel = _channel(family)
    return b'{"type":"request","event":"subscribe","data":{"channel":"%b"%b},"id":"%b"}' % (channel, more, ROOM)


def _wire(family: Family, resume: bytes = b"") -> Wire:
    return Wire(
        publish=_publish(family),
        request=upgrade(),
        subscribe=_subscribe(family),
        subscribed=b'"subscribed","channel":"%b' % _channel(family),
        prepare=(("SCRIPT", "LOAD", SCRIPT),),
        resume=resume,
        is_uniform=True,
    )


WIRE: Final = _wire(WORKFLOW, _subscribe(WORKFLOW, b',"since":"%b"' % POSITION))
LIVE_WIRE: Final = _wire(SELECTION)
"""Of a family without a log: lines have no positions."""


class Ours:
    """One process; of another checkout where a folder is given. The wire is this checkout's all the same."""

    has_tls = True

    def __init__(self, name: str = "ours", folder: Path = ROOT, service: str = "mahavishnu", wire: Wire = WIRE) -> None:
        self.name, self._folder, self._service, self._wire = name, folder, service, wire

    def without_log(self) -> "Ours":
        """Return the edge of a service that has channels without a log."""
        return Ours(self.name, self._folder, "excalidraw", LIVE_WIRE)

    def install(self) -> None:
        """Nothing is needed: this is the checkout itself."""

    def version(self) -> str:
        """Return ours and Python's."""
        at = "" if self._folder == ROOT else f" at {self._folder}"
        return f"edgebus {own_version()}{at}, Python {platform.python_version()}"

    def start(self, stack: ExitStack, core: int, redis_port: int, tls: Tls | None = None) -> Running:
        """Start an edge as a user does; without pings, as the peers are."""
        port = free_port()
        given: dict[str, object] = {"max_connections": _CLIENTS, "ping_interval_s": 3600}
        if tls is not None:
            given |= {"tls_certificate": tls.certificate, "tls_key": tls.key}
        edge = [sys.executable, "-m", "edgebus", "edge", self._service, "--port", str(port), "--log-level", "warning"]
        edge += ["--redis", f"redis://127.0.0.1:{redis_port}"]
        edge += [part for it in given.items() for part in ("--set", "=".join(map(str, it)))]
        pid = spawned(stack, core, edge, folder=self._folder, log=BUILD / "run" / f"{self.name}.log")
        until_listening(port)
        return Running((pid,), port, self._wire, end_of=_end_of)


def _end_of(redis: Any, room: str) -> str:
    return str(redis.xrevrange(WORKFLOW.fill(room).log_key, count=1)[0][0])


PEERS: Final[tuple[Peer, ...]] = (Ours(),)
