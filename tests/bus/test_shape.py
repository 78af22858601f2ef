import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.errors import ShapeError
from bus.shape import check_shape

TEXTS = st.text(st.sampled_from('[]{},:"\\/ab\n\u00e9'), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS, inner, max_size=5),
    max_leaves=40,
)


def values_in(value: Any) -> int:
    """Count the values below one."""
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return len(inner) + sum(values_in(it) for it in inner)


def empty_in(value: Any) -> int:
    """Count the containers that hold nothing."""
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else sum(empty_in(it) for it in inner) + (not inner)


def depth_of(value: Any) -> int:
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth_of, inner), default=0)


def limit_of(text: bytes, *, values: int, depth: int) -> str | None:
    """Return the limit that a text is over."""
    try:
        check_shape(text, values=values, depth=depth)
    except ShapeError as error:
        return error.limit
    return None


@given(JSON, st.booleans(), st.sampled_from([None, 1]), st.integers(0, 8))
def test_depth_is_exact(value: Any, ascii_only: bool, indent: int | None, depth: int) -> None:
    """A document passes exactly if it nests no deeper than it may, whatever its strings hold."""
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    assert (limit_of(text, values=1_000, depth=depth) is None) == (depth_of(value) <= depth)


@given(JSON, st.booleans(), st.sampled_from([None, 1]), st.integers(0, 40))
def test_values_are_never_undercounted(value: Any, ascii_only: bool, indent: int | None, values: int) -> None:
    """More values than may be never pass; as many do, with room for the empty containers among them."""
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    passes = limit_of(text, values=values, depth=100) is None
    if values_in(value) > values:
        assert not passes
    elif values_in(value) + empty_in(value) <= values:
        assert passes


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        (b'{"x":[' + b"[]," * 9_999 + b"[]]}", "values"),
        (b'{"x":[' + b"{}," * 9_999 + b"{}]}", "values"),
        (b"[" + b"0," * 9_999 + b"0]", "values"),
        (b"[" + b'"",' * 9_999 + b'""]', "values"),
        (b"{" + b'"a":0,' * 9_999 + b'"a":0}', "values"),
        (b"[" * 60_000, "values"),
        (b"[" * 60 + b"]" * 60, "depth"),
        (b'{"a":' * 60 + b"0" + b"}" * 60, "depth"),
        (b'["' + b"[]{}," * 10_000 + b'"]', None),
        (b'["' + rb"\",[" * 10_000 + b'"]', None),
        (b'["' + b"\\\\" * 10_000 + b'",[],[]]', None),
        (b"[" + b"[]," * 900 + b"0]", None),
        (b"]" * 60_000, None),
        (b'"' * 60_000, None),
        (b"", None),
    ],
    ids=lambda it: str(it[:12]) if isinstance(it, bytes) else str(it),
)
def test_limit_of_a_long_text(text: bytes, limit: str | None) -> None:
    """Brackets and commas count outside of strings only, escaped quotes and backslashes are no ends of them."""
    assert limit_of(text, values=2_000, depth=32) == limit


def test_error_says_how_much_may_be() -> None:
    """The sentence names the bound."""
    with pytest.raises(ShapeError, match=r"^holds more than 3 values$"):
        check_shape(b"[0,0,0,0]", values=3, depth=1)
    with pytest.raises(ShapeError, match=r"^nests deeper than 2 levels$"):
        check_shape(b"[[[]]]", values=9, depth=2)
