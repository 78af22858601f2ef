"""Requests of a service, answered from logs of channels.

The work takes turns, fairly among networks, and at most half of the event loop. An answer is kept until the next event
of the channels (decisions/0044).
"""

import asyncio
import logging
import operator
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import orjson
from pydantic import BaseModel, ValidationError

from bus.channel import Channel
from bus.errors import ChannelError
from bus.log.history import History
from bus.service import PastEvent, Request
from bus.slices import Slices
from edges.limits.replay_slots import Slots
from edges.protocol.messages import Code, Refusal, Refused
from edges.rooms.log_reads import LogReads
from edges.rooms.single_flight import SingleFlight
from edges.session.folding import ModelOf, fold_what_fits

__all__ = ["Answers", "Check", "read_question"]

Check: TypeAlias = Callable[[Sequence[Channel]], None]
"""Raises ``Refused`` for a caller without permission."""


_KEPT: Final = 256
_KEPT_BYTES: Final = 16 * 1024 * 1024

_logger = logging.getLogger("edgebus.edges")


class _Answer(NamedTuple):
    histories: tuple[History, ...]
    data: bytes


class Answers:
    """Reads logs and folds events, one answer at a time; equal questions about unchanged logs share an answer.

    Args:
        reads: reads logs.
        model_of: returns the model of an event; an event of another shape is left out where a fold fails.
        limit: the most questions to read for at once; further questions wait for a turn.
        limit_bytes: the largest answer.

    Attributes:
        left_out: how often an event was left out of an answer.

    """

    def __init__(
        self, reads: LogReads, *, model_of: ModelOf = lambda _: None, limit: int = 8, limit_bytes: int = 4_000_000
    ) -> None:
        self._model_of, self._limit_bytes = model_of, limit_bytes
        self.left_out = 0
        self._told: set[str] = set()
        self._reads = reads
        self._slots = Slots("max_requests", limit)
        self._folding = asyncio.Lock()
        self._under_way = SingleFlight[tuple[str, str, str], bytes]()
        self._kept: OrderedDict[tuple[str, str], _Answer] = OrderedDict()
        self._kept_bytes = 0

    @property
    def tasks(self) -> "list[asyncio.Task[bytes]]":
        """The answers under way, for the owner to end."""
        return self._under_way.tasks

    async def answer(
        self,
        request: Request[Any, Any],
        data: Mapping[str, Any],
        reply_to: str | None,
        check: Check,
        network: str = "",
    ) -> bytes:
        """Return the data of the reply, as JSON.

        ``check`` is given the channels of the question, before any log is read; ``network`` is the caller's, as turns
        count networks.

        Raises:
            Refused: the question is not of the request's model, and the sentence names the field; or by ``check``; or
                the answer is too large.
            LimitReached: many other questions are being answered.
            BusUnavailable: Redis did not answer.
            BusError: Redis refused.

        """
        question, channels = read_question(request, orjson.dumps(data), reply_to)
        check(channels)
        answer = await self._shared(request, question, channels, network)
        if len(answer) > self._limit_bytes:
            sentence = f"the answer has {len(answer)} bytes; max_answer_bytes is {self._limit_bytes}: ask for less"
            raise Refused(Refusal(Code.ANSWER_TOO_LARGE, sentence, request.name, reply_to))
        return answer

    async def _shared(
        self, request: Request[Any, Any], question: BaseModel, channels: Sequence[Channel], network: str
    ) -> bytes:
        """Answer, or share the answer under way for an equal question from the same network."""
        # By network too: a question waits in the queue of one network, and others need not wait as long.
        key = network, request.name, question.model_dump_json()
        return await self._under_way.share(
            key, lambda: self._in_turn(request, question, channels, network), f"answer to {request.name}"
        )

    async def _in_turn(
        self, request: Request[Any, Any], question: BaseModel, channels: Sequence[Channel], network: str
    ) -> bytes:
        async with self._slots.slot(network):
            keyed = [request.state and channel.keyed is not None for channel in channels]
            reads = (self._reads.history(it, of_state=of_state) for it, of_state in zip(channels, keyed, strict=True))
            histories = await asyncio.gather(*reads)
            return await self._answered(request, question, tuple(histories))

    async def _answered(self, request: Request[Any, Any], question: BaseModel, histories: tuple[History, ...]) -> bytes:
        """Return a kept answer, or fold; after a fold, all other work of the loop has as much time as the fold took."""
        key = request.name, question.model_dump_json()
        async with self._folding:
            kept = self._kept.get(key)
            # By identity: reading a log on yields the same object as long as no event came.
            if kept is not None and all(map(operator.is_, kept.histories, histories)):
                self._kept.move_to_end(key)
                return kept.data
            slices = Slices()
            data = self._fold(request, question, _merged(histories))
            if any(history.truncated for history in histories):
                data = data[:-1] + (b',"truncated":true}' if len(data) > len(b"{}") else b'"truncated":true}')
            self._keep(key, _Answer(histories, data))
            await slices.rest()
        return data

    def _keep(self, key: tuple[str, str], answer: _Answer) -> None:
        self._drop(key)
        if any(history.known is None for history in answer.histories):
            return
        self._kept[key] = answer
        self._kept_bytes += len(answer.data)
        while len(self._kept) > _KEPT or self._kept_bytes > _KEPT_BYTES:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: tuple[str, str]) -> None:
        before = self._kept.pop(key, None)
        self._kept_bytes -= 0 if before is None else len(before.data)

    def _fold(self, request: Request[Any, Any], question: BaseModel, past: Sequence[PastEvent]) -> bytes:
        answer, left_out = fold_what_fits(request, question, past, self._model_of)
        self.left_out += len(left_out)
        if left_out and request.name not in self._told:
            self._told.add(request.name)
            fields = {"request": request.name, "event": left_out[0].event, "position": left_out[0].position}
            _logger.warning("left events out of an answer: they are not of their model", extra=fields)
        return answer.model_dump_json().encode()


def _merged(histories: Sequence[History]) -> list[PastEvent]:
    if len(histories) == 1:
        return histories[0].events
    return sorted((event for history in histories for event in history.events), key=lambda event: event.timestamp)


def read_question(request: Request[Any, Any], data: bytes, reply_to: str | None) -> tuple[BaseModel, Sequence[Channel]]:
    """Return the question in a request's data, and the channels that the question reads.

    Raises:
        Refused: the data are not of the request's model; the sentence names the field.

    """
    try:
        question = request.question.model_validate_json(data)
        return question, request.channels(question)
    except ValidationError as error:
        raise Refused(Refusal(Code.INVALID_REQUEST, sentence_of(error), request.name, reply_to)) from None
    except ChannelError as error:
        raise Refused(Refusal(Code.INVALID_REQUEST, str(error), request.name, reply_to)) from None


def sentence_of(error: ValidationError) -> str:
    """Return the faults of a model's data, field by field, in a line without the data."""
    return "; ".join(
        f"{'.'.join(map(str, problem['loc'])) or 'data'}: {problem['msg'].lower()}" for problem in error.errors()[:5]
    )
