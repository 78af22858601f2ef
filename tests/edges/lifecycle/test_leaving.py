"""An edge that leaves, or a room that closes, right after a failover: what only they had heard is marked first."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from bus.broker.embedded import EmbeddedBroker
from bus.errors import BusError, BusUnavailable
from bus.log.log import Log
from edgebus.lab.stage.proxy import Proxy
from edges import Edge
from edges.rooms import recovery
from producers import Producer
from tests.contract.brokers import Cli
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.hub_redis import Redis as FakeRedis
from tests.edges.hub_redis import X, join
from tests.edges.lifecycle.test_demoted import cli, replicates
from tests.edges.peers import eventually
from tests.edges.rooms.test_failover import CHANNEL, lose, member, resumed, step
from tests.edges.rooms.test_forks import fail_over


@pytest.fixture
async def proxy(broker: EmbeddedBroker) -> AsyncIterator[Proxy]:
    """Lend a path to Redis that can be closed."""
    async with Proxy(broker.port) as path:
        yield path


async def heard_alone(edge: Edge, open_client: OpenClient, producer: Producer, redis: Cli) -> tuple[str, bytes]:
    """Let a member of ``edge`` have five events and go; its room stays open.

    Return the position of the third event, and the log as it was then.
    """
    edge._parts.hub._linger_s = 600  # noqa: SLF001 (a second is short on a busy machine)
    watching = await member(edge, open_client)
    stood = await step(producer, 1, 2, 3)
    dump = await redis.dump(CHANNEL.log_key) or b""
    await step(producer, 4, 5)
    for _ in range(5):
        await watching.message()
    await watching.close()
    return stood, dump


async def marks(redis: Cli) -> list[bytes]:
    return list(await redis.zrange(CHANNEL.forks_key, 0, -1))


@pytest.mark.parametrize("drains", [False, True])
async def test_edge_that_leaves_at_once_marks_what_it_alone_had(
    broker: EmbeddedBroker,
    start_edge: StartEdge,
    open_client: OpenClient,
    producer: Producer,
    redis: Cli,
    drains: bool,
) -> None:
    """The log lost 4 and 5, and the edge that had them is told to go before it has seen that its link is gone."""
    one, other = await start_edge(broker, drain_notice_s=0.0, drain_window_s=0.0), await start_edge(broker)
    stood, dump = await heard_alone(one, open_client, producer, redis)
    await lose(redis, dump)
    if drains:
        await one.drain()
    await one.stop()
    assert await marks(redis) == [stood.encode()]
    await eventually(lambda: other.not_ready() is None)
    reply = await resumed(other, open_client, stood)
    assert (reply["recovered"], reply["reason"]) == (False, "diverged")


@pytest.mark.parametrize("drains", [False, True])
async def test_edge_that_leaves_waits_for_redis_to_come_back(
    broker: EmbeddedBroker,
    proxy: Proxy,
    start_edge: StartEdge,
    open_client: OpenClient,
    producer: Producer,
    redis: Cli,
    drains: bool,
) -> None:
    """Another Redis takes over while the edge leaves: there is time to compare for as long as leaving may take."""
    edge = await start_edge(
        redis_url=f"redis://127.0.0.1:{proxy.port}", drain_notice_s=0.0, drain_window_s=60.0, close_timeout_s=60.0
    )
    await eventually(lambda: edge.not_ready() is None)
    stood, dump = await heard_alone(edge, open_client, producer, redis)
    proxy.refuse()
    proxy.cut()
    await eventually(lambda: edge.not_ready() is not None)
    leaving = asyncio.create_task(edge.drain() if drains else edge.stop())
    await eventually(lambda: edge.not_ready() == "the edge is going away")
    await lose(redis, dump)
    proxy.accept()
    await leaving
    assert await marks(redis) == [stood.encode()]


async def test_edge_that_leaves_without_redis_says_what_may_be_lost(
    broker: EmbeddedBroker,
    proxy: Proxy,
    start_edge: StartEdge,
    open_client: OpenClient,
    producer: Producer,
    redis: Cli,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Redis does not come back in time: the edge goes, and its log names the number of rooms that nobody compared."""
    edge = await start_edge(redis_url=f"redis://127.0.0.1:{proxy.port}", close_timeout_s=0.1)
    await eventually(lambda: edge.not_ready() is None)
    await heard_alone(edge, open_client, producer, redis)
    proxy.refuse()
    proxy.cut()
    await eventually(lambda: edge.not_ready() is not None)
    await edge.stop()
    (said,) = [record for record in caplog.records if "before its rooms were compared" in record.message]
    assert (said.levelno, vars(said)["rooms"]) == (logging.WARNING, 1)


async def test_edge_that_heard_nothing_leaves_without_redis_at_once(
    broker: EmbeddedBroker,
    proxy: Proxy,
    start_edge: StartEdge,
    open_client: OpenClient,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A room in which nothing was ever published has nothing to compare: nobody waits for Redis then."""
    edge = await start_edge(redis_url=f"redis://127.0.0.1:{proxy.port}", close_timeout_s=60.0)
    await eventually(lambda: edge.not_ready() is None)
    watching = await member(edge, open_client)
    proxy.refuse()
    proxy.cut()
    await eventually(lambda: edge.not_ready() is not None)
    await watching.close()
    async with asyncio.timeout(20):
        await edge.stop()
    assert not [record for record in caplog.records if "before its rooms were compared" in record.message]


async def test_edge_at_a_demoted_primary_asks_the_new_one_before_it_leaves(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, redis: Cli
) -> None:
    """Connections were kept, and no probe was due yet: all looks well at the old primary; the new one lacks 4 and 5."""
    await redis.config_set("repl-diskless-sync-delay", 0)
    with EmbeddedBroker(port=0, extra=("--replicaof", "127.0.0.1", str(broker.port))) as other:
        async with Proxy(broker.port) as path, cli(other.url) as new, Producer(broker.url) as producer:
            await replicates(new)
            edge = await start_edge(redis_url=f"redis://127.0.0.1:{path.port}", probe_interval_s=600)
            await eventually(lambda: edge.not_ready() is None)
            edge._parts.hub._linger_s = 600  # noqa: SLF001 (the room must not close before the edge leaves)
            watching = await member(edge, open_client)
            async with Producer(broker.url, wait_replicas=1) as careful:
                stood = await step(careful, 1, 2, 3)
            await new.execute_command("REPLICAOF", "NO", "ONE")
            path.lead_to(other.port)
            await step(producer, 4, 5)
            for _ in range(5):
                await watching.message()
            await watching.close()
            await redis.execute_command("REPLICAOF", "127.0.0.1", "1")
            await edge.stop()
            assert await marks(new) == [stood.encode()]


# Rooms that close.


@pytest.fixture
def fake() -> FakeRedis:
    """Return a Redis with a hub on it whose rooms do not linger."""
    return FakeRedis(linger_s=0)


async def left_with_five(fake: FakeRedis) -> None:
    """Let the only member of a room have five events, and go."""
    watching = await join(fake)
    fake.publish(1, 2, 3, 4, 5)
    fake.arrive()
    fake.hub.leave(X, watching)


async def test_room_that_closes_before_the_link_is_known_to_be_lost_marks_first(fake: FakeRedis) -> None:
    """A path that swallows everything stays open for two probes, in which the last member may go."""
    await left_with_five(fake)
    fake.lose(keep=3)
    await fake.hub.close_empty()
    assert [fork.position for fork in fake.marks] == ["3-3"]
    await eventually(lambda: closed(fake))


async def closed(fake: FakeRedis) -> bool:
    await fake.hub.close_empty()
    return not fake.hub.channels


@pytest.mark.parametrize("error", [BusUnavailable("away"), BusError("refused")])
async def test_room_whose_log_cannot_be_read_stays_open(fake: FakeRedis, error: BusError) -> None:
    """Where the log ends nobody knows: the room closes once that can be asked."""
    await left_with_five(fake)

    async def heads(_: object) -> None:
        raise error

    answered, fake.log.heads = fake.log.heads, heads  # type: ignore[method-assign,assignment]
    with pytest.raises(type(error)):
        await fake.hub.close_empty()
    assert fake.hub.channels == [X]
    fake.log.heads = answered  # type: ignore[method-assign]
    await fake.hub.close_empty()
    assert fake.hub.channels == []


async def test_room_at_a_demoted_primary_stays_open(fake: FakeRedis) -> None:
    """What that one's log says is worth nothing: the next look asks the server where the address leads by then."""
    await left_with_five(fake)
    fake.server.role = "slave"
    with pytest.raises(BusUnavailable):
        await fake.hub.close_empty()
    assert (fake.hub.channels, fake.server.drops) == ([X], 1)
    fake.server.role = "master"
    await fake.hub.close_empty()
    assert fake.hub.channels == []


async def test_room_that_closes_with_events_on_their_way_is_compared_once(fake: FakeRedis) -> None:
    """A busy channel's log is always ahead of the room: that the log has what the room had is enough."""
    await left_with_five(fake)
    fake.publish(6, 7)
    await fake.hub.close_empty()
    assert (fake.hub.channels, fake.marks) == ([], [])


async def test_room_is_not_closed_when_the_link_goes_while_its_log_is_asked(fake: FakeRedis) -> None:
    """The comparison on the next link owes the room still."""
    await left_with_five(fake)
    closing = asyncio.create_task(fake.hub.close_empty())
    await asyncio.sleep(0)
    fail_over(fake, keep=3)
    await closing
    assert fake.hub.channels == [X]
    await fake.hub.compare()
    assert [fork.position for fork in fake.marks] == ["3-3"]


async def test_mark_is_tried_again_while_the_link_stays_up(fake: FakeRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the connection for commands failed, so no comparison is to come that would owe the mark."""
    monkeypatch.setattr(recovery, "_RETRY_FAILED_S", 0)
    await join(fake)
    fake.publish(1, 2, 3, 4, 5)
    fake.arrive()
    fake.lose(keep=3)
    fake.fails_to_mark = BusUnavailable("reset")
    fake.publish(6)
    fake.arrive()
    (room,) = fake.hub._rooms.values()  # noqa: SLF001 (nothing else tells)
    await eventually(lambda: bool(room.sequencer.forks.unmarked))
    fake.fails_to_mark = None
    await eventually(lambda: [fork.position for fork in fake.marks] == ["3-3"])


async def test_role_is_asked_for_by_the_log(broker: EmbeddedBroker) -> None:
    """A primary has nothing against it."""
    log = Log(broker.url, name="test")
    assert await log.misplaced() is None
    await log.close()
