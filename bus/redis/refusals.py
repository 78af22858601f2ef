"""The meaning of Redis' own refusals: a sentence with the remedy, and Redis' words whole behind.

Knows texts; knows neither a connection nor where Redis is.
"""

import re
from collections.abc import Iterable
from typing import Any, Final

from bus.errors import BusError, BusNotReady, BusUnavailable, LoginRefused
from bus.redis import library
from bus.values import frozen

__all__ = ["all_checked", "checked", "is_about_command", "is_passing", "is_wrong_type", "meaning", "refusal", "said"]

_SHOWN: Final = 200
"""Characters of an answer: the answer about protected mode fills half a page."""
_PASSING: Final = frozenset(
    # decisions/0020: such a state passes by itself, so the event is repeated. OOM and MISCONF stay until a person acts.
    {"BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "NOREPLICAS", "READONLY", "TRYAGAIN"}
)

_WRONG_TYPE: Final = re.compile(r"(?:\A|caused error: \W*)WRONGTYPE ")
"""The client library puts the command in front of the error of a whole pipeline."""


@frozen
class _Cause:
    sentence: str
    kind: type[BusError] = BusError


_CLUSTER: Final = (
    "Redis is one node of a cluster, which edgebus does not use: name one server, or a primary by redis+sentinel://"
)
# By the code, which servers keep stable, and by the beginning of the text where Redis gives the code ERR alone. Every
# sentence has a remedy that a person can carry out; Redis' own words stand behind, since versions add reasons.
_CAUSES: Final = {
    "ERR AUTH": _Cause("Redis refuses the log-in: the user has no password there; leave it out", LoginRefused),
    "ERR Client sent AUTH": _Cause("Redis refuses the log-in: it has no password; leave it out", LoginRefused),
    "ERR invalid password": _Cause("Redis refuses the log-in: the password in the URL is wrong", LoginRefused),
    "ERR Function not found": _Cause(
        "Redis has not the function that this version of edgebus publishes by: an administrator loads it with "
        "`edgebus acl --function | redis-cli`"
    ),
    "ERR max number of clients": _Cause(
        "Redis has as many clients as it takes: close some, or raise its maxclients", BusUnavailable
    ),
    "ASK": _Cause(_CLUSTER),
    "BUSY": _Cause("a script of somebody's keeps Redis busy: SCRIPT KILL ends one that wrote nothing", BusNotReady),
    "CLUSTERDOWN": _Cause(_CLUSTER, BusNotReady),
    "CROSSSLOT": _Cause(_CLUSTER),
    "DENIED": _Cause(
        "Redis is in protected mode, in which it lets in programs of its own machine only: give it a password",
        BusUnavailable,
    ),
    "LOADING": _Cause("Redis is loading its data, and takes nothing until that is done", BusNotReady),
    "MASTERDOWN": _Cause("Redis is a replica whose primary is away", BusNotReady),
    "MISCONF": _Cause("Redis cannot save to its disk, and takes nothing until it can"),
    "MOVED": _Cause(_CLUSTER),
    "NOAUTH": _Cause(
        "Redis wants a log-in, and the URL names none: write it like redis://user:password@host:port", LoginRefused
    ),
    "NOPERM": _Cause("the user may not do that in Redis: `edgebus acl` prints users with what each part needs"),
    "NOREPLICAS": _Cause("fewer replicas are there than Redis is to have before it takes anything", BusNotReady),
    "OOM": _Cause("Redis is full: raise its maxmemory, or keep less"),
    "READONLY": _Cause("Redis is a replica, and events go to its primary", BusNotReady),
    "TRYAGAIN": _Cause(_CLUSTER, BusNotReady),
    "WRONGPASS": _Cause(
        "Redis refuses the log-in: the user or the password in the URL is wrong, or the user is off", LoginRefused
    ),
}


def said(error: Exception) -> str:
    """Return Redis' answer with its first word, which the client library keeps apart."""
    code, text = getattr(error, "status_code", None), " ".join(str(error).split())
    whole = f"{code} {text}" if code and not text.startswith(code) else text
    return whole if len(whole) <= _SHOWN else f"{whole[:_SHOWN]}…"


def meaning(text: str) -> str:
    """Return the sentence for an answer, with the answer behind the sentence; an unknown answer stands alone."""
    cause = _cause(text)
    return f"{cause.sentence} ({text})" if cause else f"Redis answered with an error: {text}"


def refusal(text: str) -> BusError:
    """Return the error for an answer after which a conversation was over."""
    cause = _cause(text)
    return (cause.kind if cause else BusError)(meaning(text))


def is_about_command(text: str) -> bool:
    """Tell whether an answer is about a single command (unknown, not allowed), and not about the conversation."""
    return _cause(text) is None or text.startswith("NOPERM")


def is_passing(error: "library.RedisError") -> bool:
    """Tell whether Redis refused for a reason that passes by itself."""
    return (error.status_code or str(error).partition(" ")[0]) in _PASSING


def _cause(text: str) -> _Cause | None:
    code = text.partition(" ")[0]
    # An unknown code speaks for itself: a guess at its cause would send an administrator to the wrong place.
    if code in _CAUSES:
        return _CAUSES[code]
    return next((cause for begin, cause in _CAUSES.items() if " " in begin and text.startswith(begin)), None)


def is_wrong_type(answer: Any) -> bool:
    """Tell whether Redis found a value of another type under the key: a person's, typed by hand."""
    return isinstance(answer, library.ResponseError) and _WRONG_TYPE.search(str(answer)) is not None


def checked(answer: Any) -> Any:
    """Return Redis' answer.

    Raises:
        BusError: the answer is an error of Redis', which is the cause.
        Exception: the answer, if the answer is another error.

    """
    # An answer that came as a value is looked at anywhere, and not only where ``failures.converted`` would see to that.
    if not isinstance(answer, Exception):  # first: to ask the client library's names loads the library
        return answer
    if isinstance(answer, library.ResponseError):
        raise refusal(said(answer)) from answer
    raise answer


def all_checked(answers: Iterable[Any]) -> None:
    """Look through the answers of a pipeline.

    Raises:
        BusError: for the first error of Redis' among the answers; the client library would quote the command.

    """
    for answer in answers:
        checked(answer)
