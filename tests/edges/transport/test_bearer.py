import pytest
from websockets.datastructures import Headers
from websockets.http11 import Request

from edges.transport.bearer import SUBPROTOCOL, chosen_subprotocol, shown_tokens

A, P = "Authorization", "Sec-WebSocket-Protocol"


@pytest.mark.parametrize(
    ("path", "headers", "tokens"),
    [
        ("/", [], []),
        ("/", [(A, "Bearer a.b.c")], ["a.b.c"]),
        ("/", [(A, "bearer  a.b.c ")], ["a.b.c"]),
        ("/", [(A, "Basic a.b.c"), (A, "Bearer"), (A, "")], []),
        ("/", [(A, "Bearer a.b.c"), (A, "Bearer d.e.f")], ["a.b.c", "d.e.f"]),
        ("/", [(P, "edgebus.v1, a.b.c")], ["a.b.c"]),
        ("/", [(P, "a.b.c"), (P, "edgebus.v1")], ["a.b.c"]),
        ("/", [(P, "edgebus.v1")], []),
        ("/", [(P, "chat, a.b.c")], []),
        ("/", [(P, "edgebus.v1, a.b.c"), (A, "Bearer a.b.c")], ["a.b.c"]),
        ("/", [(P, "edgebus.v1, a.b.c"), (A, "Bearer d.e.f")], ["d.e.f", "a.b.c"]),
        ("/?token=a.b.c", [], []),
    ],
)
def test_tokens_in_a_handshake(path: str, headers: list[tuple[str, str]], tokens: list[str]) -> None:
    """A token is found where it may stand, the same one in two places once; everything else is passed over."""
    assert shown_tokens(Request(path, Headers(headers)), in_query=False) == tokens


@pytest.mark.parametrize(
    ("path", "tokens"),
    [
        ("/?token=a.b.c", ["a.b.c"]),
        ("/x?y=1&token=a%2Eb.c&token=d", ["a.b.c", "d"]),
        ("/?token=", []),
        ("/?Token=a", []),
        ("/?token=%ff%00&;&&=", ["\ufffd\x00"]),
    ],
)
def test_tokens_in_the_query_if_switched_on(path: str, tokens: list[str]) -> None:
    """The query is looked at where a setting says so."""
    assert shown_tokens(Request(path, Headers()), in_query=True) == tokens


def test_subprotocol() -> None:
    """Ours is chosen where it is offered; a token is never answered with."""
    assert chosen_subprotocol(["a.b.c", "edgebus.v1"]) == SUBPROTOCOL
    assert chosen_subprotocol(["chat", "a.b.c"]) is None
    assert chosen_subprotocol([]) is None
