"""Ids are random UUIDs, written as Python's own are."""

import os
import uuid

from bus.ids import new_id


def test_id_is_a_random_uuid() -> None:
    """Any reader of UUIDs reads version and variant, and writes the same text."""
    ids = [new_id() for _ in range(200)]
    for text in ids:
        read = uuid.UUID(text)
        assert (str(read), read.version, read.variant) == (text, 4, uuid.RFC_4122)
    assert len(set(ids)) == len(ids)
    assert {text[19] for text in ids} == set("89ab")


def test_processes_that_fork_make_ids_of_their_own() -> None:
    """Random digits are drawn ahead, and a child must not go on with those of its parent."""
    new_id()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, new_id().encode())
        os._exit(0)
    os.waitpid(child, 0)
    with open(reading, closefd=True) as told:
        os.close(writing)
        assert told.read() not in {new_id() for _ in range(200)}
