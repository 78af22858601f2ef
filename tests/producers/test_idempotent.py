"""A repeated attempt is the same event: through lost answers, held requests, resets, and states of Redis that pass."""

import asyncio
import os
import secrets
import shutil
import signal
from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from bus.channel import LATEST, LIVE, Family, Retention
from bus.errors import (
    BusNotReady,
    BusUnavailable,
    LoginRefused,
    PublishError,
    PublishIncomplete,
    PublishUncertain,
    PublishUnreplicated,
)
from bus.event import Event
from bus.log import appending
from bus.log.appender import Appender
from bus.log.appending import Appended, Entry
from bus.redis.clock import Clock
from bus.redis.greeting import Greeting
from producers import Producer
from tests.appending_log import AppendingLog, append_by
from tests.contract.brokers import eventually
from tests.producers.proxies import Proxy

DEADLINE_S = 20.0
STAGE = Family("stage:{name}")
SHORT = Family("short:{name}", Retention("history", max_events=10))
BRIEF = Family("brief:{name}", Retention("history", expires_s=1))
STATE = Family("state:{name}", LATEST)
TICK = Family("tick:{name}", LIVE)


class Stage(Event, event="a.stage", channels=(STAGE,)):
    name: str
    number: int = 0


class Short(Event, event="a.short", channels=(SHORT,)):
    name: str
    number: int = 0


class Brief(Event, event="a.brief", channels=(BRIEF,)):
    name: str


class State(Event, event="a.state", channels=(STATE,)):
    name: str
    number: int = 0


class Tick(Event, event="a.tick", channels=(TICK,)):
    name: str


class Both(Event, event="a.both", channels=(STAGE, SHORT)):
    name: str


@pytest.fixture
def name() -> str:
    return secrets.token_hex(8)


@pytest.fixture(scope="module", params=["embedded", "redis-server"])
def server_url(request: pytest.FixtureRequest) -> Any:
    """Lend a server of each kind to all tests of this module."""
    if request.param != "embedded" and shutil.which(request.param) is None:
        pytest.skip("no redis-server: apt-get install redis-server")
    binary = None if request.param == "embedded" else request.param
    with EmbeddedBroker(port=0, binary=binary) as server:
        yield server.url


@pytest.fixture
async def redis(server_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(server_url) as client:
        yield client


@pytest.fixture
async def proxy(server_url: str) -> AsyncIterator[Proxy]:
    async with asyncio.timeout(DEADLINE_S), Proxy(server_url) as proxy:
        yield proxy


@pytest.fixture
async def producer(proxy: Proxy) -> AsyncIterator[Producer]:
    """Lend a producer whose path to Redis has faults."""
    async with asyncio.timeout(DEADLINE_S), Producer(proxy.url) as producer:
        yield producer


@pytest.fixture
async def other(server_url: str) -> AsyncIterator[Producer]:
    """Lend a producer on a path without faults."""
    async with Producer(server_url) as producer:
        yield producer


async def stored(redis: Redis, channel: str) -> list[dict[str, Any]]:
    entries: Any = await redis.xrange(f"bus:log:{{{channel}}}")
    return [orjson.loads(fields[b"line"]) for _, fields in entries]


async def numbers(redis: Redis, channel: str) -> list[int]:
    return [line["data"]["number"] for line in await stored(redis, channel)]


async def test_lost_answer_stores_and_sends_once(proxy: Proxy, producer: Producer, redis: Redis, name: str) -> None:
    """The answer is lost twice: publish returns, the event stands in the log once and was sent to subscribers once."""
    async with redis.pubsub() as listener:
        await listener.subscribe(f"stage:{name}")
        proxy.lose_answers(2)
        published = await producer.publish(Stage(name=name))
        await other_marker(redis, f"stage:{name}")
        heard = await until_marker(listener)
    [line] = await stored(redis, f"stage:{name}")
    assert line["id"] == published.id
    assert [orjson.loads(it)["position"] for it in heard] == [published.positions[f"stage:{name}"]]
    assert (producer.statistics().retried, producer.statistics().published) == (2, 1)
    assert not producer.statistics().is_away


async def other_marker(redis: Redis, channel: str) -> None:
    await redis.publish(channel, "marker")


async def until_marker(listener: Any) -> list[bytes]:
    heard: list[bytes] = []
    async with asyncio.timeout(DEADLINE_S):
        async for message in listener.listen():
            if message["type"] == "message" and message["data"] == b"marker":
                return heard
            if message["type"] == "message":
                heard.append(message["data"])
    return heard


async def test_without_the_repeat_check_a_lost_answer_doubles(
    proxy: Proxy, producer: Producer, redis: Redis, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control: with the check taken out, the same fault stores the event twice."""
    monkeypatch.setattr(appending, "_repeated", lambda _: ())
    proxy.lose_answers()
    await producer.publish(Stage(name=name))
    assert len(await stored(redis, f"stage:{name}")) == 2


async def test_lost_request_is_stored_by_the_repeat(proxy: Proxy, producer: Producer, redis: Redis, name: str) -> None:
    """An attempt that never reached Redis and one that did look alike from here: the repeat tells them apart."""
    proxy.lose_request()
    await producer.publish(Stage(name=name))
    assert len(await stored(redis, f"stage:{name}")) == 1


async def test_pipeline_with_a_lost_answer_keeps_its_order(
    proxy: Proxy, producer: Producer, redis: Redis, name: str
) -> None:
    """100 events under way when the answer is lost, and 100 behind them: each once, in the order of the calls."""
    await producer.publish(Stage(name=name, number=0))
    proxy.lose_answers()
    first = asyncio.gather(*(producer.publish(Stage(name=name, number=n)) for n in range(1, 100)))
    await proxy.lost.wait()
    await producer.publish_all([Stage(name=name, number=n) for n in range(100, 200)])
    await first
    assert await numbers(redis, f"stage:{name}") == list(range(200))


async def test_request_that_was_held_is_not_carried_out_after_its_repeat(
    proxy: Proxy, producer: Producer, redis: Redis, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path keeps the first attempt, the repeat overtakes it: what is let go later finds its connection ended."""
    assert await hold_and_release(proxy, producer, redis, name, monkeypatch) == 1


async def test_without_ending_the_old_connection_a_held_request_doubles(
    proxy: Proxy, producer: Producer, redis: Redis, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control: the old connection lives on, and what it brings late stands beside its repeat."""

    async def nothing(*_: object) -> None:
        """Leave the connection before this one alone."""

    monkeypatch.setattr(Greeting, "_replace", nothing)
    assert await hold_and_release(proxy, producer, redis, name, monkeypatch) == 2


async def hold_and_release(
    proxy: Proxy, producer: Producer, redis: Redis, name: str, monkeypatch: pytest.MonkeyPatch
) -> int:
    monkeypatch.setattr("bus.redis.address.ANSWER_DEADLINE_S", 0.2)
    async with Producer(proxy.url) as impatient:
        await impatient.publish(Stage(name=f"{name}-before"))
        proxy.hold()
        await impatient.publish(Stage(name=name))
        assert len(await stored(redis, f"stage:{name}")) == 1
        proxy.release()
        await producer.publish(Stage(name=f"{name}-after"))
        await eventually(lambda: has_two_connections(redis))  # the held one has ended: what it brought was carried out
    return len(await stored(redis, f"stage:{name}"))


async def has_two_connections(redis: Redis) -> bool:
    clients: Any = await redis.client_list()
    return [it["name"] for it in clients].count("edgebus-producer-unnamed") < 3


async def test_connection_that_was_reset_while_idle_fails_no_publish(
    proxy: Proxy, producer: Producer, redis: Redis, name: str
) -> None:
    """Nobody notices the reset until something is written; the publish is repeated on a new connection."""
    await producer.publish(Stage(name=name, number=0))
    proxy.reset()
    await producer.publish(Stage(name=name, number=1))
    assert await numbers(redis, f"stage:{name}") == [0, 1]
    assert proxy.links == 2


async def test_caller_repeats_what_it_was_told_to_have_failed(
    proxy: Proxy, producer: Producer, redis: Redis, name: str
) -> None:
    """With one attempt only, the caller is told; its repeat is the same event, by id, and stands there once."""
    event = Stage(name=name)
    proxy.lose_answers()
    with pytest.raises(BusUnavailable):
        await producer.publish(event, deadline_s=0)
    [line] = await stored(redis, f"stage:{name}")
    published = await producer.publish(event, repeated=True)
    assert (await producer.publish(event, repeated=True)).positions == published.positions
    assert [it["id"] for it in await stored(redis, f"stage:{name}")] == [published.id] == [line["id"]]
    assert published.receivers == 0


async def test_repeat_by_another_producer_finds_the_event(
    proxy: Proxy, producer: Producer, other: Producer, redis: Redis, name: str
) -> None:
    """The event itself knows its id and when it was first sent."""
    event = Stage(name=name)
    proxy.lose_answers()
    with pytest.raises(BusUnavailable):
        await producer.publish(event, deadline_s=0)
    await other.publish(event, repeated=True)
    assert len(await stored(redis, f"stage:{name}")) == 1


async def test_publishing_an_object_again_is_another_event(other: Producer, redis: Redis, name: str) -> None:
    """Without `repeated` the same object makes a second event; with it, and nothing before, a first one."""
    event = Stage(name=name)
    first = await other.publish(event, repeated=True)
    second = await other.publish(event)
    assert [it["id"] for it in await stored(redis, f"stage:{name}")] == [first.id, second.id]
    assert event == Stage(name=name)
    assert (await other.publish(event.model_copy(), repeated=True)).id not in {first.id, second.id}


async def test_first_attempts_send_nothing_for_it(name: str) -> None:
    """100 publishes are 100 scripts that append; none looks through the log."""
    async with (
        EmbeddedBroker(port=0) as server,
        Redis.from_url(server.url) as redis,
        Producer(server.url) as producer,
    ):
        await producer.publish(Stage(name=name))
        await redis.config_resetstat()
        for _ in range(100):
            await producer.publish(Stage(name=name))
        stats: Any = await redis.info("commandstats")
    assert stats["cmdstat_evalsha"]["calls"] == stats["cmdstat_xadd"]["calls"] == 100
    assert "cmdstat_xrange" not in stats
    assert stats["cmdstat_xrevrange"]["calls"] == 100


async def test_log_trimmed_past_the_first_attempt_is_told(
    proxy: Proxy, producer: Producer, other: Producer, redis: Redis, name: str
) -> None:
    """The log no longer reaches back to the attempt: PublishUncertain, and nothing is stored on a guess."""
    event = Short(name=name)
    await producer.publish(Short(name=name, number=1))
    proxy.lose_answers()
    with pytest.raises(BusUnavailable):
        await producer.publish(event, deadline_s=0)
    await other.publish_all([Short(name=name, number=n) for n in range(2, 400)])
    before = await numbers(redis, f"short:{name}")
    with pytest.raises(PublishUncertain, match=f"short:{name} has the event cannot be told"):
        await producer.publish(event, repeated=True)
    assert await numbers(redis, f"short:{name}") == before


async def test_log_trimmed_before_the_first_attempt_is_no_matter(
    proxy: Proxy, producer: Producer, other: Producer, redis: Redis, name: str
) -> None:
    """What went before the attempt cannot have been the event: the repeat stores it."""
    await other.publish_all([Short(name=name, number=n) for n in range(400)])
    await producer.publish(Stage(name=name))
    trimmed_s = await seconds_of(redis)

    async def is_later() -> bool:
        return await seconds_of(redis) > trimmed_s + 0.05  # by the estimate too, which is low

    await eventually(is_later)
    proxy.lose_request()
    await producer.publish(Short(name=name, number=400))
    assert (await numbers(redis, f"short:{name}"))[-1] == 400


async def seconds_of(redis: Redis) -> float:
    seconds, micros = await redis.time()
    return float(seconds + micros / 1_000_000)


async def test_log_that_may_have_expired_is_told(proxy: Proxy, producer: Producer, redis: Redis, name: str) -> None:
    """No log, and its life is shorter than the time since the attempt: it may have been there."""
    event = Brief(name=name)
    proxy.lose_answers()
    with pytest.raises(BusUnavailable):
        await producer.publish(event, deadline_s=0)

    async def has_expired() -> bool:
        return not await redis.exists(f"bus:log:{{brief:{name}}}")

    await eventually(has_expired)
    with pytest.raises(PublishUncertain):
        await producer.publish(event, repeated=True)


async def test_entry_above_the_clock_is_found(proxy: Proxy, producer: Producer, redis: Redis, name: str) -> None:
    """On a promoted primary whose clock is behind, ids grow from the last entry's; the search goes to the end."""
    seconds, _ = await redis.time()
    fields: Any = {"previous": "0-0", "id": "x", "event": "a.stage", "line": '{"data":{"number":-1}}'}
    await redis.xadd(f"bus:log:{{stage:{name}}}", fields, id=f"{seconds * 1000 + 3_000_000}-5")
    proxy.lose_answers()
    await producer.publish(Stage(name=name))
    assert await numbers(redis, f"stage:{name}") == [-1, 0]


async def test_latest_repeat_does_not_overwrite_a_newer_value(
    proxy: Proxy, producer: Producer, other: Producer, redis: Redis, name: str
) -> None:
    """Stored or not, the event was followed by another one: that one stays, and the caller is told."""
    await producer.publish(State(name=name, number=0))
    for fault in (proxy.lose_answers, proxy.lose_request):
        event = State(name=name, number=1)
        fault()
        with pytest.raises(BusUnavailable):
            await producer.publish(event, deadline_s=0)
        await other.publish(State(name=name, number=2))
        with pytest.raises(PublishUncertain):
            await producer.publish(event, repeated=True)
        assert await numbers(redis, f"state:{name}") == [2]


async def test_latest_repeat_overwrites_what_its_producer_sent_before(
    proxy: Proxy, producer: Producer, redis: Redis, name: str
) -> None:
    """The value before it is not newer, however close in time: the repeat is stored, once."""
    for number, fault in enumerate((proxy.lose_request, proxy.lose_answers), start=1):
        await producer.publish(State(name=name, number=0))
        fault()
        await producer.publish(State(name=name, number=number))
        assert await numbers(redis, f"state:{name}") == [number]


async def test_latest_repeats_of_one_pipeline_do_not_stand_in_each_others_way(
    proxy: Proxy, producer: Producer, redis: Redis, name: str
) -> None:
    """Three values whose request was lost: each repeat overwrites the one before, later than the attempt as it is."""
    await producer.publish(State(name=name, number=0))
    proxy.lose_request()
    await producer.publish_all([State(name=name, number=number) for number in (1, 2, 3)])
    assert await numbers(redis, f"state:{name}") == [3]


async def test_live_repeat_is_sent_at_least_once(proxy: Proxy, producer: Producer, redis: Redis, name: str) -> None:
    """A channel without a log has nothing to look into: subscribers may see the event twice, never not at all."""
    async with redis.pubsub() as listener:
        await listener.subscribe(f"tick:{name}", f"stage:{name}")
        proxy.lose_answers()
        await producer.publish_all([Tick(name=name), Stage(name=name)])
        await other_marker(redis, f"tick:{name}")
        heard = [orjson.loads(it) for it in await until_marker(listener)]
    ticks = [it["id"] for it in heard if it["event"] == "a.tick"]
    assert len(ticks) >= 1
    assert len(set(ticks)) == 1
    assert len(heard) - len(ticks) == 1


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
        (("CONFIG", "SET", "min-replicas-to-write", "1"), ("CONFIG", "SET", "min-replicas-to-write", "0")),
    ],
    ids=["READONLY", "NOREPLICAS"],
)
async def test_state_that_passes_is_waited_for(
    name: str, begin: Sequence[str], end: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replica that is promoted, replicas that come back: the publish returns when that has passed, in order.

    Redis is asked with one event until then: of a whole pipeline it might refuse the beginning and take the end.
    """
    append, sizes = Appender.append, []

    async def counted(log: Appender, entries: Sequence[Entry]) -> list[Any]:
        sizes.append(len(entries))
        return list(await append(log, entries))

    append_by(counted, monkeypatch)
    async with EmbeddedBroker(port=0) as server, Redis.from_url(server.url) as redis, Producer(server.url) as producer:
        await producer.publish(Stage(name=name, number=0))
        await redis.execute_command(*begin)  # type: ignore[no-untyped-call, unused-ignore]
        calls = asyncio.create_task(producer.publish_all([Stage(name=name, number=n) for n in range(1, 50)]))
        await eventually(lambda: was_refused_twice(producer))
        await redis.execute_command(*end)  # type: ignore[no-untyped-call, unused-ignore]
        await calls
        assert await numbers(redis, f"stage:{name}") == list(range(50))
    assert sizes == [1, 49, *[1] * (len(sizes) - 3), 48]


async def was_refused_twice(producer: Producer) -> bool:
    return producer.statistics().retried >= 2


async def test_state_that_stays_is_told_at_the_deadline(name: str) -> None:
    """A replica that is not promoted: the error says so, in Redis' words, and that it may pass."""
    async with (
        EmbeddedBroker(port=0, extra=("--replicaof", "127.0.0.1 1")) as server,
        Producer(server.url, deadline_s=0.3) as producer,
    ):
        with pytest.raises(BusNotReady, match="read only"):
            await producer.publish(Stage(name=name))
        assert producer.statistics().retried > 0


async def test_out_of_memory_is_told_at_once(name: str) -> None:
    """More attempts do not make room: one attempt, and the error is Redis'."""
    async with EmbeddedBroker(port=0) as server, Redis.from_url(server.url) as redis, Producer(server.url) as producer:
        await producer.publish(Stage(name=name))
        await redis.config_set("maxmemory", "1")
        with pytest.raises(PublishError, match="maxmemory"):
            await producer.publish(Stage(name=name))
        assert producer.statistics().retried == 0


async def test_refused_login_is_told_at_once(name: str) -> None:
    """A wrong password stays wrong."""
    async with (
        EmbeddedBroker(port=0, extra=("--requirepass", "right")) as server,
        Producer(server.url.replace("//", "//:wrong@")) as producer,
    ):
        with pytest.raises(LoginRefused):
            await producer.publish(Stage(name=name))
        assert producer.statistics().retried == 0


async def test_past_the_deadline_the_channels_that_have_it_are_named(
    server_url: str, redis: Redis, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One channel has it, the other is not ready: PublishIncomplete names both, and the repeat completes the rest."""
    append, is_refusing = Appender.append, True

    async def half(log: Appender, entries: Sequence[Entry]) -> list[Appended | Any]:
        if not is_refusing:
            return await append(log, entries)
        first = [entry for entry in entries if entry.channel.name.startswith("stage:")]
        taken = iter(await append(log, first))
        return [next(taken) if it in first else BusNotReady("not now") for it in entries]

    append_by(half, monkeypatch)
    event = Both(name=name)
    async with Producer(server_url) as producer:
        with pytest.raises(PublishIncomplete, match="not now") as told:
            await producer.publish(event, deadline_s=0.2)
        is_refusing = False
        published = await producer.publish(event, repeated=True)
    assert list(told.value.positions) == [f"stage:{name}"]
    assert list(told.value.missing) == [f"short:{name}"]
    assert published.positions[f"stage:{name}"] == told.value.positions[f"stage:{name}"]
    assert [len(await stored(redis, f"{kind}:{name}")) for kind in ("stage", "short")] == [1, 1]


async def test_replicas_that_confirm_are_counted(name: str) -> None:
    """With `wait_replicas` the answer says how many replicas have the event; too few is told, with its position."""
    at_once = ("--repl-diskless-sync-delay", "0")
    async with EmbeddedBroker(port=0, extra=at_once) as primary, Redis.from_url(primary.url) as redis:
        async with Producer(primary.url, wait_replicas=1, deadline_s=0.5) as producer:
            event = Stage(name=name)
            with pytest.raises(PublishUnreplicated) as told:
                await producer.publish(event)
            assert (told.value.replicas, told.value.wanted) == (0, 1)
            async with EmbeddedBroker(port=0, extra=("--replicaof", f"127.0.0.1 {primary.port}")) as replica:
                await until_linked(replica.url)
                repeated = await producer.publish(event, repeated=True, deadline_s=DEADLINE_S)
                assert repeated.positions == told.value.positions
                assert repeated.replicas == 1
                assert (await producer.publish(Stage(name=name), deadline_s=DEADLINE_S)).replicas == 1
                async with Redis.from_url(replica.url) as copy:
                    assert len(await stored(copy, f"stage:{name}")) == 2
        assert len(await stored(redis, f"stage:{name}")) == 2
        assert producer.statistics().unreplicated == 1


async def test_repeat_does_not_take_replicas_at_their_word(name: str) -> None:
    """`WAIT` knows the writes of its own connection: a repeat that finds the event on a new one writes, and waits."""
    at_once = ("--repl-diskless-sync-delay", "0")
    async with (
        asyncio.timeout(DEADLINE_S),
        EmbeddedBroker(port=0, extra=at_once) as primary,
        EmbeddedBroker(port=0, extra=("--replicaof", f"127.0.0.1 {primary.port}")) as replica,
        Proxy(primary.url) as proxy,
        Producer(proxy.url, wait_replicas=1) as producer,
    ):
        await until_linked(replica.url)
        assert (await producer.publish(Stage(name=name))).replicas == 1
        os.kill(replica.pid, signal.SIGSTOP)
        try:
            event = Stage(name=name)
            for _ in range(2):
                await until_unreplicated(producer, event)
                proxy.reset()
        finally:
            os.kill(replica.pid, signal.SIGCONT)
        assert (await producer.publish(event, repeated=True)).replicas == 1


async def until_unreplicated(producer: Producer, event: Event) -> None:
    """Repeat an event until Redis has answered; on a busy machine a deadline may be over before. No repeat succeeds."""
    deadline_s = 0.3
    while True:
        try:
            await producer.publish(event, repeated=True, deadline_s=deadline_s)
        except PublishUnreplicated:
            return
        except (BusUnavailable, PublishUncertain, PublishIncomplete):
            deadline_s *= 2
        else:
            pytest.fail("a replica that stands still had the event")


async def until_linked(url: str) -> None:
    async with Redis.from_url(url) as redis:

        async def is_linked() -> bool:
            return bool((await redis.info("replication"))["master_link_status"] == "up")

        await eventually(is_linked)


def test_clock_is_never_ahead() -> None:
    """The estimate grows a little slower than our clock, and knows nothing until Redis was asked."""
    clock = Clock()
    assert clock.floor_ms(5.0) == 0
    assert clock.is_stale(5.0)
    clock.take(1_000_000.9, 10.0)
    assert clock.floor_ms(10.0) == 1_000_000
    assert 1_000_990 <= clock.floor_ms(11.0) <= 1_001_000
    assert clock.floor_ms(10.0 + 86_400) < 1_000_000 + 86_400_000 - 40_000
    assert not clock.is_stale(10.5)
    clock.forget()
    assert clock.floor_ms(11.0) == 0


async def test_clock_that_was_set_back_hides_nothing(server_url: str, redis: Redis, name: str) -> None:
    """An entry whose id is 5 s lower than the time that the attempt was thought to begin at is found all the same."""
    channel, seconds = STAGE.fill(name), int(await seconds_of(redis))
    async with AppendingLog(server_url, name="edgebus-producer-test") as log:
        [first] = await log.append([Entry(channel, "an-id", "a.stage", b'{"data":{"number":0}}')])
        ahead_ms = (seconds + 5) * 1000
        [again] = await log.append([Entry(channel, "an-id", "a.stage", b'{"data":{"number":0}}', ahead_ms)])
    assert isinstance(first, Appended)
    assert isinstance(again, Appended)
    assert again.position == first.position
    assert len(await stored(redis, f"stage:{name}")) == 1
