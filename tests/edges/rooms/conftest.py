from collections.abc import Iterator

import pytest

from tests.edges.rooms.socket_members import Member, five_members


@pytest.fixture
def members() -> Iterator[list[Member]]:
    """Five members with a real socket each."""
    yield from five_members()
