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

__all__ = ["Asked", "Opening", "read_opening"]

_LONGEST_BYTES: Final = 4 * 1024
"""Shorter than any line that the library refuses."""
_LISTED: Final = 32
"""So many commas, semicolons and ampersands are far from the most that a handshake may list."""
_HEAD: Final = re.compile(
    rb"GET (?P<path>[!-~]+) HTTP/1\.1\r\n(?P<fields>(?:[-!#$%&'*+.^_`|~0-9A-Za-z]{1,64}:[\t -~]*\r\n){4,32})\r\n"
)
_KEY: Final = re.compile(r"[A-Za-z0-9+/]{21}[AQgw]==")
"""16 bytes in base64."""
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
    """An opening handshake in the usual form: no field is there twice, and only the key differs.

    Args:
        path: with the query.
        fields: the values by name, in small letters.

    """

    __slots__ = ("_fields", "path")

    def __init__(self, path: str, fields: dict[str, str]) -> None:
        self.path, self._fields = path, fields

    @property
    def headers(self) -> "Opening":
        """The header fields."""
        return self

    def get_all(self, key: str, /) -> list[str]:
        """Return the values of a field."""
        value = self._fields.get(key.lower())
        return [] if value is None else [value]

    def answer(self) -> bytes:
        """Return the answer that lets the client in."""
        key = self._fields["sec-websocket-key"].encode()
        accept = b64encode(sha1(key + _GUID, usedforsecurity=False).digest())
        return _answer_head(int(time.time())) + accept + b"\r\n\r\n"


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
    return Opening(found["path"].decode("ascii"), fields) if is_usual else None


def _is_handshake(fields: dict[str, str]) -> bool:
    get = fields.get
    return (
        get("upgrade", "").lower() == "websocket"
        and get("connection", "").lower() in _CONNECTIONS
        and get("sec-websocket-version") == "13"
        and _KEY.fullmatch(get("sec-websocket-key", "")) is not None
    )


@lru_cache(maxsize=1)
def _answer_head(second: int) -> bytes:
    """Return the answer but for the key, written once a second."""
    date = formatdate(second, usegmt=True)
    return (
        f"HTTP/1.1 101 Switching Protocols\r\nDate: {date}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: "
    ).encode()
