"""Callers, and the channels and requests that a caller may use. Pure; closed without a rule that opens."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, Final

from bus.channel import Channel, Family
from bus.client_event import ClientEvent
from bus.errors import ChannelError
from bus.redis.revocation import of_token, of_user
from bus.service import Service
from bus.values import frozen

__all__ = ["ADMIN", "Caller", "Permissions"]

ADMIN: Final = "admin"
"""The permission that opens every channel and request of every service."""


@frozen
class Caller:
    """A client as the token tells, or an anonymous client.

    Attributes:
        user_id: None for an anonymous caller.
        permissions: an anonymous caller has permissions too, and goes through the same checks.
        expires_at: seconds since 1970, None for an anonymous caller: every token expires.
        issued_after: seconds since 1970: the earliest time of issue, with the issuer's clock as far ahead as allowed;
            None for a token without a time of issue.
        token_id: the token's ``jti``, None for a token without.
        claims: all claims of the token, for the owner of an edge; empty for an anonymous caller.

    """

    user_id: str | None = None
    permissions: frozenset[str] = frozenset()
    expires_at: float | None = None
    issued_after: float | None = None
    token_id: str | None = None
    claims: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def revocable_by(self) -> tuple[str, ...]:
        """The members of revocations that concern the caller: of the user, and of a token with an id."""
        user = () if self.user_id is None else (of_user(self.user_id),)
        return user if self.token_id is None else (*user, of_token(self.token_id))


class Permissions:
    """The permissions of a service, worked out once.

    ``admin`` and ``<service>:admin`` open all. ``<service>:read`` opens every channel, and a family's own permission
    the family; a channel of a user opens with either to the user only. Channels that services share (``global``) open
    with any permission to read in the service.
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

    def may_ask(self, caller: Caller, channels: Sequence[Channel], permission: str | None = None) -> bool:
        """Tell whether ``caller`` may ask a question that reads ``channels``; no channels: about the whole service.

        A request with a ``permission`` of its own opens with that one, whatever else the caller may read.
        """
        # decisions/0103: asking may be a deed (`trigger_render`), which a permission to read is not to open.
        if permission is not None:
            return bool((self._admins | {permission}) & caller.permissions)
        # decisions/0022: the first channel is the subject of the question; the others are read beside.
        if channels:
            return self.may_read(caller, channels[0])
        return bool((self._admins | {self._whole}) & caller.permissions)

    def is_admin(self, caller: Caller) -> bool:
        """Tell whether ``caller`` may do everything in the service."""
        return bool(self._admins & caller.permissions)

    def may_publish(self, caller: Caller, opened: ClientEvent) -> bool:
        """Tell whether ``caller`` has the permission for an event that is open to clients."""
        return bool((self._admins | {opened.permission}) & caller.permissions)

    def is_theirs(self, caller: Caller, channel: Channel) -> bool:
        """Tell whether ``channel`` is of no user, or of the caller's; admins reach all."""
        return self.is_admin(caller) or _is_theirs(self._service.family(channel), channel, caller)

    def sentence(self, caller: Caller, channel: Channel | None, permission: str | None = None) -> str:
        """Return why ``caller`` may not read ``channel``, with the remedy; None stands for the whole service.

        ``permission`` is the request's own, if any.
        """
        if permission is not None:
            return f"this request needs the permission {permission}"
        family = None if channel is None else self._service.family(channel)
        readers = {self._whole} if family is None else self._readers(family)
        if family is not None and readers & caller.permissions:
            return f"{family.pattern} is for that user alone, or one with the permission {self._service.name}:admin"
        needed = " or ".join(sorted(readers))
        return f"{'this request' if family is None else family.pattern} needs the permission {needed}"

    def _readers(self, family: Family) -> frozenset[str]:
        """Return the permissions that each open channels of ``family``, beside the permissions of admins."""
        if family.shared_by is not None:
            return self._any
        return frozenset({self._whole} if family.permission is None else {self._whole, family.permission})


def _is_theirs(family: Family, channel: Channel, caller: Caller) -> bool:
    """Tell whether ``channel`` is of no user, or of the caller's."""
    # decisions/0088: names are compared, not decoded ids: a channel has one name, in whatever spelling a client asked.
    if not family.is_per_user:
        return True
    try:
        return caller.user_id is not None and family.fill(caller.user_id).name == channel.name
    except ChannelError:
        return False
