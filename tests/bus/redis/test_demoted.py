"""Calls of a server that has just become a replica: each ends with the bus's error, which an edge outlives.

Answers of a pipeline and of a script come as values, past the place where the client library's errors become the bus's.
An edge that met one as the library's ended.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest
from redis.asyncio import Redis

from bus.asking.answering import Answering
from bus.broker.embedded import EmbeddedBroker
from bus.channel import Family
from bus.errors import BusNotReady, BusUnavailable
from bus.log.forks import Fork
from bus.log.log import Log
from bus.presence.store import PresenceStore
from bus.redis.connection import Connection
from bus.redis.revocation import Revocations
from bus.traces.store import TraceStore

ROOM = Family("room:{id}", presence="members").fill("1")


def log(url: str) -> Log:
    return Log(url, name="test")


def store(url: str) -> PresenceStore:
    return PresenceStore(url, name="test", service="shop")


def answering(url: str) -> Answering:
    return Answering(url, name="test", service="shop", responder="r")


CALLS: Final[dict[str, tuple[Callable[[str], Connection], Callable[[Any], Awaitable[object]]]]] = {
    "announce": (log, lambda it: it.announce("bus:edge:e", {"a": 1}, expires_s=1)),
    "enlist": (log, lambda it: it.enlist("e", expires_s=1, forget_s=1)),
    "delist": (log, lambda it: it.delist("e")),
    "withdraw": (log, lambda it: it.withdraw("bus:edge:e")),
    "mark": (log, lambda it: it.mark(ROOM, [Fork("1-1", 1)])),
    "keep": (log, lambda it: it.keep([ROOM])),
    "beat of an edge": (store, lambda it: it.beat("e")),
    "bury": (store, lambda it: it.bury("e")),
    "beat of a responder": (answering, lambda it: it.beat(["r"], {"a": 1}, takes=True)),
    "leave": (answering, lambda it: it.leave(["r"])),
    "traces": (log, lambda it: TraceStore(it).add([])),
    "revoke": (lambda url: Revocations(url, name="test"), lambda it: it.revoke("user:u")),
}


@pytest.mark.parametrize("name", CALLS)
async def test_replica_refuses_with_an_error_of_the_bus(broker: EmbeddedBroker, name: str) -> None:
    """On a connection that was made while the server was the primary."""
    make, call = CALLS[name]
    async with Redis.from_url(broker.url) as redis, make(broker.url) as connection:
        await connection.ping()
        await redis.execute_command("REPLICAOF", "127.0.0.1", "1")  # type: ignore[no-untyped-call, unused-ignore]
        with pytest.raises(BusUnavailable) as caught:
            await call(connection)
    assert isinstance(caught.value, BusNotReady)
    assert "READONLY" in str(caught.value)
