"""Repetition of work at Redis: a single policy of pauses.

The pause before a repetition is random between 0 and a bound that doubles from 50 ms to a second (full jitter). So
hundreds of processes with the same lost Redis come back spread over time, and a short outage is soon over for each.
There is no last attempt: an owner ends the task, or a deadline answers the caller. Knows neither Redis nor the work.
"""

import itertools
from collections.abc import Awaitable, Callable
from typing import Final

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, retry_if_result, wait_random_exponential

__all__ = ["attempts_after", "until_true"]

# decisions/0079: full jitter. With a fixed pause, edges that lost one Redis came back to it in step.
_PAUSES: Final = wait_random_exponential(multiplier=0.05, max=1.0)


def attempts_after(*errors: type[Exception], tell: Callable[[RetryCallState], None] | None = None) -> AsyncRetrying:
    """Return attempts without an end, to be gone through with ``async for``, the work in ``with attempt``.

    Args:
        errors: another attempt follows these. Any other error leaves the loop, so that a bug ends its owner.
        tell: is called before each pause, with tenacity's account of the failed attempt.

    """
    return AsyncRetrying(retry=retry_if_exception_type(errors), wait=_PAUSES, before_sleep=tell)


async def until_true(attempt: Callable[[], Awaitable[bool]]) -> None:
    """Call ``attempt`` until the answer is true, each time but the first after a pause.

    Raises:
        Exception: whatever ``attempt`` raises, at once.

    """
    if await attempt():  # the common case, per pipeline of a producer: nothing is built for a repetition
        return
    calls = itertools.count()

    async def again() -> bool:
        return next(calls) > 0 and await attempt()

    await AsyncRetrying(retry=retry_if_result(lambda is_done: not is_done), wait=_PAUSES)(again)
