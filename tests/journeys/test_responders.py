"""Responders as whole processes: one of two killed under load, and a Redis that restarts with its data."""

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
from pydantic import BaseModel
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from bus.channel import Family
from bus.service import Request, Service
from clients import Client, Refused, connect
from edges import Edge, EdgeSettings
from edges.session import live
from producers import Responder
from tests.journeys.processes import environment
from tests.ports import free_port

DEADLINE_S: Final = 30.0
CLIENTS: Final = 10


class Work(BaseModel):
    number: int


class Done(BaseModel):
    by: int


WORK = Request("work", Work, Done, permission="mill:work", timeout_s=8)
SERVICE = Service("mill", 0, "Hello", (Family("grain"),), (), (WORK,))

MILL: Final = """
import asyncio, os, sys
from redis.asyncio import Redis
from producers import Responder
from tests.journeys.test_responders import SERVICE, Done, Work

async def main() -> None:
    async with Redis.from_url(sys.argv[1]) as redis, Responder(sys.argv[1], SERVICE) as responder:
        @responder.answers(Work)
        async def work(question: Work) -> Done:
            await redis.hincrby("begun", str(question.number), 1)
            await asyncio.sleep(0.02)
            return Done(by=os.getpid())
        await responder.wait()

asyncio.run(main())
"""


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(port=0) as broker:
        yield broker


@asynccontextmanager
async def mills(url: str, count: int) -> AsyncIterator[list["subprocess.Popen[bytes]"]]:
    """Run responders, and wait until each takes questions."""
    argv = [sys.executable, "-c", MILL, url]
    running = [subprocess.Popen(argv, env=environment()) for _ in range(count)]
    try:
        async with Redis.from_url(url) as redis, asyncio.timeout(DEADLINE_S):
            while await redis.zcard("bus:responders:{mill}:work") < count:
                await asyncio.sleep(0.01)
        yield running
    finally:
        for one in running:
            one.kill()
            one.wait()


class Load:
    """Clients that ask one question after another, and the outcome of each question."""

    def __init__(self, questions: int) -> None:
        self.outcomes: dict[int, str] = {}
        self.sentences: set[str] = set()
        self._numbers = iter(range(questions))

    async def ask(self, client: Client) -> None:
        for number in self._numbers:
            try:
                answer = await client.request("work", number=number, timeout_s=DEADLINE_S)
                outcome = f"answered by {answer['by']}"
            except Refused as refused:
                outcome = refused.code
                self.sentences.add(str(refused))
            assert number not in self.outcomes
            self.outcomes[number] = outcome


async def killed_under_load(url: str, questions: int, figure: Callable[[str], None]) -> Load:
    """Have two responders share the questions, kill one with SIGKILL half way, and return the outcomes."""
    load = Load(questions)
    async with Edge(SERVICE, EdgeSettings(redis_url=url, port=0)) as edge, mills(url, 2) as (first, second):
        await edge.ready()
        clients = [connect(f"ws://127.0.0.1:{edge.port}") for _ in range(CLIENTS)]
        async with asyncio.timeout(DEADLINE_S * 4), asyncio.TaskGroup() as group:
            for client in clients:
                await client.__aenter__()
                group.create_task(load.ask(client))
            while len(load.outcomes) < questions // 2:
                await asyncio.sleep(0.005)
            first.send_signal(signal.SIGKILL)
        for client in clients:
            await client.__aexit__(None, None, None)
        statistics = edge.questions()
    assert statistics is not None
    codes = Counter(it.split(" by ")[0] for it in load.outcomes.values())
    figure(f"two responders, one killed: {questions} asked, {dict(codes)}, late {statistics.late}")
    assert statistics.asked == questions
    assert statistics.under_way == 0
    assert f"answered by {second.pid}" in load.outcomes.values()
    return load


async def check_begun(url: str, load: Load, questions: int) -> None:
    """Nothing was begun twice, and whatever was answered was begun."""
    async with Redis.from_url(url) as redis:
        begun = await redis.hgetall("begun")
    assert set(begun.values()) == {b"1"}
    answered = {number for number, outcome in load.outcomes.items() if outcome.startswith("answered")}
    assert {int(number) for number in begun} >= answered
    assert set(load.outcomes) == set(range(questions))


@pytest.mark.parametrize("questions", [200, pytest.param(4_000, marks=pytest.mark.nightly)])
async def test_responder_killed_under_load_is_told_and_nothing_is_done_twice(
    broker: EmbeddedBroker, figure: Callable[[str], None], questions: int
) -> None:
    """Every question has one outcome; only those of the dead are refused, with the code that says so.

    Takes some four seconds: a responder counts as dead after three.
    """
    load = await killed_under_load(broker.url, questions, figure)
    await check_begun(broker.url, load, questions)
    codes = {it for it in load.outcomes.values() if not it.startswith("answered")}
    assert codes <= {"INTERNAL_ERROR"}
    assert all("may have been carried out, and is not asked again" in it for it in load.sentences)
    assert sum(it in codes for it in load.outcomes.values()) <= CLIENTS


@pytest.mark.nightly
async def test_control_an_edge_that_does_not_look_leaves_clients_to_the_deadline(
    broker: EmbeddedBroker, figure: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without looks nobody learns of the death: the same kill is a TIMEOUT, at the deadline of the request."""
    monkeypatch.setattr(live, "_OVERDUE_S", 1_000.0)
    load = await killed_under_load(broker.url, 200, figure)
    assert {it for it in load.outcomes.values() if not it.startswith("answered")} == {"TIMEOUT"}


async def test_question_outlives_a_restart_of_redis(tmp_path: Path) -> None:
    """A Redis that keeps its data, killed and started again: the question under way is answered, and begun once."""
    port, begun, may_answer = free_port(), list[int](), asyncio.Event()
    with EmbeddedBroker(port, tmp_path) as broker:
        edge = Edge(SERVICE, EdgeSettings(redis_url=broker.url, port=0))
        async with Responder(broker.url, SERVICE) as responder, edge, asyncio.timeout(DEADLINE_S):

            @responder.answers(Work)
            async def work(question: Work) -> Done:
                begun.append(question.number)
                await may_answer.wait()
                return Done(by=7)

            await edge.ready()
            async with connect(f"ws://127.0.0.1:{edge.port}") as client:
                while not responder.statistics().is_up:
                    await asyncio.sleep(0.01)
                asked = asyncio.create_task(_asked(client))
                while not begun:
                    await asyncio.sleep(0.01)
                os.kill(broker.pid, signal.SIGKILL)
                while responder.statistics().is_up or edge.not_ready() is None:
                    await asyncio.sleep(0.01)
                with EmbeddedBroker(port, tmp_path):
                    may_answer.set()
                    assert await asked == {"by": 7}
                    while not responder.statistics().is_up:
                        await asyncio.sleep(0.01)
                    await responder.close()
    assert begun == [1]


async def _asked(client: Client) -> object:
    while True:
        try:
            return await client.request("work", number=1, timeout_s=DEADLINE_S)
        except Refused as refused:  # the beat of the first function may be on its way
            assert refused.code == "NO_RESPONDER"  # noqa: PT017 (any other outcome is the test's failure)
