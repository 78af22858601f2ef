"""A command of an operator, as a value: everything in a message is checked here. Pure."""

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from bus.admin.words import TOLD
from bus.values import frozen

__all__ = ["Asked", "BadCommand", "Unanswerable", "read"]

_REPLY: Final = re.compile(re.escape(TOLD) + r"[0-9a-f]{8,64}")
_ID: Final = re.compile(r"[0-9A-Za-z_-]{1,64}")
_NAME_LIMIT: Final = 100
_TEXT_LIMIT: Final = 1_024
_PRINTABLE: Final = re.compile(r"[^\x20-\x7e]")


class Unanswerable(ValueError):
    """A message names no channel to answer on; the text says why."""


class BadCommand(ValueError):
    """A command cannot be carried out; the text is the answer."""


@frozen
class Asked:
    """A command.

    Attributes:
        id: names the question in the answer.
        data: read by the methods below alone.
        reply: the operator's own channel.
        by: the operator, by the operator's own word.

    """

    id: str
    verb: str
    data: Mapping[str, Any]
    reply: str
    by: str

    def text(self, name: str) -> str | None:
        """Return the text called ``name``; None where the data have none.

        Raises:
            BadCommand: the value is no text, or too long.

        """
        value = self.data.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or len(value) > _TEXT_LIMIT:
            raise BadCommand(f"{name}: expected a text of at most {_TEXT_LIMIT} characters")
        return value

    def number(self, name: str, default: int, *, most: int) -> int:
        """Return the number called ``name``, between 0 and ``most``.

        Raises:
            BadCommand: the value is no such number.

        """
        value = self.data.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise BadCommand(f"{name}: expected a whole number from 0 on")
        return min(value, most)

    def texts(self, name: str, *, most: int) -> list[str]:
        """Return the texts in the list called ``name``.

        Raises:
            BadCommand: the value is no such list, or too long.

        """
        value = self.data.get(name, [])
        if not isinstance(value, list) or len(value) > most or not all(isinstance(it, str) for it in value):
            raise BadCommand(f"{name}: expected a list of at most {most} texts")
        return value


def read(message: bytes) -> Asked:
    """Read a message.

    Raises:
        Unanswerable: the message is no JSON object, or names no channel of an operator.

    """
    try:
        value = orjson.loads(message)
    except orjson.JSONDecodeError:
        raise Unanswerable("the message is not JSON") from None
    if not isinstance(value, dict):
        raise Unanswerable("the message is no JSON object")
    reply, question, verb, data = (value.get(name) for name in ("reply", "id", "verb", "data"))
    # decisions/0120: an edge publishes on operators' channels and nowhere else, whatever a message says.
    if not isinstance(reply, str) or _REPLY.fullmatch(reply) is None:
        raise Unanswerable(f"reply: expected a channel {TOLD}<hex digits>")
    if not isinstance(question, str) or _ID.fullmatch(question) is None:
        raise Unanswerable("id: expected up to 64 letters and digits")
    if not isinstance(verb, str) or not isinstance(data, dict):
        raise Unanswerable("verb and data: expected a text and an object")
    by = value.get("by")
    return Asked(question, verb[:_NAME_LIMIT], data, reply, _shown(by) if isinstance(by, str) else "unknown")


def _shown(text: str) -> str:
    """Return a text fit for a line of the log."""
    return _PRINTABLE.sub("?", text[:_NAME_LIMIT])
