"""Messages over a WebSocket as values: requests from a client, messages to a client. Pure.

Writing a value down is a dialect's matter (``envelope``).
"""

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Final, NamedTuple, Protocol, Self, TypeAlias, TypeVar

from orjson import Fragment

from bus.errors import Portable
from bus.position import Reason
from bus.values import frozen
from bus.words import CloseCode, Code, NoticeName

__all__ = [
    "Closing",
    "Code",
    "Dismissal",
    "Message",
    "Notice",
    "Outgoing",
    "Parser",
    "Pong",
    "Refusal",
    "Refused",
    "Reply",
    "Said",
    "Welcome",
    "gap",
]


@frozen
class Closing:
    """The reason of a close: a code with advice for the client, and a sentence."""

    code: CloseCode
    reason: str


GOING_AWAY: Final = Closing(CloseCode.GOING_AWAY, "the edge goes away")
INVALID_TEXT: Final = Closing(CloseCode.INVALID_DATA, "a text message is not UTF-8")
NO_TOKEN: Final = Closing(CloseCode.POLICY_VIOLATION, "authentication failed")
# The code of the session-buddy dialect (protocol.md), with the same advice.
NO_TOKEN_FLAT: Final = Closing(CloseCode.UNAUTHENTICATED, "authentication failed")
ABUSE: Final = Closing(CloseCode.POLICY_VIOLATION, "message_rate_limit exceeded again and again")
CONTROL_FLOOD: Final = Closing(CloseCode.POLICY_VIOLATION, "control_rate_limit exceeded")
TOO_BIG: Final = Closing(CloseCode.MESSAGE_TOO_BIG, "a message has more than max_message_bytes")
# decisions/0041: a stranger's message is bounded as it comes in, so a stranger holds 9 KB of the edge's memory.
TOO_BIG_YET: Final = Closing(CloseCode.MESSAGE_TOO_BIG, "before a token, a message has auth_max_token_bytes and 1 KiB")
TOO_MANY_PARTS: Final = Closing(CloseCode.MESSAGE_TOO_BIG, "a message has more than max_fragments")
RESTARTING: Final = Closing(CloseCode.SERVICE_RESTART, "the edge restarts")
OUR_BUG: Final = Closing(CloseCode.INTERNAL_ERROR, "internal error")
KEEPALIVE: Final = Closing(CloseCode.INTERNAL_ERROR, "keepalive ping timeout")
NOT_NOW: Final = Closing(CloseCode.TRY_AGAIN_LATER, "Redis cannot be reached at the moment")
AT_CAPACITY: Final = Closing(CloseCode.TRY_AGAIN_LATER, "the edge is at capacity: max_connections")
KICKED: Final = Closing(CloseCode.KICKED, "an operator closed the connection")
DRAINED: Final = Closing(CloseCode.TRY_AGAIN_LATER, "an operator has drained the edge: another replica serves you")
SLOW: Final = Closing(CloseCode.SLOW_CONSUMER, "slow consumer: over max_waiting_bytes")
STUCK: Final = Closing(CloseCode.SLOW_CONSUMER, "slow consumer: nothing read within slow_deadline_s")


# From a client.


class Said(NamedTuple):
    """A request of a client, before the file of the verb has read the data.

    ``then`` is a second command of the same message, or the refusal, in the session-buddy dialect.
    """

    verb: str
    data: Mapping[str, Any]
    reply_to: str | None = None
    then: Any = None

    def refused(self, sentence: str) -> "Refused":
        """Return the error for data of the wrong kind; ``sentence`` names the field."""
        return Refused(Refusal(Code.INVALID_REQUEST, sentence, self.verb, self.reply_to))


CommandT_co = TypeVar("CommandT_co", covariant=True)


class Parser(Protocol[CommandT_co]):
    """A row of the table of verbs, as far as a dialect knows the table."""

    def parse(self, said: Said) -> CommandT_co:
        """Return the command, or raise ``Refused``."""


# To a client.


class Reply(NamedTuple):
    """The answer to a command that went well; the data may be JSON already."""

    verb: str
    data: Mapping[str, Any] | Fragment
    reply_to: str | None = None


@frozen
class Pong:
    """The answer to a ping."""

    reply_to: str | None = None


@frozen
class Refusal:
    """The answer to a refused command, with a sentence about the field and the remedy."""

    code: Code
    sentence: str
    verb: str | None = None
    reply_to: str | None = None
    retry_after_ms: int | None = None


class Welcome(NamedTuple):
    """Said once on every connection."""

    connection_id: str
    server: str
    sentence: str
    rate_limit: int
    authenticated: bool = False
    secure: bool = False
    publish_rate_limit: int | None = None


@frozen
class Notice:
    """News about the connection or a room, without a request."""

    event: str
    data: Mapping[str, Any] = field(default_factory=dict)
    room: str | None = None

    @classmethod
    def of(cls, name: NoticeName, *values: Any, room: str | None = None) -> Self:
        """Return the notice ``name`` with ``values`` in the order of the keys."""
        return cls(name, name.data(*values), room)


def gap(room: str, start: str | None, end: str | None, reason: Reason) -> Notice:
    """Return the notice of missing events in ``room`` between two positions."""
    return Notice.of(NoticeName.ROOM_GAP, start, end, reason, room=room)


Message: TypeAlias = Reply | Pong | Refusal | Welcome | Notice


class Refused(Portable):
    """Raised inside the parser; carries the refusal for the answer, and the name of the setting exceeded."""

    def __init__(self, refusal: Refusal, limit: str | None = None) -> None:
        super().__init__(refusal.sentence)
        self.refusal, self.limit = refusal, limit


@frozen
class Dismissal:
    """The client is told why, and the connection is closed."""

    refusal: Refusal
    closing: Closing


Outgoing: TypeAlias = Message | Dismissal | bytes
"""What a verb returns to be written; bytes are finished frames."""
