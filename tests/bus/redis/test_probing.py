"""The way of a probe's tokens: one connection, opened anew after a cut, a cancelled call and a drop."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from bus.errors import BusError, BusUnavailable
from bus.redis.probing import ProbeConnection
from bus.redis.subscriber import Subscriber
from tests.edges.peers import eventually

CHANNEL = "bus:probe:me"


@pytest.fixture
async def admin(broker: EmbeddedBroker) -> AsyncIterator[Redis]:
    async with Redis.from_url(broker.url) as redis:
        yield redis


async def connections(admin: Redis, name: str = "test") -> list[str]:
    return [client["id"] for client in await admin.client_list() if client["name"] == name]


async def permit(admin: Redis, *rules: str) -> None:
    await admin.execute_command("ACL", "SETUSER", "prober", *rules)  # type: ignore[no-untyped-call, unused-ignore]


async def test_token_comes_by_the_link(broker: EmbeddedBroker) -> None:
    """A primary has nothing against it."""
    tokens: list[bytes] = []
    connection = ProbeConnection(broker.url, name="test")
    async with Subscriber(broker.url, name="link", deliver=lambda lines: tokens.extend(it for _, it in lines)) as link:
        await eventually(lambda: link.is_up)
        await link.subscribe(CHANNEL)
        assert await connection.send_probe(CHANNEL, "one") is None
        await eventually(lambda: tokens == [b"one"])
    await connection.close()
    await connection.close()


async def test_one_connection_serves_until_it_is_cut_or_dropped(broker: EmbeddedBroker, admin: Redis) -> None:
    """The next token takes another one, without a word to the caller."""
    connection = ProbeConnection(broker.url, name="test")
    for _ in range(2):
        await connection.send_probe(CHANNEL, "token")
    [first] = await connections(admin)
    await admin.client_kill_filter(_id=first)
    with suppress(BusUnavailable):  # the token that finds the connection cut is lost
        await connection.send_probe(CHANNEL, "token")
    await connection.send_probe(CHANNEL, "token")
    [second] = await connections(admin)
    await connection.drop()
    await connection.send_probe(CHANNEL, "token")
    [third] = await connections(admin)
    assert len({first, second, third}) == 3
    await connection.close()


async def test_user_without_role_is_asked_for_it_once(broker: EmbeddedBroker, admin: Redis) -> None:
    """Each refusal is an entry in ACL LOG, where every entry should mean trouble; after a drop another may permit."""
    await permit(admin, "on", ">secret", "~*", "&*", "+@all", "-role")
    connection = ProbeConnection(broker.url.replace("//", "//prober:secret@"), name="test")
    for _ in range(3):
        assert await connection.send_probe(CHANNEL, "token") is None
    assert [entry["count"] for entry in await admin.acl_log()] == [1]
    await permit(admin, "+role", "-publish")
    await connection.drop()
    with pytest.raises(BusError, match="the user may not do that"):
        await connection.send_probe(CHANNEL, "token")
    await connection.close()


async def test_answer_to_a_cancelled_call_is_not_taken_for_the_next(broker: EmbeddedBroker, admin: Redis) -> None:
    """The next token goes by another connection, since one answer too many is to come on the first."""
    connection = ProbeConnection(broker.url, name="test")
    await connection.send_probe(CHANNEL, "token")
    [first] = await connections(admin)
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await connection.send_probe(CHANNEL, "token")
        call = asyncio.ensure_future(connection.send_probe(CHANNEL, "token"))
    finally:
        os.kill(broker.pid, signal.SIGCONT)
    assert await call is None
    assert first not in await connections(admin)
    await connection.close()
