"""Ids that nobody chose: random UUIDs, as text."""

from os import urandom
from random import getrandbits
from typing import Final

__all__ = ["message_id", "new_id"]

_VARIANT: Final = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def new_id() -> str:
    """Return a random UUID as text (RFC 9562, section 5.4)."""
    # A third of the time of `str(uuid.uuid4())`, which makes an object and a number of 128 bits on the way; each
    # client costs three.
    return _written(urandom(16).hex())


def message_id() -> str:
    """Return a UUID that tells one message of a connection from others, and that no rule of secrecy rests on."""
    # Without a system call: a client costs two on arrival. A process that forks begins a row of its own (`random`).
    return _written(f"{getrandbits(128):032x}")


def _written(text: str) -> str:
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:]}"
