"""Questions in Redis: taken by one responder, answered once, and never left in the dark when a responder dies."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from bus.asking.answering import Answering, Taking
from bus.asking.asking import Asked, Asking, Found, Standing
from bus.asking.question import Answered, Asker, Question, parse_answer
from bus.errors import BusError
from bus.words import Code
from tests.contract.brokers import Broker, Receiver, eventually

EDGE = "shop-host-1-2-ab"
ALICE = Asker("alice", frozenset({"shop:do"}))
FACTS: dict[str, str | int] = {"pid": 5, "requests": "render"}


class Responder:
    """A responder without a loop: each step is the test's."""

    def __init__(self, url: str, responder: str) -> None:
        self.answering = Answering(url, name=responder, service="shop", responder=responder)
        self.taking = Taking(url, name=f"{responder}-take", service="shop", responder=responder)

    async def beat(self, *, takes: bool = True) -> float:
        return await self.answering.beat(["render", "other"], FACTS, takes=takes)

    async def take(self, count: int = 10) -> list[Question]:
        found = await self.taking.take(["render", "other"], count, wait_ms=50)
        return [it for request, entry, fields in found if (it := Question.parse(request, entry, fields))]

    async def close(self) -> None:
        await self.answering.close()
        await self.taking.close()


@pytest.fixture
async def asking(broker: Broker) -> AsyncIterator[Asking]:
    async with Asking(broker.url, name="edgebus-edge-test", service="shop", edge=EDGE) as asking:
        yield asking


@pytest.fixture
async def first(broker: Broker) -> AsyncIterator[Responder]:
    responder = Responder(broker.url, "r1")
    yield responder
    await responder.close()


@pytest.fixture
async def second(broker: Broker) -> AsyncIterator[Responder]:
    responder = Responder(broker.url, "r2")
    yield responder
    await responder.close()


async def ask(asking: Asking, question: str = "q1", **more: Any) -> Asked:
    asked = await asking.ask("render", question, b'{"id":1}', ALICE, timeout_ms=5_000, **more)
    assert isinstance(asked, Asked)
    return asked


async def look(asking: Asking, asked: Asked, *, takes_out: bool = True) -> Found:
    (found,) = await asking.look([asked], takes_out=takes_out)
    return found


async def test_question_without_a_responder_is_not_asked(asking: Asking, redis: Redis) -> None:
    """Nobody there is said at once, and Redis keeps nothing."""
    assert await asking.ask("render", "q1", b"{}", ALICE, timeout_ms=5_000) is Standing.NOBODY
    assert await redis.keys("bus:*{shop}*") == []


async def test_question_is_taken_by_one_and_answered_once(
    asking: Asking, first: Responder, second: Responder, receiver: Receiver
) -> None:
    """Of two responders one takes; the answer comes on the edge's channel, and no other answer counts."""
    await receiver.subscribe(f"bus:answers:{EDGE}")
    await first.beat()
    await second.beat()
    await ask(asking)
    (question,) = await first.take()
    assert await second.take() == []
    assert (question.request, question.id, question.data, question.asker) == ("render", "q1", b'{"id":1}', ALICE)
    answered = Answered("q1", data=b'{"ok":true}')
    assert not await second.answering.answer(question, answered)
    assert await first.answering.answer(question, answered)
    await receiver.until(lambda: len(receiver.lines) == 1)
    assert parse_answer(receiver.lines[0][1]) == answered
    assert await first.answering.answer(question, answered), "a repetition after a lost reply is no other answer"
    await ask(asking, "q2")
    (question,) = await first.take()
    await first.answering.answer(question, Answered("q2", data=b"{}"))
    await receiver.until(lambda: len(receiver.lines) == 2)
    assert receiver.lines[1][1].startswith(b"q2 answered")


async def test_deadline_is_of_redis_clock(asking: Asking, first: Responder) -> None:
    """The deadline of a question and the time of a beat are of one clock."""
    now_ms = await first.beat()
    await ask(asking)
    (question,) = await first.take()
    assert 5_000 <= question.deadline_ms - now_ms < 15_000


async def test_look_tells_where_a_question_stands(asking: Asking, first: Responder, redis: Redis) -> None:
    """Waiting, taken, answered; and after the kept answer is deleted, unknown."""
    await first.beat()
    asked = await ask(asking)
    assert await look(asking, asked) == Found(Standing.WAITING)
    (question,) = await first.take()
    assert await look(asking, asked) == Found(Standing.TAKEN, b"r1")
    answered = Answered("q1", code=Code.NOT_FOUND, sentence="no such thing")
    await first.answering.answer(question, answered)
    found = await look(asking, asked)
    assert found.standing is Standing.ANSWERED
    assert parse_answer(found.message) == answered
    assert 0 < await redis.pttl("bus:answer:{shop}:q1") <= 30_000
    await asking.forget_answers(["q1"])
    assert await look(asking, asked) == Found(Standing.UNKNOWN)


async def test_question_of_a_dead_responder_is_found_and_its_late_answer_is_not(
    asking: Asking, first: Responder, second: Responder, redis: Redis
) -> None:
    """A responder without beats is dead: the question leaves Redis, nobody else takes it, a late answer is none."""
    await first.beat()
    await second.beat()
    asked = await ask(asking)
    (question,) = await first.take()
    await redis.delete("bus:responder:{shop}:r1")  # as the expiry does
    assert await look(asking, asked, takes_out=False) == Found(Standing.TAKEN, b"r1")
    assert await look(asking, asked) == Found(Standing.DIED, b"r1")
    assert await second.take() == []
    assert not await first.answering.answer(question, Answered("q1", data=b"{}"))
    assert await redis.xlen("bus:questions:{shop}:render") == 0


async def test_question_that_nobody_is_left_to_take_goes_back(asking: Asking, first: Responder, redis: Redis) -> None:
    """Not begun, and nobody there: the edge hears so, and no responder that comes later begins the question."""
    await first.beat()
    asked = await ask(asking)
    await redis.delete("bus:responders:{shop}:render")
    assert await look(asking, asked, takes_out=False) == Found(Standing.WAITING)
    assert await look(asking, asked) == Found(Standing.NOBODY)
    await first.beat()
    assert await first.take() == []


async def test_question_taken_back_is_not_begun(asking: Asking, first: Responder) -> None:
    """At its deadline an edge takes a question back, taken or not."""
    await first.beat()
    waiting, taken = await ask(asking, "q1"), await ask(asking, "q2")
    await asking.leave([waiting])
    (question,) = await first.take()
    assert question.id == "q2"
    await asking.leave([taken])
    assert not await first.answering.answer(question, Answered("q2", data=b"{}"))


async def test_stream_is_bounded(asking: Asking, first: Responder) -> None:
    """Past the bound a question is not asked."""
    await first.beat()
    await ask(asking, "q1", limit=1)
    assert await asking.ask("render", "q2", b"{}", ALICE, timeout_ms=1_000, limit=1) is Standing.FULL


async def test_responder_that_leaves_is_asked_no_more_and_finishes(
    asking: Asking, first: Responder, redis: Redis
) -> None:
    """Leaving, it takes nothing new and answers the rest; gone, it has left no key of its own."""
    await first.beat()
    asked = await ask(asking)
    (question,) = await first.take()
    await first.beat(takes=False)
    assert await asking.ask("render", "q2", b"{}", ALICE, timeout_ms=1_000) is Standing.NOBODY
    assert await look(asking, asked) == Found(Standing.TAKEN, b"r1")
    assert await first.answering.answer(question, Answered("q1", data=b"{}"))
    await first.answering.leave(["render", "other"])
    assert await redis.exists("bus:responder:{shop}:r1") == 0
    assert await redis.xinfo_consumers("bus:questions:{shop}:render", "responders") == []


async def test_question_left_by_a_responder_that_is_gone_has_died(asking: Asking, first: Responder) -> None:
    """A responder that leaves without an answer is found dead, never "nobody has begun"."""
    await first.beat()
    asked = await ask(asking)
    await first.take()
    await first.answering.leave(["render", "other"])
    assert await look(asking, asked) == Found(Standing.DIED, b"r1")


async def test_taken_question_is_held_until_answered(asking: Asking, first: Responder) -> None:
    """What was taken when the line was cut is still this responder's to begin."""
    await first.beat()
    await ask(asking)
    assert len(await first.take()) == 1
    ((request, _, fields),) = await first.taking.held(["render", "other"], 10)
    assert (request, fields[b"id"]) == ("render", b"q1")


async def test_script_flush_costs_no_question(asking: Asking, first: Responder, redis: Redis) -> None:
    """A script that is gone is loaded again, and the question is asked once."""
    await first.beat()
    await redis.script_flush()
    await ask(asking)
    await redis.script_flush()
    await first.beat()
    assert len(await first.take()) == 1


async def test_group_that_was_deleted_is_made_again(asking: Asking, first: Responder, redis: Redis) -> None:
    """Somebody who deletes the stream by hand takes the questions there, and no later ones."""
    await first.beat()
    await redis.delete("bus:questions:{shop}:render")
    with pytest.raises(BusError):
        await first.take()
    await first.beat()
    await ask(asking)
    assert len(await first.take()) == 1


async def test_old_questions_are_swept(asking: Asking, first: Responder, redis: Redis) -> None:
    """What edge and responder both left behind is gone after ten minutes."""
    await first.beat()
    old = int(await first.beat()) - 601_000
    await redis.delete("bus:questions:{shop}:render")
    await redis.xadd("bus:questions:{shop}:render", {"id": "q0"}, id=f"{old}-1")
    await first.beat()
    assert await redis.xlen("bus:questions:{shop}:render") == 0


async def test_typed_entry_is_no_question(first: Responder, redis: Redis) -> None:
    """What a person typed into the stream is told apart, and taken out."""
    await first.beat()
    await redis.xadd("bus:questions:{shop}:render", {"id": "../../x", "edge": "a b"})
    ((request, entry, fields),) = await first.taking.take(["render"], 1, wait_ms=50)
    assert Question.parse(request, entry, fields) is None
    await first.taking.drop_question(request, entry)
    assert await redis.xlen("bus:questions:{shop}:render") == 0


async def test_life_of_a_responder_ends_by_itself(broker: Broker, asking: Asking, redis: Redis) -> None:
    """Without beats a responder is gone after the time that the beats promised."""
    short = Answering(broker.url, name="r3", service="shop", responder="r3", stale_ms=30)
    async with short, Asking(broker.url, name="e2", service="shop", edge=EDGE, stale_ms=30) as quick:
        await short.beat(["render"], FACTS, takes=True)

        async def is_gone() -> bool:
            return not await redis.exists("bus:responder:{shop}:r3")

        await eventually(is_gone)
        await asyncio.sleep(0)
        assert await quick.ask("render", "q1", b"{}", ALICE, timeout_ms=1_000) is Standing.NOBODY


async def test_questions_of_a_moment_share_a_round_trip(asking: Asking, first: Responder, redis: Redis) -> None:
    """Many callers at once cost few round trips; a caller that gave up before its turn asks nothing."""
    await first.beat()
    await ask(asking, "q0")
    tasks = [asyncio.create_task(ask(asking, f"q{number}")) for number in range(1, 51)]
    await asyncio.sleep(0)  # the first is on its way, the others wait
    tasks[-1].cancel()
    await asyncio.wait(tasks)
    assert len({task.result().entry for task in tasks[:-1]}) == 49
    assert await redis.xlen("bus:questions:{shop}:render") == 50


async def test_callers_hear_of_a_cut_each(asking: Asking, first: Responder, redis: Redis) -> None:
    """Whoever waits when the line is cut has an error of its own; the next call goes well on a new line."""
    await first.beat()
    await ask(asking, "q0")
    await redis.execute_command("CLIENT", "PAUSE", 100, "WRITE")  # type: ignore[no-untyped-call]
    tasks = [asyncio.create_task(ask(asking, f"q{number}")) for number in range(1, 4)]
    (own,) = [one for one in await redis.client_list() if one["name"] == "edgebus-edge-test"]
    await redis.client_kill_filter(_id=own["id"])
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(it, BusError) for it in outcomes)
    assert len(set(map(id, outcomes))) == 3
    await ask(asking, "q9")
