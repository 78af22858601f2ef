"""The client in rooms with presence: as which user, and whether the client is told of others."""

from collections.abc import Mapping
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

import orjson

from bus.channel import Channel
from bus.presence.entries import INFO_BYTES, USER_LIMIT, is_user
from bus.values import frozen
from edges.protocol.messages import Code, Refusal, Refused, Said
from edges.rooms.presence.here import Who
from edges.session.authentication import Admission
from edges.session.transport import Transport

if TYPE_CHECKING:
    from edges.rooms.presence.presence import Presence

__all__ = ["Appearance", "Appearances", "appearance_of"]


@frozen
class Appearance:
    """A client's wishes for a room.

    Attributes:
        user: the id that a client without a token gives itself; None for the token's user, or the connection's id.
        info: for others to see.
        is_told: whether the client is told who comes and leaves.

    """

    user: str | None = None
    info: Mapping[str, Any] = field(default_factory=dict)
    is_told: bool = False


_PLAIN = Appearance()


def appearance_of(said: Said) -> Appearance | None:
    """Return the wishes in a ``subscribe``; None for a client that has none.

    Raises:
        Refused: the data is of the wrong kind, or the info is too large.

    """
    match said.data.get("presence"):
        case None:
            return None
        case bool() as is_told:
            return Appearance(is_told=is_told)
        case dict() as wishes:
            return _wishes(said, wishes)
    raise said.refused("presence: expected true, false, or an object with user, info, notices")


def _wishes(said: Said, wishes: Mapping[str, Any]) -> Appearance:
    user, info, is_told = wishes.get("user"), wishes.get("info"), wishes.get("notices", True)
    if user is not None and not is_user(user):
        raise said.refused(f"presence.user: expected a text of 1 to {USER_LIMIT} printable characters")
    if info is not None and not isinstance(info, dict):
        raise said.refused("presence.info: expected an object")
    if info and len(orjson.dumps(info)) > INFO_BYTES:
        raise said.refused(f"presence.info: more than {INFO_BYTES} bytes")
    if not isinstance(is_told, bool):
        raise said.refused("presence.notices: expected true or false")
    return Appearance(user, info or {}, is_told)


class Appearances:
    """The rooms with presence in which the client is seen.

    Args:
        presence: the users in rooms; None where no family has presence.
        transport: the connection.
        admission: knows the user.

    Attributes:
        joined: the rooms that the client came into by a request, by name.

    """

    __slots__ = ("_admission", "_presence", "_seen", "_transport", "_wishes", "joined")

    def __init__(self, presence: "Presence | None", transport: Transport, admission: Admission) -> None:
        self._presence, self._transport, self._admission = presence, transport, admission
        self._wishes: dict[str, Appearance] = {}
        self._seen: dict[str, tuple[Channel, Who]] = {}
        self.joined: dict[str, tuple[Channel, Who]] = {}

    def check(self, channel: Channel, wishes: Appearance | None, verb: str, reply_to: str | None) -> None:
        """Take the wishes for a room; the client is seen so from the room on.

        Raises:
            Refused: the family has no presence, or the user is not the client's to choose.

        """
        if wishes is None:
            return
        if channel.presence is None:
            sentence = f"presence: nobody notes who is in {channel.name}: its family has no presence"
            raise Refused(Refusal(Code.INVALID_REQUEST, sentence, verb, reply_to))
        # Where there are tokens, a client without one could take the name of a user who has one.
        if wishes.user not in (None, self._admission.caller.user_id) and self._admission.has_tokens:
            sentence = "presence.user: on this edge the token says who a client is; leave it out"
            raise Refused(Refusal(Code.FORBIDDEN, sentence, verb, reply_to))
        self._wishes[channel.name] = wishes

    def enter(self, channel: Channel) -> None:
        """Be seen in a room; again, after other wishes or as another user, anew."""
        if self._presence is None:
            return
        wishes = self._wishes.get(channel.name, _PLAIN)
        if channel.presence is not None and channel.presence.by_request:
            self._presence.watch(channel, self._transport, is_told=wishes.is_told)
            return
        who = Who(self._admission.caller.user_id or wishes.user or self._transport.name, wishes.info)
        known = self._seen.get(channel.name)
        if known is not None and known[1].user != who.user:
            self._presence.leave(channel, self._transport, known[1])
        self._seen[channel.name] = channel, who
        self._presence.enter(channel, self._transport, who, is_told=wishes.is_told)

    def leave(self, channel: Channel) -> None:
        """Be seen no more; a room without the client is ignored."""
        self._wishes.pop(channel.name, None)
        known = self._seen.pop(channel.name, None)
        if self._presence is not None and channel.presence is not None and channel.presence.by_request:
            self._presence.watch(channel, self._transport, is_told=False)
        elif self._presence is not None and known is not None:
            self._presence.leave(channel, self._transport, known[1])

    def renew(self) -> None:
        """Be seen as the user of a first token, in all rooms."""
        for channel, who in list(self._seen.values()):
            if who.user != self._admission.caller.user_id:
                self.enter(channel)
        for channel, who in list(self.joined.values()):
            self.join(channel, replace(who, user=self._admission.caller.user_id or who.user))

    # By request.

    def join(self, channel: Channel, who: Who) -> None:
        """Come into a room; again, as another user or with other info, anew."""
        if self._presence is None:
            return
        known = self.joined.get(channel.name)
        if known is not None and known[1].user != who.user:
            self._presence.part(channel, self._transport, known[1])
        self.joined[channel.name] = channel, who
        self._presence.join(channel, self._transport, who)

    def part(self, channel: Channel, *, at_once: bool = False) -> None:
        """Leave a room; a room that the client did not come into is ignored."""
        known = self.joined.pop(channel.name, None)
        if self._presence is not None and known is not None:
            self._presence.part(channel, self._transport, known[1], at_once=at_once)

    def part_all(self) -> None:
        """Leave every room that the client came into by a request."""
        for channel, _ in list(self.joined.values()):
            self.part(channel)

    async def written(self, channel: Channel) -> None:
        """Wait until Redis has the changes of a room.

        Raises:
            BusUnavailable: Redis does not answer.

        """
        if self._presence is not None:
            await self._presence.written(channel)
