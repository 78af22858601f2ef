"""One command of a client: the shape that every file of ``verbs/`` fills. Knows no verb."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from enum import Enum, auto
from typing import Any, ClassVar, Self, TypeAlias

from edges.protocol.messages import Outgoing, Said

__all__ = ["Command", "Lane", "Outcome"]

Outcome: TypeAlias = Sequence[Outgoing] | AsyncGenerator[Outgoing, None]
"""All that is to be written, in its order; a generator, where the command must wait for something."""


class Lane(Enum):
    """In which order commands of one client are carried out (``Inbox``)."""

    IN_ORDER = auto()
    OVERTAKING = auto()
    """Ahead of others, but not of those of the same topic, while a command under way takes long."""
    AHEAD = auto()
    """Ahead of all others."""


class Command(ABC):
    """What a client asks for. Immutable: a command may wait.

    Attributes:
        lane: the order among other commands.
        needs_token: whether a client that must show a token cannot say this before.
        is_long: whether the command takes long from the start, so that overtaking ones need not wait.
        is_small: whether the command waits as it was read, not as its text.
        greets: whether a client of the flat dialect is greeted by the command, not before.
        chooses_room: whether the command says in which room a client of the flat dialect is.

    """

    __slots__ = ()

    lane: ClassVar[Lane] = Lane.IN_ORDER
    needs_token: ClassVar[bool] = True
    is_long: ClassVar[bool] = False
    is_small: ClassVar[bool] = False
    greets: ClassVar[bool] = False
    chooses_room: ClassVar[bool] = False

    @property
    @abstractmethod
    def verb(self) -> str:
        """Name of the command, in replies and in logs."""

    @property
    @abstractmethod
    def reply_to(self) -> str | None:
        """Correlation id of the reply; None where the client named nothing."""

    @property
    def topic(self) -> str | None:
        """What the command is about: an overtaking one stays behind others of its topic; None: passes any."""
        return None

    @classmethod
    @abstractmethod
    def parse(cls, said: Said) -> Self:
        """Read the data of a request.

        Raises:
            Refused: the data are of the wrong kind; the sentence names the field.

        """

    # A client holds the context of the edge, which holds the table of verbs: with its type here, each would import all.
    @abstractmethod
    def run(self, client: Any) -> Outcome:
        """Carry out the command, and return what is written for it.

        Raises:
            Refused: by a generator: the refusal is the answer.
            BusError: by a generator: Redis, or a bound of the edge, makes the command impossible at the moment.

        """
