"""A client of the client library, whose user is cancelled in any step, leaves no connection."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from bus.redis import address

_STEPS = 100
"""Of the event loop: more than a close takes, and most often a connection, a question and a close."""


async def _use(client: Redis) -> None:
    async with client:
        await client.ping()  # type: ignore[misc, unused-ignore]


async def _is_done(work: Coroutine[Any, Any, None], steps: int) -> bool:
    """Begin the work, and cancel it ``steps`` steps later; tell whether it was done by then."""
    task = asyncio.create_task(work)
    await asyncio.sleep(0)  # a task that has not begun when it is cancelled never begins
    for _ in range(steps):
        await asyncio.sleep(0)
    is_done = not task.cancel()
    await asyncio.wait([task])
    return is_done


def _open_connections(client: Redis) -> Sequence[object]:
    pool: Any = client.connection_pool
    return [it for it in (*pool._available_connections, *pool._in_use_connections) if it.is_connected]  # noqa: SLF001


@pytest.mark.parametrize("way", ["aclose", "__aexit__"])
async def test_close_that_is_cancelled_closes_all_the_same(broker: EmbeddedBroker, way: str) -> None:
    """In any step: an edge that stops cancels whoever looks at Redis just then."""
    for steps in range(_STEPS):
        client = address.client(broker.url, "test")
        await client.ping()  # type: ignore[misc, unused-ignore]
        closing = client.aclose() if way == "aclose" else client.__aexit__(None, None, None)  # type: ignore[no-untyped-call, unused-ignore]
        is_done = await _is_done(closing, steps)
        assert not _open_connections(client), f"{steps} steps after the first"
        if is_done:
            return
    pytest.fail("the close has no end")


async def test_user_who_is_cancelled_leaves_no_connection(broker: EmbeddedBroker) -> None:
    """In any step, through connecting, greeting, the question and the close."""
    for steps in range(_STEPS):
        client = address.client(broker.url, "test")
        is_done = await _is_done(_use(client), steps)
        assert not _open_connections(client), f"{steps} steps after the first"
        if is_done:
            return
