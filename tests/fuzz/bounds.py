"""How much fuzzing a run of the tests does, and what it makes things of.

``FUZZ_TIMES=50 pytest --timeout 3000 tests/fuzz`` looks further, and elsewhere each time.
"""

import os
from typing import Any, Final

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

__all__ = ["CONVERSATION", "JSON", "MESSAGES", "NAMES", "NUMBERS", "POSITIONS", "VALUE", "mangled"]

TIMES: Final = int(os.environ.get("FUZZ_TIMES", "0"))


def bounded(examples: int) -> settings:
    """Return settings for so many examples, the same ones in every run; with FUZZ_TIMES, other ones so many times."""
    return settings(
        max_examples=examples * max(TIMES, 1),
        derandomize=not TIMES,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


VALUE: Final = bounded(100)
"""For a pure function."""
CONVERSATION: Final = bounded(60)
"""For a connection and its client."""

NUMBERS: Final = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
JSON: Final = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
POSITIONS: Final = st.from_regex(r"[0-9]{1,20}-[0-9]{1,20}", fullmatch=True) | st.sampled_from(
    ["0-0", "1-0", f"{'9' * 20}-{'9' * 20}", f"{'9' * 21}-1", f"{'9' * 5000}-1", "1-", "-1", "\u0661-\u0661", "1-1\n"]
)
NAMES: Final = st.text(max_size=30) | st.sampled_from(
    [
        "global",
        "workflow:a",
        "workflow:",
        "workflow:*",
        "workflow:a\n",
        "workflow:\0",
        "workflow:\u202e",
        "bus:epoch",
        "__keyspace@0__:x",
        "workflow:" + "a" * 129,
    ]
)
KEYS: Final = st.sampled_from(
    ["type", "event", "data", "id", "correlation_id", "channel", "room", "since", "last", "token", "skill", "position"]
)
_WORDS: Final = st.sampled_from(
    ["request", "subscribe", "unsubscribe", "ping", "event", "auth", "get_workflow_status", "response", "pong", "error"]
)
_VALUES: Final = _WORDS | NAMES | POSITIONS | JSON
MESSAGES: Final[st.SearchStrategy[dict[str, Any]]] = st.dictionaries(
    KEYS, _VALUES | st.dictionaries(KEYS, _VALUES, max_size=4), max_size=6
)
"""Objects with the keys that mean something, and anything for their values."""


def mangled(whole: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Return anything, and things that are nearly what ``whole`` makes: cut, doubled, with a byte changed."""
    return st.binary(max_size=60) | whole | st.builds(_mangle, whole, st.integers(0, 400), st.binary(max_size=3))


def _mangle(whole: bytes, at: int, put: bytes) -> bytes:
    at %= len(whole) + 1
    return whole[:at] + put + whole[at + len(put) // 2 :]
