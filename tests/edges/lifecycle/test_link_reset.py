"""Connections to Redis that are reset right behind an answer: whatever the event loop makes of it, the edge goes on.

uvloop raises a RuntimeError where asyncio raises nothing, so an edge runs on both here.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from bus.broker.embedded import EmbeddedBroker
from bus.errors import BusUnavailable
from bus.redis.subscriber import Subscriber
from edgebus.lab.stage.proxy import Proxy
from edges import Edge, EdgeSettings
from edges.rooms.hub import Hub
from producers.services.mahavishnu import SERVICE
from tests.appending_log import AppendingLog
from tests.edges.conftest import StartEdge
from tests.edges.peers import Client, eventually

LOOPS = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
Run = Callable[[Awaitable[None]], None]


async def subscribed(edge: Edge, channel: str = "workflow:x") -> Client:
    client = await Client.open(edge.port)
    await client.welcomed()
    await client.subscribe(channel)
    return client


@LOOPS
def test_command_connection_reset_while_rooms_are_compared(broker: EmbeddedBroker, run: Run) -> None:
    """The answers to the comparison come, a reset behind each of the first ones; it is done all the same, and told."""

    async def check() -> None:
        async with Proxy(broker.port) as proxy:
            settings = EdgeSettings(port=0, redis_url=f"redis://127.0.0.1:{proxy.port}")
            async with Edge(SERVICE, settings) as edge:
                await eventually(lambda: edge.not_ready() is None)
                client = await subscribed(edge)
                proxy.reset_behind(b"XREVRANGE", times=6)
                proxy.cut()
                assert (await client.message(10))["event"] == "bus.degraded"
                assert (await client.message(10))["event"] == "bus.restored"
                assert edge.not_ready() is None
                assert proxy.resets
                await client.close()

    run(check())


@LOOPS
@pytest.mark.parametrize("command", [b"GET", b"XINFO", b"TIME"])
def test_reset_behind_an_answer_is_an_unavailable_bus(broker: EmbeddedBroker, run: Run, command: bytes) -> None:
    """The next call on a connection that was reset ends with the error of the bus, or opens a new one."""

    async def check() -> None:
        async with Proxy(broker.port) as proxy, AppendingLog(f"redis://127.0.0.1:{proxy.port}", name="test") as log:
            channel = SERVICE.families[0].fill("x")
            for _ in range(20):
                proxy.reset_behind(command)
                for call in (log.epoch, lambda: log.tail(channel), lambda: log.heads([channel])):
                    with contextlib.suppress(BusUnavailable):
                        await call()
            await log.epoch() if proxy.resets == 20 else pytest.fail(f"only {proxy.resets} resets")

    run(check())


@LOOPS
@pytest.mark.parametrize("word", [b"AUTH", b"SETNAME", b"SUBSCRIBE"])
def test_link_reset_behind_an_answer_comes_up_again(broker: EmbeddedBroker, run: Run, word: bytes) -> None:
    """While the link is opened it is reset behind an answer, four times; the supervisor goes on until it is up."""

    async def check() -> None:
        up = asyncio.Event()
        async with Proxy(broker.port) as proxy:
            proxy.reset_behind(word, times=4)
            url = f"redis://default:none@127.0.0.1:{proxy.port}"
            async with Subscriber(url, name="test", deliver=lambda _: None, on_up=up.set) as link:
                link.listen("bus:test", lambda _: None)
                async with asyncio.timeout(20):
                    while proxy.resets < 4 or not await takes(link, "workflow:x"):
                        await asyncio.sleep(0.005)

    run(check())


async def takes(link: Subscriber, channel: str) -> bool:
    """Subscribe; tell whether the link was up for that: the last reset may be on its way while the link still is up."""
    try:
        await link.subscribe(channel)
    except BusUnavailable:
        return False
    return True


async def test_comparison_goes_on_after_what_nobody_foresaw(
    broker: EmbeddedBroker, start_edge: StartEdge, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug in the comparison is logged once with its traceback, and the comparison is tried again until it is done."""
    compare, failures = Hub.compare, iter(range(5))

    async def fail(hub: Hub) -> None:
        if next(failures, None) is not None:
            raise LookupError("a bug")
        await compare(hub)

    monkeypatch.setattr(Hub, "compare", fail)
    edge = await start_edge(broker)
    assert edge.not_ready() is None
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], LookupError)
