from collections.abc import Iterator

import pytest

from tests.edges.rooms.socket_members import Member, members_with_sockets


@pytest.fixture
def members() -> Iterator[list[Member]]:
    """Five members with a real socket each."""
    yield from members_with_sockets(5)
