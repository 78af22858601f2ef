"""python-socketio with its AsyncRedisManager, under uvicorn."""

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from benchmarks.peer import BUILD, Peer, Running, Tls, free_port, payload, spawned, until_listening
from benchmarks.peers.installing import installed, once, output
from benchmarks.peers.overheard import overheard
from benchmarks.peers.socketio.wire import CHANNEL, wire

__all__ = ["PEERS"]

_SOURCE: Final = Path(__file__).parent
_FOLDER: Final = BUILD / "python_socketio"
_PYTHON: Final = _FOLDER / "venv" / "bin" / "python"
_SHOWN: Final = ("python-socketio", "uvicorn", "redis", "websockets")
_VERSIONS: Final = f"import importlib.metadata as m; print(*[f'{{p}} {{m.version(p)}}' for p in {_SHOWN}], sep=', ')"
_OVERHEAD: Final = b'{"text":""}'


class PythonSocketIo:
    """One process of uvicorn, on uvloop; it has every help that its documentation names."""

    name = "python-socketio"
    has_tls = True

    def install(self) -> None:
        """Install the packages of ``requirements.txt`` into a venv."""
        requirements = _SOURCE / "requirements.txt"
        with once(_FOLDER, requirements) as is_needed:
            if is_needed:
                installed(sys.executable, "-m", "venv", _FOLDER / "venv", folder=_FOLDER)
                pip: list[str | Path] = [
                    _PYTHON,
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                    "--no-deps",
                ]
                installed(*pip, "-r", requirements, folder=_FOLDER)

    def version(self) -> str:
        """Return the versions of the installed packages and of their Python."""
        return f"{output(_PYTHON, '-c', _VERSIONS)}, {output(_PYTHON, '--version')}"

    def start(self, stack: ExitStack, core: int, redis_port: int, tls: Tls | None = None) -> Running:
        """Start the server, and emit once from a second process to learn what it writes to Redis."""
        port, redis_url = free_port(), f"redis://127.0.0.1:{redis_port}"
        command: list[str | Path] = [
            _PYTHON,
            "-m",
            "uvicorn",
            "server:application",
            "--port",
            str(port),
            "--loop",
            "uvloop",
        ]
        command += ["--log-level", "warning", "--ws-per-message-deflate", "false", "--ws-ping-interval", "3600"]
        command += ["--ssl-certfile", tls.certificate, "--ssl-keyfile", tls.key] if tls else []
        environment = {"REDIS_URL": redis_url}
        pid = spawned(stack, core, command, folder=_SOURCE, environment=environment, log=_FOLDER / "uvicorn.log")
        until_listening(port)
        with overheard(redis_port) as redis:
            text = payload(size=200 - len(_OVERHEAD)).decode()
            output(_PYTHON, _SOURCE / "publish.py", redis_url, CHANNEL.decode(), text)
            return Running((pid,), port, wire(redis.event()))


PEERS: Final[tuple[Peer, ...]] = (PythonSocketIo(),)
