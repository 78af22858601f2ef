"""What a client's commands do: about its rooms, and the requests of the service.

Knows rooms, permissions and limits; of the conversation only how to answer, and how to run what must wait.
"""

import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import orjson

from bus.channel import Channel
from bus.errors import BusError, BusUnavailable, ChannelError
from bus.log.replay import Replay, Start
from bus.words import Verb
from edges.limits.rates import LimitReached
from edges.protocol.messages import Ask, Code, Leave, Message, Refusal, Refused, Reply, Subscribe
from edges.session import replies
from edges.session.authentication import Admission
from edges.session.context import Context
from edges.session.pacing import Pacing
from edges.session.subscriptions import Memberships

__all__ = ["Commands"]

_logger = logging.getLogger("edgebus.edges")


class Run(Protocol):
    """Runs what must wait; the commands behind it wait for it, but for those that overtake what is long."""

    def __call__(
        self, work: Coroutine[Any, Any, None], verb: str, reply_to: str | None, *, is_long: bool = False
    ) -> None: ...


class Commands:
    """Carries out the commands of one client; each is answered once.

    Args:
        around: what the edge has.
        memberships: the client's rooms.
        admission: what it may do.
        answer: says an answer.
        run: runs what must wait.
        pacing: says what is large.

    """

    __slots__ = ("_admission", "_answer", "_around", "_memberships", "_pacing", "_run")

    def __init__(
        self,
        around: Context,
        memberships: Memberships,
        admission: Admission,
        answer: Callable[[Message], None],
        run: Run,
        pacing: Pacing,
    ) -> None:
        self._around, self._memberships, self._admission = around, memberships, admission
        self._answer, self._run, self._pacing = answer, run, pacing

    def subscribe(self, command: Subscribe) -> None:
        """Put the client into a room, at the end of its log or where it left off."""
        try:
            channel = self._around.service.channel(command.channel)
        except ChannelError as error:
            self._answer(replies.no_channel(error, command))
            return
        if not self._admission.may_read(channel):
            self._answer(self._admission.forbidden(Verb.SUBSCRIBE, channel, command.reply_to))
        elif channel not in self._memberships and len(self._memberships) >= self._around.settings.max_rooms:
            self._around.registry.limited["max_rooms"] += 1
            self._answer(replies.too_many_rooms(len(self._memberships), command))
        elif command.start is not None and channel.retention.kind != "live":
            self._run(self._resume(channel, command, command.start), Verb.SUBSCRIBE, command.reply_to)
        elif not self._memberships.join(channel, lambda room: self._answer(replies.subscribed(room, command))):
            self._run(self._open_and_join(channel, command), Verb.SUBSCRIBE, command.reply_to)

    async def _open_and_join(self, channel: Channel, command: Subscribe) -> None:
        with self._telling(Verb.SUBSCRIBE, command.reply_to):
            await self._memberships.open(channel)
            self._check(channel, command)
            self._memberships.join(channel, lambda room: self._answer(replies.subscribed(room, command)))

    async def _resume(self, channel: Channel, command: Subscribe, start: Start) -> None:
        def answer(replay: Replay) -> None:
            self._check(channel, command)
            self._answer(replies.resumed(channel, command, replay))

        with self._telling(Verb.SUBSCRIBE, command.reply_to):
            await self._memberships.resume(channel, start, answer)

    def _check(self, channel: Channel, command: Subscribe) -> None:
        """Look once more whether the client may: a token that opens less may have overtaken the command."""
        if not self._admission.may_read(channel):
            raise Refused(self._admission.forbidden(Verb.SUBSCRIBE, channel, command.reply_to))

    @contextmanager
    def _telling(self, verb: str, reply_to: str | None) -> Iterator[None]:
        """Answer with what Redis, or the lack of it, makes impossible, or with what a new token does."""
        try:
            yield
        except Refused as refused:
            self._answer(refused.refusal)
        except BusError as error:
            self._answer(self.unavailable(error, verb, reply_to))

    def unavailable(self, error: BusError, verb: str, reply_to: str | None) -> Refusal:
        """Return the answer to what cannot be done at the moment; count the limit, log what waiting does not help."""
        if isinstance(error, LimitReached):
            self._around.registry.limited[error.name] += 1
        elif not isinstance(error, BusUnavailable):
            _logger.error("Redis refused", extra={"verb": verb, "reason": str(error)})
        return replies.unavailable(error, verb, reply_to)

    def leave(self, command: Leave) -> None:
        """Let the client out of a room; one that it is not in is answered alike."""
        try:
            channel = self._around.service.channel(command.channel)
        except ChannelError as error:
            self._answer(replies.no_channel(error, command))
            return
        self._memberships.leave(channel)
        self._answer(replies.left(channel, command))

    def ask(self, command: Ask) -> None:
        """Answer a request of the service."""
        self._run(self._ask(command), command.name, command.reply_to, is_long=True)

    async def _ask(self, command: Ask) -> None:
        request = self._around.service.request(command.name)
        if request is None:  # the parser lets known names through only
            raise LookupError(command.name)
        try:
            check = self._admission.check(command)
            network = self._memberships.network
            data = await self._around.answers.answer(request, command.data, command.reply_to, check, network)
            reply = Reply(command.name, orjson.Fragment(data), command.reply_to)
            await self._pacing.say(len(data), lambda: self._answer(reply))
        except Refused as refused:
            self._around.registry.limited["max_answer_bytes"] += refused.refusal.code is Code.ANSWER_TOO_LARGE
            self._answer(refused.refusal)
        except BusError as error:
            self._answer(self.unavailable(error, command.name, command.reply_to))
