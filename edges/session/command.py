"""A command of a client: the shape of every file in ``verbs/``. Knows no verb."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from enum import Enum, auto
from typing import Any, ClassVar, Final, Self, TypeAlias

from edges.protocol.messages import Outgoing, Said

__all__ = ["COMMON_BYTES", "Command", "KnownCommands", "Lane", "Outcome"]

_KNOWN: Final = 1_024
COMMON_BYTES: Final = 256
"""A longer command is not looked for: the look is at every byte."""

Outcome: TypeAlias = tuple[Outgoing, ...] | AsyncGenerator[Outgoing, None]
"""All that is to be written, in its order; a generator, where the command must wait for something."""


class Lane(Enum):
    """The order among the commands of a client (``Inbox``)."""

    IN_ORDER = auto()
    OVERTAKING = auto()
    """Ahead of commands of other topics, while a command under way takes long."""
    AHEAD = auto()
    """Ahead of all other commands."""


class Command(ABC):
    """A request of a client, read and ready to run. Immutable: a command may wait.

    Attributes:
        lane: the order among other commands.
        needs_token: whether a client must have shown a token, where tokens are required.
        is_long: whether the command takes long from the start, so overtaking commands need not wait.
        is_small: whether the command waits as an object, not as text.
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
        """Correlation id of the reply; None where the client gave no id."""

    @property
    def is_common(self) -> bool:
        """Whether other clients say the same, and nothing in the text is one client's own."""
        return False

    @property
    def topic(self) -> str | None:
        """The subject: an overtaking command stays behind others of the same topic; None: passes any."""
        return None

    @classmethod
    @abstractmethod
    def parse(cls, said: Said) -> Self:
        """Read the data of a request.

        Raises:
            Refused: the data are of the wrong kind; the sentence names the field.

        """

    # decisions/0068: a client holds the context of the edge, and the context the table of verbs. With the client's type
    # here, the three modules would import each other; the files of the verbs have the type.
    @abstractmethod
    def run(self, client: Any) -> Outcome:
        """Carry out the command, and return all results, to be written in order.

        Raises:
            Refused: by a generator: the refusal is the answer.
            BusError: by a generator: Redis, or a bound of the edge, makes the command impossible at the moment.

        """


class KnownCommands:
    """Common commands by their text: programs count their ids, so the first subscribe of thousands is one text."""

    def __init__(self) -> None:
        self._by_text: dict[bytes, Command] = {}
        self.get = self._by_text.get

    def __len__(self) -> int:
        """The number of texts that are known."""
        return len(self._by_text)

    def remember(self, text: bytes, command: Command) -> None:
        """Know a command from now on; a long one, or one of a client's own, is none to remember."""
        if len(text) > COMMON_BYTES or not command.is_common:
            return
        if len(self._by_text) >= _KNOWN:
            self._by_text.clear()
        self._by_text[text] = command
