"""``subscribe``: into a room, at the end of the log or where the client left off."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any, ClassVar, Self

from bus.channel import Channel
from bus.errors import ChannelError
from bus.log.replay import FromState, Last, Replay, Since, Start, parse_since
from bus.position import Reason
from bus.spelling import ID_LIMIT, canonical_name
from bus.values import mutable
from bus.words import Verb
from edges.protocol.messages import Code, Outgoing, Refusal, Refused, Reply, Said
from edges.session.appearances import Appearance, appearance_of
from edges.session.client import Client
from edges.session.command import Command, Outcome
from edges.session.subscriptions import Joined

__all__ = ["Subscribe", "asked", "channel_of", "named", "start_of"]


@mutable  # not frozen: each client makes one, and a frozen one takes twice as long
class Subscribe(Command):
    """Join the room of a channel; ``channel`` is the name that the client asked by.

    ``with_state``: the client wants the channel's state, where it is not given all events since ``start``.
    """

    channel: str
    reply_to: str | None = None
    start: Start | None = None
    appearance: Appearance | None = None
    with_state: bool = False
    verb: ClassVar = Verb.SUBSCRIBE

    @property
    def topic(self) -> str:
        """The channel, however spelled: commands about a channel stay in order (decisions/0042)."""
        return canonical_name(self.channel)

    @property
    def is_common(self) -> bool:
        """Whether the client joins at the end of the log, or comes back to a position, without wishes.

        A crowd that comes back stands at one position of a room, mostly, and counts its requests from the same number.
        """
        is_usual = self.start is None or isinstance(self.start, Since)
        return is_usual and self.appearance is None and not self.with_state

    @classmethod
    def parse(cls, said: Said) -> Self:
        """Read the channel, and where to begin."""
        start = start_of(said)
        return cls(named(said), said.reply_to, start, appearance_of(said), _wants_state(said, start))

    def permission(self, client: Client, channel: Channel) -> Refusal | None:
        """Return the refusal for a client without permission, or in too many rooms; None for others."""
        if not client.admission.may_read(channel):
            return client.admission.forbidden(self.verb, channel, self.reply_to)
        rooms, context = client.rooms.rooms, client.context
        # A second subscribe to a room takes no further place, so a client at the limit may still resume.
        if channel.name in rooms or len(rooms) < context.settings.max_rooms:
            return None
        context.counters.hit("max_rooms")
        sentence = f"max_rooms: already in {len(rooms)} rooms, the limit of one connection; leave one"
        return Refusal(Code.SUBSCRIPTION_LIMIT, sentence, self.verb, self.reply_to)

    def run(self, client: Client) -> Outcome:
        """Join an open room at once; else open the room, or read the log, first."""
        channel = channel_of(client, self.channel, self)
        if isinstance(channel, Refusal):
            return (channel,)
        refusal = self.permission(client, channel)
        if refusal is not None:
            return (refusal,)
        if self.appearance is not None:
            try:
                client.appearances.check(channel, self.appearance, self.verb, self.reply_to)
            except Refused as refused:
                return (refused.refusal,)
        if self.with_state and channel.keyed is None:
            sentence = f"state: {channel.name} keeps no state; leave the key out"
            return (Refusal(Code.INVALID_REQUEST, sentence, self.verb, self.reply_to),)
        start = FromState() if self.with_state and self.start is None else self.start
        if start is not None and channel.retention.kind != "live":
            return self._resumed_at_once(client, channel, start) or self._resume(client, channel, start)
        joined = client.rooms.join(channel)
        return self._open(client, channel) if joined is None else self.joined(channel, joined)

    async def _open(self, client: Client, channel: Channel) -> AsyncGenerator[Outgoing, None]:
        await client.context.first_link()
        await client.rooms.open(channel)
        self._check(client, channel)
        joined = client.rooms.join(channel)
        for item in self.joined(channel, joined) if joined is not None else ():
            yield item

    def _resumed_at_once(self, client: Client, channel: Channel, start: Start) -> tuple[Outgoing, ...]:
        """Return the answer and all events to a client that has resumed; nothing where the log has to be read first."""
        found = None if self.with_state else client.rooms.resume_at_once(channel, start)
        if found is None:
            return ()
        return (self.resumed(channel, found.replay), *([found.frames] if found.frames else []))

    async def _resume(self, client: Client, channel: Channel, start: Start) -> AsyncGenerator[Outgoing, None]:
        await client.context.first_link()
        async with client.rooms.resume(channel, start, with_state=self.with_state) as replay:
            self._check(client, channel)
            if replay.reason is not None and isinstance(start, Since):
                end = replay.lines[0].position if replay.lines else replay.position
                client.context.hub.repairs.told_one(channel, start.position, end, replay.reason, client.transport.name)
            yield self.resumed(channel, replay)
            del replay  # while the client reads, the lines are held by the turn alone (decisions/0034)

    def _check(self, client: Client, channel: Channel) -> None:
        """Look at the permission once more: a token for fewer rooms may have overtaken the command."""
        if not client.admission.may_read(channel):
            raise Refused(client.admission.forbidden(self.verb, channel, self.reply_to))

    # Answers.

    def joined(self, channel: Channel, joined: Joined) -> tuple[Outgoing, ...]:
        """Return the answer to a client that has joined at the end of the log, and the latest event."""
        data = {"status": "subscribed", **asked(self.channel, channel), "position": joined.position}
        if self.start is not None:  # a live channel keeps no event, so no edge knows of a loss
            data |= {"recovered": False, "reason": Reason.UNKNOWN, "replayed": 0}
        return (Reply(self.verb, data, self.reply_to), *joined.frames)

    def resumed(self, channel: Channel, replay: Replay) -> Outgoing:
        """Return the answer to a client that is given a replay."""
        count = len(replay.lines)
        data: dict[str, Any] = {"status": "subscribed", **asked(self.channel, channel), "position": replay.position}
        if self.start is not None:
            replayed = 0 if replay.is_state else count
            data |= {"recovered": replay.reason is None, "reason": replay.reason, "replayed": replayed}
        if self.with_state:
            data["state"] = count if replay.is_state else 0
        if replay.truncated:
            data["truncated"] = True
        if replay.gap_after is not None:
            data["gap_after"] = replay.gap_after
        if replay.began is not None:
            data["began"] = replay.began
        return Reply(self.verb, data, self.reply_to)


def named(said: Said) -> str:
    """Return the name of the channel in a request: under ``channel``, or ``room`` from older clients.

    Raises:
        Refused: there is no text.

    """
    name = said.data.get("channel", said.data.get("room"))
    if not isinstance(name, str):
        raise said.refused(f"channel: expected a text such as 'global'{_meant(said.data)}")
    return name


def _meant(data: Mapping[str, Any]) -> str:
    """Return the right form where data name a subject in place of a channel (``component_id``), as a guide does."""
    subject = next(((key, value) for key, value in data.items() if key.endswith("_id") and _is_id(value)), None)
    if subject is None:
        return ""
    return f'; write "data": {{"channel": "{subject[0].removesuffix("_id")}:{subject[1]}"}}'


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= ID_LIMIT and value.isprintable()


def asked(name: str, channel: Channel) -> dict[str, Any]:
    """Return a channel as an answer names it: as the client did, and where events say otherwise, with their ``room``.

    The lines of a room are the same bytes for all its clients, so they have the one name of decisions/0088.
    """
    return {"channel": name} if name == channel.name else {"channel": name, "room": channel.name}


def _wants_state(said: Said, start: Start | None) -> bool:
    """Tell whether a request asks for the state of the channel.

    Raises:
        Refused: the word is none, or goes with no such beginning.

    """
    wanted = said.data.get("state", False)
    if not isinstance(wanted, bool):
        raise said.refused("state: expected true or false")
    if wanted and start is not None and not isinstance(start, Since):
        raise said.refused("state: goes with a position in 'since', or alone: a state is of all time")
    return wanted


def channel_of(client: Client, name: str, command: Command) -> Channel | Refusal:
    """Return the channel, or the answer to a name of no channel of the service."""
    try:
        return client.context.channel(name)
    except ChannelError as error:
        return Refusal(Code.INVALID_CHANNEL, f"channel: {error}", command.verb, command.reply_to)


def start_of(said: Said) -> Start | None:
    """Return where a request wants to begin, None for the end of the log.

    Raises:
        Refused: ``since`` or ``last`` is none.

    """
    since, last = said.data.get("since"), said.data.get("last")
    if since is not None and last is not None:
        raise said.refused("since, last: give one of them")
    if last is not None:
        if not isinstance(last, int) or isinstance(last, bool) or last < 0:
            raise said.refused("last: expected a number, 0 or more")
        return Last(last)
    try:
        return None if since is None else parse_since(since if isinstance(since, str) else "")
    except ValueError as error:
        raise said.refused(f"since: {error}") from None
