"""``auth``: a first token, or a renewal. Tokens of the handshake take the same way."""

import math
from collections.abc import AsyncGenerator, Sequence
from dataclasses import field
from typing import ClassVar, Final, Self

from bus.values import frozen
from bus.words import NoticeName, Verb
from edges.auth.keyring import KeysUnavailable
from edges.auth.tokens import TokenRefused
from edges.protocol.messages import (
    AT_CAPACITY,
    Closing,
    Code,
    Dismissal,
    Notice,
    Outgoing,
    Refusal,
    Reply,
    Said,
)
from edges.protocol.session_buddy import FLAT
from edges.session.client import Client
from edges.session.command import Command, Lane
from edges.session.replies import RETRY_AFTER_MS

__all__ = ["Authenticate", "let_in"]

_NO_PLACE: Final = "max_connections: every place of this edge is taken; try again later"


@frozen
class Authenticate(Command):
    """Show a token; ``then`` is a second command of the same message, in the session-buddy dialect."""

    token: str = field(repr=False)
    reply_to: str | None = None
    then: Command | Refusal | None = None
    verb: ClassVar = Verb.AUTH
    lane: ClassVar = Lane.AHEAD
    needs_token: ClassVar = False
    greets: ClassVar = True

    @classmethod
    def parse(cls, said: Said) -> Self:
        """Read the token."""
        token = said.data.get("token")
        if not isinstance(token, str):
            raise said.refused("token: expected a text")
        return cls(token, said.reply_to, said.then)

    async def run(self, client: Client) -> AsyncGenerator[Outgoing, None]:
        """Let the client in, and answer; then leave the rooms closed to the new token."""
        instead = await let_in(client, [self.token], self.reply_to)
        if instead is not None:
            for item in instead:
                yield item
            return
        if self.then is not None:
            client.inbox.put_first(self.then)  # answers by itself, and greets
        elif client.choice.dialect is FLAT and client.greeting.is_due:
            for message in client.greet_flat():
                yield message
        else:
            yield Reply(self.verb, client.admission.report(), self.reply_to)
            if client.first_room is not None:
                client.first_room.enter()
        async for item in client.arrive():
            yield item
        if client.owned is not None:  # the rooms are the owner's choice
            return
        # decisions/0042: a renewal may open less than the token before. The notices come behind the answer: first the
        # client learns that the token counts, then the cost.
        for channel in [it for it in client.rooms.channels if not client.admission.may_read(it)]:
            client.rooms.leave(channel)
            yield Notice.of(NoticeName.ROOM_LEFT, "forbidden", None, room=channel.name)
        for channel in [it for it, _ in client.appearances.joined.values() if not client.admission.may_read(it)]:
            client.appearances.part(channel)


async def let_in(client: Client, tokens: Sequence[str], reply_to: str | None) -> Sequence[Outgoing] | None:
    """Let the client in by a token, and return None; else return the refusal, or () for a client gone meanwhile."""
    try:
        await client.admission.admit(tokens)
    except TokenRefused as refused:
        refusal = Refusal(Code.AUTH_FAILED, str(refused), Verb.AUTH, reply_to, refused.retry_after_ms)
        return () if client.rooms.has_ended else (client.dismissed(refusal),)
    except KeysUnavailable as error:  # decisions/0023: the issuer's fault, not the client's, so nothing changes
        return (Refusal(Code.UNAVAILABLE, str(error), Verb.AUTH, reply_to, RETRY_AFTER_MS),)
    # decisions/0024: a revocation looks connections up by name, so a renewal changes the names at once.
    client.transport.be_found(client.admission.caller.revocable_by)
    client.appearances.renew()
    if client.rooms.has_ended:
        return ()
    dismissal = _counted(client, reply_to) or _placed(client, reply_to)
    return None if dismissal is None else (dismissal,)


def _counted(client: Client, reply_to: str | None) -> Dismissal | None:
    """Count the client for the token's user; return the dismissal of a client too many."""
    user = client.admission.caller.user_id
    excess = None if user is None else client.transport.identify(user)
    if excess is None:
        return None
    sentence = f"{excess.name}: the limit is {excess.limit}; try again later"
    refusal = Refusal(Code.RATE_LIMIT_EXCEEDED, sentence, Verb.AUTH, reply_to, math.ceil(excess.retry_s * 1000))
    return Dismissal(refusal, Closing(AT_CAPACITY.code, sentence))


def _placed(client: Client, reply_to: str | None) -> Dismissal | None:
    """Give the client a place by the first good token; return the dismissal where no place is left."""
    client.has_place = client.has_place or client.transport.take_place()
    if client.has_place:
        return None
    return Dismissal(Refusal(Code.UNAVAILABLE, _NO_PLACE, Verb.AUTH, reply_to, RETRY_AFTER_MS), AT_CAPACITY)
