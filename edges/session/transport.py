"""The transport of a client, as far as a session knows the transport: writes, closes, is paused."""

from typing import Protocol

from edges.limits.quotas import Excess
from edges.net.visitor import Visitor
from edges.protocol.messages import Closing
from edges.rooms.room import RoomSubscriber
from edges.session.inbox import Pausable

__all__ = ["Transport"]


class Transport(RoomSubscriber, Pausable, Protocol):
    """A connection; in rooms, the subscriber."""

    @property
    def name(self) -> str:
        """Id of the connection."""

    @property
    def visitor(self) -> Visitor:
        """The client, as far as the handshake told."""

    def attend(self, rooms: int) -> None:
        """Take note of the number of the client's rooms."""

    def write(self, frames: bytes, behind: bytes = b"") -> None:
        """Write finished frames, and those ``behind`` in one go with them."""

    async def drained(self) -> None:
        """Wait until most of the bytes written have left."""

    @property
    def takes_more(self) -> bool:
        """Whether little waits to be read."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits to be read, as far as the edge holds it."""

    def close(self, code: Closing) -> None:
        """Begin the closing handshake."""

    def close_slow(self) -> None:
        """Be closed as too slow."""

    # What the registry of connections is told.

    def identify(self, user: str) -> Excess | None:
        """Count the connection for ``user``, or return the quota that ``user`` exceeds."""

    def be_found(self, names: tuple[str, ...]) -> None:
        """Be found by ``names`` from now on, and by no others."""

    def take_place(self) -> bool:
        """Take a place among the clients; tell whether a place was free."""
