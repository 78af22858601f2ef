"""Where a client may show its token in the opening handshake. Pure.

The answer to a fault is not here: a handshake is accepted, and the refusal said in it, since browsers show their pages
nothing of an HTTP answer.
"""

from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qsl

from websockets.http11 import Request
from websockets.typing import Subprotocol

__all__ = ["SUBPROTOCOL", "chosen_subprotocol", "shown_tokens"]

SUBPROTOCOL: Final = Subprotocol("edgebus.v1")


def chosen_subprotocol(offered: Sequence[str]) -> Subprotocol | None:
    """Return the subprotocol to answer with; one who offers none of ours is welcome without."""
    return SUBPROTOCOL if SUBPROTOCOL in offered else None


def shown_tokens(request: Request, *, in_query: bool) -> list[str]:
    """Return the tokens in a request: ``Authorization: Bearer``, beside ``edgebus.v1``, and in the query if allowed.

    More than one is for the caller to refuse. Passed over is what is no token: other ways to log in, other protocols.
    """
    found = [
        words[1].strip()
        for header in request.headers.get_all("Authorization")
        if len(words := header.split(" ", 1)) > 1 and words[0].lower() == "bearer"
    ]
    offered = [
        item.strip() for header in request.headers.get_all("Sec-WebSocket-Protocol") for item in header.split(",")
    ]
    if SUBPROTOCOL in offered:
        found += [item for item in offered if item != SUBPROTOCOL]
    if in_query:
        found += [value for name, value in parse_qsl(request.path.partition("?")[2]) if name == "token"]
    return list(dict.fromkeys(found))
