"""What a client that comes back is given, and what that costs: a closed room opens with the read of its replay."""

import asyncio

import pytest

from bus.log.forks import Fork
from bus.log.replay import Last, Since
from bus.position import Reason
from edges.rooms.room import Room
from tests.edges.hub_redis import Member, Redis, X, join


@pytest.fixture
def redis() -> Redis:
    """Return a Redis with five events."""
    redis = Redis()
    redis.publish(1, 2, 3, 4, 5)
    return redis


def entered(redis: Redis) -> tuple[Room, Member]:
    """Let a member into the room, which is open."""
    member = Member()
    room = redis.hub.join_now(X, member)
    assert room is not None
    return room, member


async def test_resume_opens_the_room_with_its_own_read(redis: Redis) -> None:
    """One read of the log, between two confirmations; the room then stands where the replay ends."""
    replay = await redis.hub.replay(X, Since("3-3"))
    assert [line.position for line in replay.lines] == ["4-4", "5-5"]
    assert (redis.reads, redis.heads) == ([X.log_key], [])
    assert redis.asked == ["+workflow:x", "+workflow:x"]
    room, member = entered(redis)
    assert room.position == replay.position == "5-5"
    redis.publish(6)
    redis.arrive()
    assert (member.got, redis.hub.statistics().gaps) == ([6], 0)


async def test_event_behind_the_read_of_a_resume_is_remembered(redis: Redis) -> None:
    """It is not in the replay, and arrives before the room opens: the room has it for the client."""
    redis.after_reading = [6]
    replay = await redis.hub.replay(X, Since("4-4"))
    assert [line.position for line in replay.lines] == ["5-5"]
    missing = redis.hub.missing(X, replay.position, is_told=False)
    assert [line.position for line in missing or ()] == ["6-6"]


async def test_client_from_further_back_has_the_log_read_once_more(redis: Redis) -> None:
    """The read of the first one went back to where that one stood; whoever stood before it is told nothing by it."""
    redis.publish(*range(6, 41))
    await redis.hub.replay(X, Since("40-40"))
    replay = await redis.hub.replay(X, Since("2-2"))
    assert (replay.reason, len(replay.lines)) == (None, 38)
    assert redis.reads == [X.log_key] * 2
    assert len((await redis.hub.replay(X, Since("30-30"))).lines) == 10
    assert redis.reads == [X.log_key] * 2


async def test_replay_to_where_the_room_stands_waits_for_no_confirmation(redis: Redis) -> None:
    """The lines up to there have come; where one is on its way, its confirmation is waited for."""
    await join(redis)
    asked = list(redis.asked)
    assert len((await redis.hub.replay(X, Last(2))).lines) == 2
    assert redis.asked == asked
    redis.publish(6)
    assert (await redis.hub.replay(X, Last(1))).position == "6-6"
    assert redis.asked == [*asked, "+workflow:x"]
    assert redis.on_the_way == []


async def test_resume_behind_an_entry_that_somebody_typed_opens_there(redis: Redis) -> None:
    """The next event names that entry, so the room stands at it, though no line of the bus's own does."""
    redis.server.do_xadd(X.log_key, {"note": "by hand"}, id="7-7")
    await redis.hub.replay(X, Since("4-4"))
    room, member = entered(redis)
    assert room.position == "7-7"
    redis.publish(8)
    redis.arrive()
    assert (member.got, redis.hub.statistics().gaps) == ([8], 0)


async def test_resume_of_a_log_whose_newest_entry_was_deleted_opens_before_it(redis: Redis) -> None:
    """The next event names the entry that is left."""
    redis.server.do_xdel(X.log_key, "5-5")
    await redis.hub.replay(X, Since("4-4"))
    assert entered(redis)[0].position == "4-4"


async def test_link_lost_while_a_resume_opens_is_noticed(redis: Redis) -> None:
    """What was published between two links came by neither: the log is read again on the new one."""

    def lose_link() -> None:
        if redis.generation == 1:
            redis.generation = 2
            redis.store(X, 9)

    redis.server.after_read = lose_link
    replay = await redis.hub.replay(X, Since("4-4"))
    assert (replay.position, entered(redis)[0].position) == ("9-9", "9-9")


async def test_comparison_owed_while_a_resume_opens_is_waited_for(redis: Redis) -> None:
    """A read from before it may be of another Redis: the replay is that of the log as it was found then."""

    def lose_link() -> None:
        redis.server.after_read = lambda: None
        redis.hub.link_went()

    redis.server.after_read = lose_link
    asking = asyncio.create_task(redis.hub.replay(X, Since("5-5")))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not asking.done()
    redis.lose(keep=3)
    await redis.hub.compare()
    assert (await asking).reason is Reason.DIVERGED


async def test_clients_at_one_place_share_the_lines(redis: Redis) -> None:
    """The same lines for all, from the log or from the room; others from elsewhere, or once the room is further."""
    await redis.hub.replay(X, Since("2-2"))
    room, _ = entered(redis)
    first = await redis.hub.replay(X, Since("2-2"))
    assert await redis.hub.replay(X, Since("2-2")) is first
    elsewhere = await redis.hub.replay(X, Since("3-3"))
    assert [line.position for line in elsewhere.lines] == ["4-4", "5-5"]
    redis.publish(6, 7)
    redis.arrive()
    assert room.sequencer.since("6-6") is room.sequencer.since("6-6")
    redis.publish(8)
    redis.arrive()
    replay = await redis.hub.replay(X, Since("6-6"))
    assert [line.position for line in replay.lines] == ["7-7", "8-8"]
    assert replay.position == room.position


async def test_shared_replay_hides_no_fork(redis: Redis) -> None:
    """A client that passes a fork is told so, though others passed the place before the fork was known."""
    await redis.hub.open(X)
    room, _ = entered(redis)
    redis.publish(6, 7, 8)
    redis.arrive()
    assert len((await redis.hub.replay(X, Since("6-6"))).lines) == 2
    assert room.sequencer.learn([Fork("7-7", 1)])
    assert room.sequencer.since("6-6") is None
