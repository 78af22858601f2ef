from typing import Any

import pytest

from edges import EdgeSettings
from edges.auth.authenticator import Authenticator
from edges.auth.permissions import Permissions
from edges.auth.tokens import TokenRefused
from edges.protocol.messages import Code, Notice, Refusal
from edges.session.authentication import Admission
from producers.services.mahavishnu import SERVICE
from tests.edges.signing import HIDDEN, token

BEGIN_S = 1_800_000_000.0


class Clock:
    """A clock that is set by hand."""

    now_s = BEGIN_S

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    """Return a clock."""
    return Clock()


def admission(clock: Clock, **settings: Any) -> Admission:
    """Return the standing of a client that has just come."""
    chosen = EdgeSettings(auth_secret=HIDDEN, **settings)
    return Admission(Authenticator(chosen, clock=clock), Permissions(SERVICE), chosen, 0.0)


def signed(user: str = "alice", lives_s: float = 100, begins_s: float = BEGIN_S, **more: Any) -> list[str]:
    """Return a token by the clock of these tests."""
    return [token(user, iat=begins_s, exp=begins_s + lives_s, **more)]


async def test_locked_until_a_token(clock: Clock) -> None:
    """Where a token is required, one who shows none is sent away at the deadline, and not before."""
    standing = admission(clock, auth_required=True, auth_deadline_s=5)
    assert standing.is_locked
    assert standing.due(4.9) is None
    found = standing.due(5.0)
    assert isinstance(found, Refusal)
    assert found.code == Code.AUTH_REQUIRED
    await standing.admit(signed())
    assert standing.due(5.0) is None


async def test_warned_once_and_sent_away_at_the_end(clock: Clock) -> None:
    """A token's end is told once, some time before it, and due until it was told; then comes the refusal."""
    standing = admission(clock)
    await standing.admit(signed(lives_s=100))
    clock.now_s = BEGIN_S + 69.9
    assert standing.due(0) is None
    clock.now_s = BEGIN_S + 70
    assert standing.due(0) == Notice(
        "auth.expiring", {"expires_at": "2027-01-15T08:01:40+00:00", "expires_in_ms": 30_000}
    )
    assert standing.due(0) is not None
    standing.warned()
    assert standing.due(0) is None
    clock.now_s = BEGIN_S + 100
    found = standing.due(0)
    assert isinstance(found, Refusal)
    assert (found.code, found.sentence) == (Code.AUTH_REQUIRED, "the token has expired; come back with a new one")


async def test_renewal_puts_the_end_off_and_is_warned_of_anew(clock: Clock) -> None:
    """A new token of the same user replaces the old one, with its permissions and its end."""
    standing = admission(clock)
    await standing.admit(signed(permissions=["pool:read"]))
    clock.now_s = BEGIN_S + 80
    assert isinstance(standing.due(0), Notice)
    standing.warned()
    await standing.admit(signed(begins_s=BEGIN_S + 80))
    assert standing.caller.permissions == frozenset()
    assert standing.due(0) is None
    clock.now_s = BEGIN_S + 150
    assert isinstance(standing.due(0), Notice)


async def test_renewal_by_another_user(clock: Clock) -> None:
    """Who is in as one user does not become another; nothing has changed."""
    standing = admission(clock)
    await standing.admit(signed("alice"))
    with pytest.raises(TokenRefused, match="another user"):
        await standing.admit(signed("bob"))
    assert standing.caller.user_id == "alice"


async def test_several_tokens(clock: Clock) -> None:
    """Which of several counts is not guessed."""
    with pytest.raises(TokenRefused, match="several tokens"):
        await admission(clock).admit([*signed("alice"), *signed("bob")])


async def test_no_token_is_looked_at_without_keys(clock: Clock) -> None:
    """Where no keys are set up, any token is answered with "anonymous"."""
    settings = EdgeSettings()
    standing = Admission(Authenticator(settings, clock=clock), Permissions(SERVICE), settings, 0.0)
    await standing.admit(["nonsense"])
    assert standing.report() == {"status": "anonymous", "user_id": None, "expires_at": None}
    assert standing.due(1e9) is None


async def test_one_who_must_show_a_token_where_others_need_not(clock: Clock) -> None:
    """Who comes from nowhere in particular may have to, and without keys gets in by no token at all."""
    settings = EdgeSettings(auth_secret=HIDDEN)
    standing = Admission(Authenticator(settings, clock=clock), Permissions(SERVICE), settings, 0.0, needs_token=True)
    assert standing.is_locked
    await standing.admit(signed())
    assert not standing.is_locked
    standing = Admission(Authenticator(EdgeSettings()), Permissions(SERVICE), EdgeSettings(), 0.0, needs_token=True)
    await standing.admit(["nonsense"])
    assert standing.is_locked
