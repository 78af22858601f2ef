"""Emit where the thread that emits is interrupted in the middle of an emit, and in a child that was forked there.

A signal handler and a finalizer run between any two lines of whatever thread Python finds; here, behind every line.
"""

import asyncio
import gc
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import orjson
import pytest
from redis import Redis

from producers import OutboxSettings, Producer
from producers import blocking as sync
from producers.outbox import Policy
from producers.services.crackerjack import TestCaseCompleted
from tests.journeys.processes import until

DEADLINE_S = 20.0
INSIDE = (
    "bus/log/publication.py",
    "bus/log/publisher.py",
    "producers/composer.py",
    "producers/drops.py",
    "producers/emitted.py",
    "producers/outbox.py",
    "producers/producer.py",
    "producers/blocking.py",
    "producers/sender.py",
)


@pytest.fixture
def run_id() -> str:
    return secrets.token_hex(8)


@pytest.fixture
def redis(broker_url: str) -> Iterator[Redis]:
    with Redis.from_url(broker_url) as client:
        yield client


def case(run_id: str, name: str) -> TestCaseCompleted:
    return TestCaseCompleted(run_id=run_id, test_name=name, outcome="passed", duration_seconds=0.5)


def names(redis: Redis, run_id: str) -> list[str]:
    entries: Any = redis.xrange(f"bus:log:{{test:{run_id}}}")
    return [orjson.loads(fields[b"line"])["data"]["test_name"] for _, fields in entries]


class Interruptions:
    """Calls ``emit`` once behind each line of the SDK that the tracing thread comes to, unless it is in one already."""

    def __init__(self, emit: Callable[[str], object]) -> None:
        self._emit = emit
        self._is_inside = False
        self.lines: list[str] = []

    def __call__(self, frame: FrameType, kind: str, argument: object) -> Any:
        if not frame.f_code.co_filename.endswith(INSIDE):
            return None
        line = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        if kind == "line" and not self._is_inside and line not in self.lines:
            self.lines.append(line)
            self._is_inside = True
            try:
                self._emit(line)
            finally:
                self._is_inside = False
        return self


def ends(work: Callable[[], None]) -> None:
    """Run ``work`` in a thread of its own, and fail if it does not come back, or raises."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 (raised below)
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(DEADLINE_S)
    assert not thread.is_alive(), "it hangs"
    if raised:
        raise raised[0]


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_new", "error"])
def test_emit_that_is_interrupted_by_emits_at_every_line(
    broker_url: str, redis: Redis, run_id: str, policy: Policy
) -> None:
    """None waits for the one that it interrupts; all are sent, once."""
    with sync.Producer(broker_url, outbox=OutboxSettings(policy=policy)) as producer:
        interruptions = Interruptions(lambda line: producer.emit(case(run_id, line)))

        def work() -> None:
            sys.settrace(interruptions)
            for number in range(3):
                producer.emit(case(run_id, str(number)))
                producer.statistics()
            sys.settrace(None)

        ends(work)
        assert producer.flush(DEADLINE_S)
    got = names(redis, run_id)
    assert sorted(got) == sorted(["0", "1", "2", *interruptions.lines])
    assert len(interruptions.lines) > 20


def test_sender_that_is_interrupted_by_emits_at_every_line(broker_url: str, redis: Redis, run_id: str) -> None:
    """The same in the thread of the event loop, while it sends, is refused, flushes and closes."""
    refused = f"{run_id}-wrong"
    redis.set(f"bus:log:{{test:{refused}}}", "a text")
    told: list[str] = []

    async def main() -> None:
        async with Producer(broker_url, on_drop=lambda event, _: told.append(event.event_name)) as producer:
            interruptions.append(Interruptions(lambda line: emit(producer, line)))
            sys.settrace(interruptions[0])
            for number in range(3):
                producer.emit(case(run_id, str(number)))
                producer.emit(case(refused, str(number)))
                await producer.publish(case(run_id, f"published {number}"))
            await producer.flush()
            sys.settrace(None)

    def emit(producer: Producer, line: str) -> None:
        producer.emit(case(run_id, line))

    interruptions: list[Interruptions] = []
    ends(lambda: asyncio.run(main()))
    got = names(redis, run_id)
    expected = [str(n) for n in range(3)] + [f"published {n}" for n in range(3)] + interruptions[0].lines
    assert sorted(got) == sorted(expected)
    assert len(told) == 3
    assert len(interruptions[0].lines) > 80


async def test_emit_in_a_handler_while_the_loop_waits_wakes_it(broker_url: str, redis: Redis, run_id: str) -> None:
    """A signal may come when the loop has nothing to do and is about to wait: nothing else would wake it then."""
    redis.set(f"bus:log:{{test:{run_id}}}", "a text")
    told = asyncio.Event()
    loop: Any = asyncio.get_running_loop()
    selector = loop._selector  # noqa: SLF001 (where a loop waits)
    select = selector.select

    def interrupted(timeout: float | None = None) -> Any:
        if timeout == 0:
            return select(timeout)
        selector.select = select
        producer.emit(case(run_id, "in the handler"))
        return select(timeout)

    async with asyncio.timeout(DEADLINE_S), Producer(broker_url, on_drop=lambda *_: told.set()) as producer:
        selector.select = interrupted
        await told.wait()


def test_emit_in_a_finalizer(broker_url: str, redis: Redis, run_id: str) -> None:
    """An object that tells of its end is collected whenever Python likes, also inside an emit."""

    class Telling:
        def __init__(self, name: str) -> None:
            self.name, self.me = name, self

        def __del__(self) -> None:
            producer.emit(case(run_id, self.name))
            ended.append(self.name)

    ended: list[str] = []

    def work() -> None:
        thresholds = gc.get_threshold()
        gc.set_threshold(1)
        try:
            for number in range(200):
                Telling(f"told {number}")
                producer.emit(case(run_id, f"emitted {number}"))
        finally:
            gc.set_threshold(*thresholds)

    def all_ended() -> bool:
        gc.collect()  # does nothing while another thread, such as the sender's, collects
        return len(ended) == 200

    with sync.Producer(broker_url) as producer:
        ends(work)
        until(all_ended)
        assert producer.flush(DEADLINE_S)
    assert sorted(names(redis, run_id)) == sorted([f"{kind} {n}" for kind in ("told", "emitted") for n in range(200)])


SIGNALS = """
import signal, sys
from producers.blocking import Producer
from producers.services.crackerjack import TestCaseCompleted

def case(name):
    return TestCaseCompleted(run_id=sys.argv[2], test_name=name, outcome="passed", duration_seconds=0.5)

handled = 0
def handler(*_):
    global handled
    handled += 1
    producer.emit(case("handled"))
    if handled < 500:
        signal.setitimer(signal.ITIMER_REAL, 0.0005)  # once, or handlers would interrupt handlers without end

with Producer(sys.argv[1]) as producer:
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0005)
    emitted = 0
    while handled < 500:
        producer.emit(case("emitted"))
        emitted += 1
        if emitted % 100 == 0:
            producer.flush()
    producer.flush()
    print(handled + emitted, producer.statistics().published, producer.statistics().dropped)
"""


def script(text: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a Python program in a process of its own."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", text, *arguments],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S * 2,
        check=False,
    )


def test_emit_in_a_signal_handler(broker_url: str, run_id: str) -> None:
    """The handler of a timer emits 500 times while its thread emits and flushes: all are published."""
    ran = script(SIGNALS, broker_url, run_id)
    assert (ran.returncode, ran.stderr) == (0, "")
    emitted, published, dropped = ran.stdout.split(maxsplit=2)
    assert (emitted, dropped) == (published, "{}\n")


FORKED = """
import asyncio, os, sys, threading, warnings
from bus.errors import BusError
from producers import Producer, blocking
from producers.services.crackerjack import TestCaseCompleted
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and later warn of a fork beside threads

def case(name):
    return TestCaseCompleted(run_id=sys.argv[2], test_name=name, outcome="passed", duration_seconds=0.5)

def locks(thing, seen):
    "Every lock that the producer has, wherever it is."
    for value in vars(thing).values():
        if type(value) in (type(threading.Lock()), type(threading.RLock())):
            yield value
        elif type(value).__module__.startswith("producers") and hasattr(value, "__dict__") and id(value) not in seen:
            seen.add(id(value))
            yield from locks(value, seen)

def fork_in_the_middle(producer):
    "Fork while another thread is in the middle of everything."
    held, done = threading.Event(), threading.Event()
    def hold():
        mine = list(locks(producer, set()))
        print(len(mine) > 0, flush=True)
        for lock in mine: lock.acquire()
        held.set()
        done.wait()
        for lock in mine: lock.release()
    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    child = os.fork()
    done.set()
    if child:
        thread.join()
    return child

def in_the_child(producer):
    try:
        producer.emit(case("child"))
    except BusError as error:
        print("child:", error, flush=True)
    print(producer.statistics().outbox_events, flush=True)

def code(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

with blocking.Producer(sys.argv[1]) as producer:
    producer.emit(case("before"))
    child = fork_in_the_middle(producer)
    if child == 0:
        in_the_child(producer)
        with blocking.Producer(sys.argv[1]) as own:
            own.publish(case("own"))
        sys.exit(7)
    print("code:", code(child), flush=True)
    producer.publish(case("after"))

async def main():
    async with Producer(sys.argv[1]) as producer:
        producer.emit(case("async before"))
        child = fork_in_the_middle(producer)
        if child == 0:
            in_the_child(producer)
            os._exit(8)
        print("code:", code(child), flush=True)
        await producer.publish(case("async after"))
asyncio.run(main())
"""


def test_fork_in_the_middle_of_a_publish(broker_url: str, redis: Redis, run_id: str) -> None:
    """A child inherits the locks as they were, and nobody who lets go of them: it has new ones, and is told so."""
    ran = script(FORKED, broker_url, run_id)
    assert ran.stderr == ""
    forked = "child: the producer was opened before this process was forked: open another one here"
    assert ran.stdout.splitlines() == ["True", forked, "0", "code: 7", "True", forked, "0", "code: 8"]
    assert sorted(names(redis, run_id)) == ["after", "async after", "async before", "before", "own"]
