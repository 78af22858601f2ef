"""``websockets``, ``redis.asyncio`` and ``broadcast()``: a fan-out as it is written in an afternoon."""

import importlib.metadata
import sys
from contextlib import ExitStack
from typing import Final

from benchmarks.peer import ROOM, Peer, Running, Tls, Wire, free_port, payload, resp, spawned, until_listening, upgrade

__all__ = ["PEERS"]

_CHANNEL: Final = b"room:" + ROOM
_WIRE: Final = Wire(
    publish=resp("PUBLISH", _CHANNEL, payload(b'{"text":"', b'"}')),
    request=upgrade(),
    subscribe=b'{"type":"request","event":"subscribe","data":{"channel":"%b"},"id":"1"}' % _CHANNEL,
    subscribed=b'"subscribed","channel":"%b"' % _CHANNEL,
    is_uniform=True,
)


class Websockets:
    """One process, one set of connections per channel."""

    name = "websockets"
    has_tls = True

    def install(self) -> None:
        """Nothing is needed: the library is one of ours."""

    def version(self) -> str:
        """Return the versions of both libraries."""
        return f"websockets {importlib.metadata.version('websockets')}, redis-py {importlib.metadata.version('redis')}"

    def start(self, stack: ExitStack, core: int, redis_port: int, tls: Tls | None = None) -> Running:
        """Start the server."""
        port = free_port()
        command = [sys.executable, "-m", "benchmarks.peers.websockets.server"]
        command += ["--redis", f"redis://127.0.0.1:{redis_port}", "--port", str(port)]
        if tls is not None:
            command += ["--certificate", str(tls.certificate), "--key", str(tls.key)]
        pid = spawned(stack, core, command)
        until_listening(port)
        return Running((pid,), port, _WIRE)


PEERS: Final[tuple[Peer, ...]] = (Websockets(),)
