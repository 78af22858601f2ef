"""One client's conversation: its commands one at a time and in order, its greeting, and who it is.

A session knows the connection only as something that writes, closes and is paused. It has a task only while a command
that must wait is under way.
"""

import asyncio
import functools
import logging
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

from bus.channel import Channel
from bus.errors import BusError
from bus.log.replay import Replay, Since
from bus.words import NoticeName, Verb
from edges.auth.jwks import KeysUnavailable
from edges.auth.tokens import TokenRefused
from edges.limits.quotas import Excess, network_of
from edges.limits.rates import Patience, TokenBucket
from edges.net.visitor import Visitor
from edges.protocol.envelope import ENVELOPE, FLAT, Dialect, decides
from edges.protocol.messages import (
    ABUSE,
    AT_CAPACITY,
    Ask,
    Authenticate,
    Closing,
    Code,
    Command,
    Leave,
    Message,
    Notice,
    Ping,
    Pong,
    Recover,
    Refusal,
    Refused,
    Reply,
    Subscribe,
    Switch,
    Welcome,
    decode,
    gap,
    text_frame,
)
from edges.session import replies
from edges.session.authentication import Admission
from edges.session.commands import Commands
from edges.session.context import Context
from edges.session.inbox import Inbox, Item, Source
from edges.session.pacing import Pacing
from edges.session.subscriptions import Memberships, Reader

__all__ = ["Session"]

_ENTER_RETRY_S: Final = 1.0
_UNIT_BYTES: Final = 8 * 1024
"""A message counts once more for every so many bytes; only a smaller one is read when it is over the rate."""
_BESIDE_TOKEN_BYTES: Final = 1024
"""What stands around a token in a message, at the most."""
_REASON_LIMIT: Final = 120
"""A close frame has room for 123 bytes (RFC 6455, section 5.5); sentences about tokens are ASCII."""

_logger = logging.getLogger("edgebus.edges")


class Speaker(Reader, Source, Protocol):
    """The connection, as far as a session knows it."""

    @property
    def name(self) -> str:
        """Id of the connection."""

    @property
    def visitor(self) -> Visitor:
        """Who is there, as far as the handshake told."""

    def identify(self, user: str) -> Excess | None:
        """Count the connection as one of ``user``'s, or say what that user has too much of."""

    def be_found(self, names: tuple[str, ...]) -> None:
        """Be found by these names from now on, and by no others."""

    def take_place(self) -> bool:
        """Take a place among the clients; tell whether there was one."""

    def close(self, code: Closing) -> None:
        """Begin the closing handshake."""


class Session:
    """One client's conversation, from the opening handshake to the end.

    Args:
        speaker: the connection.
        around: what the edge has.
        tokens: those that the opening handshake showed.

    """

    def __init__(self, speaker: Speaker, around: Context, tokens: Sequence[str] = ()) -> None:
        self._speaker, self._around = speaker, around
        self._loop = asyncio.get_running_loop()
        self._is_undecided = around.service.dialect != "envelope"
        self.dialect: Dialect = FLAT if self._is_undecided else ENVELOPE
        self._requests = tuple(request.name for request in around.service.requests)
        self._memberships = Memberships(
            speaker,
            around.hub,
            waiting_bytes=around.settings.max_waiting_bytes,
            network=network_of(speaker.visitor.address),
        )
        settings = around.settings
        self._inbox = Inbox(
            speaker,
            settings.max_waiting_commands,
            settings.max_waiting_command_bytes,
            self._carry_out,
            around.spawn,
        )
        self._welcome_is_due = True
        self._welcome_timer: asyncio.TimerHandle | None = None
        self._has_ended = self._is_entering = self._knows_outage = False
        now = self._loop.time()
        self._silent_until = now + around.settings.welcome_delay_ms / 1000
        self._bucket = TokenBucket(around.settings.message_rate_limit, now)
        self._patience = Patience()
        self._tokens = () if around.gate.is_open else tokens
        needs_token = speaker.visitor.needs_token
        self._admission = Admission(around.gate, around.access, around.settings, now, needs_token=needs_token)
        self._has_place = not self._admission.is_locked
        pacing = Pacing(
            speaker,
            around.hub.turns,
            at_once_bytes=around.settings.max_waiting_bytes // 2,
            network=self._memberships.network,
        )
        self._commands = Commands(around, self._memberships, self._admission, self._answer, self._run, pacing)
        self._lacking: dict[str, tuple[Channel, str]] = {}

    @property
    def rooms(self) -> Mapping[str, Channel]:
        """The rooms the client is in, now and later: by the name that it calls them."""
        return self._memberships.rooms

    # Beginning and end.

    def begin(self) -> None:
        """Look at the token that came with the handshake; then wait for a message, or welcome who says nothing."""
        if self._tokens:
            self._run_ahead(self._show())
            return
        self._welcome_timer = self._loop.call_at(self._silent_until, self._welcome_silent)

    def bytes_came(self) -> None:
        """Take note that the client says something: it is welcomed after the answer."""
        if self._welcome_timer is not None:
            self._welcome_timer.cancel()
            self._welcome_timer = None

    def bytes_ended(self) -> None:
        """Take note that what the client said is complete; if it was no message, it counts as silent still."""
        if self._welcome_is_due and self._welcome_timer is None and not self._inbox.is_busy:
            self.begin()

    def end(self) -> None:
        """Leave every room. A command under way is let go on, and finds nobody to answer."""
        if self._has_ended:
            return
        self._has_ended = True
        self.bytes_came()
        self._inbox.clear()
        self._memberships.end()

    def fall_behind(self) -> None:
        """Take note that much waits for the client: rooms that allow it leave it out."""
        self._memberships.fall_behind()

    def catch_up(self) -> None:
        """Take note that little waits for the client any more."""
        self._memberships.catch_up()

    def recover(self, channel: Channel, position: str) -> None:
        """Catch up with a room that the client was taken out of, from ``position`` on; one room after another."""
        is_begun = bool(self._lacking)
        self._lacking[channel.redis] = channel, position
        if not is_begun:
            self._inbox.put(Recover())

    def check_kept(self) -> None:
        """Close a client for which rooms that leave it out keep too much."""
        self._memberships.check_kept()

    def count_user(self, user: str, reply_to: str | None = None) -> bool:
        """Count the client as one of ``user``'s, once that is known; one too many is told so, and sent away."""
        excess = self._speaker.identify(user)
        if excess is None:
            return True
        refusal = replies.in_excess(excess, reply_to)
        self._say(refusal)
        self._speaker.close(Closing(AT_CAPACITY.code, refusal.sentence))
        return False

    def _welcome_silent(self) -> None:
        self._welcome_timer = None
        self._welcome()
        self._enter_first_room()

    def _welcome(self) -> None:
        if not self._welcome_is_due or self._admission.is_locked:
            return
        self._welcome_is_due = False
        service = self._around.service
        rate = self._around.settings.message_rate_limit
        is_known = self._admission.caller.user_id is not None
        secure = self._speaker.visitor.is_secure
        self._say(Welcome(self._speaker.name, service.name, service.welcome, rate, is_known, secure))
        outage = None if self._knows_outage else self._around.outage()
        if outage is not None:
            self.notify(outage)

    def _enter_first_room(self) -> None:
        """Put a client of a dialect with a first room into it, unless it has found one by itself."""
        if self._admission.is_locked:
            return
        if self.dialect.first_room is not None and not self._memberships and not self._is_entering:
            self._is_entering = True
            entering = self._guard(self._enter(self.dialect.first_room), Verb.SUBSCRIBE, None)
            self._around.spawn(entering, f"first room of {self._speaker.name}")

    # Messages.

    def may_have(self, size: int) -> bool:
        """Tell whether a message may have ``size`` bytes: before a token, no more than one takes."""
        may_be_anybody = self._admission.is_locked and not self._inbox.is_busy_ahead
        return not may_be_anybody or size <= self._around.settings.auth_max_token_bytes + _BESIDE_TOKEN_BYTES

    def message(self, text: bytes) -> None:
        """Take one message; it is answered once, in its turn. What it costs is paid before anything looks inside."""
        now = self._loop.time()
        wait_s = self._bucket.take(now)
        if wait_s > 0:
            self._refuse(text, wait_s)
            return
        self._bucket.charge(len(text) // _UNIT_BYTES)
        limit = self._put(text, self._understood(text))
        if limit is not None:
            self._around.registry.limited[limit] += 1

    def _put(self, text: bytes, understood: Command | Refusal) -> str | None:
        """Have a command carried out in its turn; one that must wait for that is kept as it came.

        Return the name of the limit that was reached by waiting.
        """
        item = text if self._inbox.is_busy else understood
        match understood:
            case Authenticate():
                return self._inbox.put_ahead(item)
            case Ping():
                return self._inbox.overtake(understood)
            case Leave(channel):
                return self._inbox.overtake(item, channel)
            case Subscribe(channel):
                return self._inbox.put(item, channel)
            case Refusal():
                return self._inbox.put(understood)
            case _:
                return self._inbox.put(item)

    def _understood(self, text: bytes) -> Command | Refusal:
        command: Command | Refusal
        try:
            value = decode(text, values=self._around.settings.max_message_values)
        except Refused as refused:
            if refused.limit is not None:
                self._around.registry.limited[refused.limit] += 1
            self._decide(FLAT)
            command = refused.refusal
        else:
            self._decide(decides(value))
            command = self._parsed(value)
        return command

    def _parsed(self, value: dict[str, Any]) -> Command | Refusal:
        try:
            return self.dialect.parse(value, self._requests)
        except Refused as refused:
            return refused.refusal

    def _decide(self, dialect: Dialect | None) -> None:
        """Let the first message decide the dialect; one that shows the envelope leaves the flat one's room."""
        if not self._is_undecided or dialect is None:
            return
        self._is_undecided = False
        if dialect is FLAT:
            return
        self._memberships.leave_all()
        self.dialect, self._welcome_is_due = dialect, True

    def _refuse(self, text: bytes, wait_s: float) -> None:
        """Answer a message over the rate; only a small one is read, for the id that its answer names."""
        self._around.registry.limited["message_rate_limit"] += 1
        if self._patience.ends(self._loop.time()):
            self._speaker.close(ABUSE)
            return
        command = self._understood(text) if len(text) <= _UNIT_BYTES else None
        self._inbox.put(replies.too_many_messages(command, self._around.settings.message_rate_limit, wait_s))

    # Commands.

    def _carry_out(self, item: Item) -> None:
        command = self._understood(item) if isinstance(item, bytes) else item
        if self._admission.is_locked and not self._may_be_said(command.verb):
            self._dismiss(replies.no_token_yet(command))
            return
        if self.dialect is FLAT and not self._is_undecided and not isinstance(command, Authenticate):
            self._greet_flat(may_enter=not isinstance(command, Switch) and not self._inbox.is_busy)
        match command:
            case Refusal():
                self._answer(command)
            case Ping(reply_to):
                self._answer(Pong(reply_to))
            case Authenticate():
                self._run_ahead(self._authenticate(command), command.reply_to)
            case Leave():
                self._commands.leave(command)
            case Subscribe():
                self._commands.subscribe(command)
            case Switch():
                self._run(self._switch(command), Verb.SUBSCRIBE)
            case Ask():
                self._commands.ask(command)
            case Recover():
                self._run(self._recover(), command.verb, is_long=True)

    async def _recover(self) -> None:
        """Catch up with what rooms lacked; what cannot be had now is tried again, unless the client has left."""
        while self._lacking and not self._has_ended:
            channel, position = self._lacking[next(iter(self._lacking))]
            await self._speaker.drained()
            try:
                if channel in self._memberships:
                    say = functools.partial(self._tell_gap, channel, position)
                    await self._memberships.resume(channel, Since(position), say, has_followed=True)
            except BusError:
                await asyncio.sleep(_ENTER_RETRY_S)
                continue
            except Exception:
                self._lacking.clear()
                self._speaker.fail()
                raise
            del self._lacking[channel.redis]

    def _tell_gap(self, channel: Channel, position: str, replay: Replay) -> None:
        """Tell what cannot be had of what a room lacked."""
        if replay.reason is not None:
            end = replay.lines[0].position if replay.lines else replay.position
            self.notify(gap(channel.name, position, end, replay.reason))

    def _greet_flat(self, *, may_enter: bool = True) -> None:
        """Welcome a flat client, and put it into the first room unless it asks for another."""
        self._welcome()
        if may_enter:
            self._enter_first_room()

    def _run(
        self, work: Coroutine[Any, Any, None], verb: str, reply_to: str | None = None, *, is_long: bool = False
    ) -> None:
        """Run what must wait; the commands behind it wait for it, but for those that overtake what is long."""
        self._inbox.run(self._guard(work, verb, reply_to), f"command of {self._speaker.name}", is_long=is_long)

    def _run_ahead(self, work: Coroutine[Any, Any, None], reply_to: str | None = None) -> None:
        """Look at a token, beside what is under way; whatever comes waits for it."""
        self._inbox.run_ahead(self._guard(work, Verb.AUTH, reply_to), f"token of {self._speaker.name}")

    async def _guard(self, work: Coroutine[Any, Any, None], verb: str, reply_to: str | None) -> None:
        try:
            await work
        except Exception:
            _logger.exception("a command failed", extra={"connection": self._speaker.name, "verb": verb})
            self._answer(replies.failed(verb, reply_to))

    async def _switch(self, command: Switch) -> None:
        """Go to one room and leave the others; where the new one cannot be had, stay."""
        channel = self._around.service.channel(command.channel)
        if not self._admission.may_read(channel):
            self._answer(self._admission.forbidden(Verb.SUBSCRIBE, channel))
            return
        try:
            await self._memberships.open(channel)
        except BusError as error:
            self._answer(self._commands.unavailable(error, Verb.SUBSCRIBE, None))
            self._enter_first_room()
            return
        if not self._admission.may_read(channel):  # a token that opens less has overtaken
            self._answer(self._admission.forbidden(Verb.SUBSCRIBE, channel))
            return
        reply = Reply(Verb.SUBSCRIBE, {"skill": command.skill})
        self._memberships.switch(channel, lambda _: self._answer(reply))

    async def _enter(self, name: str) -> None:
        """Enter the first room; nobody asked for it, so nobody would repeat what failed."""
        channel = self._around.service.channel(name)
        if not self._admission.may_read(channel):
            self._answer(self._admission.forbidden(Verb.SUBSCRIBE, channel))
        while self._wants(name):
            try:
                await self._around.hub.open(channel)
            except BusError:
                await asyncio.sleep(_ENTER_RETRY_S)
                continue
            if self._wants(name):
                self._memberships.join(channel, lambda _: None)
        self._is_entering = False

    def _wants(self, first_room: str) -> bool:
        is_free = not self._has_ended and not self._memberships and self.dialect.first_room == first_room
        return is_free and self._admission.may_read(self._around.service.channel(first_room))

    # Who the client is.

    def _may_be_said(self, verb: str | None) -> bool:
        """Tell whether a client that has still to authenticate may say this, or be told what was wrong with it."""
        return verb in (Verb.AUTH, Verb.PING) or (verb is None and self.dialect is ENVELOPE)

    async def _show(self) -> None:
        """Take the token of the handshake as if it were the first message, with no answer where it is good."""
        tokens, self._tokens = self._tokens, ()
        await self._admitted(tokens, None)
        if not self._has_ended and not self._inbox:
            self.begin()

    async def _authenticate(self, command: Authenticate) -> None:
        """Let the client in, and answer; then leave the rooms that its new token does not open."""
        if not await self._admitted([command.token], command.reply_to):
            return
        if command.then is not None:
            self._inbox.put_first(command.then)  # it has its own answer, and greets
        elif self.dialect is FLAT and self._welcome_is_due:
            self._greet_flat()
        else:
            self._answer(Reply(Verb.AUTH, self._admission.report(), command.reply_to))
            self._enter_first_room()
        for channel in [it for it in self._memberships.channels if not self._admission.may_read(it)]:
            self._memberships.leave(channel)
            self.notify(Notice.of(NoticeName.ROOM_LEFT, "forbidden", room=channel.name))

    async def _admitted(self, tokens: Sequence[str], reply_to: str | None) -> bool:
        """Let the client in by a token, or say why not."""
        try:
            await self._admission.admit(tokens)
        except TokenRefused as refused:
            self._dismiss(Refusal(Code.AUTH_FAILED, str(refused), Verb.AUTH, reply_to, refused.retry_after_ms))
        except KeysUnavailable as error:
            self._answer(Refusal(Code.UNAVAILABLE, str(error), Verb.AUTH, reply_to, replies.RETRY_AFTER_MS))
        else:
            self._speaker.be_found(self._admission.caller.revocable_by)
            user = self._admission.caller.user_id
            may_stay = not self._has_ended and (user is None or self.count_user(user, reply_to))
            return may_stay and (self._has_place or self._takes_place(reply_to))
        return False

    def _takes_place(self, reply_to: str | None) -> bool:
        """Take a place by the first good token; without one the client is told so, and sent away."""
        self._has_place = self._speaker.take_place()
        if not self._has_place:
            self._say(replies.no_place(reply_to))
            self._speaker.close(AT_CAPACITY)
        return self._has_place

    def check_standing(self, now: float) -> None:
        """Warn a client whose token expires soon, and send away one whose token has, or never came."""
        match self._admission.due(now):
            case Refusal() as refusal:
                self._dismiss(refusal)
            case Notice() as notice:
                if self.notify(notice):
                    self._admission.warned()

    def check_revoked(self) -> None:
        """Send away a client whose token was revoked."""
        refusal = self._admission.revoked()
        if refusal is not None:
            self._dismiss(refusal)

    def _dismiss(self, refusal: Refusal) -> None:
        """Say why, and close; what a token holds is in no sentence, so the close frame and the log may have it."""
        if self._has_ended:
            return
        _logger.info("sent a client away", extra={"connection": self._speaker.name, "reason": refusal.sentence})
        self._say(refusal)
        self._speaker.close(replace(self.dialect.no_token, reason=refusal.sentence[:_REASON_LIMIT]))

    # Saying.

    def _answer(self, message: Message) -> None:
        """Say an answer; the welcome follows the first one in the envelope."""
        if self._has_ended:
            return
        self._say(message)
        if not self._is_undecided and self.dialect is ENVELOPE:
            self._welcome()
        if self._memberships.is_replaying:  # from its answer on, a replay takes as long as the client does
            self._inbox.let_pass()

    def notify(self, notice: Notice) -> bool:
        """Say something that nobody asked for, and tell whether it was said; not to a client that was not greeted yet.

        That Redis is back, only who was told that it was away is told.
        """
        if self._welcome_is_due or self._has_ended:
            return False
        if notice.event == NoticeName.BUS_RESTORED and not self._knows_outage:
            return False
        if notice.event in (NoticeName.BUS_DEGRADED, NoticeName.BUS_RESTORED):
            self._knows_outage = notice.event == NoticeName.BUS_DEGRADED
        self._say(notice)
        return True

    def _say(self, message: Message) -> None:
        self._speaker.write(text_frame(self.dialect.write(message)))
