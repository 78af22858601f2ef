"""The table of the wire's words says what is written of the protocol; the rows here are typed by hand from there."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from bus.event import RESERVED
from bus.words import ABOUT_THE_TOKEN, PASSING, CloseCode, Code, NoticeName, Verb

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGES: Final = ("bus", "clients", "edgebus", "edges", "producers")
OWN: Final = {
    "bus/words.py": "the table",
    "edgebus/lab/": "the laboratory shares no code with what it judges",
    "producers/services/session_buddy.py": "a service's event, as old as the welcome, and of the same name",
}
"""Where words of the wire may be typed, and why."""

NOUNS: Final = {
    "presence": {
        "bus/channel.py",
        "bus/description.py",
        "clients/state.py",
        "clients/subscriptions.py",
        "edgebus/commands/probing.py",
        "edges/session/appearances.py",
    },
    "publish": {"bus/spans.py"},
    "services": {"edgebus/dashboard/actions.py", "edgebus/dashboard/sums.py", "producers/wellbeing.py"},
    "session.created": {"edges/lifecycle/metrics/skills.py"},
    "subscribe": {"edgebus/doctor/loop.py"},
}
"""Words that mean something else as well, and where that is typed: a part of a family, OpenTelemetry's name of an
operation, a key of answers about health and of the dashboard, session-buddy's own event, a kind of message of Redis'.
"""

VERBS = {"subscribe", "unsubscribe", "auth", "ping", "services", "presence", "publish"}
NOTICES = {
    "session.created": (
        "connection_id",
        "server",
        "message",
        "authenticated",
        "secure",
        "rate_limit",
        "publish_rate_limit",
    ),
    "edge.draining": ("reconnect_after_ms",),
    "bus.degraded": ("reason",),
    "bus.restored": ("generation",),
    "auth.expiring": ("expires_at", "expires_in_ms"),
    "room.gap": ("from", "to", "reason"),
    "room.left": ("reason", "user"),
    "room.joined": ("user", "info", "since"),
    "room.presence": ("count", "joined", "left", "reason"),
    "room.state": ("position", "state", "truncated", "anew"),
}
CODES = {
    "DECODE_ERROR",
    "INVALID_REQUEST",
    "INVALID_CHANNEL",
    "UNKNOWN_REQUEST",
    "FORBIDDEN",
    "AUTH_REQUIRED",
    "AUTH_FAILED",
    "RATE_LIMIT_EXCEEDED",
    "SUBSCRIPTION_LIMIT",
    "UNAVAILABLE",
    "NO_RESPONDER",
    "TIMEOUT",
    "NOT_FOUND",
    "INTERNAL_ERROR",
    "ANSWER_TOO_LARGE",  # "an answer that is too large to send is an error with a code"
}
CLOSE_CODES = {
    1001: True,
    1007: False,  # RFC 6455, section 8.1: a text message that is not UTF-8
    1008: False,
    1009: False,
    1011: True,
    1012: True,
    1013: True,
    3008: True,
    3503: False,
    4001: False,
}


def test_verbs_are_those_of_every_service() -> None:
    """Six verbs, whatever the service."""
    assert {str(verb) for verb in Verb} == VERBS


def test_notices_have_their_keys() -> None:
    """Each notice has its name and its keys, in order."""
    assert {str(name): name.keys for name in NoticeName} == NOTICES


def test_notice_is_found_by_its_name() -> None:
    """A name that came over the wire is equal to the table's, and found in sets of it."""
    assert NoticeName("room.gap") is NoticeName.ROOM_GAP
    assert "room.gap" in frozenset(NoticeName)
    assert f"{NoticeName.ROOM_GAP}" == "room.gap"


def test_values_of_a_notice_are_in_the_order_of_its_keys() -> None:
    """What an edge gives is what a client reads; a missing key is read as None, a missing value is not written."""
    data = NoticeName.ROOM_GAP.data("1-1", None, "slow")
    assert data == {"from": "1-1", "to": None, "reason": "slow"}
    assert NoticeName.ROOM_GAP.values(dict(reversed(data.items())) | {"more": 1}) == ("1-1", None, "slow")
    assert NoticeName.AUTH_EXPIRING.values({}) == (None, None)
    with pytest.raises(ValueError, match="shorter"):
        NoticeName.ROOM_GAP.data("1-1", None)


def test_notices_of_rooms_are_told_from_the_others() -> None:
    """A notice of a room carries that room."""
    assert {name for name in NoticeName if name.is_of_a_room} == {
        "room.gap",
        "room.left",
        "room.state",
        "room.joined",
        "room.presence",
    }


def test_names_of_notices_are_reserved() -> None:
    """No event may have a notice's name. The welcome's is older than the rule: session-buddy has such an event, too."""
    assert {name for name in NoticeName if not name.startswith(RESERVED)} == {"session.created"}


def test_error_codes_and_their_advice() -> None:
    """Each code of the protocol, and whether the same may go well later."""
    assert {str(code) for code in Code} == CODES
    assert {"UNAVAILABLE", "RATE_LIMIT_EXCEEDED", "TIMEOUT", "INTERNAL_ERROR"} == PASSING
    assert {"AUTH_REQUIRED", "AUTH_FAILED"} == ABOUT_THE_TOKEN


def test_close_codes_and_their_advice() -> None:
    """Each close code says whether to come back."""
    assert {int(code): code.come_back for code in CloseCode} == CLOSE_CODES


def modules() -> list[str]:
    paths = (path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")))
    names = [str(path.relative_to(ROOT)) for path in paths]
    assert len(names) > 100
    return [name for name in names if not name.startswith(tuple(OWN))]


def constants(tree: ast.AST) -> Iterator[Any]:
    """Return what is typed in a module, but for docstrings and other sentences that stand alone."""
    names = {id(name) for node in ast.walk(tree) for name in exported(node)}
    passed = names | {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in passed)


def exported(node: ast.AST) -> list[ast.expr]:
    """Return the names of ``__all__``: a module's own names, such as that of the command ``services``."""
    is_all = isinstance(node, ast.Assign) and [ast.unparse(it) for it in node.targets] == ["__all__"]
    return node.value.elts if is_all and isinstance(node.value, ast.List) else []  # type: ignore[attr-defined]


def typed_again(text: str) -> list[str | int]:
    """Return the words of the wire that a module's text types itself."""
    closes, whole = {int(code) for code in CloseCode}, {str(word) for word in (*Code, *Verb)}
    found: list[str | int] = []
    for value in constants(ast.parse(text)):
        if isinstance(value, str | bytes):
            said = value if isinstance(value, str) else value.decode("latin-1")
            found += [said for name in NoticeName if name in said]
            found += [said] if said in whole else []
        elif type(value) is int and value in closes:
            found.append(value)
    return found


@pytest.mark.parametrize("module", modules())
def test_no_word_is_typed_again(module: str) -> None:
    """Verbs, names of notices, error codes and close codes stand in the table and nowhere else."""
    nouns = {noun for noun, modules_ in NOUNS.items() if module in modules_}
    assert [it for it in typed_again((ROOT / module).read_text("utf-8")) if it not in nouns] == []


def test_a_word_that_is_typed_again_is_found() -> None:
    """The search sees a name in a text and in bytes, a verb, an error code and a close code; not a docstring."""
    text = '"""A room.gap."""\nA, B, C, D, E = "room.gap", b\'{"event":"bus.degraded"}\', "auth", "TIMEOUT", 1013\n'
    assert typed_again(text) == ["room.gap", '{"event":"bus.degraded"}', "auth", "TIMEOUT", 1013]
