"""The kernel's price of the same bytes: a bare epoll loop in C, one write per event, or per read from Redis."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchmarks.built import compiled, compiler_version
from benchmarks.peer import BUILD, ROOM, Peer, Running, Tls, free_port, spawned, until_listening
from benchmarks.peers.ours.peer import WIRE

__all__ = ["PEERS"]

_SOURCE: Final = Path(__file__).with_name("floor.c")
_PROGRAM: Final = BUILD / "floor" / "floor"


class Floor:
    """Sends the lines that the bus publishes, as they come."""

    has_tls = False

    def __init__(self, name: str, way: str) -> None:
        self.name, self._way = name, way

    def install(self) -> None:
        """Compile the server."""
        compiled(_PROGRAM, [_SOURCE])

    def version(self) -> str:
        """Return the compiler's version."""
        return f"{self._way}; {compiler_version()}"

    def start(self, stack: ExitStack, core: int, redis_port: int, tls: Tls | None = None) -> Running:
        """Start the server."""
        assert tls is None
        port = free_port()
        pid = spawned(stack, core, [_PROGRAM, str(port), str(redis_port), self._way])
        until_listening(port)
        return Running((pid,), port, replace(WIRE, subscribe=ROOM, subscribed=b"in " + ROOM, resume=b""))


PEERS: Final[tuple[Peer, ...]] = (Floor("floor", "unbatched"), Floor("floor-joined", "joined"))
