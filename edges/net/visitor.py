"""A client before any command, as a value."""

from bus.values import frozen

__all__ = ["Visitor"]


@frozen
class Visitor:
    """A client, as far as socket and handshake tell.

    Attributes:
        address: the client's own, not a listed proxy's; empty for a peer without an address.
        is_secure: whether the client's bytes are encrypted, at least as far as a listed proxy.
        needs_token: a valid token is required of the client, whatever of others: the handshake names no page, and the
            edge lists pages.

    """

    address: str
    is_secure: bool
    needs_token: bool = False
