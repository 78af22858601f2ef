"""What an edge lacks for a while (descriptors, memory, threads, Redis' consent) ends nothing, and is told once."""

import asyncio
import errno
import logging
import platform
import threading
from typing import Any

import pytest

from bus.admin.telling import Telling
from bus.broker.embedded import EmbeddedBroker
from bus.errors import BusError, BusUnavailable
from bus.log.log import Log
from bus.redis.subscriber import Subscriber
from bus.shortage import shortage
from edges.auth.jwks import Jwks
from edges.auth.keyring import KeysUnavailable
from edges.lifecycle import heartbeat
from edges.limits.mishaps import Mishaps
from edges.rooms.hub import Hub
from tests.edges.conftest import StartEdge
from tests.edges.peers import eventually

LACKS = [
    OSError(errno.EMFILE, "Too many open files"),
    OSError(errno.ENFILE, "Too many open files in system"),
    MemoryError(),
    RuntimeError("can't start new thread"),
]


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Return level and reason of what was told of works, in order."""
    records = [vars(record) for record in caplog.records if record.levelno > logging.DEBUG and "work" in vars(record)]
    return [(record["levelname"], record.get("reason") or record["was"]) for record in records]


def fails(mishaps: Mishaps, work: str, error: Exception | None) -> None:
    with mishaps.spared(work):
        if error is not None:
            raise error


def test_reason_is_told_once_and_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    """Two works fail for one reason, again and again; it is over when both are done again; another reason is news."""
    caplog.set_level(logging.DEBUG)
    mishaps = Mishaps()
    for _ in range(3):
        for work in ("logs", "presence"):
            fails(mishaps, work, BusError("full"))
    assert (told(caplog), mishaps.reason) == ([("WARNING", "full")], "full")
    fails(mishaps, "logs", None)
    assert mishaps.reason == "full"
    fails(mishaps, "presence", BusError("cannot save"))
    fails(mishaps, "presence", None)
    fails(mishaps, "presence", None)
    assert told(caplog) == [("WARNING", "full"), ("WARNING", "cannot save"), ("INFO", "cannot save")]
    assert mishaps.reason is None


def test_redis_that_is_away_is_the_links_to_tell(caplog: pytest.LogCaptureFixture) -> None:
    """Works fail for that as well, and say nothing."""
    mishaps = Mishaps()
    fails(mishaps, "logs", BusUnavailable("away"))
    assert (told(caplog), mishaps.reason) == ([], None)


def test_bug_is_not_spared() -> None:
    """What nobody foresaw is no mishap."""
    for error in (TypeError("a bug"), RuntimeError("another")):
        with pytest.raises(type(error)):
            fails(Mishaps(), "logs", error)


@pytest.mark.parametrize("lack", LACKS, ids=repr)
async def test_heartbeat_without_means_ends_no_edge(
    broker: EmbeddedBroker,
    start_edge: StartEdge,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    lack: Exception,
) -> None:
    """Whatever a heartbeat needs and does not get: the edge goes on, warns once, and says when it is over."""
    caplog.set_level(logging.INFO, "edgebus.edges")
    monkeypatch.setattr(heartbeat, "_HEARTBEAT_S", 0.01)
    edge = await start_edge(broker)
    waiting = asyncio.create_task(edge.wait())
    rounds, node = [0], platform.node

    def fail() -> str:
        rounds[0] += 1
        if rounds[0] <= 5:
            raise lack
        return node()

    monkeypatch.setattr(platform, "node", fail)
    await eventually(lambda: rounds[0] > 6 and len(told(caplog)) > 1)
    assert told(caplog) == [("WARNING", shortage(lack)), ("INFO", shortage(lack))]
    assert not waiting.done()
    waiting.cancel()
    await asyncio.wait([waiting])


@pytest.mark.parametrize("lack", LACKS, ids=repr)
async def test_every_work_of_an_edge_goes_on_without_means(
    broker: EmbeddedBroker, start_edge: StartEdge, monkeypatch: pytest.MonkeyPatch, lack: Exception
) -> None:
    """Rooms, deadlines and logs are looked after again when there is what they need."""
    failed: set[str] = set()

    def failing(name: str) -> Any:
        async def fail(*_: object, **__: object) -> None:
            failed.add(name)
            raise lack

        return fail

    monkeypatch.setattr(Hub, "close_empty", failing("rooms"))
    monkeypatch.setattr(Log, "announce", failing("presence"))
    edge = await start_edge(broker)
    waiting = asyncio.create_task(edge.wait())
    await eventually(lambda: failed == {"rooms", "presence"})
    await eventually(lambda: edge._parts.mishaps.reason == shortage(lack))  # noqa: SLF001
    assert not waiting.done()
    waiting.cancel()
    await asyncio.wait([waiting])


@pytest.mark.parametrize("lack", [MemoryError(), RuntimeError("can't start new thread")], ids=repr)
async def test_keys_that_find_no_thread_cannot_be_had_for_now(monkeypatch: pytest.MonkeyPatch, lack: Exception) -> None:
    """A client with a token is told to come back, and the task that fetches goes on."""

    async def fail(*_: object) -> None:
        raise lack

    monkeypatch.setattr("edges.auth.jwks.asyncio.to_thread", fail)
    keys = Jwks("https://issuer.example/keys")
    await keys.refresh()
    with pytest.raises(KeysUnavailable):
        await keys.keys("a")


async def test_link_without_memory_comes_again(broker: EmbeddedBroker) -> None:
    """A read that finds no memory costs the link, and not the process: what it brought is made up for."""
    lacks, lines = [True], list[tuple[bytes, bytes]]()

    def deliver(batch: Any) -> None:
        if lacks.pop():
            raise MemoryError
        lines.extend(batch)
        lacks.append(False)

    async with (
        Subscriber(broker.url, name="test", deliver=deliver) as link,
        Telling(broker.url, name="test") as redis,
    ):
        await eventually(lambda: link.is_up)
        await link.subscribe("workflow:x")
        await redis.tell("workflow:x", b"1")
        await eventually(lambda: link.statistics().generation == 2 and link.is_up)
        lacks.append(False)
        await redis.tell("workflow:x", b"2")
        await eventually(lambda: lines == [(b"workflow:x", b"2")])


async def test_link_that_finds_no_thread_for_a_name_tries_again(
    broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host's name is looked up in a thread; while there is none the link says so, and tries on."""
    start, lacks = threading.Thread.start, [True]

    def fail(thread: threading.Thread) -> None:
        if lacks[0]:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", fail)
    url = broker.url.replace("127.0.0.1", "localhost")
    async with Subscriber(url, name="test", deliver=lambda _: None) as link:
        await eventually(lambda: "no more threads" in link.trouble)
        lacks[0] = False
        await eventually(lambda: link.is_up, 10)
