"""The words of the wire between edges and clients: verbs, notices with keys, error codes, close codes.

A single table, read by edges, by clients, by tests and by the pages for users. Pure data, without a rule of when a word
is said.
"""

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from typing import Any, Final, Self

__all__ = ["ABOUT_THE_TOKEN", "PASSING", "CloseCode", "Code", "NoticeName", "Verb"]


class Verb(StrEnum):
    """Requests that every edge answers, for any service."""

    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"
    AUTH = "auth"
    PING = "ping"
    SERVICES = "services"
    PRESENCE = "presence"
    PUBLISH = "publish"
    """Where the catalogue opens events to clients."""


class NoticeName(StrEnum):
    """Events that an edge says on its own account. A notice has no position; a line of a room's log does.

    Attributes:
        keys: the keys of ``data``, each always there.

    """

    keys: tuple[str, ...]

    def __new__(cls, name: str, *keys: str) -> Self:
        """Return the name with the keys of its data."""
        self = str.__new__(cls, name)
        self._value_ = name
        self.keys = keys
        return self

    SESSION_CREATED = (
        "session.created",
        "connection_id",
        "server",
        "message",
        "authenticated",
        "secure",
        "rate_limit",
        "publish_rate_limit",
    )
    """The welcome."""
    EDGE_DRAINING = "edge.draining", "reconnect_after_ms"
    """The edge restarts: when to come back."""
    BUS_DEGRADED = "bus.degraded", "reason"
    """The edge has lost Redis."""
    BUS_RESTORED = "bus.restored", "generation"
    """The edge has Redis again, and has compared its rooms with their logs."""
    AUTH_EXPIRING = "auth.expiring", "expires_at", "expires_in_ms"
    """The token ends soon."""
    ROOM_GAP = "room.gap", "from", "to", "reason"
    """Events are missing between two positions of a room."""
    ROOM_LEFT = "room.left", "reason", "user"
    """A user has left the room. Without a user the client itself is out: ``forbidden``, the new token does not open the
    room, or ``kicked``, an operator wants the client out."""
    ROOM_JOINED = "room.joined", "user", "info", "since"
    """A user has come into the room."""
    ROOM_PRESENCE = "room.presence", "count", "joined", "left", "reason"
    """So many users came and left that no notice names each, or the family only counts."""
    ROOM_STATE = "room.state", "position", "state", "truncated", "anew"
    """How many lines of the state follow, and its position: in place of all before if ``anew``, else the rest."""

    @property
    def is_of_a_room(self) -> bool:
        """Whether the notice carries a room; any other concerns the connection."""
        return self.startswith("room.")

    def data(self, *values: Any) -> dict[str, Any]:
        """Return ``data`` of a notice: ``values`` in the order of the keys."""
        return dict(zip(self.keys, values, strict=True))

    def values(self, data: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return the values in ``data`` of a notice, in the order of the keys; None for a key that is missing."""
        return tuple(data.get(key) for key in self.keys)


class Code(StrEnum):
    """Error codes. The connection stays open, but after the codes about the token."""

    DECODE_ERROR = "DECODE_ERROR"
    INVALID_REQUEST = "INVALID_REQUEST"
    INVALID_CHANNEL = "INVALID_CHANNEL"
    UNKNOWN_REQUEST = "UNKNOWN_REQUEST"
    FORBIDDEN = "FORBIDDEN"
    AUTH_REQUIRED = "AUTH_REQUIRED"
    AUTH_FAILED = "AUTH_FAILED"
    RATE_LIMIT_EXCEEDED = "RATE_LIMIT_EXCEEDED"
    SUBSCRIPTION_LIMIT = "SUBSCRIPTION_LIMIT"
    UNAVAILABLE = "UNAVAILABLE"
    NO_RESPONDER = "NO_RESPONDER"
    TIMEOUT = "TIMEOUT"
    NOT_FOUND = "NOT_FOUND"
    ANSWER_TOO_LARGE = "ANSWER_TOO_LARGE"
    INTERNAL_ERROR = "INTERNAL_ERROR"


# An INTERNAL_ERROR is passing, too: a bug met once need not be met by a repetition.
PASSING: Final = frozenset({Code.UNAVAILABLE, Code.RATE_LIMIT_EXCEEDED, Code.TIMEOUT, Code.INTERNAL_ERROR})
"""The same request may go well later."""
ABOUT_THE_TOKEN: Final = frozenset({Code.AUTH_REQUIRED, Code.AUTH_FAILED})
"""The edge wants a token, or another one, and closes after that."""

_COME_BACK: Final = True
_STAY_AWAY: Final = False


class CloseCode(IntEnum):
    """Codes that an edge closes with (RFC 6455, section 7.4; the field's names), each with its advice.

    Attributes:
        come_back: whether a client should connect again.

    """

    # Any other code gives no advice, and a client comes back: proxies and broken networks close connections as well.

    come_back: bool

    def __new__(cls, code: int, come_back: bool) -> Self:
        """Return the code with its advice."""
        self = int.__new__(cls, code)
        self._value_ = code
        self.come_back = come_back
        return self

    GOING_AWAY = 1001, _COME_BACK
    INVALID_DATA = 1007, _STAY_AWAY
    POLICY_VIOLATION = 1008, _STAY_AWAY
    MESSAGE_TOO_BIG = 1009, _STAY_AWAY  # the same message would end the next connection, too
    INTERNAL_ERROR = 1011, _COME_BACK
    SERVICE_RESTART = 1012, _COME_BACK
    TRY_AGAIN_LATER = 1013, _COME_BACK  # to another replica, most often: this edge is at capacity
    SLOW_CONSUMER = 3008, _COME_BACK
    """With ``since``."""
    KICKED = 3503, _STAY_AWAY  # decisions/0121: Centrifugo's "force disconnect", with the same advice
    """An operator wants the client gone."""
    UNAUTHENTICATED = 4001, _STAY_AWAY
    """POLICY_VIOLATION for a missing or refused token, in the session-buddy dialect."""
