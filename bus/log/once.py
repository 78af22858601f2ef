"""A client's publish, known again when the client repeats it on another connection, at another edge. Pure."""

import hashlib
import importlib.resources
from collections.abc import Mapping
from typing import Any, Final

import orjson

__all__ = ["ONCE_MS", "once", "once_name"]

ONCE_MS: Final = 120_000
"""How long Redis knows a client's publish: for a reconnect, and no longer."""
_AROUND: Final = importlib.resources.files("bus.log").joinpath("once.lua").read_text("utf-8")
_DIGEST_BYTES: Final = 16


def once(script: str) -> str:
    """Return a script that appends, with the memory of clients' publishes around.

    The script inside is unchanged, so any script takes it: the last key and the last argument are not the script's.
    """
    return _AROUND.replace("-- CUT\n", f"{script}\n", 1)


def once_name(user: str | None, request_id: str, event: str, data: Mapping[str, Any]) -> str:
    """Return the name by which a publish is known: the request's id, and a digest of all that makes a repetition one.

    ``user`` is None for a client without a token.
    """
    # decisions/0106: the id alone would not do. Clients number their requests from 1, each of them, after each reload.
    whole = orjson.dumps([user, request_id, event, data], option=orjson.OPT_SORT_KEYS)
    return f"{request_id}:{hashlib.blake2b(whole, digest_size=_DIGEST_BYTES).hexdigest()}"
