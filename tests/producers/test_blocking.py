"""The producer without asyncio: the same answers and refusals, from any thread, and nobody is left waiting."""

import math
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import ValidationError
from redis import Redis

from bus.broker.embedded import EmbeddedBroker
from bus.errors import AddressError, BusError, BusUnavailable, EventError, OutboxFull, PublishIncomplete
from bus.log.appender import Appender
from bus.log.appending import Appended, Entry
from producers import Published
from producers.blocking import OutboxSettings, Producer
from producers.services.crackerjack import Crackerjack, TestCaseCompleted, TestStarted
from producers.services.mahavishnu import WorkflowStageCompleted
from tests.appending_log import append_by
from tests.ports import free_port

DEADLINE_S = 20.0


@pytest.fixture
def run_id() -> str:
    return secrets.token_hex(8)


@pytest.fixture
def redis(broker_url: str) -> Iterator[Redis]:
    with Redis.from_url(broker_url) as client:
        yield client


@pytest.fixture
def producer(broker_url: str) -> Iterator[Producer]:
    with Producer(broker_url, name=secrets.token_hex(4)) as producer:
        yield producer


def case(run_id: str, name: object = "t") -> TestCaseCompleted:
    return TestCaseCompleted(run_id=run_id, test_name=str(name), outcome="passed", duration_seconds=0.5)


def names(redis: Redis, run_id: str) -> list[str]:
    entries: Any = redis.xrange(f"bus:log:{{test:{run_id}}}")
    return [orjson.loads(fields[b"line"])["data"]["test_name"] for _, fields in entries]


def script(text: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a Python program in a process of its own."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", text, *arguments],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def test_the_calls_return_what_the_awaited_ones_do(producer: Producer, redis: Redis, run_id: str) -> None:
    """Publish returns once Redis has the event on every channel, publish_all keeps the order."""
    published = producer.publish(TestStarted(run_id=run_id, test_suite="s", total_tests=1))
    assert list(published.positions) == [f"test:{run_id}", "global"]
    many = producer.publish_all([case(f"{run_id}-2", number) for number in range(300)])
    assert len({it.id for it in many}) == 300
    assert names(redis, f"{run_id}-2") == [str(number) for number in range(300)]


def test_a_broadcast_method_returns_published(producer: Producer, run_id: str) -> None:
    """The broadcast methods of a service work as they are, and return the answer itself."""
    published: Published = Crackerjack(producer).broadcast_test_started(run_id, "s", 3)
    assert set(published.positions) == {f"test:{run_id}", "global"}


def test_refusals_are_the_same(producer: Producer, broker_url: str, redis: Redis, run_id: str) -> None:
    """Invalid, too large, incomplete, no Redis, a wrong URL: each is the error of the awaited call."""
    event = WorkflowStageCompleted(workflow_id=run_id, stage_name="s", result={"count": 1.0})
    event.result["count"] = math.inf
    with pytest.raises(ValidationError, match="count is inf"):
        producer.publish(event)
    with Producer(broker_url, limit_bytes=100) as narrow, pytest.raises(EventError, match="the limit is 100"):
        narrow.publish(case(run_id))
    redis.set(f"bus:log:{{test:{run_id}}}", "not a stream")
    with pytest.raises(PublishIncomplete, match="WRONGTYPE"):
        producer.publish(TestStarted(run_id=run_id, test_suite="s", total_tests=1))
    with Producer("redis://127.0.0.1:1", deadline_s=0) as alone, pytest.raises(BusUnavailable, match="edgebus broker"):
        alone.publish(case(run_id))
    with pytest.raises(AddressError):
        Producer("redis://127.0.0.1/5")


def test_eight_threads_share_one_producer(broker_url: str, redis: Redis, run_id: str) -> None:
    """Each thread gets the answers to its own calls, in its own order, over one connection."""
    with Producer(broker_url, name=run_id) as shared, ThreadPoolExecutor(8) as threads:

        def publish(thread: int) -> list[Published]:
            return [shared.publish(case(run_id, f"{thread} {step:02}")) for step in range(50)]

        published = [it for each in threads.map(publish, range(8)) for it in each]
        clients: Any = redis.client_list()
        mine = [it for it in clients if it["name"] == f"edgebus-producer-{run_id}"]
    got = names(redis, run_id)
    assert len(mine) == 1
    assert len({it.positions[f"test:{run_id}"] for it in published}) == len(got) == 400
    assert sorted(got, key=lambda name: name[0]) == sorted(got)


def test_a_producer_is_used_while_it_is_open(broker_url: str, redis: Redis, run_id: str) -> None:
    """It says how to open it when it is not; closing twice is harmless; it may be opened again, not twice at once."""
    producer = Producer(broker_url)
    producer.close()
    with pytest.raises(BusError, match="with Producer"):
        producer.publish(case(run_id))
    with producer:
        producer.publish(case(run_id, 1))
        with pytest.raises(BusError, match="open already"):
            producer.__enter__()
        producer.publish(case(run_id, 2))
        producer.close()
        with pytest.raises(BusError, match="with Producer"):
            producer.publish(case(run_id))
    producer.close()
    with producer:
        producer.publish(case(run_id, 3))
    assert names(redis, run_id) == ["1", "2", "3"]
    assert "edgebus-producer" not in [thread.name for thread in threading.enumerate()]


def test_closing_while_threads_publish_leaves_nobody_waiting(broker_url: str, redis: Redis, run_id: str) -> None:
    """Every call is answered: by Redis if it came before the close, else by an error that says it is closed."""
    producer = Producer(broker_url).__enter__()
    first_ones = threading.Barrier(9)

    def publish(thread: int) -> int:
        for step in range(100_000):
            try:
                producer.publish(case(run_id, f"{thread} {step}"))
            except BusError as error:
                assert "not open" in str(error)  # noqa: PT017 (the loop may end nowhere else)
                return step
            if step == 0:
                first_ones.wait(DEADLINE_S)
        return -1

    with ThreadPoolExecutor(8) as threads:
        answered = [threads.submit(publish, thread) for thread in range(8)]
        first_ones.wait(DEADLINE_S)
        producer.close()
        counts = [it.result(DEADLINE_S) for it in answered]
    assert min(counts) >= 1
    assert sum(counts) == redis.xlen(f"bus:log:{{test:{run_id}}}")


def test_eight_threads_publish_while_redis_is_restarted(tmp_path: Path, run_id: str) -> None:
    """Redis ends and comes back with its data three times: every event stands once, in order per thread and channel."""
    port, events = free_port(), 150

    def publish(thread: int) -> None:
        for step in range(events):
            room = f"{run_id}-{step % 2}"
            shared.publish(case(room, f"{thread} {step:03}"), deadline_s=DEADLINE_S)
            done[thread] = step

    done = dict.fromkeys(range(8), 0)
    broker = EmbeddedBroker(port=port, directory=tmp_path, extra=("--appendfsync", "always"))
    broker.__enter__()
    try:
        with Producer(broker.url) as shared, ThreadPoolExecutor(8) as threads:
            calls = [threads.submit(publish, thread) for thread in range(8)]
            for part in (1, 2, 3):
                until(lambda part=part: sum(done.values()) >= part * 2 * events)  # type: ignore[misc]
                broker.__exit__(None, None, None)
                broker = EmbeddedBroker(port=port, directory=tmp_path, extra=("--appendfsync", "always"))
                broker.__enter__()
            for call in calls:
                call.result(DEADLINE_S)
            told = shared.statistics()
        with Redis.from_url(broker.url) as redis:
            got = [names(redis, f"{run_id}-{room}") for room in range(2)]
    finally:
        broker.__exit__(None, None, None)
    for room in range(2):
        steps = [f"{thread} {step:03}" for thread in range(8) for step in range(room, events, 2)]
        assert sorted(got[room]) == steps
        assert sorted(got[room], key=lambda name: name[0]) == steps
    assert (told.published, told.failed) == (8 * events, 0)
    assert told.retried > 0


def until(fact: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not fact():
        assert time.monotonic() < deadline_s
        time.sleep(0.002)


def test_emit_from_eight_threads_is_sent_in_order(broker_url: str, redis: Redis, run_id: str) -> None:
    """Emit returns at once in every thread; flush waits until all is there, in order per thread."""
    with Producer(broker_url) as shared, ThreadPoolExecutor(8) as threads:

        def emit(thread: int) -> bool:
            return all(shared.emit(case(run_id, f"{thread} {step:03}")) for step in range(100))

        assert all(threads.map(emit, range(8)))
        assert shared.flush(DEADLINE_S)
        assert shared.statistics().published == 800
        got = names(redis, run_id)
    assert len(set(got)) == len(got) == 800
    assert sorted(got, key=lambda name: name[0]) == sorted(got)


def test_emit_is_refused_when_it_is_not_open(broker_url: str, run_id: str) -> None:
    """An event that nobody would send is not taken in silence."""
    producer = Producer(broker_url)
    with pytest.raises(BusError, match="not open"):
        producer.emit(case(run_id))
    with producer:
        assert producer.emit(case(run_id))
    with pytest.raises(BusError, match="not open"):
        producer.emit(case(run_id))


def test_emit_wait_blocks_its_thread_until_there_is_room(broker_url: str, redis: Redis, run_id: str) -> None:
    """Under `block` more than the outbox holds goes through, and nothing is dropped; `emit` says what to call."""
    with Producer(broker_url, outbox=OutboxSettings(max_events=10, policy="block")) as producer:
        for number in range(100):
            producer.emit_wait(case(run_id, number))
        assert producer.flush(DEADLINE_S)
        with pytest.raises(BusError, match="emit_wait"):
            producer.emit(case(run_id))
    assert names(redis, run_id) == [str(number) for number in range(100)]
    with Producer("redis://127.0.0.1:1", outbox=OutboxSettings(max_events=1, policy="block", close_s=0)) as alone:
        alone.emit_wait(case(run_id))
        with pytest.raises(OutboxFull, match=r"0\.1 s"):
            alone.emit_wait(case(run_id), timeout_s=0.1)


def test_batch_publishes_at_the_end_of_its_block(producer: Producer, redis: Redis, run_id: str) -> None:
    """The results are those of the events, in order; a block that raises publishes nothing."""
    with producer.batch() as batch:
        for number in range(100):
            batch.add(case(run_id, number))
        assert names(redis, run_id) == []
    positions = [it.positions[f"test:{run_id}"] for it in batch.results if isinstance(it, Published)]
    assert positions == sorted(positions, key=lambda it: [int(part) for part in str(it).split("-")])
    assert names(redis, run_id) == [str(number) for number in range(100)]
    with pytest.raises(LookupError), producer.batch() as given_up:  # noqa: PT012 (the block is what is tested)
        given_up.add(case(run_id, "never"))
        raise LookupError
    assert len(names(redis, run_id)) == 100


EMITTING = """
import sys
from producers.blocking import Producer
from producers.services.crackerjack import TestCompleted

producer = Producer(sys.argv[1])
producer.__enter__()
for number in range(500):
    producer.emit(TestCompleted(run_id=sys.argv[2], tests_completed=number, tests_failed=0, duration_seconds=1.0))
"""


def test_what_was_emitted_is_sent_before_the_program_ends(broker_url: str, redis: Redis, run_id: str) -> None:
    """A program that forgets to close loses nothing of its outbox."""
    ran = script(EMITTING, broker_url, run_id)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert redis.xlen(f"bus:log:{{test:{run_id}}}") == 500


def test_an_error_of_ours_reaches_the_callers_and_the_close(
    broker_url: str, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug in the background fails the call that waits, refuses later ones, and is raised where the producer ends."""

    async def broken(_log: Appender, _entries: Sequence[Entry]) -> list[Appended | BusError]:
        raise RuntimeError("a bug")

    append_by(broken, monkeypatch)
    producer = Producer(broker_url).__enter__()
    with pytest.raises(BusError, match="ended before Redis answered"):
        producer.publish(case(run_id))
    with pytest.raises(BusError, match="has failed"):
        producer.publish(case(run_id))
    with pytest.raises(RuntimeError, match="a bug"):
        producer.close()
    assert "edgebus-producer" not in [thread.name for thread in threading.enumerate()]


async def test_a_call_inside_a_running_loop_blocks_it_but_returns(producer: Producer, run_id: str) -> None:
    """It is not meant for that, and it does not lock up: the producer's loop is another one."""
    assert producer.publish(case(run_id)).receivers == 0


def test_publish_every_that_is_late_goes_on(producer: Producer, redis: Redis, run_id: str) -> None:
    """Events that take longer to make than the interval follow one another; whoever makes them ends it by raising."""
    made = iter(range(5))

    def make() -> list[TestCaseCompleted]:
        return [case(run_id, next(made))]

    with pytest.raises(StopIteration):
        producer.publish_every(0.0, make)
    assert names(redis, run_id) == ["0", "1", "2", "3", "4"]


FORKING = """
import os, sys, warnings
from bus.errors import BusError
from producers.blocking import Producer
from producers.services.crackerjack import TestCompleted
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and later warn of a fork beside threads

event = TestCompleted(run_id=sys.argv[2], tests_completed=1, tests_failed=0, duration_seconds=1.0)
with Producer(sys.argv[1]) as producer:
    producer.publish(event)
    child = os.fork()
    if child == 0:
        try:
            producer.publish(event)
        except BusError as error:
            print("child:", error, flush=True)
        with Producer(sys.argv[1]) as own:
            own.publish(event)
        sys.exit(7)
    print("code:", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    producer.publish(event)
"""


def test_after_a_fork_the_child_is_told_to_open_its_own(broker_url: str, redis: Redis, run_id: str) -> None:
    """The thread stays behind in the parent: a call in the child fails, its exit does not hang, the parent goes on."""
    ran = script(FORKING, broker_url, run_id)
    assert ran.stderr == ""
    assert ran.stdout.splitlines() == [
        "child: the producer was opened before this process was forked: open another one here",
        "code: 7",
    ]
    assert redis.xlen(f"bus:log:{{test:{run_id}}}") == 3


LEAVING = """
import sys
from producers.blocking import OutboxSettings, Producer
from producers.services.crackerjack import Crackerjack

producer = Producer(sys.argv[1])
producer.__enter__()
Crackerjack(producer).broadcast_test_completed(sys.argv[2], 1, 0, 1.0)
"""


def test_a_program_that_forgets_to_close_ends_in_silence(broker_url: str, redis: Redis, run_id: str) -> None:
    """The background thread keeps no interpreter from leaving, and says nothing when it is left behind."""
    ran = script(LEAVING, broker_url, run_id)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert redis.xlen(f"bus:log:{{test:{run_id}}}") == 1
