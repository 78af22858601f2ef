"""The size of a tool's answer, and a tool's failure: a sentence for the agent to read."""

import functools
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, ParamSpec, TypeVar

import orjson
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import ValidationError

from bus.errors import BusError

__all__ = ["ANSWER_BYTES", "Answer", "fitting", "spoken"]

Answer = dict[str, Any]

ANSWER_BYTES: Final = 256 * 1024
"""The most of events or rows in an answer, as JSON: an agent reads all of an answer."""
_SENTENCE: Final = 1_000

ParamsT = ParamSpec("ParamsT")
AnswerT = TypeVar("AnswerT")


def spoken(tool: Callable[ParamsT, Awaitable[AnswerT]]) -> Callable[ParamsT, Awaitable[AnswerT]]:
    """Return ``tool`` with the bus's errors as errors of the tool: a sentence of bounded length."""

    @functools.wraps(tool)
    async def told(*args: ParamsT.args, **kwargs: ParamsT.kwargs) -> AnswerT:
        try:
            return await tool(*args, **kwargs)
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, it['loc'])) or 'data'}: {it['msg']}" for it in error.errors())
            raise ToolError(f"the event is not valid: {problems}"[:_SENTENCE]) from None
        except BusError as error:
            raise ToolError(str(error)[:_SENTENCE]) from None

    return told


def fitting(rows: Iterable[Any], limit_bytes: int = ANSWER_BYTES) -> list[Any]:
    """Return the first of ``rows``, as many as fit into an answer; a first row is there, however large."""
    # An empty answer would read as "no rows"; a single row is bounded by the bus's own limit of a line.
    found: list[Any] = []
    left = limit_bytes
    for row in rows:
        left -= len(orjson.dumps(row, option=orjson.OPT_NON_STR_KEYS))
        if left < 0 and found:
            break
        found.append(row)
    return found
