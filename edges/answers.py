"""Requests of a service, answered from the logs of the channels they name."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import orjson
from pydantic import BaseModel, ValidationError

from bus.channel import Channel
from bus.errors import ChannelError
from bus.log import History, Log
from bus.service import PastEvent, Request
from edges.folding import ModelOf, fold_what_fits
from edges.protocol import Code, Refusal, Refused

__all__ = ["Answers", "Check"]

Check: TypeAlias = Callable[[Sequence[Channel]], None]
"""Raises ``Refused`` where the caller may not ask."""


_logger = logging.getLogger("edgebus.edges")


class Answers:
    """Reads the logs and folds them; questions about one channel at one moment share the read.

    Args:
        log: reads logs.
        model_of: returns the model of an event; events that do not fit theirs are left out where a fold fails on them.

    Attributes:
        left_out: how often an event was left out of an answer.

    """

    def __init__(self, log: Log, *, model_of: ModelOf = lambda _: None) -> None:
        self._log, self._model_of = log, model_of
        self.left_out = 0
        self._told: set[str] = set()
        self._reads: dict[str, asyncio.Task[History]] = {}

    @property
    def reads(self) -> "list[asyncio.Task[History]]":
        """The reads under way, for whoever ends them."""
        return list(self._reads.values())

    async def answer(
        self, request: Request[Any, Any], data: Mapping[str, Any], reply_to: str | None, check: Check
    ) -> dict[str, Any]:
        """Return the data of the reply. ``check`` is given the channels that the question is about, before any is read.

        Raises:
            Refused: the question is not of the request's model, and the sentence names the field; or by ``check``.
            BusUnavailable: Redis did not answer.
            BusError: Redis refused to.

        """
        try:
            question = request.question.model_validate_json(orjson.dumps(data))
            channels = request.channels(question)
        except ValidationError as error:
            raise Refused(Refusal(Code.INVALID_REQUEST, sentence_of(error), request.name, reply_to)) from None
        except ChannelError as error:
            raise Refused(Refusal(Code.INVALID_REQUEST, str(error), request.name, reply_to)) from None
        check(channels)
        histories = await asyncio.gather(*(self._history(channel) for channel in channels))
        answer = self._fold(request, question, _merged(histories))
        return {**answer, "truncated": True} if any(history.truncated for history in histories) else answer

    def _fold(self, request: Request[Any, Any], question: BaseModel, past: Sequence[PastEvent]) -> dict[str, Any]:
        answer, left_out = fold_what_fits(request, question, past, self._model_of)
        self.left_out += len(left_out)
        if left_out and request.name not in self._told:
            self._told.add(request.name)
            fields = {"request": request.name, "event": left_out[0].event, "position": left_out[0].position}
            _logger.warning("left events out of an answer: they are not of their model", extra=fields)
        return answer.model_dump(mode="json")

    async def _history(self, channel: Channel) -> History:
        task = self._reads.get(channel.redis)
        if task is None:
            task = asyncio.create_task(self._log.history(channel), name=f"history of {channel.redis}")
            self._reads[channel.redis] = task
            task.add_done_callback(lambda _: self._reads.pop(channel.redis))
        return await asyncio.shield(task)


def _merged(histories: list[History]) -> list[PastEvent]:
    if len(histories) == 1:
        return histories[0].events
    return sorted((event for history in histories for event in history.events), key=lambda event: event.timestamp)


def sentence_of(error: ValidationError) -> str:
    """Return what is wrong with a model's data, field by field, in one line and without the data."""
    return "; ".join(
        f"{'.'.join(map(str, problem['loc'])) or 'data'}: {problem['msg'].lower()}" for problem in error.errors()[:5]
    )
