"""The choice of a client's dialect: on a session-buddy port the first message decides (decisions/0009). Pure."""

from collections.abc import Mapping
from typing import Any

from bus.service import Service
from edges.protocol.envelope import ENVELOPE, Dialect
from edges.protocol.session_buddy import FLAT, decides

__all__ = ["DialectChoice"]


class DialectChoice:
    """The dialect of a client.

    Args:
        service: has a dialect of its own, or not.
        dialect: the client's, whatever its messages are like; None: the service and the first message decide.

    Attributes:
        dialect: the present dialect.
        is_undecided: whether a message may still change the dialect.

    """

    __slots__ = ("dialect", "is_undecided")

    def __init__(self, service: Service, dialect: Dialect | None = None) -> None:
        self.is_undecided = dialect is None and service.dialect != "envelope"
        self.dialect: Dialect = dialect or (FLAT if self.is_undecided else ENVELOPE)

    def decide(self, value: Mapping[str, Any] | None) -> bool:
        """Let a first message decide; None stands for an unreadable message, and makes the client flat.

        Return whether the client has just changed from the flat dialect to the envelope.
        """
        dialect = FLAT if value is None else decides(value)
        if not self.is_undecided or dialect is None:
            return False
        self.is_undecided, self.dialect = False, dialect
        return dialect is ENVELOPE
