"""Who a caller is, and what it may read and ask. Pure; what no rule opens is closed (services.md, "Permissions")."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bus.channel import Channel, Family
from bus.errors import ChannelError
from bus.redis.revocation import of_token, of_user
from bus.service import Service

__all__ = ["ADMIN", "Caller", "Permissions"]

ADMIN: Final = "admin"
"""The permission that opens every channel and request of every service."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A client as its token tells of it, or an anonymous one.

    Attributes:
        user_id: None for an anonymous caller.
        permissions: what it was given; an anonymous caller has some too, and goes through the same checks.
        expires_at: seconds since 1970, None for an anonymous caller: every token expires.
        issued_after: seconds since 1970: it was not issued before that, even if the issuer's clock is as far ahead
            as it may be; None where the token does not say.
        token_id: the token's ``jti``, None where it has none.

    """

    user_id: str | None = None
    permissions: frozenset[str] = frozenset()
    expires_at: float | None = None
    issued_after: float | None = None
    token_id: str | None = None

    @property
    def revocable_by(self) -> tuple[str, ...]:
        """The members of revocations that concern the caller: its user's, and its token's if that has an id."""
        user = () if self.user_id is None else (of_user(self.user_id),)
        return user if self.token_id is None else (*user, of_token(self.token_id))


class Permissions:
    """The permissions of one service, worked out once.

    ``admin`` and ``<service>:admin`` open all. ``<service>:read`` opens every channel, and a family's own permission
    that family; a channel of a user opens with either to that user only. What services share (``global``) opens with
    any permission to read in the service.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._admins = frozenset({ADMIN, f"{service.name}:admin"})
        self._whole = f"{service.name}:read"
        self._any = frozenset({self._whole, *(it.permission for it in service.families if it.permission)})

    def may_read(self, caller: Caller, channel: Channel) -> bool:
        """Tell whether ``caller`` may see the events of ``channel``."""
        if self._admins & caller.permissions:
            return True
        family = self._service.family(channel)
        return bool(self._readers(family) & caller.permissions) and _is_theirs(family, channel, caller)

    def may_ask(self, caller: Caller, channels: Sequence[Channel]) -> bool:
        """Tell whether ``caller`` may ask what is answered from ``channels``; the first is what the question is about.

        A request that reads no channel is about the whole service.
        """
        if channels:
            return self.may_read(caller, channels[0])
        return bool((self._admins | {self._whole}) & caller.permissions)

    def sentence(self, caller: Caller, channel: Channel | None) -> str:
        """Return why ``caller`` may not read ``channel``, with what would help; None stands for the whole service."""
        family = None if channel is None else self._service.family(channel)
        readers = {self._whole} if family is None else self._readers(family)
        if family is not None and readers & caller.permissions:
            return f"{family.pattern} is for that user alone, or one with the permission {self._service.name}:admin"
        needed = " or ".join(sorted(readers))
        return f"{'this request' if family is None else family.pattern} needs the permission {needed}"

    def _readers(self, family: Family) -> frozenset[str]:
        """Return the permissions of which one is needed to read channels of ``family``, beside those of admins."""
        if family.shared_by is not None:
            return self._any
        return frozenset({self._whole} if family.permission is None else {self._whole, family.permission})


def _is_theirs(family: Family, channel: Channel, caller: Caller) -> bool:
    """Tell whether ``channel`` is of no user, or of this one.

    Names are compared, not decoded ids: a channel has one name, in whatever spelling a client asked (decisions/0088).
    """
    if not family.is_per_user:
        return True
    try:
        return caller.user_id is not None and family.fill(caller.user_id).name == channel.name
    except ChannelError:
        return False
