"""Who stands at the door, as far as socket and handshake tell. A value."""

from dataclasses import dataclass

__all__ = ["Visitor"]


@dataclass(frozen=True, slots=True)
class Visitor:
    """A client, as far as its socket and its handshake tell.

    Attributes:
        address: its own, not that of a listed proxy before it; empty for a peer that has none.
        is_secure: whether what it sends is encrypted, at least as far as a listed proxy.
        needs_token: it named no page where only listed ones may come in, so it must show a valid token, whatever
            others must.

    """

    address: str
    is_secure: bool
    needs_token: bool = False
