"""A connection, as seen by hooks of a service's class: ``send``, ``close``, ``id``, ``user``."""

from typing import Any

from edges import OwnedClient

__all__ = ["WebSocket"]


class WebSocket:
    """What the hooks call ``websocket``.

    Attributes:
        id: the connection's id, the same that hooks are given as ``connection_id``.
        sent: how many messages were sent.

    """

    def __init__(self, client: OwnedClient) -> None:
        self._client = client
        self.id, self.sent = client.id, 0
        self._user: dict[str, Any] | None = None

    @property
    def remote_address(self) -> tuple[str, int]:
        """The client's address; the port is not kept."""
        return self._client.address, 0

    @property
    def user(self) -> dict[str, Any] | None:
        """The payload of the client's token, None for a client without; or the user that a hook has set."""
        if self._user is not None:
            return self._user
        caller = self._client.caller
        return dict(caller.claims) if caller.user_id is not None else None

    @user.setter
    def user(self, user: dict[str, Any] | None) -> None:
        # For hooks that judge tokens themselves. Only the hooks see this user: the edge knows the token's alone.
        self._user = user

    async def send(self, message: str | bytes) -> None:
        """Send a message made by ``WebSocketProtocol.encode``."""
        if not isinstance(message, str | bytes):
            raise TypeError(f"a text is wanted, and this is of type {type(message).__name__}: encode the message first")
        self.sent += 1
        await self._client.send(message)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection; the socket ends a moment later."""
        self._client.close(code, reason)
