"""Cursors over several edges: opaque to the operator, and each edge's own place inside. Pure."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import orjson

from bus.errors import AdminRefused

__all__ = ["pack", "unpack"]


def pack(places: Mapping[str, Any]) -> str | None:
    """Return the cursor for edges with more to show, each with the edge's own place; None for no such edge."""
    if not places:
        return None
    return base64.urlsafe_b64encode(orjson.dumps(dict(places))).decode().rstrip("=")


def unpack(cursor: str) -> dict[str, Any]:
    """Return the places in a cursor.

    Raises:
        AdminRefused: the text is no cursor of ours.

    """
    try:
        places = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError) as error:
        raise AdminRefused("this is no cursor: take the one of the page before, or none") from error
    if not isinstance(places, dict):
        raise AdminRefused("this is no cursor: take the one of the page before, or none")
    return places
