"""The owner of an edge: the process around the edge, where the process itself greets and answers clients.

An edge without an owner answers by the catalogue. Knows neither rooms nor the conversation.
"""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Protocol

from bus.channel import Channel
from bus.tasks import Spawn
from edges.auth.permissions import Caller

__all__ = ["OwnedClient", "Owner", "Ownership"]


class OwnedClient(Protocol):
    """A client, as an owner sees the client."""

    @property
    def id(self) -> str:
        """Id of the connection."""

    @property
    def address(self) -> str:
        """Address of the client; empty for a Unix socket."""

    @property
    def caller(self) -> Caller:
        """User and permissions, by the token; the anonymous caller before."""

    @property
    def channels(self) -> Sequence[Channel]:
        """The client's rooms."""

    async def send(self, text: str | bytes) -> None:
        """Send a message, at the client's pace. In ``said``, the first message is the answer.

        An answer over ``max_answer_bytes`` becomes an error with a code.
        """

    def put(self, text: str | bytes) -> bool:
        """Send a message without waiting; tell whether the message was small enough, and the client there."""

    async def join(self, channel: Channel) -> None:
        """Let the client into a room. In ``said`` the client is given events behind the answer only.

        While a ``subscribe`` with ``since`` or ``last`` is answered, the client is given the past first.

        Raises:
            BusUnavailable: Redis cannot be reached.
            LimitReached: the client is in ``max_rooms`` rooms, or the edge has too many.

        """

    def leave(self, channel: Channel) -> None:
        """Let the client out of a room; a room without the client is ignored."""

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake."""


class Owner(Protocol):
    """Greets and answers the clients of an edge. For one client, the three never run at the same time.

    An error in ``arrived`` closes the connection (1011), an error in ``said`` is answered INTERNAL_ERROR; both are
    logged, and concern no other client.
    """

    async def arrived(self, client: OwnedClient) -> None:
        """Greet a client that has come in: behind the token, where a token is required. ``open_timeout_s`` at most.

        Messages sent here are the welcome, which follows the first answer or a short silence.
        """

    async def said(self, client: OwnedClient, message: Mapping[str, Any]) -> None:
        """Answer a message; the client's later messages wait. The edge answers ``auth`` and ``ping`` itself."""

    async def left(self, client: OwnedClient) -> None:
        """Take note of the end of a client that has arrived."""


class Ownership:
    """The owner, and the clients that have arrived.

    Args:
        owner: the process around the edge.
        spawn: runs a task, and owns the task.

    Attributes:
        clients: by the ids of the connections.

    """

    def __init__(self, owner: Owner, spawn: Spawn) -> None:
        self.owner, self._spawn = owner, spawn
        self.clients: dict[str, OwnedClient] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    def see_off(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run the end of a client in a task."""
        task = self._spawn(work, name)
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def settle(self, timeout_s: float) -> None:
        """Wait until the owner has taken note of every client's end, for at most ``timeout_s``."""
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=timeout_s)
