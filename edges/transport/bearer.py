"""The places of a token in the opening handshake. Pure.

The answer to a fault is elsewhere: a handshake is accepted and refused inside, since browsers hide HTTP answers from
pages.
"""

from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qsl

from websockets.typing import Subprotocol

from edges.transport.opening import Asked

__all__ = ["SUBPROTOCOL", "chosen_subprotocol", "shown_tokens"]

SUBPROTOCOL: Final = Subprotocol("edgebus.v1")


def chosen_subprotocol(offered: Sequence[str]) -> Subprotocol | None:
    """Return the subprotocol of the answer; a client that offers other subprotocols is welcome without."""
    return SUBPROTOCOL if SUBPROTOCOL in offered else None


def shown_tokens(request: Asked, *, in_query: bool) -> list[str]:
    """Return the tokens in a request: ``Authorization: Bearer``, beside ``edgebus.v1``, and in the query if allowed.

    Several tokens are for the caller to refuse. Other ways to log in, and other protocols, are passed over.
    """
    # decisions/0023: judged after the upgrade, so that a browser's page sees the sentence and the code.
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
