"""The library centrifuge in a small server of its own (``main.go``), with its Redis broker and no history."""

from contextlib import ExitStack
from pathlib import Path
from typing import Final

from benchmarks.peer import BUILD, Peer, Running, Tls, free_port, payload, spawned, until_listening
from benchmarks.peers.centrifugo.wire import CHANNEL, wire
from benchmarks.peers.installing import compiled_with, go, installed, once, output
from benchmarks.peers.overheard import overheard

__all__ = ["PEERS"]

_SOURCE: Final = Path(__file__).parent
_FOLDER: Final = BUILD / "centrifuge"
_FILES: Final = ("main.go", "go.mod", "go.sum")
_PROGRAM: Final = _FOLDER / "centrifuge"


class Centrifuge:
    """One process with the library; Centrifugo is made with it, and so they have one wire."""

    name = "centrifuge"
    has_tls = False

    def install(self) -> None:
        """Compile the server, with the versions in ``go.mod``."""
        with once(_FOLDER, *(_SOURCE / name for name in _FILES)) as is_needed:
            if is_needed:
                installed(go(), "build", "-ldflags=-s", "-o", _PROGRAM, ".", folder=_SOURCE)

    def version(self) -> str:
        """Return what the program says it was compiled with."""
        return f"centrifuge {compiled_with(_PROGRAM, 'github.com/centrifugal/centrifuge')}"

    def start(self, stack: ExitStack, core: int, redis_port: int, tls: Tls | None = None) -> Running:
        """Start the server, and publish once by a second process to learn what it writes to Redis."""
        assert tls is None, "the server has no TLS"
        port, redis_url = free_port(), f"redis://127.0.0.1:{redis_port}"
        pid = spawned(stack, core, [_PROGRAM, redis_url, str(port)], log=_FOLDER / "centrifuge.log")
        until_listening(port)
        with overheard(redis_port) as redis:
            output(_PROGRAM, redis_url, CHANNEL.decode(), payload(b'{"text":"', b'"}').decode())
            return Running((pid,), port, wire(redis.event()))


PEERS: Final[tuple[Peer, ...]] = (Centrifuge(),)
