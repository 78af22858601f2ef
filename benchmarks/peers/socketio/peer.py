"""Socket.IO with its Redis adapter, in Node."""

import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import orjson

from benchmarks.peer import BUILD, Peer, Running, Tls, free_port, payload, spawned, until_listening
from benchmarks.peers.installing import installed, once, output, tool
from benchmarks.peers.overheard import overheard
from benchmarks.peers.socketio.wire import CHANNEL, wire

__all__ = ["PEERS"]

_SOURCE: Final = Path(__file__).parent
_FOLDER: Final = BUILD / "socketio"
_FILES: Final = ("package.json", "package-lock.json", "server.js", "publish.js")
_SHOWN: Final = ("socket.io", "@socket.io/redis-adapter", "redis")
_OVERHEAD: Final = b'{"text":""}'
"""What is around the text of an event in a client's message, and so taken from its 200 bytes."""


class SocketIo:
    """One process of Node."""

    name = "socketio"
    has_tls = True

    def install(self) -> None:
        """Install the packages, in the versions of ``package-lock.json``."""
        npm = tool("npm", "install Node 20 or newer")
        with once(_FOLDER, *(_SOURCE / name for name in _FILES)) as is_needed:
            if is_needed:
                for name in _FILES:
                    shutil.copyfile(_SOURCE / name, _FOLDER / name)
                installed(npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", folder=_FOLDER)

    def version(self) -> str:
        """Return the versions of Node and of the installed packages."""
        packages = [(name, _FOLDER / "node_modules" / name / "package.json") for name in _SHOWN]
        versions = [f"{name} {orjson.loads(path.read_bytes())['version']}" for name, path in packages]
        return ", ".join([*versions, f"node {output('node', '--version')}"])

    def start(self, stack: ExitStack, core: int, redis_port: int, tls: Tls | None = None) -> Running:
        """Start the server, and emit once by the emitter to learn what it writes to Redis."""
        port, redis_url = free_port(), f"redis://127.0.0.1:{redis_port}"
        command: list[str | Path] = ["node", _FOLDER / "server.js", redis_url, str(port)]
        command += [tls.certificate, tls.key] if tls else []
        pid = spawned(stack, core, command, log=_FOLDER / "node.log")
        until_listening(port)
        with overheard(redis_port) as redis:
            text = payload(size=200 - len(_OVERHEAD)).decode()
            output("node", _FOLDER / "publish.js", redis_url, CHANNEL.decode(), text)
            return Running((pid,), port, wire(redis.event()))


PEERS: Final[tuple[Peer, ...]] = (SocketIo(),)
