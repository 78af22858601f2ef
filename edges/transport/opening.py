"""The opening handshake in its usual form, read at once; any other form is the library's to read. Pure.

Usual is a form that browsers and WebSocket libraries send. Such a handshake has one answer (RFC 6455, section 4.2.2).
"""

import re
import time
from base64 import b64encode
from email.utils import formatdate
from functools import lru_cache
from hashlib import sha1
from typing import Final, Protocol

__all__ = ["Asked", "Opening", "Openings", "read_opening"]

_LONGEST_BYTES: Final = 4 * 1024
"""Shorter than any line that the library refuses."""
_LISTED: Final = 32
"""So many commas, semicolons and ampersands are far from the most that a handshake may list."""
_HEAD: Final = re.compile(
    rb"GET (?P<path>[!-~]+) HTTP/1\.1\r\n(?P<fields>(?:[-!#$%&'*+.^_`|~0-9A-Za-z]{1,64}:[\t -~]*\r\n){4,32})\r\n"
)
_KEY: Final = re.compile(rb"[A-Za-z0-9+/]{21}[AQgw]==")
"""16 bytes in base64."""
_KEY_FIELD: Final = b"\r\nSec-WebSocket-Key: "
_KEY_BYTES: Final = 24
_KNOWN: Final = 64
"""So many heads are known, of 4 KiB at most."""
_OWN: Final = ("authorization", "cookie", "x-forwarded-for", "x-forwarded-proto", "forwarded")
_CONNECTIONS: Final = ("upgrade", "keep-alive, upgrade")
_UNUSUAL: Final = ("transfer-encoding", "content-length", "sec-websocket-protocol")
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Fields(Protocol):
    """The header fields of a request."""

    def get_all(self, key: str, /) -> list[str]:
        """Return the values of a field, in the order of coming; the letters' case says nothing."""


class Asked(Protocol):
    """A request, as far as judges of origins and tokens know one."""

    @property
    def path(self) -> str:
        """The path with the query."""

    @property
    def headers(self) -> Fields:
        """The header fields."""


class Opening:
    """An opening handshake in the usual form: no field is there twice.

    Args:
        path: with the query.
        fields: the values by name, in small letters.
        key: of the client.
        form: the handshake in which the same was said first, but for the key; None for this one.

    Attributes:
        is_free: whether any client that says the same may come in, without a token: judged once.

    """

    __slots__ = ("fields", "form", "is_free", "key", "path")

    def __init__(self, path: str, fields: dict[str, str], key: bytes, form: "Opening | None" = None) -> None:
        self.path, self.fields, self.key = path, fields, key
        self.form = self if form is None else form
        self.is_free = False

    @property
    def headers(self) -> "Opening":
        """The header fields."""
        return self

    def get_all(self, key: str, /) -> list[str]:
        """Return the values of a field."""
        value = self.fields.get(key.lower())
        return [] if value is None else [value]

    def answer(self) -> bytes:
        """Return the answer that lets the client in."""
        return _answer(self.key)


class Openings:
    """Reads handshakes in the usual form, and knows the heads of those before but for the key.

    Thousands of clients that come back at once are one program, or the pages of one browser.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, Opening] = {}

    def __len__(self) -> int:
        """The number of heads that are known."""
        return len(self._known)

    def answer_known(self, data: bytes) -> bytes | None:
        """Return the answer to a whole head, and no byte more, that lets anybody in; None for any other bytes."""
        start = data.find(_KEY_FIELD) + len(_KEY_FIELD)
        end = start + _KEY_BYTES
        known, key = self._known.get(data[:start] + data[end:]), data[start:end]
        return None if known is None or not known.is_free or _KEY.fullmatch(key) is None else _answer(key)

    def read(self, head: bytes) -> Opening | None:
        """Return the handshake in the head of a request; None for a head of any other form."""
        start = head.find(_KEY_FIELD) + len(_KEY_FIELD)
        key, rest = head[start : start + _KEY_BYTES], head[start + _KEY_BYTES :]
        form = head[:start] + rest
        known = self._known.get(form)
        if known is not None and _KEY.fullmatch(key) is not None:
            return Opening(known.path, known.fields, key, known)
        opening = read_opening(head)
        if opening is not None and opening.key == key and rest.startswith(b"\r\n") and _is_common(opening):
            if len(self._known) >= _KNOWN:
                self._known.clear()
            self._known[form] = opening
        return opening


def _is_common(opening: Opening) -> bool:
    """Tell whether other clients may send the same: nothing of one client's own is kept, tokens least of all."""
    return "?" not in opening.path and not any(name in opening.fields for name in _OWN)


def read_opening(head: bytes) -> Opening | None:
    """Return the handshake in the head of a request; None for a head of any other form."""
    found = _HEAD.fullmatch(head) if len(head) <= _LONGEST_BYTES else None
    if found is None or head.count(b",") + head.count(b";") + head.count(b"&") > _LISTED:
        return None
    fields, lines = {}, found["fields"].decode("ascii").split("\r\n")
    del lines[-1]
    for line in lines:
        name, _, value = line.partition(":")
        fields[name.lower()] = value.strip(" \t")
    is_usual = len(fields) == len(lines) and _is_handshake(fields) and not any(name in fields for name in _UNUSUAL)
    return Opening(found["path"].decode("ascii"), fields, fields["sec-websocket-key"].encode()) if is_usual else None


def _is_handshake(fields: dict[str, str]) -> bool:
    get = fields.get
    return (
        get("upgrade", "").lower() == "websocket"
        and get("connection", "").lower() in _CONNECTIONS
        and get("sec-websocket-version") == "13"
        and _KEY.fullmatch(get("sec-websocket-key", "").encode()) is not None
    )


def _answer(key: bytes) -> bytes:
    accept = b64encode(sha1(key + _GUID, usedforsecurity=False).digest())
    return _answer_head(int(time.time())) + accept + b"\r\n\r\n"


@lru_cache(maxsize=1)
def _answer_head(second: int) -> bytes:
    """Return the answer but for the key, written once a second."""
    date = formatdate(second, usegmt=True)
    return (
        f"HTTP/1.1 101 Switching Protocols\r\nDate: {date}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: "
    ).encode()
