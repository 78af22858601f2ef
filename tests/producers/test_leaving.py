"""Producers that nobody closes: what was emitted is sent, or told to be lost; and nothing of them stays."""

import asyncio
import gc
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from bus.broker.embedded import EmbeddedBroker
from bus.tasks import end
from producers import OutboxSettings, Producer
from producers import blocking as sync
from producers.services.crackerjack import TestCaseCompleted
from tests.contract.brokers import eventually
from tests.leaks import ours

DEADLINE_S = 20.0
NOBODY = "redis://127.0.0.1:1"

BEGINNING = """
import asyncio, sys
from producers import OutboxSettings, Producer, blocking
from producers.services.crackerjack import TestCaseCompleted
url, run_id, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
outbox = OutboxSettings(close_s=float(sys.argv[4]))

def emit(producer):
    for number in range(count):
        producer.emit(TestCaseCompleted(run_id=run_id, test_name=str(number), outcome="passed", duration_seconds=0.5))
"""
WAYS = {
    "a local of a function": """
def work():
    emit(blocking.Producer(url, outbox=outbox).__enter__())
work()
""",
    "without with": """
producer = blocking.Producer(url, outbox=outbox)
producer.__enter__()
emit(producer)
""",
    "in a cycle": """
def work():
    service = type("Service", (), {})()
    service.me, service.producer = service, blocking.Producer(url, outbox=outbox).__enter__()
    emit(service.producer)
work()
""",
    "left by an exception": """
def work():
    emit(blocking.Producer(url, outbox=outbox).__enter__())
    sys.exit(0)
work()
""",
    "three at once": """
producers = [blocking.Producer(url, outbox=outbox).__enter__() for _ in range(3)]
emit(producers[0]); emit(producers[1]); emit(producers[2])
""",
}
AWAITED = {
    "asyncio.run without async with": """
async def main():
    producer = await Producer(url, outbox=outbox).__aenter__()
    emit(producer)
asyncio.run(main())
""",
    "a loop that nobody runs to an end": """
loop = asyncio.new_event_loop()
producer = loop.run_until_complete(Producer(url, outbox=outbox).__aenter__())
loop.run_until_complete(asyncio.sleep(0))
emit(producer)
""",
    "a loop that was closed over it": """
loop = asyncio.new_event_loop()
producer = loop.run_until_complete(Producer(url, outbox=outbox).__aenter__())
emit(producer)
loop.close()
del producer
""",
}


@pytest.fixture
def run_id() -> str:
    return secrets.token_hex(8)


@pytest.fixture
def redis(broker_url: str) -> Iterator[Redis]:
    with Redis.from_url(broker_url) as client:
        yield client


def case(run_id: str, name: object = "t") -> TestCaseCompleted:
    return TestCaseCompleted(run_id=run_id, test_name=str(name), outcome="passed", duration_seconds=0.5)


def program(text: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a program that ends by itself, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", BEGINNING + text, *arguments],
        capture_output=True,
        text=True,
        timeout=2 * DEADLINE_S,
        check=False,
    )


def stored(redis: Redis, run_id: str) -> int:
    length: Any = redis.xlen(f"bus:log:{{test:{run_id}}}")
    return int(length)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_what_was_emitted_is_sent_when_the_program_ends(
    broker_url: str, redis: Redis, run_id: str, host: str, way: str
) -> None:
    """However the producer was lost, and though a name is still to be looked up at the exit."""
    ran = program(WAYS[way], broker_url.replace("127.0.0.1", host), run_id, "300", str(DEADLINE_S))
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert stored(redis, run_id) == 300 * (3 if way == "three at once" else 1)


@pytest.mark.parametrize("way", [*WAYS, *AWAITED])
def test_what_cannot_be_sent_is_told_once(run_id: str, way: str) -> None:
    """A program without logging set up shows a warning: how many events, to which address, and why."""
    ran = program({**WAYS, **AWAITED}[way], "redis://user:secret@127.0.0.1:1", run_id, "7", "0")
    told = [line for line in ran.stderr.splitlines() if "emitted events did not get to Redis at" in line]
    assert ran.returncode == 0
    assert len(told) == (3 if way == "three at once" else 1), ran.stderr
    assert all(
        it.startswith("7 emitted events did not get to Redis at redis://…@127.0.0.1:1 (7 closed)") for it in told
    )
    assert "secret" not in ran.stderr


async def test_losses_are_told_at_the_close(run_id: str, caplog: pytest.LogCaptureFixture) -> None:
    """All that were dropped since the start, for whichever reason, in one line at warning level; nothing when none."""
    producer = Producer(NOBODY, outbox=OutboxSettings(max_events=3, close_s=0))
    async with producer:
        for number in range(5):
            producer.emit(case(run_id, number))
        await producer.flush(0.05)
    async with producer:
        pass
    told = [record for record in ours(caplog.records) if "did not get" in record.getMessage()]
    assert [(record.levelname, record.name) for record in told] == [("WARNING", "edgebus.producers")]
    text, _, reason = told[0].getMessage().partition("; ")
    assert text == "5 emitted events did not get to Redis at redis://127.0.0.1:1 (3 closed, 2 full)"
    assert reason.startswith("the last error was: no Redis")


async def test_refused_events_are_told_at_the_close(
    broker_url: str, redis: Redis, run_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With Redis there, what it refused is lost no less; what it took is not counted."""
    redis.set(f"bus:log:{{test:{run_id}-wrong}}", "a text")
    async with Producer(broker_url) as producer:
        producer.emit(case(run_id))
        producer.emit(case(f"{run_id}-wrong"))
        await producer.flush()
    [told] = [record.getMessage() for record in ours(caplog.records) if "did not get" in record.getMessage()]
    assert told.startswith(f"1 emitted events did not get to Redis at {broker_url} (1 refused); the last error was: ")
    assert "WRONGTYPE" in told


async def test_awaited_producer_that_is_let_go_sends_what_it_holds(broker: EmbeddedBroker, run_id: str) -> None:
    """The loop goes on, the producer is collected: its events are stored, its connection and its task are gone."""

    async def work() -> None:
        producer = await Producer(broker.url).__aenter__()
        for number in range(100):
            producer.emit(case(run_id, number))

    await work()
    gc.collect()
    async with AsyncRedis.from_url(broker.url) as client:

        async def is_done() -> bool:
            return await client.xlen(f"bus:log:{{test:{run_id}}}") == 100 and await connections(client) == 0

        await eventually(is_done)
    await eventually(nothing_runs)


async def nothing_runs() -> bool:
    return asyncio.all_tasks() == {asyncio.current_task()}


async def connections(client: Any) -> int:
    return sum(it["name"].startswith("edgebus-") for it in await client.client_list())


def test_producers_that_are_let_go_leave_nothing(broker: EmbeddedBroker, run_id: str) -> None:
    """Fifty of them, each used: no thread, no descriptor and no connection stays."""
    gc.collect()
    before = descriptors()
    for _ in range(50):
        sync.Producer(broker.url).__enter__().publish(case(run_id))
    gc.collect()
    until(lambda: "edgebus-producer" not in [thread.name for thread in threading.enumerate()])
    until(lambda: descriptors() <= before)
    with Redis.from_url(broker.url) as client:
        until(lambda: all(not it["name"].startswith("edgebus-") for it in listed(client)))


def listed(client: Redis) -> list[dict[str, str]]:
    clients: Any = client.client_list()
    return list(clients)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def until(fact: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not fact():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


HANGING = """
import socket, threading
asked = threading.Event()
def hang(*_, **__):
    asked.set()
    threading.Event().wait()  # a resolver that no server answers, and longer than any patience
socket.getaddrinfo = hang
"""
HANGERS = {
    "awaited": """
async def main():
    async with Producer("redis://redis.invalid:6390", outbox=outbox) as producer:
        emit(producer)
        while not asked.is_set():
            await asyncio.sleep(0.001)
asyncio.run(main())
""",
    "blocking": """
with blocking.Producer("redis://redis.invalid:6390", outbox=outbox) as producer:
    emit(producer)
    asked.wait()
""",
    "nobody closes it": """
producer = blocking.Producer("rediss://redis.invalid:6390", outbox=outbox).__enter__()
emit(producer)
asked.wait()
""",
    "sentinels": """
with blocking.Producer("redis+sentinel://redis.invalid:26379/main", outbox=outbox) as producer:
    emit(producer)
    asked.wait()
""",
    "the link of an edge": """
from bus.redis.subscriber import Subscriber
async def main():
    nothing = lambda *_: None
    async with Subscriber("redis://redis.invalid:6390", name="e", deliver=nothing, on_up=nothing, on_down=nothing):
        while not asked.is_set():
            await asyncio.sleep(0.001)
asyncio.run(main())
""",
}


@pytest.mark.parametrize("way", HANGERS)
def test_resolver_that_hangs_does_not_hold_the_exit(run_id: str, way: str) -> None:
    """Nobody waits for a name that is still being looked up; the program would else never end here."""
    ran = program(HANGING + HANGERS[way], NOBODY, run_id, "1", "0.1")
    assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in ran.stderr


async def test_names_with_several_addresses_are_tried_in_turn(
    broker_url: str, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a name with an address of IPv6 where only IPv4 is listened on."""
    port = int(broker_url.rpartition(":")[2])
    known = [(socket.AF_INET6, 1, 6, "", ("::1", port, 0, 0)), (socket.AF_INET, 1, 6, "", ("127.0.0.1", port))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: known)
    async with Producer(f"redis://redis.invalid:{port}") as producer:
        assert (await producer.publish(case(run_id))).id


async def cancelled_at_every_step(work: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Cancel ``work`` as anyio and trio's kin do: again at each step, until it has ended."""
    begun = asyncio.Event()
    task = asyncio.ensure_future(work(begun))
    await begun.wait()

    def again() -> None:
        if not task.done():
            task.cancel()
            asyncio.get_running_loop().call_soon(again)

    again()
    await asyncio.wait([task])


@pytest.mark.parametrize("is_used", [True, False], ids=["connected", "connecting"])
async def test_scope_that_is_cancelled_leaves_no_connection(broker: EmbeddedBroker, run_id: str, is_used: bool) -> None:
    """The producer cannot wait for its end in there; its task and its connection end all the same."""

    async def work(begun: asyncio.Event) -> None:
        async with Producer(broker.url) as producer:
            if is_used:
                await producer.publish(case(run_id))
            producer.emit(case(run_id))
            await asyncio.sleep(0)
            begun.set()
            await asyncio.Event().wait()

    for _ in range(10):
        await cancelled_at_every_step(work)
    await eventually(nothing_runs)
    async with AsyncRedis.from_url(broker.url) as client:

        async def is_gone() -> bool:
            return await connections(client) == 0

        await eventually(is_gone)


async def test_tasks_are_ended_though_the_caller_is_cancelled_again_and_again() -> None:
    """A task that shrugs off its first cancellation is cancelled again, whether its owner waits for that or not."""
    ended = asyncio.Event()

    async def stubborn() -> None:
        for _ in range(3):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue
        ended.set()

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)

    async def work(begun: asyncio.Event) -> None:
        begun.set()
        await end([task])

    await cancelled_at_every_step(work)
    async with asyncio.timeout(DEADLINE_S):
        await ended.wait()
    await asyncio.wait([task])
    await eventually(nothing_runs)
