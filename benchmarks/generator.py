"""The load generator: a process per server under load, connected from turn to turn."""

import json
import os
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, TypeAlias

from benchmarks.built import generator
from benchmarks.peer import BUILD, Running, Wire
from bus.broker.child import spawn_bound

__all__ = ["Answer", "Generator", "LoadError", "described"]

Answer: TypeAlias = dict[str, Any]
"""The generator's report of a command; ``benchmarks/load/main.c`` has the commands."""

_TEXT, _BINARY = 1, 2
_FOLDER: Final = BUILD / "run"


class LoadError(Exception):
    """The measurement is void; the message has the reason."""


def described(wire: Wire, port: int, publish_port: int, *, is_tls: bool) -> bytes:
    """Return the description of a server for the generator."""
    parts: list[tuple[str, bytes]] = [
        ("port", b"%d" % port),
        ("publish_port", b"%d" % publish_port),
        ("is_tls", b"%d" % is_tls),
        ("is_http", b"%d" % (wire.publish_to == "http")),
        ("is_uniform", b"%d" % wire.is_uniform),
        ("opcode", b"%d" % (_BINARY if wire.is_binary else _TEXT)),
        ("request", wire.request),
        ("subscribe", wire.subscribe),
        ("subscribed", wire.subscribed),
        ("resume", wire.resume),
        ("ping", wire.ping),
        ("pong", wire.pong),
        ("separator", wire.rooms_separator),
        ("publish", wire.publish),
    ]
    parts += [part for step in wire.steps for part in (("send", step.send), ("expect", step.expect))]
    return b"".join(b"%b %d\n%b\n" % (name.encode(), len(value), value) for name, value in parts) + b"end\n"


class Generator:
    """A crowd of clients of a server, and the publisher of events.

    Args:
        stack: ends the process.
        core: of the process, and of the forked process that publishes at a rate.
        running: the server.
        redis_port: where events are published, unless the peer takes publishes by HTTP.
        is_tls: whether clients speak TLS.

    """

    def __init__(self, stack: ExitStack, core: int, running: Running, redis_port: int, *, is_tls: bool = False) -> None:
        publish_port = (running.publish_port or running.port) if running.wire.publish_to == "http" else redis_port
        path = _description(running.wire, running.port, publish_port, is_tls=is_tls)
        self._child = spawn_bound(
            ["taskset", "-c", str(core), generator(), path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        stack.callback(path.unlink)
        for pipe in (self._child.process.stdin, self._child.process.stdout):
            assert pipe is not None
            stack.callback(pipe.close)
        stack.callback(self._child.stop_blocking)
        self.pid = self._child.pid

    def do(self, command: str, *values: object) -> Answer:
        """Run a command, and return the generator's report.

        Raises:
            LoadError: the generator gave up; with the reason.

        """
        pipe_in, pipe_out = self._child.process.stdin, self._child.process.stdout
        assert pipe_in is not None
        assert pipe_out is not None
        pipe_in.write(" ".join(map(str, (command, *values))).encode() + b"\n")
        pipe_in.flush()
        line = pipe_out.readline()
        answer: Answer = json.loads(line) if line else {"error": f"it ended with {self._child.exit_code}"}
        if "error" in answer:
            raise LoadError(f"the load generator, at `{command}`: {answer['error']}")
        return answer

    def connect(self, clients: int, rooms: int, rooms_each: int, *, at_once: int, seconds: float) -> Answer:
        """Make the crowd, and let all clients in.

        Raises:
            LoadError: a client was not let in.

        """
        self.do("crowd", clients, rooms, rooms_each)
        answer = self.do("connect", at_once, seconds)
        if answer["failed"]:
            raise LoadError(f"{answer['failed']} of {clients} clients were not let in: {answer['reason']}")
        return answer


def _description(wire: Wire, port: int, publish_port: int, *, is_tls: bool) -> Path:
    _FOLDER.mkdir(parents=True, exist_ok=True)
    path = _FOLDER / f"{os.getpid()}-{port}.wire"
    path.write_bytes(described(wire, port, publish_port, is_tls=is_tls))
    return path
