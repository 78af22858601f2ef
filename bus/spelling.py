"""The spelling of ids in channels' names: percent-encoded UTF-8, one spelling for each id (RFC 3986, 6.2.2).

Knows no family and no service.
"""

import re
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from bus.errors import ChannelError

__all__ = ["ID_LIMIT", "canonical_name", "decode_id", "encode_id", "spell"]

ID_LIMIT: Final = 128
"""The most characters of an id, encoded."""

_STANDING: Final = ":._@/+=~-"
"""The characters of an id that stand as they are, beside letters and digits."""
_PLAIN: Final = re.compile(r"[A-Za-z0-9:._@/+=~-]*")
_STRAY: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Controls, ends of lines, and the marks that turn the direction of a text."""


def encode_id(value: str) -> str:
    """Return the spelling of an id, of any length."""
    # decisions/0001: `%` begins an escape, so an id's own `%` is escaped, too. Else the ids `a b` and `a%20b` would
    # share a channel, and two workflows a history.
    return quote(value, safe=_STANDING, errors="surrogatepass")


def decode_id(text: str) -> str:
    """Return the id that ``text`` spells.

    Raises:
        UnicodeDecodeError: the escapes are no UTF-8.

    """
    return unquote_to_bytes(text.encode(errors="surrogatepass")).decode(errors="surrogatepass")


def spell(name: str) -> str:
    """Return the canonical spelling of a name, whose id may be spelled in any way, or be too long.

    Raises:
        ChannelError: no id is spelled so; the message ends with the right spelling.

    """
    head, colon, text = name.partition(":")
    # An id of more characters is too long in any spelling: nothing is worked out for whoever sends 64 KiB.
    if len(text) > 3 * ID_LIMIT or _PLAIN.fullmatch(text):
        return name
    spelled, fault = _spelled(text)
    if fault is not None and len(spelled) <= ID_LIMIT:
        raise ChannelError(f"{fault} is spelled so: {head}{colon}{spelled}")
    return head + colon + spelled


def canonical_name(name: str) -> str:
    """Return the canonical spelling of a name; a name that is none stays as it is, for others to refuse."""
    try:
        return spell(name)
    except ChannelError:
        return name


def _spelled(text: str) -> tuple[str, str | None]:
    """Return the spelling of the most likely id, and the fault of ``text``; None for no fault."""
    try:
        spelled = encode_id(decode_id(_STRAY.sub("%25", text)))
    except UnicodeDecodeError:
        return encode_id(text), "its escapes are no UTF-8; an id with '%'"
    return spelled, _fault(text)


def _fault(text: str) -> str | None:
    if _STRAY.search(text):
        return "'%' begins an escape of two hex digits; an id with '%'"
    if _CONTROL.search(text):
        return "a control character stands in it; such an id"
    # A client that sends `wf_*` means a pattern, as at NATS or with PSUBSCRIBE, and would wait in a room of that name.
    return "rooms have no patterns; an id with '*' at its end" if text.endswith("*") else None
