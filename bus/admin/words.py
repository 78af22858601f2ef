"""Words between operators and edges: verbs, names in Redis, and the bounds of each message."""

from enum import StrEnum
from typing import Final

__all__ = [
    "ANSWER_BYTES",
    "ANSWER_S",
    "COMMAND_BYTES",
    "INTEREST_S",
    "LOOK_LIFE_S",
    "LOOK_ROWS",
    "PAGE_ROWS",
    "TOLD",
    "AdminVerb",
    "Order",
    "admin_channel",
    "look_key",
    "told_channel",
]

ANSWER_S: Final = 2.0
"""An edge that has not answered for so long is silent."""
COMMAND_BYTES: Final = 64 * 1024
"""The most bytes of a command."""
ANSWER_BYTES: Final = 256 * 1024
"""The most bytes of the rows in an answer; the rest is for the next page."""
PAGE_ROWS: Final = 500
"""The most rows in an answer."""
INTEREST_S: Final = 5.0
"""How long an edge writes looks after an operator's last word of interest."""
LOOK_LIFE_S: Final = 5.0
"""The life of a look in Redis."""
LOOK_ROWS: Final = 50
"""The most rooms, and the most clients, in a look."""
TOLD: Final = "bus:told:"
"""Begins the channels on which operators are answered, and edges answer on no others."""


class AdminVerb(StrEnum):
    """Commands of an operator to an edge."""

    ROOMS = "rooms"
    CLIENTS = "clients"
    ROOM = "room"
    CLIENT = "client"
    LOOK = "look"
    KICK = "kick"
    DRAIN = "drain"
    UNDRAIN = "undrain"
    LOG_LEVEL = "log_level"


class Order(StrEnum):
    """Orders of a list of rooms: the most members first, the most events a second first, or by name."""

    MEMBERS = "members"
    RATE = "rate"
    NAME = "name"


def admin_channel(edge: str) -> str:
    """Return the channel on which an edge hears operators. Only users that may publish there are operators."""
    return f"bus:admin:{edge}"


def told_channel(nonce: str) -> str:
    """Return the channel on which an operator is answered."""
    return f"{TOLD}{nonce}"


def look_key(edge: str) -> str:
    """Return the key of an edge's newest look, a hash of JSON texts that expires when nobody looks."""
    return f"bus:look:{edge}"
