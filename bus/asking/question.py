"""Questions and answers as values, and as Redis holds them. Pure; whatever comes from Redis is checked here.

An answer travels as ``<id of the question> <word> <JSON>``: the data of the reply behind ``answered``, code and
sentence behind ``refused``. The edge splices the data into its reply as they are.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, Self

import orjson

from bus.values import frozen
from bus.words import Code

__all__ = ["REFUSALS", "Answered", "Asker", "Question", "parse_answer"]

_ID: Final = re.compile(r"[0-9a-z]{1,64}")
_EDGE: Final = re.compile(r"[!-~]{1,256}")
_DIGITS: Final = 15
_SENTENCE: Final = 500
"""The most characters of a refusal's sentence."""

REFUSALS: Final = frozenset(
    {
        Code.FORBIDDEN,
        Code.INVALID_REQUEST,
        Code.NOT_FOUND,
        Code.ANSWER_TOO_LARGE,
        Code.INTERNAL_ERROR,
        Code.TIMEOUT,
        Code.UNAVAILABLE,
    }
)
"""The codes of a responder; an edge takes no other for a refusal."""


@frozen
class Asker:
    """The client behind a question, as the edge knows the client.

    Attributes:
        user_id: by the token; None for an anonymous client.
        permissions: of the client.

    """

    user_id: str | None = None
    permissions: frozenset[str] = frozenset()

    def dump(self) -> bytes:
        """Return the asker as JSON."""
        return orjson.dumps({"user_id": self.user_id, "permissions": sorted(self.permissions)})

    @classmethod
    def parse(cls, text: bytes) -> Self:
        """Return the asker in a JSON text.

        Raises:
            ValueError: the text is no asker.

        """
        match orjson.loads(text):
            case {"user_id": str() | None as user_id, "permissions": list() as names} if all(
                isinstance(it, str) for it in names
            ):
                return cls(user_id, frozenset(names))
        raise ValueError("no asker")


@frozen
class Question:
    """A question, taken by a responder.

    Attributes:
        request: the request's name.
        entry: the id of the entry in the stream.
        id: the edge's name for the question.
        edge: the id of the asking edge.
        data: JSON, to be read by the request's model.
        asker: the client behind.
        deadline_ms: by Redis' clock.

    """

    request: str
    entry: str
    id: str
    edge: str
    data: bytes
    asker: Asker
    deadline_ms: int

    @classmethod
    def parse(cls, request: str, entry: bytes, fields: Mapping[bytes, bytes]) -> Self | None:
        """Return the question in an entry; None for an entry that no edge wrote."""
        try:
            question_id, edge = fields[b"id"].decode("ascii"), fields[b"edge"].decode("ascii")
            deadline, asker = fields[b"deadline"].decode("ascii"), Asker.parse(fields[b"caller"])
            data = fields[b"question"]
        except (KeyError, ValueError):
            return None
        is_time = deadline.isdecimal() and len(deadline) <= _DIGITS
        if not is_time or _ID.fullmatch(question_id) is None or _EDGE.fullmatch(edge) is None:
            return None
        return cls(request, entry.decode(), question_id, edge, data, asker, int(deadline))


@frozen
class Answered:
    """The outcome of a question: data as JSON, or a code with a sentence.

    Attributes:
        question: the id of the question.
        data: of the reply, as JSON; empty for a refusal.
        code: of a refusal; None for an answer.
        sentence: of a refusal.

    """

    question: str
    data: bytes = b""
    code: Code | None = None
    sentence: str = ""

    def dump(self) -> bytes:
        """Return the message for the asking edge."""
        if self.code is None:
            return b"%b answered %b" % (self.question.encode(), self.data)
        refusal = {"code": self.code, "message": self.sentence[:_SENTENCE]}
        return b"%b refused %b" % (self.question.encode(), orjson.dumps(refusal))


def parse_answer(message: bytes) -> Answered | None:
    """Return the outcome in a message; None for a message that no responder wrote."""
    question, _, rest = message.partition(b" ")
    word, _, text = rest.partition(b" ")
    if _ID.fullmatch(question.decode("latin-1")) is None:
        return None
    try:
        value: Any = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    match word, value:
        case b"answered", dict():
            return Answered(question.decode(), data=text)
        case b"refused", {"code": str(code), "message": str(sentence)} if code in REFUSALS:
            return Answered(question.decode(), code=Code(code), sentence=sentence[:_SENTENCE])
    return None
