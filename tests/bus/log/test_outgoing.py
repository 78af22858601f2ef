"""A server publishes for its callers with the promise of a producer, and without one."""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from bus.channel import Family
from bus.envelope import compose
from bus.errors import BusError, BusUnavailable, OutboxFull
from bus.event import Attempt, Event, attempt
from bus.log.outgoing import Outgoing
from bus.log.publication import Published
from tests.producers.proxies import Proxy

DEADLINE_S = 20.0
NOBODY = "redis://127.0.0.1:1"
STAGE = Family("stage:{name}")
OTHER = Family("other:{name}")
LOGGER = logging.getLogger("edgebus.edges")


class Stage(Event, event="a.stage", channels=(STAGE, OTHER)):
    name: str
    number: int = 0


@pytest.fixture
def name() -> str:
    return secrets.token_hex(8)


@pytest.fixture
async def proxy(broker_url: str) -> AsyncIterator[Proxy]:
    async with asyncio.timeout(DEADLINE_S), Proxy(broker_url) as proxy:
        yield proxy


async def running(outgoing: Outgoing) -> AsyncIterator[Outgoing]:
    task = asyncio.create_task(outgoing.run())
    yield outgoing
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@pytest.fixture
async def outgoing(proxy: Proxy) -> AsyncIterator[Outgoing]:
    async for one in running(Outgoing(proxy.url, name="edgebus-edge-test", logger=LOGGER)):
        yield one


@pytest.fixture
async def unreachable() -> AsyncIterator[Outgoing]:
    async for one in running(Outgoing(NOBODY, name="edgebus-edge-test", logger=LOGGER)):
        yield one


async def publish(
    outgoing: Outgoing, event: Event, made: Attempt | None = None, deadline_s: float = DEADLINE_S
) -> Published:
    made = made or attempt(event)
    return await outgoing.publish(compose(event, made=made), made, deadline_s=deadline_s)


async def stored(broker_url: str, name: str) -> list[int]:
    async with Redis.from_url(broker_url) as redis:
        entries: Any = await redis.xrange(f"bus:log:{{stage:{name}}}")
    return [orjson.loads(fields[b"line"])["data"]["number"] for _, fields in entries]


async def test_lost_answers_store_once(outgoing: Outgoing, proxy: Proxy, broker_url: str, name: str) -> None:
    """The answer is lost twice: the caller has position and id, and the event stands in the log once."""
    proxy.lose_answers(2)
    made = Attempt("01-of-a-client", "2026-01-01T00:00:00+00:00")
    published = await publish(outgoing, Stage(name=name), made)
    assert (published.id, list(published.positions)) == ("01-of-a-client", [f"stage:{name}", f"other:{name}"])
    assert await stored(broker_url, name) == [0]
    assert (outgoing.counts.published, outgoing.counts.retried, outgoing.is_away) == (1, 2, False)


async def test_callers_at_once_keep_their_order(outgoing: Outgoing, proxy: Proxy, broker_url: str, name: str) -> None:
    """Several calls share a connection; one whose request is lost is not overtaken."""
    proxy.lose_request()
    await asyncio.gather(*(publish(outgoing, Stage(name=name, number=number)) for number in range(5)))
    assert await stored(broker_url, name) == [0, 1, 2, 3, 4]


async def test_repetition_by_the_caller_stores_once(outgoing: Outgoing, broker_url: str, name: str) -> None:
    """A client that comes back and publishes again gets the position of the first time."""
    event = Stage(name=name)
    made = attempt(event)
    first = await publish(outgoing, event, made)
    assert (await publish(outgoing, event, made)).positions == first.positions
    assert await stored(broker_url, name) == [0]


async def test_redis_that_is_away_is_told_at_the_deadline(unreachable: Outgoing, name: str) -> None:
    """One attempt where the deadline is 0, and an error of the bus in any case."""
    with pytest.raises(BusUnavailable):
        await publish(unreachable, Stage(name=name), deadline_s=0)
    with pytest.raises(BusUnavailable):
        await publish(unreachable, Stage(name=name), deadline_s=0.05)
    assert unreachable.is_away


async def test_caller_beyond_the_bound_is_refused(proxy: Proxy, name: str) -> None:
    """What waits has a bound in bytes; callers who have an answer make room."""
    size_bytes = sum(len(line) for _, line in compose(Stage(name=name)).lines)
    proxy.hold()
    async for outgoing in running(Outgoing(proxy.url, name="test", logger=LOGGER, max_bytes=2 * size_bytes)):
        waiting = [asyncio.create_task(publish(outgoing, Stage(name=name))) for _ in range(2)]
        await proxy.held.wait()
        with pytest.raises(OutboxFull, match=f"{2 * size_bytes} bytes wait for Redis already"):
            await publish(outgoing, Stage(name=name))
        proxy.release()
        await asyncio.gather(*waiting)
        await publish(outgoing, Stage(name=name))


async def test_end_answers_every_caller(proxy: Proxy, name: str) -> None:
    """A caller whose answer has not come learns that it is not known; one that comes later, that nobody sends."""
    outgoing = Outgoing(proxy.url, name="edgebus-edge-test", logger=LOGGER)
    task = asyncio.create_task(outgoing.run())
    proxy.hold()
    waiting = [asyncio.create_task(publish(outgoing, Stage(name=name))) for _ in range(2)]
    await proxy.held.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for caller in waiting:
        with pytest.raises(BusError, match="whether the event is there is not known"):
            await caller
    with pytest.raises(BusError, match="the publisher has ended"):
        await publish(outgoing, Stage(name=name))
