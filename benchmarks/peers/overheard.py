"""What a peer's own publisher writes to Redis, overheard once with MONITOR: the bytes that the load then repeats.

The text of a script or the layout of a message need not be written down here, and cannot be out of date.
"""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from benchmarks.peer import EVENT, resp

__all__ = ["Overheard", "overheard"]

_DEADLINE_S: Final = 10.0
_ARGUMENT: Final = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_ESCAPE: Final = re.compile(rb"\\(x[0-9a-f]{2}|.)")
_NAMED: Final = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b"}


class Overheard:
    """The commands that Redis executes for its clients from now on; those of scripts are left out."""

    def __init__(self, connection: socket.socket) -> None:
        self._lines = connection.makefile("rb")

    def begin(self) -> None:
        """Wait until Redis has confirmed, so that no command after this is missed."""
        answer = self._lines.readline()
        if answer != b"+OK\r\n":
            raise ConnectionError(f"Redis does not let MONITOR: {answer!r}")

    def event(self) -> bytes:
        """Wait for the command that holds the mark of an event; return it in Redis' protocol.

        Raises:
            TimeoutError: none came in time.
        """
        for line in self._lines:
            front, _, command = line.partition(b"] ")
            arguments = [_plain(quoted) for quoted in _ARGUMENT.findall(command)]
            if not front.endswith(b" lua") and any(EVENT in argument for argument in arguments):
                return resp(*arguments)
        raise ConnectionError("Redis closed the connection of MONITOR")


@contextmanager
def overheard(redis_port: int) -> Iterator[Overheard]:
    """Listen to all that Redis on ``redis_port`` of 127.0.0.1 is told."""
    with socket.create_connection(("127.0.0.1", redis_port), _DEADLINE_S) as connection:
        connection.sendall(resp("MONITOR"))
        heard = Overheard(connection)
        heard.begin()
        yield heard


def _plain(quoted: bytes) -> bytes:
    """Undo how MONITOR writes an argument."""
    return _ESCAPE.sub(_unescaped, quoted)


def _unescaped(found: re.Match[bytes]) -> bytes:
    code = found[1]
    return bytes.fromhex(code[1:].decode()) if len(code) > 1 else _NAMED.get(code, code)
