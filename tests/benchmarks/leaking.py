"""An edge that keeps something of every connection; for the test that a run over time finds a leak."""

import asyncio
from typing import Final

from edges.transport.connection import Connection

_KEPT: Final[list[object]] = []
_made = Connection.connection_made


def keeping(self: Connection, transport: asyncio.BaseTransport) -> None:
    _KEPT.append([bytearray(20_000), *([number] for number in range(100))])
    _made(self, transport)


Connection.connection_made = keeping  # type: ignore[method-assign]
