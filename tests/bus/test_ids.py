"""Ids are random UUIDs, written as Python's own are."""

import uuid
from collections.abc import Callable

import pytest

from bus.ids import message_id, new_id


@pytest.mark.parametrize("made", [new_id, message_id])
def test_id_is_a_random_uuid(made: Callable[[], str]) -> None:
    """Any reader of UUIDs reads version and variant, and writes the same text."""
    ids = [made() for _ in range(200)]
    for text in ids:
        read = uuid.UUID(text)
        assert (str(read), read.version, read.variant) == (text, 4, uuid.RFC_4122)
    assert len(set(ids)) == len(ids)
    assert {text[19] for text in ids} == set("89ab")
