"""Messages on an edge's channel for operators: whoever may publish there may also publish nonsense."""

import asyncio
import logging
import re
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from bus.admin.operator import Operator
from bus.admin.words import COMMAND_BYTES
from bus.broker.embedded import EmbeddedBroker
from bus.errors import AdminRefused, EdgeSilent
from edges.admin.asked import Unanswerable, read
from tests.edges.admin.bad_command_rows import GOOD, PAGE, REFUSED, REPLY, UNANSWERABLE, page_with_table
from tests.edges.admin.test_lists import heard
from tests.edges.conftest import StartEdge
from tests.edges.peers import eventually


def test_page_has_the_table() -> None:
    """docs/limits.md says what was tried here."""
    assert PAGE.read_text("utf-8") == page_with_table(), "python -m tests.edges.admin.bad_command_rows writes the table"


@pytest.mark.parametrize(("message", "why"), [it[1:] for it in UNANSWERABLE], ids=[it[0] for it in UNANSWERABLE])
def test_message_that_names_no_operator_is_passed_over(message: Any, why: str) -> None:
    """An edge answers on operators' channels and on no other, whatever a message says."""
    with pytest.raises(Unanswerable, match=re.escape(why)):
        read(message if isinstance(message, bytes) else orjson.dumps(message))


def test_operators_word_on_who_is_fit_for_a_log() -> None:
    """Nothing in a name breaks a line, and no name is long."""
    asked = read(orjson.dumps({**GOOD, "by": "a\n\x1b[31m" + "b" * 200}))
    assert (asked.by[:7], len(asked.by)) == ("a??[31m", 100)
    assert read(orjson.dumps({**GOOD, "by": 5})).by == "unknown"


async def test_bad_commands_are_answered_with_a_sentence(
    broker: EmbeddedBroker, start_edge: StartEdge, operator: Operator, redis: Redis
) -> None:
    """Each names the field; the edge goes on, and the next command is answered."""
    edge = await start_edge(broker)
    await heard(operator, edge)
    async with redis.pubsub() as pubsub:
        await pubsub.subscribe(REPLY)
        for verb, data, sentence in REFUSED:
            message = orjson.dumps({**GOOD, "id": verb, "verb": verb, "data": data})
            assert await redis.publish(f"bus:admin:{edge.id}", message) == 1
            answer = await _next(pubsub)
            assert (answer["id"], answer["edge"]) == (verb, edge.id)
            assert answer["error"] == sentence
        await redis.publish(f"bus:admin:{edge.id}", orjson.dumps(GOOD))
        assert (await _next(pubsub))["data"] == {}


async def _next(pubsub: Any) -> Any:
    async def message() -> Any:
        return await pubsub.get_message(ignore_subscribe_messages=True, timeout=0.1)

    found = await eventually(message)
    return orjson.loads(found["data"])


async def test_flood_of_commands_is_bounded_and_told_once(
    broker: EmbeddedBroker, start_edge: StartEdge, operator: Operator, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a thousand at once the edge takes what it answers in time; one line tells of the rest."""
    edge = await start_edge(broker)
    await heard(operator, edge)
    office = edge._parts.office  # noqa: SLF001
    for _ in range(1_000):
        office.take(orjson.dumps(GOOD))
    office.take(b"x" * (COMMAND_BYTES + 1))
    assert office.passed_over == 1_000 - 64 + 1
    told = [it for it in caplog.records if "passed over an operator" in it.getMessage() and it.levelno > logging.DEBUG]
    assert len(told) == 1
    assert edge.not_ready() is None
    with pytest.raises(AdminRefused):
        await operator.undrain(edge.id)


async def test_command_nobody_waits_for_is_not_carried_out(
    broker: EmbeddedBroker, start_edge: StartEdge, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drain that is read after the operator was told of silence would surprise everybody."""
    monkeypatch.setattr("edges.admin.office.ANSWER_S", -1.0)
    edge = await start_edge(broker)
    await heard(operator, edge)
    office = edge._parts.office  # noqa: SLF001
    office.take(orjson.dumps({**GOOD, "verb": "drain"}))
    await eventually(lambda: office.passed_over == 1)
    assert edge.not_ready() is None


async def test_edge_that_has_gone_does_not_listen(
    broker: EmbeddedBroker, start_edge: StartEdge, operator: Operator
) -> None:
    """Redis says at once that nobody hears; no two seconds are waited."""
    edge = await start_edge(broker)
    await heard(operator, edge)
    await edge.stop()
    with pytest.raises(EdgeSilent, match="does not listen") as silent:
        await operator.drain(edge.id)
    assert silent.value.edge == edge.id


async def test_edge_that_goes_between_question_and_answer_is_silent(
    broker: EmbeddedBroker, start_edge: StartEdge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same question has its answer before; a process that is killed stands in tests/journeys."""
    edge = await start_edge(broker)
    async with Operator(broker.url, answer_s=0.3) as operator:
        await heard(operator, edge)
        with pytest.raises(AdminRefused, match="no operator drains"):
            await operator.undrain(edge.id)
        is_asked = asyncio.Event()

        async def hang(_: object) -> None:
            is_asked.set()
            await asyncio.get_running_loop().create_future()

        monkeypatch.setattr(edge._parts.office._verbs, "answer", hang)  # noqa: SLF001
        asking = asyncio.create_task(operator.undrain(edge.id))
        await is_asked.wait()
        await edge.stop()
        with pytest.raises(EdgeSilent, match="did not answer within"):
            await asking


async def test_edge_without_an_answer_is_silent_and_lists_say_so(
    broker: EmbeddedBroker, start_edge: StartEdge, redis: Redis
) -> None:
    """Somebody subscribed and says nothing: a list has the others' rows, and names the one without."""
    edge = await start_edge(broker)
    async with Operator(broker.url, answer_s=0.3) as operator, redis.pubsub() as pubsub:
        await heard(operator, edge)
        await redis.hset("bus:edge:dead-1", mapping={"service": "mahavishnu"})
        await redis.zadd("bus:edges", {"dead-1": 2**41})
        await pubsub.subscribe("bus:admin:dead-1")
        await _next_subscription(pubsub)
        page = await operator.clients()
        assert (page.rows, page.silent) == ((), ("dead-1",))
        with pytest.raises(EdgeSilent, match=r"dead-1 did not answer within 0\.3 s"):
            await operator.log_level("dead-1", "info")


async def _next_subscription(pubsub: Any) -> None:
    await eventually(lambda: pubsub.get_message(timeout=0.1))


async def test_answers_to_others_are_passed_over(broker: EmbeddedBroker, start_edge: StartEdge, redis: Redis) -> None:
    """An answer counts by the question's id and the edge that was asked: nobody guesses both."""
    edge = await start_edge(broker)
    async with Operator(broker.url) as operator:
        await heard(operator, edge)
        await operator.clients()
        channel = operator._desk._channel  # noqa: SLF001
        for message in (b"{", b"[]", b'{"id":"x"}', orjson.dumps({"id": "x", "edge": edge.id, "data": {}})):
            await redis.publish(channel, message)
        assert (await operator.clients()).silent == ()


async def test_looks_come_while_somebody_looks(
    broker: EmbeddedBroker, start_edge: StartEdge, operator: Operator, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A view a second, with every edge; some seconds after the last operator has gone, nothing is written any more."""
    for name, seconds in (("edges.admin.looks.INTEREST_S", 0.5), ("edges.admin.looks._EVERY_S", 0.05)):
        monkeypatch.setattr(name, seconds)
    monkeypatch.setattr("bus.admin.operator._LOOK_EVERY_S", 0.1)
    edge = await start_edge(broker)
    await heard(operator, edge)
    assert not await redis.exists(f"bus:look:{edge.id}")
    views = operator.look()
    async with asyncio.timeout(10):
        while not (view := await anext(views)).looks:
            assert view.silent == (edge.id,)
    (look,) = view.looks
    assert (look.edge, look.connections, look.rooms, look.clients) == (edge.id, 0, (), ())
    assert 0 < await redis.pttl(f"bus:look:{edge.id}") <= 5_000
    await views.aclose()  # type: ignore[attr-defined]
    await eventually(lambda: not edge._parts.hub.activity.is_watched)  # noqa: SLF001
