"""A client, as operators see the client: a value, made when an operator looks and not before."""

from bus.values import frozen
from edges.session.client import Client

__all__ = ["Sight", "sight_of"]


@frozen
class Sight:
    """A client at one moment.

    Attributes:
        id: of the connection.
        rooms: names.
        lagging_at: since when much waits, in seconds of the loop's clock; None while little waits.
        is_left_out: whether rooms with a policy for slow consumers pass the client over.
        owes_token: whether the client must show a token before any other command.
        token_ends: seconds since 1970; None without an end.
        messages: how many the client has sent.

    """

    id: str
    user: str | None
    address: str
    rooms: tuple[str, ...]
    waiting_bytes: int
    lagging_at: float | None
    is_left_out: bool
    owes_token: bool
    token_ends: float | None
    dialect: str
    messages: int


def sight_of(client: Client, messages: int, *, waiting_bytes: int, lagging_at: float | None) -> Sight:
    """Return a client that has sent so many messages, and for which so much waits."""
    caller = client.admission.caller
    return Sight(
        id=client.transport.name,
        user=caller.user_id,
        address=client.transport.visitor.address,
        rooms=tuple(channel.name for channel in client.rooms.channels),
        waiting_bytes=waiting_bytes,
        lagging_at=lagging_at,
        is_left_out=client.rooms.is_suspended,
        owes_token=client.admission.is_locked,
        token_ends=caller.expires_at,
        dialect=client.choice.dialect.name,
        messages=messages,
    )
