"""Subscriptions across connections, at an edge that plays every part of the protocol."""

import asyncio
import gc

import pytest

from clients import (
    AlreadyFollowed,
    Gap,
    Interrupted,
    Received,
    Recovered,
    Refused,
    connect,
)
from tests.clients.fake_edge import CHANNEL, Waiting, at, eventually, fake_edge, short, take

pytestmark = pytest.mark.virtual_time


def is_interrupted(value: object, cause: str = "link") -> bool:
    return isinstance(value, Interrupted) and (value.channel, value.cause) == (CHANNEL, cause)


async def test_event_is_handed_over_with_what_the_edge_said_of_it() -> None:
    """A plain subscription yields the events that come, and only them; the position moves when one is taken."""
    async with fake_edge() as edge, connect(edge.url) as client:
        talk = await edge.accept()
        events = client.subscribe(CHANNEL)
        assert await talk.joins(0) == {"channel": CHANNEL}
        await talk.notice("session.created")
        await talk.events(1, 2)
        await events.joined()
        assert events.position == at(0)
        [first] = await take(events)
        assert first == Received(CHANNEL, "e1", "workflow.stage", {"n": 1}, "2026-01-01T00:00:00+00:00", at(1), "0-0")
        assert events.position == at(1)
        assert short(await take(events)) == [2]


@pytest.mark.parametrize(
    ("start", "asked"),
    [
        ({"since": at(5)}, {"since": at(5)}),
        ({"since": "-15m"}, {"since": "-15m"}),
        ({"since": "2026-01-01T00:00:00+00:00"}, {"since": "2026-01-01T00:00:00+00:00"}),
        ({"last": 3}, {"last": 3}),
    ],
)
async def test_start_is_passed_on_and_its_outcome_told(start: dict[str, object], asked: dict[str, object]) -> None:
    """What the caller gave goes to the edge as it is while no time has passed; a whole replay is announced."""
    async with fake_edge() as edge, connect(edge.url, settings=Waiting().settings()) as client:
        talk = await edge.accept()
        events = client.subscribe(CHANNEL, **start)  # type: ignore[arg-type]
        assert await talk.resumes(7, 2) == {"channel": CHANNEL, **asked}
        await talk.events(6, 7, 8)
        assert short(await take(events, 4)) == [Recovered(CHANNEL, 2), 6, 7, 8]


async def test_first_replay_that_is_not_whole_is_a_gap() -> None:
    """``recovered:false`` is told with its reason before the events that there are."""
    async with fake_edge() as edge, connect(edge.url) as client:
        talk = await edge.accept()
        events = client.subscribe(CHANNEL, since=at(1))
        await talk.resumes(9, 2, "trimmed")
        await talk.events(8, 9)
        assert short(await take(events, 3)) == [Gap(CHANNEL, at(1), at(8), "trimmed"), 8, 9]


async def test_lost_connection_is_resumed_after_the_last_event() -> None:
    """After a cut the room is asked for since the last event that came, taken or not, and nothing comes twice."""
    waiting = Waiting()
    async with fake_edge() as edge, connect(edge.url, settings=waiting.settings()) as client:
        talk = await edge.accept()
        events = client.subscribe(CHANNEL)
        await talk.joins(0)
        await talk.events(1, 2)
        assert short(await take(events)) == [1]
        await talk.cut()
        talk = await edge.accept()
        assert await talk.resumes(4, 2) == {"channel": CHANNEL, "since": at(2)}
        await talk.events(3, 4)
        values = await take(events, 5)
        assert is_interrupted(values[1])
        assert [short(values)[0], *short(values[2:])] == [2, Recovered(CHANNEL, 2), 3, 4]
        assert waiting.slept == [0.25]


async def test_room_where_nothing_came_is_resumed_from_where_the_log_stood() -> None:
    """Also an empty room has a position, so what is published while the client is away is replayed."""
    async with fake_edge() as edge, connect(edge.url, settings=Waiting().settings()) as client:
        talk = await edge.accept()
        events = client.subscribe(CHANNEL)
        await talk.joins(0)
        await talk.cut()
        talk = await edge.accept()
        assert await talk.resumes(1, 1) == {"channel": CHANNEL, "since": at(0)}
        await talk.event(1)
        assert short((await take(events, 3))[1:]) == [Recovered(CHANNEL, 1), 1]


async def test_drop_in_the_middle_of_a_replay_goes_on_there() -> None:
    """A second cut during the replay neither loses the rest nor repeats the first part."""
    async with fake_edge() as edge, connect(edge.url, settings=Waiting().settings()) as client:
        talk = await edge.accept()
        events = client.subscribe(CHANNEL, since=at(1))
        await talk.resumes(4, 3)
        await talk.event(2)
        await talk.cut()
        talk = await edge.accept()
        assert (await talk.resumes(4, 2))["since"] == at(2)
        await talk.events(3, 4)
        values = short(await take(events, 6))
        assert values[:2] + values[3:] == [Recovered(CHANNEL, 3), 2, Recovered(CHANNEL, 2), 3, 4]


async def test_drop_before_the_first_replayed_event_begins_anew() -> None:
    """What the reply announced and did not send is asked for again; a span reaches back to the same moment."""
    waiting = Waiting()
    async with fake_edge() as edge, connect(edge.url, settings=waiting.settings()) as client:
        talk = await edge.accept()
        events = client.subscribe(CHANNEL, since="-15m")
        await talk.resumes(4, 2)
        waiting.now_s += 29.5
        await talk.cut()
        talk = await edge.accept()
        assert (await talk.resumes(4, 2))["since"] == "-930s"
        await talk.events(3, 4)
        assert short(await take(events, 5))[2:] == [Recovered(CHANNEL, 2), 3, 4]


async def test_replay_that_overlaps_is_handed_over_once() -> None:
    """Events that the client had are dropped by their position, also in a replay that begins too early."""
    async with fake_edge() as edge, connect(edge.url, settings=Waiting().settings()) as client:
        talk = await edge.accept()
        events = client.subscribe(CHANNEL)
        await talk.joins(0)
        await talk.events(1, 2, 2, 3)
        await talk.cut()
        talk = await edge.accept()
        await talk.resumes(4, 4)
        await talk.events(1, 2, 3, 4, 4, 5)
        values = short(await take(events, 7))
        assert values[:3] + values[4:] == [1, 2, 3, Recovered(CHANNEL, 4), 4, 5]
        assert client.statistics().duplicates == 5


async def test_diverged_log_is_a_gap_even_where_nothing_in_it_is_new() -> None:
    """A replica that took over without the last events says so, and the caller learns it before anything else comes."""
    async with fake_edge() as edge, connect(edge.url, settings=Waiting().settings()) as client:
        talk = await edge.accept()
        events = client.subscribe(CHANNEL)
        await talk.joins(0)
        await talk.events(1, 2, 3)
        await talk.cut()
        talk = await edge.accept()
        await talk.resumes(2, 2, "diverged")
        await talk.events(1, 2)
        values = short(await take(events, 5))
        assert values[:3] + values[4:] == [1, 2, 3, Gap(CHANNEL, at(3), at(2), "diverged")]
        await talk.event(40, previous=2)
        assert short(await take(events)) == [40]


async def test_gap_inside_a_replay_is_told_in_its_place() -> None:
    """An edge that knows where events are gone says so: nothing is missing up to there, the gap follows behind."""
    async with fake_edge() as edge, connect(edge.url, settings=Waiting().settings()) as client:
        talk = await edge.accept()
        events = client.subscribe(CHANNEL)
        await talk.joins(0)
        await talk.events(1, 2)
        await talk.cut()
        talk = await edge.accept()
        assert (await talk.joins(8, recovered=False, reason="diverged", replayed=4, gap_after=at(5)))["since"] == at(2)
        await talk.events(3, 4, 5)
        await talk.notice("room.gap", CHANNEL, **{"from": at(5), "to": at(8), "reason": "diverged"})
        await talk.event(8, previous=5)
        await talk.event(9)
        values = short(await take(events, 10))
        assert values[:2] + values[3:] == [
            1,
            2,
            Recovered(CHANNEL, 4),
            3,
            4,
            5,
            Gap(CHANNEL, at(5), at(8), "diverged"),
            8,
            9,
        ]


async def test_hole_that_the_edge_tells_is_a_gap_in_its_place() -> None:
    """``room.gap`` comes out in order, and the event after it is no second gap."""
    async with fake_edge() as edge, connect(edge.url) as client:
        talk = await edge.accept()
        events = client.subscribe(CHANNEL)
        await talk.joins(0)
        await talk.event(1)
        await talk.notice("room.gap", CHANNEL, **{"from": at(1), "to": at(9), "reason": "trimmed"})
        await talk.events(9, 10)
        assert short(await take(events, 4)) == [1, Gap(CHANNEL, at(1), at(9), "trimmed"), 9, 10]


async def test_hole_that_the_edge_hides_is_a_gap_too() -> None:
    """Each event names the one before it; where that was not seen, the caller is told."""
    async with fake_edge() as edge, connect(edge.url) as client:
        talk = await edge.accept()
        events = client.subscribe(CHANNEL)
        await talk.joins(0)
        await talk.events(1, 3)
        assert short(await take(events, 3)) == [1, Gap(CHANNEL, at(1), at(3), "skipped"), 3]


async def test_live_channel_comes_back_with_a_gap() -> None:
    """A channel without a log cannot be resumed: it is joined again, and the caller knows that something may lack."""
    async with fake_edge() as edge, connect(edge.url, settings=Waiting().settings()) as client:
        talk = await edge.accept()
        events = client.subscribe("cursor:d1")
        await talk.joins(None)
        await talk.say(type="event", event="cursor.moved", room="cursor:d1", data={"n": 1}, position=None)
        await talk.cut()
        talk = await edge.accept()
        assert await talk.joins(None) == {"channel": "cursor:d1"}
        await talk.say(type="event", event="cursor.moved", room="cursor:d1", data={"n": 2}, position=None)
        values = short(await take(events, 4))
        assert [values[0], *values[2:]] == [1, Gap("cursor:d1", None, None, "live"), 2]


async def test_edge_that_does_not_replay_leaves_a_gap() -> None:
    """An answer that says nothing of recovery is no recovery."""
    async with fake_edge() as edge, connect(edge.url, settings=Waiting().settings()) as client:
        talk = await edge.accept()
        events = client.subscribe(CHANNEL, since=at(1))
        await talk.joins(3)
        assert await take(events) == [Gap(CHANNEL, at(1), at(3), "unknown")]


async def test_rooms_are_resumed_each_from_its_own_position() -> None:
    """Several subscriptions share a connection and nothing else."""
    async with fake_edge() as edge, connect(edge.url, settings=Waiting().settings()) as client:
        talk = await edge.accept()
        one, two = client.subscribe("pool:1"), client.subscribe("pool:2")
        await talk.joins(0)
        await talk.joins(5)
        await talk.events(1, 2, channel="pool:1")
        await talk.event(6, channel="pool:2")
        await take(one, 2)
        await talk.cut()
        talk = await edge.accept()
        asked = [await talk.resumes(2, 0), await talk.resumes(6, 0)]
        assert asked == [{"channel": "pool:1", "since": at(2)}, {"channel": "pool:2", "since": at(6)}]
        assert (await take(one, 2))[1] == Recovered("pool:1", 0)
        assert (await take(two, 3))[2] == Recovered("pool:2", 0)


async def test_refused_subscription_raises_and_leaves_the_others_alone() -> None:
    """What the edge will never grant ends that iterator with the code; the client goes on."""
    async with fake_edge() as edge, connect(edge.url) as client:
        talk = await edge.accept()
        wrong, right = client.subscribe("nope"), client.subscribe(CHANNEL)
        await talk.refuse(await talk.asked("subscribe"), "INVALID_CHANNEL")
        await talk.joins(0)
        with pytest.raises(Refused, match="INVALID_CHANNEL") as refused:
            await take(wrong)
        assert refused.value.code == "INVALID_CHANNEL"
        await talk.event(1)
        assert short(await take(right)) == [1]


async def test_refused_resumption_raises_after_what_came_before() -> None:
    """A right taken away meanwhile ends the iterator, not in silence and not before its last events."""
    async with fake_edge() as edge, connect(edge.url, settings=Waiting().settings()) as client:
        talk = await edge.accept()
        events = client.subscribe(CHANNEL)
        await talk.joins(0)
        await talk.event(1)
        await talk.cut()
        talk = await edge.accept()
        await talk.refuse(await talk.asked("subscribe"), "FORBIDDEN")
        values = await take(events, 2)
        assert short(values)[0] == 1
        assert is_interrupted(values[1])
        with pytest.raises(Refused, match="FORBIDDEN"):
            await take(events)


async def test_unavailable_bus_is_asked_again_when_advised() -> None:
    """``UNAVAILABLE`` is a pause with the edge's own delay, half as long again at most."""
    waiting = Waiting()
    async with fake_edge() as edge, connect(edge.url, settings=waiting.settings()) as client:
        talk = await edge.accept()
        events = client.subscribe(CHANNEL)
        await talk.refuse(await talk.asked("subscribe"), "UNAVAILABLE", retry_after_ms=2000)
        await talk.joins(0)
        values = await take(events, 2)
        assert is_interrupted(values[0], "bus")
        assert values[1] == Recovered(CHANNEL, 0)
        assert waiting.slept == [2.5]


async def test_pause_ends_with_its_connection() -> None:
    """A room that the edge put off is asked for at once on the next connection, and once only."""
    waiting = Waiting()
    async with fake_edge() as edge, connect(edge.url, settings=waiting.settings()) as client:
        talk = await edge.accept()
        events = client.subscribe(CHANNEL, since=at(1))
        waiting.is_held = True
        await talk.refuse(await talk.asked("subscribe"), "UNAVAILABLE", retry_after_ms=2000)
        await waiting.sleeper()
        await talk.cut()
        (await waiting.sleeper()).set()
        talk = await edge.accept()
        assert (await talk.resumes(1, 0))["since"] == at(1)
        assert (await take(events, 2))[1] == Recovered(CHANNEL, 0)


async def test_bus_that_goes_and_comes_is_told_to_every_room() -> None:
    """``bus.degraded`` interrupts, ``bus.restored`` recovers; events in between are not held back."""
    async with fake_edge() as edge, connect(edge.url) as client:
        talk = await edge.accept()
        events = client.subscribe(CHANNEL)
        await talk.joins(0)
        await talk.notice("bus.degraded", reason="no Redis")
        await talk.notice("bus.degraded", reason="no Redis")
        await talk.event(1)
        await talk.notice("bus.restored")
        await talk.notice("bus.restored")
        await talk.event(2)
        assert short(await take(events, 4)) == [
            Interrupted(CHANNEL, "bus", "no Redis"),
            1,
            Recovered(CHANNEL, 0),
            2,
        ]


async def test_slow_caller_leaves_the_room_and_goes_on_from_the_log() -> None:
    """A full queue costs the caller no event and the client no memory: the rest is read from the log later."""
    async with fake_edge() as edge, connect(edge.url, settings=Waiting().settings(queue_limit=16)) as client:
        talk = await edge.accept()
        events = client.subscribe(CHANNEL)
        await talk.joins(0)
        await talk.events(*range(1, 21))
        assert (await talk.asked("unsubscribe"))["data"] == {"channel": CHANNEL}
        await talk.event(21)
        assert client.statistics().waiting == 17
        assert short(await take(events, 9)) == list(range(1, 10))
        assert (await talk.resumes(21, 5))["since"] == at(16)
        await talk.events(17, 18, 19, 20, 21)
        values = await take(events, 14)
        assert short(values)[:7] == list(range(10, 17))
        assert is_interrupted(values[7], "slow")
        assert short(values)[8:] == [Recovered(CHANNEL, 5), 17, 18, 19, 20, 21]


async def test_slow_caller_stays_bounded_however_often_the_link_goes() -> None:
    """A caller who takes nothing gets no room back until it does, and its values do not pile up."""
    async with fake_edge() as edge, connect(edge.url, settings=Waiting().settings(queue_limit=16)) as client:
        events = client.subscribe(CHANNEL)
        for number in range(1, 21):
            talk = await edge.accept()
            if client.statistics().waiting <= 8:
                await talk.joins(number)
            await talk.cut()
        talk = await edge.accept()
        waiting = client.statistics().waiting
        assert 8 < waiting <= 17
        await take(events, waiting - 8)
        assert (await talk.resumes(20, 0))["channel"] == CHANNEL


async def test_slow_caller_holds_up_no_request() -> None:
    """The answer to a request arrives while a queue is full, so a loop may ask in its body."""
    async with fake_edge() as edge, connect(edge.url, settings=Waiting().settings(queue_limit=16)) as client:
        talk = await edge.accept()
        events = client.subscribe(CHANNEL)
        await talk.joins(0)
        await talk.events(*range(1, 40))
        await talk.asked("unsubscribe")
        asking = asyncio.create_task(client.request("get_workflow_status", workflow_id="42"))
        await talk.reply(await talk.asked("get_workflow_status"), status="running")
        assert await asking == {"status": "running"}
        await events.aclose()


async def test_break_unsubscribes() -> None:
    """Leaving ``async for`` is leaving the room; the channel can be subscribed anew at once."""
    async with fake_edge() as edge, connect(edge.url) as client:
        talk = await edge.accept()

        async def first() -> object:
            async for value in client.subscribe(CHANNEL):
                return value
            return None

        reading = asyncio.create_task(first())
        await talk.joins(0)
        await talk.event(1)
        assert short([await reading]) == [1]  # type: ignore[list-item]
        gc.collect()
        again = client.subscribe(CHANNEL)
        await talk.asked("unsubscribe")
        await talk.event(2)
        await talk.joins(2)
        await talk.event(3)
        assert short(await take(again)) == [3]


async def test_subscription_in_a_context_is_confirmed_inside_and_left_after() -> None:
    """``async with`` waits for the edge's confirmation and unsubscribes at its end."""
    async with fake_edge() as edge, connect(edge.url) as client:
        talk = await edge.accept()
        joining = asyncio.create_task(talk.joins(7))
        async with client.subscribe(CHANNEL) as events:
            assert events.position == at(7)
            assert events.channel == CHANNEL
        await joining
        await talk.asked("unsubscribe")
        with pytest.raises(StopAsyncIteration):
            await anext(events)


async def test_refused_context_raises_at_its_beginning() -> None:
    """``async with`` over a channel that is none fails on entry."""
    async with fake_edge() as edge, connect(edge.url) as client:
        talk = await edge.accept()

        async def enter() -> None:
            async with client.subscribe("nope"):
                pytest.fail("entered")

        entering = asyncio.create_task(enter())
        await talk.refuse(await talk.asked("subscribe"), "INVALID_CHANNEL")
        with pytest.raises(Refused):
            await entering


async def test_unsubscribe_ends_the_iterator() -> None:
    """``client.unsubscribe`` ends whoever iterates, and is harmless for what is not followed."""
    async with fake_edge() as edge, connect(edge.url) as client:
        talk = await edge.accept()
        events = client.subscribe(CHANNEL)
        await talk.joins(0)
        reading = asyncio.create_task(anext(events, None))
        await events.joined()
        client.unsubscribe(CHANNEL)
        client.unsubscribe(CHANNEL)
        assert await reading is None
        await talk.asked("unsubscribe")
        assert client.statistics().subscriptions == 0


async def test_channel_is_followed_once() -> None:
    """A second subscription of the same channel is refused by the client, with the remedy."""
    async with fake_edge() as edge, connect(edge.url) as client:
        events = client.subscribe(CHANNEL)
        with pytest.raises(AlreadyFollowed, match="unsubscribe first"):
            client.subscribe(CHANNEL)
        with pytest.raises(ValueError, match="one of them"):
            client.subscribe("pool:1", since="-1m", last=1)
        await events.aclose()


async def test_cancelled_wait_loses_no_event() -> None:
    """Cancelling ``anext`` leaves the next event where it is."""
    async with fake_edge() as edge, connect(edge.url) as client:
        talk = await edge.accept()
        events = client.subscribe(CHANNEL)
        await talk.joins(0)
        await events.joined()
        reading = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        reading.cancel()
        await talk.event(1)
        await eventually(lambda: client.statistics().waiting == 1)
        assert short(await take(events)) == [1]


async def test_what_the_client_does_not_understand_changes_nothing() -> None:
    """Messages that are no JSON, of another dialect or of rooms it is not in are passed over."""
    async with fake_edge() as edge, connect(edge.url) as client:
        talk = await edge.accept()
        events = client.subscribe(CHANNEL)
        await talk.joins(0)
        for text in ("nonsense", "[1]", '{"type":"connected"}', '{"type":"event"}', '{"type":"event","data":[]}'):
            await talk.websocket.send(text)
        await talk.say(type="response", correlation_id="unknown")
        await talk.say(type="response")
        await talk.refuse(None, "DECODE_ERROR")
        await talk.notice("of.tomorrow")
        await talk.event(1, channel="pool:other")
        await talk.event(1)
        assert short(await take(events)) == [1]
