"""What ``ROLE`` is answered, and what it means to an edge."""

import pytest

from bus.redis.role import is_untold, misplaced


@pytest.mark.parametrize(
    "answer",
    [[b"master", 0, []], [b"master", 3_129_659, [[b"127.0.0.1", b"9001", b"3129242"]]], None, [], b"OK", [b"slave"]],
)
def test_primary_or_what_says_nothing_is_taken(answer: object) -> None:
    """A primary is where an edge belongs; of an answer of another form nothing can be said."""
    assert misplaced(answer) is None


def test_replica_is_named_with_its_primary() -> None:
    """The sentence names what is wrong and what to do."""
    said = misplaced([b"slave", b"10.0.0.5", 6379, b"connected", 3_167_038])
    assert said is not None
    assert said.startswith("is a replica of 10.0.0.5:6379")
    assert "redis+sentinel://" in said


def test_sentinel_is_told_how_it_is_written() -> None:
    """A sentinel knows where the primary is, and is none."""
    assert "redis+sentinel://host:port/name" in str(misplaced([b"sentinel", [b"main"]]))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("NOPERM User edge has no permissions to run the 'role' command", True),
        ("NOPERM this user has no permissions to run the 'role' command", True),
        ("ERR unknown command 'ROLE', with args beginning with: ", True),
        ("LOADING Redis is loading the dataset in memory", False),
        ("NOAUTH Authentication required.", False),
    ],
)
def test_role_that_may_not_be_asked_for(answer: str, *, expected: bool) -> None:
    """A user without the right, or a server without the command, is no failure; what passes by itself is one."""
    assert is_untold(answer) is expected
