"""Requests that a responder answers: over a real Redis, from a raw client to the function and back."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, cast

import pytest
from pydantic import BaseModel
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from bus.channel import Channel, Family
from bus.service import PastEvent, Request, Service
from edges import Edge, EdgeSettings
from edges.session import live
from producers import Asker, RequestRefused, Responder
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import Client

THINGS = Family("things:{thing}")
KEY = "bus:questions:{shop}:render"


class Render(BaseModel):
    component: str


class Count(BaseModel):
    thing: str


class Rendered(BaseModel):
    html: str


class Counted(BaseModel):
    count: int


def things(question: Count) -> Sequence[Channel]:
    return [THINGS.fill(question.thing)]


def fold(_question: Count, past: Sequence[PastEvent]) -> Counted:
    return Counted(count=len(past))


RENDER = Request("render", Render, Rendered, permission="shop:do", timeout_s=20)
HASTY = Request("hasty", Render, Rendered, permission="shop:do", timeout_s=0.2)
COUNT = Request("count", Count, Counted, things, fold, live=True)
SHOP = Service("shop", 0, "Hello", (THINGS,), (), (RENDER, HASTY, COUNT))


@pytest.fixture
async def edge(broker: EmbeddedBroker, start_edge: StartEdge) -> Edge:
    edge = await start_edge(broker, SHOP, welcome_delay_ms=60_000, max_answer_bytes=10_000)
    await edge.ready()
    return edge


@pytest.fixture
async def client(edge: Edge, open_client: OpenClient) -> Client:
    client = await open_client(edge)
    await client.welcomed()
    return client


@pytest.fixture
async def responder(broker: EmbeddedBroker) -> AsyncIterator[Responder]:
    async with Responder(broker.url, SHOP) as responder:
        yield responder


@pytest.fixture
async def redis(broker: EmbeddedBroker) -> AsyncIterator[Redis]:
    async with Redis.from_url(broker.url) as redis:
        yield redis


@pytest.fixture
def hasty_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the edge look after questions at once, and believe at once that a responder is dead."""
    monkeypatch.setattr(live, "_LOOK_S", 0.01)
    monkeypatch.setattr(live, "_OVERDUE_S", 0.0)
    monkeypatch.setattr(live, "_AFTER_LINK_S", 0.0)


async def until(fact: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not fact():
            await asyncio.sleep(0.005)


async def answering(responder: Responder, redis: Redis, request: str = "render") -> None:
    """Wait until the responder takes questions."""
    async with asyncio.timeout(10):
        while not await redis.zscore(f"bus:responders:{{shop}}:{request}", responder.id):
            await asyncio.sleep(0.005)


async def ask(client: Client, verb: str = "render", **data: Any) -> Any:
    client.request(verb, **(data or {"component": "nav"}))
    while (message := await client.message())["type"] == "event":  # the edge tells of its link
        pass
    return message["error_code"] or message["data"]


async def test_question_is_answered_by_a_function(
    edge: Edge, client: Client, responder: Responder, redis: Redis
) -> None:
    """From the client to the function and back, with the model's data; Redis keeps nothing of the question."""

    @responder.answers(RENDER)
    async def render(question: Render, asker: Asker) -> Rendered:
        return Rendered(html=f"<{question.component}> {asker.user_id}")

    await answering(responder, redis)
    assert await ask(client) == {"html": "<nav> None"}
    assert await redis.xlen(KEY) == 0
    statistics = edge.questions()
    assert statistics is not None
    assert (statistics.asked, statistics.answered, statistics.under_way) == (1, 1, 0)
    assert responder.statistics().answered == 1


async def test_without_a_responder_the_client_hears_so_at_once(edge: Edge, client: Client, redis: Redis) -> None:
    """NO_RESPONDER, with when to try again, and nothing in Redis."""
    client.request("render", component="nav")
    message = await client.message()
    assert message["error_code"] == "NO_RESPONDER"
    assert "nothing was carried out" in message["error_message"]
    assert message["data"]["retry_after_ms"] > 0
    assert await redis.keys("bus:questions*") == []


async def test_wrong_question_never_reaches_redis(
    edge: Edge, client: Client, responder: Responder, redis: Redis
) -> None:
    """A question that is not of its model is refused at the edge, by the field."""
    asked: list[Render] = []
    responder.answers(RENDER)(asked.append)
    await answering(responder, redis)
    assert await ask(client, component=5) == "INVALID_REQUEST"
    statistics = edge.questions()
    assert statistics is not None
    assert (statistics.asked, asked) == (0, [])


async def test_caller_without_the_permission_is_not_asked_for(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient
) -> None:
    """A permission to read the whole service does not open a deed."""
    edge = await start_edge(broker, SHOP, anonymous_permissions=("shop:read",), welcome_delay_ms=60_000)
    client = await open_client(edge)
    await client.welcomed()
    assert await ask(client) == "FORBIDDEN"
    assert await ask(client, "count", thing="a") == {"count": 0}


async def test_responder_wins_over_the_fold_while_there(client: Client, responder: Responder, redis: Redis) -> None:
    """With both, the log answers until a responder is there, and again when it has left."""
    assert await ask(client, "count", thing="a") == {"count": 0}
    responder.answers(Count)(lambda question: {"count": 7})
    await answering(responder, redis, "count")
    assert await ask(client, "count", thing="a") == {"count": 7}
    await responder.close()
    assert await ask(client, "count", thing="a") == {"count": 0}


async def test_refusal_has_the_sentence_of_the_service(client: Client, responder: Responder, redis: Redis) -> None:
    """`RequestRefused` comes through with its code; any other error without its text."""

    @responder.answers(RENDER)
    def render(question: Render) -> Rendered:
        if question.component == "locked":
            raise RequestRefused("locked by bob", "FORBIDDEN")
        raise ValueError("secret")

    await answering(responder, redis)
    client.request("render", component="locked")
    message = await client.message()
    assert (message["error_code"], message["error_message"]) == ("FORBIDDEN", "locked by bob")
    client.request("render", component="x")
    message = await client.message()
    assert message["error_code"] == "INTERNAL_ERROR"
    assert "secret" not in message["error_message"]


async def test_question_too_long_under_way_is_a_timeout_and_its_answer_none(
    edge: Edge, client: Client, responder: Responder, redis: Redis
) -> None:
    """At the deadline the client hears so; what the thread returns later finds nothing, and is counted."""
    may_answer = threading.Event()

    @responder.answers(HASTY)
    def hasty(_: Render) -> Rendered:
        may_answer.wait(20)
        return Rendered(html="late")

    await answering(responder, redis, "hasty")
    try:
        client.request("hasty", component="nav")
        message = await client.message()
        assert message["error_code"] == "TIMEOUT"
        assert "may have been carried out" in message["error_message"]
        async with asyncio.timeout(10):
            while await redis.xlen("bus:questions:{shop}:hasty"):
                await asyncio.sleep(0.005)
    finally:
        may_answer.set()
    await until(lambda: responder.statistics().late == 1)
    assert await client.marked() == []


async def test_responder_that_dies_is_told_and_nobody_else_begins(
    hasty_looks: None, broker: EmbeddedBroker, edge: Edge, client: Client, responder: Responder, redis: Redis
) -> None:
    """The client of a question under way hears that it may have been carried out; another responder never gets it."""
    begun, may_answer = asyncio.Event(), asyncio.Event()

    @responder.answers(RENDER)
    async def render(_: Render) -> Rendered:
        begun.set()
        await may_answer.wait()
        return Rendered(html="late")

    await answering(responder, redis)
    client.request("render", component="nav")
    await begun.wait()
    async with Responder(broker.url, SHOP) as other:
        other.answers(RENDER)(lambda question: {"html": "other"})
        await answering(other, redis)
        # As if the process had died: no beat comes any more, and Redis lets the hash expire.
        (beats,) = [it for it in asyncio.all_tasks() if it.get_name() == f"beats of {responder.id}"]
        beats.cancel()
        await asyncio.wait([beats])
        await redis.delete(f"bus:responder:{{shop}}:{responder.id}")
        message = await client.message()
        assert message["error_code"] == "INTERNAL_ERROR"
        assert "may have been carried out, and is not asked again" in message["error_message"]
        may_answer.set()
        await until(lambda: responder.statistics().late == 1)
        assert await client.marked() == []
        assert other.statistics().answered == 0


async def test_answer_twice_and_by_strangers_counts_once(
    edge: Edge, client: Client, responder: Responder, redis: Redis, open_client: OpenClient
) -> None:
    """What is published on the edge's channel for no question under way, or is no answer, is counted and dropped."""
    questions = []

    @responder.answers(RENDER)
    async def render(question: Render) -> Rendered:
        ((_, fields),) = cast(Any, await redis.xrange(KEY))
        name = fields[b"id"].decode()
        questions.append(name)
        forged = b'{"html":"1"}' if question.component == "nav" else b'{"html":'
        await redis.publish(f"bus:answers:{edge.id}", name.encode() + b" answered " + forged)
        return Rendered(html="2")

    await answering(responder, redis)
    assert await ask(client) == {"html": "1"}
    await until(lambda: edge.questions().late == 1)  # type: ignore[union-attr]
    assert await ask(client, component="broken") == "INTERNAL_ERROR"
    await redis.publish(f"bus:answers:{edge.id}", b"x" * 10_000_000)
    await until(lambda: edge.questions().late == 3)  # type: ignore[union-attr]
    assert edge.questions().unreadable == 1  # type: ignore[union-attr]
    assert await client.marked() == []


async def test_answer_over_the_edges_bound_is_a_code(client: Client, responder: Responder, redis: Redis) -> None:
    """A responder with a larger bound than the edge gets no large answer past the edge."""
    responder.answers(RENDER)(lambda question: {"html": "x" * 20_000})
    await answering(responder, redis)
    client.request("render", component="nav")
    message = await client.message()
    assert message["error_code"] == "ANSWER_TOO_LARGE"
    assert "max_answer_bytes is 10000" in message["error_message"]


async def test_answer_missed_by_the_link_is_found(
    hasty_looks: None, edge: Edge, client: Client, responder: Responder, redis: Redis
) -> None:
    """An answer that was published while the edge's link was down is read from its key."""

    @responder.answers(RENDER)
    async def render(question: Render) -> Rendered:
        for one in await redis.client_list(_type="pubsub"):
            await redis.client_kill_filter(_id=one["id"])
        return Rendered(html="found")

    await answering(responder, redis)
    assert await ask(client) == {"html": "found"}


async def test_question_that_redis_has_lost_is_told(
    hasty_looks: None, edge: Edge, client: Client, responder: Responder, redis: Redis
) -> None:
    """A Redis that comes back empty holds no question: the client hears that it may have been carried out."""
    begun, may_answer = asyncio.Event(), asyncio.Event()

    @responder.answers(RENDER)
    async def render(_: Render) -> Rendered:
        begun.set()
        await may_answer.wait()
        return Rendered(html="late")

    await answering(responder, redis)
    client.request("render", component="nav")
    await begun.wait()
    await redis.delete(KEY)
    message = await client.message()
    may_answer.set()
    assert message["error_code"] == "UNAVAILABLE"
    assert "may have been carried out" in message["error_message"]


async def test_link_that_is_down_asks_nothing(
    edge: Edge, client: Client, responder: Responder, broker: EmbeddedBroker, redis: Redis
) -> None:
    """While Redis is away a question is UNAVAILABLE at once, and is not asked."""
    responder.answers(RENDER)(lambda question: {"html": "x"})
    await answering(responder, redis)
    await redis.aclose()
    await broker.stop()
    await until(lambda: edge.not_ready() is not None)
    assert await ask(client) == "UNAVAILABLE"
    assert edge.questions().asked == 0  # type: ignore[union-attr]


async def test_redis_that_does_not_answer_an_ask_is_told_as_unsure(
    edge: Edge, client: Client, responder: Responder, redis: Redis
) -> None:
    """An ask without an answer of Redis' is never repeated: the sentence says that the question may be there."""
    responder.answers(RENDER)(lambda question: {"html": "x"})
    await answering(responder, redis)
    assert await ask(client) == {"html": "x"}
    await redis.execute_command("CLIENT", "PAUSE", 200, "WRITE")  # type: ignore[no-untyped-call]
    client.request("render", component="nav")
    (asking,) = [one for one in await redis.client_list() if one["name"].endswith("-asking")]
    await redis.client_kill_filter(_id=asking["id"])
    while (message := await client.message())["type"] == "event":
        pass
    assert message["error_code"] == "UNAVAILABLE"
    assert "may have been asked" in message["error_message"]


async def test_answers_that_were_had_are_deleted(
    hasty_looks: None, edge: Edge, client: Client, responder: Responder, redis: Redis
) -> None:
    """Redis keeps an answer no longer than until the edge has said that it has it."""
    responder.answers(RENDER)(lambda question: {"html": "x"})
    await answering(responder, redis)
    await ask(client)
    async with asyncio.timeout(10):
        while await redis.keys("bus:answer:*"):
            await asyncio.sleep(0.005)


async def test_responder_finishes_before_it_leaves(client: Client, responder: Responder, redis: Redis) -> None:
    """Leaving, it answers what is under way; after that nobody is there, and none of its keys is."""
    begun, may_answer = asyncio.Event(), asyncio.Event()

    @responder.answers(RENDER)
    async def render(_: Render) -> Rendered:
        begun.set()
        await may_answer.wait()
        return Rendered(html="finished")

    await answering(responder, redis)
    client.request("render", component="nav")
    await begun.wait()
    closing = asyncio.create_task(responder.close())
    async with asyncio.timeout(10):
        while await redis.zcard("bus:responders:{shop}:render"):
            await asyncio.sleep(0.005)
    may_answer.set()
    assert (await client.message())["data"] == {"html": "finished"}
    await closing
    assert await redis.keys("bus:responder*") == []
    assert await ask(client) == "NO_RESPONDER"


async def test_no_more_questions_at_once_than_asked_for(
    broker: EmbeddedBroker, edge: Edge, open_client: OpenClient, redis: Redis
) -> None:
    """Past `max_at_once`, questions wait in Redis for whoever is free."""
    most, may_answer = [0], asyncio.Event()
    clients = [await open_client(edge) for _ in range(5)]
    async with Responder(broker.url, SHOP, max_at_once=2) as responder:

        @responder.answers(RENDER)
        async def render(_: Render) -> Rendered:
            most.append(responder.statistics().under_way)
            await may_answer.wait()
            return Rendered(html="")

        await answering(responder, redis)
        for one in clients:
            one.request("render", component="nav")
        await until(lambda: len(most) == 3 and edge.questions().asked == 5)  # type: ignore[union-attr]
        may_answer.set()
        for one in clients:
            assert (await one.message())["data"] == {"html": ""}
    assert max(most) == 2


async def test_edge_without_live_requests_asks_nothing(
    broker: EmbeddedBroker, start_edge: StartEdge, redis: Redis
) -> None:
    """A catalogue of folds alone costs no subscription, and no connection."""
    plain = Service("plain", 0, "Hello", (THINGS,), (), (Request("count", Count, Counted, things, fold),))
    edge = await start_edge(broker, plain)
    await edge.ready()
    assert edge.questions() is None
    assert await redis.pubsub_channels("bus:answers:*") == []
    assert not any("asking" in one["name"] for one in await redis.client_list())


def test_settings_of_questions() -> None:
    """Both have bounds."""
    settings = EdgeSettings()
    assert (settings.max_questions, settings.max_question_s) == (256, 60.0)
