"""What a client says by itself keeps to the rate that the edge's welcome names."""

import asyncio
import itertools
import math
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import orjson
import pytest
from websockets.exceptions import ConnectionClosed

from bus.broker.embedded import EmbeddedBroker
from clients import Received, connect
from clients.pace import Pace
from clients.settings import ClientSettings, Timing
from edges import Edge, EdgeSettings
from edges.limits.rates import Patience, TokenBucket
from producers import Producer
from producers.services.mahavishnu import SERVICE, WorkflowStarted
from tests.clients.fake_edge import CHANNEL, DEADLINE_S, FakeEdge, Talk, at, eventually, fake_edge, take

pytestmark = pytest.mark.virtual_time

# The bucket.


def said_s(pace: Pace, count: int, now: float = 0.0) -> Iterator[float]:
    """Return when each of ``count`` messages may go that are all to be said at once."""
    for _ in range(count):
        while wait_s := pace.wait_s(now):
            now += wait_s
        pace.spend(now)
        yield now


@pytest.mark.parametrize("rate", [1, 3, 10, 100, 1_000])
@pytest.mark.parametrize("late_s", [0.0, 0.9])
def test_no_edge_refuses_what_is_said_at_its_pace(rate: int, late_s: float) -> None:
    """Its bucket is the edge's own; all that was said in 0.9 s may even come at once."""
    pace, bucket = Pace(None, 0.0), TokenBucket(rate, 0.0)
    pace.welcomed(rate, 0.0)
    times = list(said_s(pace, 5 * rate + 500))
    assert times[-1] <= 5 + 500 / rate
    comes_s = [math.ceil(now / late_s) * late_s if late_s else now for now in times]
    assert [bucket.take(now) for now in comes_s] == [0.0] * len(times)


def test_before_the_welcome_little_is_said() -> None:
    """Eight messages at once, then the usual rate: the welcome follows the first answer."""
    times = list(said_s(Pace(None, 0.0), 108))
    assert times[7] == 0.0
    assert times[107] == pytest.approx(1.0)


def test_rate_of_another_connection_is_a_guess() -> None:
    """It is kept for the next one, but no more than fifty go before that one's own welcome."""
    assert list(said_s(Pace(10.0, 0.0), 11))[-1] == pytest.approx(0.1)
    assert list(said_s(Pace(1e6, 0.0), 50))[-1] == 0.0
    assert Pace(1e6, 0.0).wait_s(0.0) == 0.0


def test_what_was_said_before_the_welcome_counts() -> None:
    """It came out of the same bucket."""
    pace = Pace(None, 0.0)
    assert len(list(said_s(pace, 8))) == 8
    pace.welcomed(10.0, 0.0)
    assert list(said_s(pace, 3))[-1] == pytest.approx(0.1)


def test_caller_never_waits_and_is_counted() -> None:
    """A request goes at once; the client's own messages make room for it."""
    pace = Pace(10.0, 0.0)
    for _ in range(15):
        pace.spend(0.0)
    assert pace.wait_s(0.0) == pytest.approx(0.6)


def test_refusal_is_a_silence() -> None:
    """Nothing is said for as long as the edge wants, and one second more; then at the rate."""
    pace = Pace(10.0, 0.0)
    pace.refused(2.0, 0.0)
    pace.refused(0.1, 0.0)
    assert list(said_s(pace, 3)) == pytest.approx([3.0, 3.1, 3.2])


# The client.


class Flow:
    """Time that goes on from one sleep's end to the next, for a client and an edge that go by the same."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self._sleepers: list[tuple[float, int, asyncio.Event]] = []
        self._numbers = itertools.count()

    async def sleep(self, seconds: float) -> None:
        due = (self.now_s + seconds, next(self._numbers), asyncio.Event())
        self._sleepers.append(due)
        try:
            await due[2].wait()
        finally:
            self._sleepers.remove(due)

    def advance(self) -> bool:
        """Let the next sleep end; tell whether there was one."""
        if not self._sleepers:
            return False
        due = min(self._sleepers)
        self.now_s = max(self.now_s, due[0])
        due[2].set()
        return True

    def settings(self, **more: Any) -> ClientSettings:
        return ClientSettings(**more, timing=Timing(self.sleep, lambda: self.now_s, lambda: 0.5))


class StrictEdge:
    """An edge that counts as edges do, and confirms or refuses what is asked of it."""

    def __init__(self, talk: Talk, flow: Flow, rate: int) -> None:
        self._talk, self._flow, self._rate = talk, flow, rate
        self._bucket, self._patience = TokenBucket(rate, flow.now_s), Patience()
        self._is_welcomed = False
        self.rooms: set[str] = set()
        self.refusals = self.taken = 0

    async def serve(self) -> None:
        """Answer until the client has gone."""
        async for text in self._talk.websocket:
            await self._answer(orjson.loads(text))

    async def _answer(self, asked: dict[str, Any]) -> None:
        wait_s = self._bucket.take(self._flow.now_s)
        if wait_s:
            self.refusals += 1
            assert not self._patience.ends(self._flow.now_s), "dismissed"
            await self._talk.refuse(asked, "RATE_LIMIT_EXCEEDED", retry_after_ms=math.ceil(wait_s * 1000))
        else:
            await self._do(asked)
        if not self._is_welcomed:
            self._is_welcomed = True
            await self._talk.notice("session.created", rate_limit=self._rate)

    async def _do(self, asked: dict[str, Any]) -> None:
        self.taken += 1
        channel = asked["data"].get("channel")
        if asked["event"] == "subscribe":
            self.rooms.add(channel)
        elif asked["event"] == "unsubscribe":
            self.rooms.discard(channel)
        await self._talk.reply(asked, channel=channel, position=at(0), recovered=True, replayed=0)

    async def until(self, fact: Callable[[], bool]) -> None:
        """Let time go on, after all that is to be said at each moment, until ``fact()`` is true."""
        async with asyncio.timeout(DEADLINE_S * 3):
            await self._talk.settled()
            while not fact():
                self._flow.advance()
                await self._talk.settled()


@asynccontextmanager
async def strict_edge(edge: FakeEdge, flow: Flow, rate: int) -> AsyncIterator[StrictEdge]:
    talk = await edge.accept()
    strict = StrictEdge(talk, flow, rate)
    serving = asyncio.create_task(strict.serve())
    yield strict
    await talk.cut()
    with suppress(ConnectionClosed):
        await serving


def names(first: int, count: int) -> list[str]:
    return [f"workflow:{number}" for number in range(first, first + count)]


@pytest.mark.parametrize(("rate", "rooms"), [(10, 40), (100, 450), (1, 12)])
async def test_rooms_are_joined_at_the_edges_rate(rate: int, rooms: int) -> None:
    """On every connection; the edge has nothing to refuse but, where it is stricter than any, before its welcome."""
    flow, wanted = Flow(), names(0, rooms)
    async with fake_edge() as edge, connect(edge.url, settings=flow.settings()) as client:
        kept = [client.subscribe(name) for name in wanted]
        for _ in range(2):
            async with strict_edge(edge, flow, rate) as strict:
                began_s = flow.now_s
                await strict.until(lambda: strict.rooms == set(wanted))
                assert strict.refusals <= (6 if rate == 1 else 0)
                assert flow.now_s - began_s <= rooms / rate + 6
            await eventually(lambda: not client.is_connected)
            await eventually(flow.advance)
            await eventually(lambda: client.is_connected)
        assert len(kept) == client.statistics().subscriptions


async def test_rooms_are_left_for_others_at_the_edges_rate() -> None:
    """A hundred for another hundred, with every default; what is asked meanwhile waits for none of it."""
    flow = Flow()
    async with fake_edge() as edge, connect(edge.url, settings=flow.settings()) as client:
        kept = [client.subscribe(name) for name in names(0, 100)]
        async with strict_edge(edge, flow, 100) as strict:
            await strict.until(lambda: len(strict.rooms) == 100)
            for subscription in kept:
                await subscription.aclose()
            others = [client.subscribe(name) for name in names(100, 100)]
            before = strict.taken
            assert (await client.request("ping"))["channel"] is None
            assert strict.taken - before < 150
            await strict.until(lambda: strict.rooms == {it.channel for it in others})
            assert strict.refusals == 0


async def test_room_that_was_not_joined_yet_is_left_in_silence() -> None:
    """What still waited to be said is not said, neither the one nor the other."""
    flow = Flow()
    async with fake_edge() as edge, connect(edge.url, settings=flow.settings()) as client:
        kept = [client.subscribe(name) for name in names(0, 30)]
        async with strict_edge(edge, flow, 10) as strict:
            for subscription in kept[8:]:
                await subscription.aclose()
            await strict.until(lambda: strict.taken == 8)
            assert (await client.request("ping"))["channel"] is None
            assert (strict.taken, strict.rooms) == (9, set(names(0, 8)))


async def test_caller_that_catches_up_before_its_room_was_left_joins_again() -> None:
    """The unsubscribe waits for the edge's pace, and the caller has taken all by then: the room is joined anew."""
    flow = Flow()
    async with fake_edge() as edge, connect(edge.url, settings=flow.settings(queue_limit=16)) as client:
        subscription = client.subscribe(CHANNEL)
        talk = await edge.accept()
        await talk.joins(0)
        asking = [asyncio.create_task(client.request("get")) for _ in range(20)]  # the pace is used up
        asked = [await talk.asked("get") for _ in asking]
        await talk.events(*range(1, 18))
        await talk.settled()
        await take(subscription, 17)
        for verb in ("unsubscribe", "subscribe"):
            said = asyncio.create_task(talk.asked(verb))
            for _ in range(100):
                if said.done():
                    break
                await talk.settled()
                flow.advance()
        assert (await said)["data"] == {"channel": CHANNEL, "since": at(16)}
        for it in asked:
            await talk.reply(it)
        await asyncio.gather(*asking)


async def test_refused_rooms_come_back_one_by_one() -> None:
    """An edge whose bucket somebody else emptied names one time to all; they are spread from there on."""
    flow = Flow()
    async with fake_edge() as edge, connect(edge.url, settings=flow.settings()) as client:
        kept = [client.subscribe(name) for name in names(0, 8)]
        talk = await edge.accept()
        for _ in kept:
            await talk.refuse(await talk.asked("subscribe"), "RATE_LIMIT_EXCEEDED", retry_after_ms=500)
        came_s: list[float] = []
        asking = asyncio.create_task(talk.asked("subscribe"))
        while len(came_s) < len(kept):
            await talk.settled()
            if asking.done():
                came_s.append(flow.now_s)
                asking = asyncio.create_task(talk.asked("subscribe"))
            else:
                flow.advance()
        asking.cancel()
        assert came_s == pytest.approx([101.5 + number / 100 for number in range(8)])


async def test_unsubscribe_that_was_refused_is_said_again() -> None:
    """Else the edge would go on to send what nobody wants; unless the room is wanted again by then."""
    flow = Flow()
    async with fake_edge() as edge, connect(edge.url, settings=flow.settings()) as client:
        talk = await edge.accept()
        one, other = client.subscribe("pool:1"), client.subscribe("pool:2")
        await talk.joins(0)
        await talk.joins(0)
        await one.aclose()
        await other.aclose()
        refused = [await talk.asked("unsubscribe"), await talk.asked("unsubscribe")]
        again = client.subscribe("pool:2")
        await talk.joins(0)
        for asked in refused:
            await talk.refuse(asked, "RATE_LIMIT_EXCEEDED", retry_after_ms=500)
        await talk.settled()
        flow.advance()
        asked = await talk.asked("unsubscribe")
        assert asked["data"] == {"channel": "pool:1"}
        await talk.reply(asked, status="unsubscribed")
        await talk.settled()
        flow.advance()
        asking = asyncio.create_task(client.request("ping"))
        await talk.reply(await talk.asked("ping"))
        await asking
        assert again.channel == "pool:2"


async def test_renewal_that_was_refused_is_said_again() -> None:
    """A token that the edge had no time to look at is shown once more, before the old one ends."""
    flow = Flow()
    async with fake_edge() as edge:
        client = connect(edge.url, token=lambda: "t", settings=flow.settings())
        opening = asyncio.create_task(client.__aenter__())
        talk = await edge.accept()
        await talk.reply(await talk.asked("auth"), status="authenticated")
        await opening
        for _ in range(5):  # a bug, or somebody with redis-cli; one renewal is under way at a time
            await talk.notice("auth.expiring", expires_in_ms=60_000)
        await talk.refuse(await talk.asked("auth"), "RATE_LIMIT_EXCEEDED", retry_after_ms=700)
        await talk.settled()
        flow.advance()
        assert flow.now_s == pytest.approx(100.7)
        await talk.reply(await talk.asked("auth"), status="authenticated")
        asking = asyncio.create_task(client.request("ping"))
        await talk.reply(await talk.asked("ping"))
        await asking
        await client.close()


async def test_real_edge_has_nothing_to_refuse(broker: EmbeddedBroker, producer: Producer) -> None:
    """Rooms are joined, all of them left for others, and those are heard."""
    rate, count = 25, 50
    settings = EdgeSettings(port=0, redis_url=broker.url, message_rate_limit=rate, max_rooms=4 * rate)
    async with Edge(SERVICE, settings) as edge:
        await eventually(lambda: edge.not_ready() is None)
        async with connect(f"ws://127.0.0.1:{edge.port}") as client:
            first = [client.subscribe(name) for name in names(0, count)]
            await first[-1].joined()
            for subscription in first:
                await subscription.aclose()
            others = [client.subscribe(name) for name in names(count, rate)]
            await others[-1].joined()
            await producer.publish(WorkflowStarted(workflow_id=str(count + rate - 1)))
            [event] = await take(others[-1])
            assert isinstance(event, Received)
            assert client.statistics().connections == 1
            assert edge.statistics()[0].limited["message_rate_limit"] == 0
