import asyncio

import pytest

from bus.channel import HISTORY, LATEST, Channel
from bus.errors import BusUnavailable
from bus.log.replay import Since
from bus.position import Reason
from edges.rooms.room import Room
from tests.edges.hub_redis import Member, Redis, X, join
from tests.edges.peers import eventually

SLICE = 2_000


@pytest.fixture
def redis() -> Redis:
    """Return a Redis with a hub on it."""
    return Redis()


async def test_join_then_live(redis: Redis) -> None:
    """The first member opens the room where the log ends, and gets what comes after that."""
    redis.publish(1, 2)
    member = await join(redis)
    redis.publish(3)
    redis.arrive()
    assert (member.position, member.got) == ("2-2", [3])


async def test_join_of_two_at_once_shares_one_subscription(redis: Redis) -> None:
    """Two that come at once open one room; the second asks Redis for nothing more."""
    alone = Redis()
    await join(alone)
    await asyncio.gather(join(redis), join(redis))
    assert redis.asked == alone.asked
    assert len(redis.hub.channels) == 1


async def test_join_now_of_a_closed_room_changes_nothing(redis: Redis) -> None:
    """Nobody joins a room that is not open yet."""
    redis.may_confirm.clear()
    opening = asyncio.create_task(redis.hub.open(X))
    await asyncio.sleep(0)
    assert redis.hub.join_now(X, Member()) is None
    redis.may_confirm.set()
    await opening


@pytest.mark.parametrize("fault", ["fails_to_subscribe", "fails_to_read"])
async def test_open_failed_is_rolled_back(redis: Redis, fault: str) -> None:
    """A failure leaves no room and no subscription, and the next attempt succeeds."""
    setattr(redis, fault, True)
    with pytest.raises(BusUnavailable):
        await redis.hub.open(X)
    assert redis.hub.channels == []
    assert redis.subscribed == set()
    setattr(redis, fault, False)
    member = await join(redis)
    redis.publish(1)
    redis.arrive()
    assert member.got == [1]


async def test_open_failed_for_all_who_wait(redis: Redis) -> None:
    """Everybody who waits for a room that cannot be opened is told so."""
    redis.fails_to_subscribe = True
    outcomes = await asyncio.gather(*(redis.hub.open(X) for _ in range(3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [BusUnavailable] * 3
    assert redis.subscribed == set()


async def test_open_cancelled_is_rolled_back(redis: Redis) -> None:
    """Who gives up while the room opens leaves nothing behind."""
    redis.may_confirm.clear()
    opening = asyncio.create_task(redis.hub.open(X))
    await asyncio.sleep(0)
    opening.cancel()
    await asyncio.wait([opening])
    redis.may_confirm.set()
    assert redis.hub.channels == []
    await join(redis)
    assert redis.subscribed == {"workflow:x"}


async def test_leave_lingers_and_rejoin_keeps_the_room() -> None:
    """Who comes back within the linger finds the room open, and Redis is asked for nothing."""
    redis = Redis(linger_s=1_000)
    member = await join(redis)
    asked = list(redis.asked)
    redis.hub.leave(X, member)
    await redis.hub.close_empty()
    redis.publish(1)
    redis.arrive()
    again = Member()
    again.joined(redis.hub.join_now(X, again))
    redis.publish(2)
    redis.arrive()
    assert redis.asked == asked
    assert (member.got, again.position, again.got) == ([], "1-1", [2])


async def test_leave_then_rejoin_forgets_that_the_room_was_empty() -> None:
    """A room that somebody is in is not closed, however long ago it was empty."""
    redis = Redis(linger_s=0)
    member = await join(redis)
    redis.hub.leave(X, member)
    redis.hub.join_now(X, member)
    await redis.hub.close_empty()
    assert redis.subscribed == {"workflow:x"}


async def test_leave_of_the_last_closes_after_the_linger() -> None:
    """An empty room is unsubscribed once it lingered, and a later member opens it anew."""
    redis = Redis(linger_s=0)
    redis.hub.leave(X, await join(redis))
    await redis.hub.close_empty()
    assert redis.subscribed == set()
    assert redis.hub.channels == []
    redis.publish(1, 2)
    assert (await join(redis)).position == "2-2"


async def test_leave_of_one_keeps_the_others(redis: Redis) -> None:
    """Who leaves gets nothing more, who stays gets everything."""
    first, second = await join(redis), await join(redis)
    redis.hub.leave(X, first)
    redis.hub.leave(X, Member())
    redis.publish(1)
    redis.arrive()
    assert (first.got, second.got) == ([], [1])


async def test_open_without_a_join_is_closed_again() -> None:
    """A room that its opener no longer wanted is closed like any empty one."""
    redis = Redis(linger_s=0)
    await redis.hub.open(X)
    await redis.hub.close_empty()
    assert redis.subscribed == set()


async def test_join_while_the_room_closes() -> None:
    """Who arrives while Redis still has to confirm the end of the room gets a new one, and every event."""
    redis = Redis(linger_s=0)
    redis.hub.leave(X, await join(redis))
    redis.may_confirm.clear()
    closing = asyncio.create_task(redis.hub.close_empty())
    await eventually(lambda: redis.asked[-1] == "-workflow:x")
    joining = asyncio.create_task(join(redis))
    await asyncio.sleep(0)
    redis.may_confirm.set()
    member = await joining
    await closing
    redis.publish(1)
    redis.arrive()
    assert redis.subscribed == {"workflow:x"}
    assert member.got == [1]


async def test_merge_event_before_the_log_was_read(redis: Redis) -> None:
    """An event between confirmation and reading is in the position, and its late line is not delivered."""
    redis.publish(1)
    redis.before_reading = [2, 3]
    member = await join(redis)
    redis.arrive()
    redis.publish(4)
    redis.arrive()
    assert (member.position, member.got) == ("3-3", [4])
    assert redis.hub.statistics().gaps == 0


async def test_merge_first_events_ever_before_the_log_was_read(redis: Redis) -> None:
    """The same where the log begins while the room opens."""
    redis.before_reading = [1, 2]
    member = await join(redis)
    redis.arrive()
    redis.publish(3)
    redis.arrive()
    assert (member.position, member.got) == ("2-2", [3])


@pytest.mark.parametrize("stored", [[], [1]])
async def test_merge_event_after_the_log_was_read(redis: Redis, stored: list[int]) -> None:
    """An event between reading and opening is in the position or delivered; never lost, never late."""
    redis.publish(*stored)
    redis.after_reading = [2, 3]
    member = await join(redis)
    redis.arrive()
    known = {"1000-0": 0, "1-1": 1, "2-2": 2, "3-3": 3}[str(member.position)]
    assert member.got == [number for number in (2, 3) if number > known]
    redis.publish(4)
    redis.arrive()
    assert member.got[-1] == 4
    assert redis.hub.statistics().gaps == 0


async def test_merge_event_that_overtakes_the_reading(redis: Redis) -> None:
    """The link may bring an event before the answer about the log is read; the room must not wait for another one."""
    redis.publish(1)
    redis.after_reading = [2]
    opening = asyncio.create_task(join(redis))
    while not opening.done():
        redis.arrive()
        await asyncio.sleep(0)
    member = opening.result()
    redis.arrive()
    assert (member.position, member.got) in [("2-2", []), ("1-1", [2])]


async def test_replay_ends_behind_lines_that_were_on_their_way(redis: Redis) -> None:
    """The log has more than came by the link: when the replay is there so is the rest, and no second read is needed."""
    redis.publish(1, 2)
    await join(redis)
    redis.publish(3, 4)
    replay = await redis.hub.replay(X, Since("1-1"))
    room = redis.hub.join_now(X, Member())
    assert room is not None
    assert replay.position == room.position == "4-4"
    assert redis.hub.missing(X, replay.position, is_told=False) == ()


async def test_replay_of_a_log_that_is_gone_lets_its_reader_in(redis: Redis) -> None:
    """Somebody deleted the log: who comes back need not wait for the next event, and who stayed is told."""
    redis.publish(1, 2)
    member = await join(redis)
    redis.lose(keep=0)
    replay = await redis.hub.replay(X, Since("1-1"))
    assert (replay.reason, replay.lines) == (Reason.UNKNOWN, ())
    assert redis.hub.missing(X, replay.position, is_told=True) is None
    await eventually(lambda: b"room.gap" in b"".join(member.frames))
    assert redis.hub.missing(X, replay.position, is_told=True) == ()


async def test_latest_newcomer_gets_nothing_twice(redis: Redis) -> None:
    """A newcomer of a latest channel is shown the last event once, wherever its line is at that moment."""
    latest = Channel("workflow:x", "workflow:x", LATEST)
    redis.publish(1)
    redis.before_reading, redis.after_reading = [2], [3]
    member = await join(redis, latest)
    redis.arrive()
    redis.publish(4)
    redis.arrive()
    assert member.got in ([2, 3, 4], [3, 4])


async def test_lines_of_no_room_are_counted(redis: Redis) -> None:
    """What comes for a room that is gone reaches nobody, and is counted."""
    redis.hub.deliver([(b"workflow:gone", b"{}")])
    assert redis.hub.statistics().dropped == 1


@pytest.mark.parametrize(
    "odd",
    [
        b"nonsense",
        b"",
        b"[]",
        b"5",
        b'{"event":5,"data":{}}',
        b'{"event":"e"}',
        b'{"event":"e","data":[]}',
        b"\xff\xfe",
        b'{"position":null,"previous":null,"\xff"}',
        b'{"event":"e","data":{"a":NaN}}',
        b'{"event":"e","data":{"a":' + b"[" * 400 + b"]" * 400 + b"}}",
        b'{"event":"e","data":{"a":"' + b"x" * 2**18 + b'"}}',
    ],
    ids=[
        "no json",
        "empty",
        "list",
        "number",
        "event no text",
        "no data",
        "data no object",
        "no utf-8",
        "own and no utf-8",
        "nan",
        "deep",
        "long",
    ],
)
async def test_line_odd_is_dropped_and_neighbours_are_not(redis: Redis, odd: bytes) -> None:
    """What nobody could read is dropped and counted; the lines beside it in the same read are delivered."""
    member = await join(redis)
    redis.publish(1)
    redis.on_the_way.append((b"workflow:x", odd))
    redis.publish(2)
    redis.arrive()
    assert member.got == [1, 2]
    assert redis.hub.statistics().dropped == 1


async def test_rooms_with_members_are_a_running_number(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many rooms have members is known without a look at one of them; health is asked for often, and by anybody."""
    channels = [Channel(f"workflow:{n}", f"workflow:{n}", HISTORY) for n in range(5_000)]
    members = [await join(redis, channel) for channel in channels]
    again = Member()
    for member in (again, again):
        redis.hub.join_now(channels[0], member)
    redis.hub.leave(channels[0], members[0])
    redis.hub.suspend(channels[1], members[1])
    for channel, member in zip(channels[2:4], members[2:4], strict=True):
        redis.hub.leave(channel, member)
        redis.hub.leave(channel, member)
    looked = list[Room]()

    def look(room: Room) -> int:
        looked.append(room)
        return 1

    monkeypatch.setattr(Room, "__len__", look)
    assert (redis.hub.occupied, looked) == (4_998, [])
    assert redis.hub.statistics().rooms == 4_998
