"""The functions of a responder: registered for requests of a catalogue, called with questions, their answers checked.

Knows no Redis: takes a question, and returns data as JSON, or a refusal.
"""

import asyncio
import contextvars
import inspect
import logging
import typing
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import Any, Final, TypeAlias

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError

from bus.asking.question import Answered, Asker, Question
from bus.errors import BusError
from bus.parts import given
from bus.service import Request, Service
from bus.values import frozen
from bus.words import Code

__all__ = ["Answers", "Function", "RequestRefused"]

Function: TypeAlias = Callable[..., Any]
"""Takes a question, and the asker if a second argument is there; returns the answer, or a coroutine of the answer."""

_CODES: Final = frozenset({Code.FORBIDDEN, Code.INVALID_REQUEST, Code.NOT_FOUND})
_WITH_ASKER: Final = 2
_FAILED: Final = "the service failed to answer; the fault is in the log of its responder"
_OVERDUE: Final = "the service took too long to answer"

LOGGER: Final = logging.getLogger("edgebus.producers")


class RequestRefused(BusError):
    """Raised by a function of a responder: the client hears the sentence, with the code.

    Args:
        sentence: for the client, at most 500 characters.
        code: ``INVALID_REQUEST``, ``FORBIDDEN`` or ``NOT_FOUND``.

    Raises:
        ValueError: the code is none of the three.

    """

    def __init__(self, sentence: str, code: Code | str = Code.INVALID_REQUEST) -> None:
        super().__init__(sentence)
        if code not in _CODES:
            raise ValueError(f"a service refuses with {', '.join(sorted(_CODES))}, and not with {code}")
        self.code = Code(code)


@frozen
class _Row:
    request: Request[Any, Any]
    function: Function
    is_async: bool
    takes_asker: bool


class Answers:
    """The functions by request.

    Args:
        service: the catalogue.
        limit_bytes: the largest answer.
        logger: is told of functions that fail.

    """

    def __init__(self, service: Service, *, limit_bytes: int, logger: logging.Logger = LOGGER) -> None:
        self._service, self._limit_bytes, self._logger = service, limit_bytes, logger
        self._rows: dict[str, _Row] = {}

    @property
    def requests(self) -> list[str]:
        """The names of the requests with a function."""
        return list(self._rows)

    # Registration.

    def add(self, what: type[BaseModel] | Request[Any, Any], function: Function) -> None:
        """Have ``function`` answer a request, named by itself or by the model of its question.

        Raises:
            TypeError: the function is none, takes other arguments, or is annotated with other models.
            ValueError: the catalogue has no such request, none that is live, or the request has a function already.

        """
        request = self._request(what)
        if request.name in self._rows:
            raise ValueError(f"{request.name} has a function already: {_name(self._rows[request.name].function)}")
        is_async = _check_kind(request, function)
        takes_asker = _count(request, function) == _WITH_ASKER
        _check_hints(request, function)
        self._rows[request.name] = _Row(request, function, is_async, takes_asker)

    def _request(self, what: type[BaseModel] | Request[Any, Any]) -> Request[Any, Any]:
        live = [it for it in self._service.requests if what in (it, it.question)]
        if not live:
            known = ", ".join(it.name for it in self._service.requests if it.live) or "none"
            shown = what.name if isinstance(what, Request) else getattr(what, "__name__", repr(what))
            raise ValueError(f"{shown} is no request of {self._service.name}; its live requests: {known}")
        if len(live) > 1:
            names = " or ".join(it.name for it in live)
            raise ValueError(f"{names} share this question: register the Request, not the model")
        if not live[0].live:
            raise ValueError(f"{live[0].name} is answered from logs: give its Request live=True in the catalogue")
        return live[0]

    # Questions.

    async def answer(self, question: Question, pool: Executor, within_s: float) -> Answered:
        """Return the outcome of a question; an async function is cancelled after ``within_s``, a thread runs on."""
        row = self._rows[question.request]
        try:
            asked = row.request.question.model_validate_json(question.data)
        except ValidationError as error:
            return Answered(question.id, code=Code.INVALID_REQUEST, sentence=_fields_of(error))
        try:
            value = await self._call(row, asked, question.asker, pool, within_s)
            return self._sized(row, question, _data(row.request, value))
        except RequestRefused as refused:
            return Answered(question.id, code=refused.code, sentence=str(refused))
        except _Overdue:
            return Answered(question.id, code=Code.TIMEOUT, sentence=_OVERDUE)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            self._logger.exception("a function was cancelled from within", extra=_told(row, question))
        except Exception as error:
            text = "a function gave a wrong answer" if isinstance(error, _WrongAnswer) else "a function failed"
            self._logger.exception(text, extra=_told(row, question))
        return Answered(question.id, code=Code.INTERNAL_ERROR, sentence=_FAILED)

    async def _call(self, row: _Row, asked: BaseModel, asker: Asker, pool: Executor, within_s: float) -> Any:
        arguments = (asked, asker) if row.takes_asker else (asked,)
        if not row.is_async:
            run = contextvars.copy_context().run
            return await asyncio.get_running_loop().run_in_executor(pool, run, row.function, *arguments)
        timeout = asyncio.timeout(within_s)
        try:
            async with timeout:
                return await row.function(*arguments)
        except TimeoutError:
            if timeout.expired():
                raise _Overdue from None
            raise

    def _sized(self, row: _Row, question: Question, data: bytes) -> Answered:
        if len(data) <= self._limit_bytes:
            return Answered(question.id, data=data)
        self._logger.warning("an answer is too large", extra=_told(row, question) | {"bytes": len(data)})
        sentence = f"the answer has {len(data)} bytes; max_answer_bytes is {self._limit_bytes}: ask for less"
        return Answered(question.id, code=Code.ANSWER_TOO_LARGE, sentence=sentence)


class _Overdue(Exception):
    """The deadline passed."""


class _WrongAnswer(Exception):
    """A function returned a value that is not of the answer's model."""


def _data(request: Request[Any, Any], value: Any) -> bytes:
    try:
        text: str = request.answer.model_validate(value).model_dump_json(warnings="error")
        return text.encode()
    except ValidationError as error:  # without the value: a log is no place for data
        why = "; ".join(f"{'.'.join(map(str, it['loc'])) or 'answer'}: {it['msg']}" for it in error.errors()[:5])
    except (PydanticSerializationError, UnicodeEncodeError) as error:
        why = type(error).__name__
    raise _WrongAnswer(f"{request.name} is answered by {request.answer.__name__}, and {given(value)} is none: {why}")


def _told(row: _Row, question: Question) -> dict[str, str]:
    return {"request": question.request, "question": question.id, "function": _name(row.function)}


def _fields_of(error: ValidationError) -> str:
    """Return the fields of a question that the responder's model does not take, without their values."""
    # The edge has checked the question: its catalogue is of another version.
    fields = ", ".join(".".join(map(str, it["loc"])) or "data" for it in error.errors()[:5])
    return f"{fields}: the service that answers has another version of this request"


def _name(function: Function) -> str:
    return getattr(function, "__qualname__", repr(function))


def _check_kind(request: Request[Any, Any], function: Function) -> bool:
    """Tell whether a function is async; refuse generators, and what is no function."""
    value: Any = function
    if not callable(value) or isinstance(value, type):
        raise TypeError(f"{request.name}: a function is to answer, and not a value {given(value)}")
    called: Any = value if inspect.isroutine(value) else type(value).__call__
    if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
        raise TypeError(f"{request.name}: {_name(function)} yields; a request has one answer: return it")
    return inspect.iscoroutinefunction(called)


def _count(request: Request[Any, Any], function: Function) -> int:
    """Return how many of (question, asker) a function takes."""
    signature = inspect.signature(function)
    for count in (1, _WITH_ASKER):
        try:
            signature.bind(*[None] * count)
        except TypeError:
            continue
        return count
    raise TypeError(f"{request.name}: {_name(function)}{signature} is to take the question, or question and asker")


def _check_hints(request: Request[Any, Any], function: Function) -> None:
    """Refuse a function annotated with other models than the request's."""
    hints = _hints(function)
    names = list(inspect.signature(function).parameters)
    taken, returned = hints.get(names[0]), hints.get("return")
    if _is_model(taken) and not issubclass(request.question, taken):
        raise TypeError(f"{request.name}: {_name(function)} takes {taken.__name__}, not {request.question.__name__}")
    if _is_model(returned) and not issubclass(returned, request.answer):
        raise TypeError(f"{request.name}: {_name(function)} returns {returned.__name__}, not {request.answer.__name__}")


def _hints(function: Function) -> Mapping[str, Any]:
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError, AttributeError):  # names of TYPE_CHECKING, or no function of Python's
        return {}


def _is_model(hint: Any) -> typing.TypeGuard[type[BaseModel]]:
    return isinstance(hint, type) and issubclass(hint, BaseModel)
