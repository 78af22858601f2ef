"""A connection to Redis for commands, one round at a time: a write of packed commands, and an answer for each.

Answers are read with ``hiredis`` straight from the socket, and handed on where the bytes come in: no task is woken for
a round. Links are opened by ``bus.redis.command_opening``.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeAlias, cast

import hiredis

from bus.redis import library

__all__ = ["CommandLink", "Done", "packed"]

Done: TypeAlias = Callable[[list[Any], Exception | None], None]
"""Gets the answers of a round, errors of Redis' as values; and the error of a cut, after which no more answers come."""

_SLICE_BYTES: Final = 16 * 1024
"""``hiredis.Reader`` moves its whole buffer on every reply, so large feeds cost the square of their size."""


def packed(words: Iterable[Any]) -> bytes:
    """Return a command as Redis reads it."""
    packed_words: bytes = hiredis.pack_command(tuple(words))
    return packed_words


# The client library's exceptions, and the library not loaded before the first of them.


def _stranger(text: str) -> Exception:
    return library.InvalidResponse(text)


def _refused(text: str) -> Exception:
    from redis.asyncio.connection import DefaultParser

    refusal: Exception = DefaultParser.parse_error(text)  # type: ignore[no-untyped-call, unused-ignore]
    return refusal


class CommandLink(asyncio.Protocol):
    """A connection in RESP2.

    Args:
        patience_s: how long Redis may take for an answer, from the answer before on.

    Attributes:
        cause: the error at the end of the link; None before the end.

    """

    def __init__(self, patience_s: float) -> None:
        self._reader = hiredis.Reader(protocolError=_stranger, replyError=_refused)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._patience_s = patience_s
        self._timer: asyncio.TimerHandle | None = None
        self._heard_s = 0.0
        self._unsent_bytes = 0
        self._answers: list[Any] = []
        self._wanted = 0
        self._done: Done | None = None
        self.cause: Exception | None = None

    @property
    def is_free(self) -> bool:
        """Whether a round may be sent."""
        return self._done is None and self.cause is None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket."""
        self._transport = cast(asyncio.Transport, transport)

    def send(self, data: bytes, count: int, done: Done) -> None:
        """Send a round of ``count`` commands; ``done`` is called once, later, unless ``abort`` comes before."""
        assert self._transport is not None  # noqa: S101 (a link is handed out connected)
        self._done, self._wanted, self._heard_s = done, count, self._loop.time()
        # decisions/0156: one timer for all rounds. It is not moved per round: at its time the link looks how long Redis
        # has been silent, and sets the timer anew.
        if self._timer is None:
            self._timer = self._loop.call_at(self._heard_s + self._patience_s, self._look)
        self._transport.write(data)
        if len(data) > _SLICE_BYTES:
            self._unsent_bytes = self._transport.get_write_buffer_size()

    async def ask(self, *words: str) -> Any:
        """Return the answer to a single command; words of the command's name may stand together.

        Raises:
            RedisError: Redis' own error, or the end of the link.

        """
        (answer,) = await self.ask_together(words)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def ask_together(self, *commands: Sequence[str]) -> list[Any]:
        """Return the answers to commands of one round, Redis' own errors as values.

        Raises:
            RedisError: the end of the link.

        """
        if self.cause is not None:
            raise self.cause
        future: asyncio.Future[list[Any] | Exception] = self._loop.create_future()

        def done(answers: list[Any], cut: Exception | None) -> None:
            if not future.done():
                future.set_result(answers if cut is None else cut)

        self.send(b"".join(packed([*it[0].split(), *it[1:]]) for it in commands), len(commands), done)
        told = await future
        if isinstance(told, Exception):
            raise told
        return told

    def data_received(self, data: bytes) -> None:
        """Take bytes; the last answer of a round ends the round."""
        answers, gets = self._answers, self._reader.gets
        try:
            if len(data) <= _SLICE_BYTES:
                self._reader.feed(data)
                while (reply := gets()) is not False:
                    answers.append(reply)
            else:
                for start in range(0, len(data), _SLICE_BYTES):
                    self._reader.feed(data, start, min(_SLICE_BYTES, len(data) - start))
                    while (reply := gets()) is not False:
                        answers.append(reply)
        # No Redis, or a Redis out of step with us; or a shortage.
        except (library.InvalidResponse, MemoryError) as error:
            self._end(error)
            return
        if len(answers) == self._wanted and self._done is not None:
            done, self._done, self._answers = self._done, None, []
            done(answers, None)
        elif answers and (self._done is None or len(answers) > self._wanted):
            unasked = answers[-1]  # as when Redis has no room for a client, and says so before it hangs up
            stranger = library.InvalidResponse("an answer that nobody asked for")
            self._end(unasked if isinstance(unasked, Exception) else stranger)
        else:
            self._heard_s = self._loop.time()

    def _look(self) -> None:
        """End the link if Redis has been silent for too long; else look again when that may be."""
        self._timer = None
        if self._done is None:
            return
        assert self._transport is not None  # noqa: S101 (likewise)
        unsent_bytes = self._transport.get_write_buffer_size()
        if unsent_bytes < self._unsent_bytes:  # decisions/0052: a narrow path is no dead one
            self._heard_s = self._loop.time()
        self._unsent_bytes = unsent_bytes
        due_s = self._heard_s + self._patience_s
        if self._loop.time() >= due_s:
            self._end(library.RedisTimeoutError("nothing came in time"))
        else:
            self._timer = self._loop.call_at(due_s, self._look)

    def connection_lost(self, error: Exception | None) -> None:
        """Take note that the socket is gone."""
        if self.cause is None:
            self._end(error or library.RedisConnectionError("Connection closed by server."))

    def abort(self) -> None:
        """Drop the connection now; a round under way gets no answer."""
        self._done = None
        self._end(ConnectionAbortedError("the connection was closed"))  # Python's own: nothing to load an exception for

    def _end(self, cause: Exception) -> None:
        if self.cause is not None:
            return
        self.cause = cause
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.abort()
        if self._done is not None:
            done, self._done = self._done, None
            done(self._answers[: self._wanted], cause)
