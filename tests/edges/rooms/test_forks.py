"""A log that lost events over a failover: the edge that had them leaves a mark, and every other edge tells by it."""

import asyncio
from typing import Any

import pytest

from bus.channel import LATEST
from bus.envelope import Arrived
from bus.errors import BusError, BusUnavailable
from bus.log.forks import Fork
from bus.log.log import Head
from bus.log.replay import Since
from bus.position import BEGINNING, Reason
from edges.rooms import recovery as mending
from edges.rooms.room import Room
from tests.edges.hub_redis import Redis, X, join
from tests.edges.peers import eventually
from tests.edges.rooms.test_recovery import chain, mend, tail, told
from tests.edges.rooms.test_room import event, head, opened

FORK = Fork("3-3", 9_000)


# What a room makes of it.


def test_room_that_had_more_finds_a_fork() -> None:
    """It had 4 and 5, which this Redis lacks: behind 3 events were lost, and that is to be marked."""
    room = opened(head(5))
    room.lose_sync()
    assert room.recover(tail(*chain(1, 3)).replay(Since(room.begin_recovery() or "")), now_ms=9_000)
    assert room.forks.unmarked == (FORK,)
    room.forks.marked([FORK])
    assert list(room.forks.unmarked) == []
    assert room.forks.crosses("3-3", has_stayed=True)
    assert not room.forks.crosses("2-2", has_stayed=True)


@pytest.mark.parametrize("lines", [(), (Arrived(b"{}", "7-9", BEGINNING),)], ids=["no log", "another log"])
def test_room_whose_whole_log_is_gone_finds_a_fork_at_its_beginning(lines: tuple[Arrived, ...]) -> None:
    """A replica took over that had nothing of the log: who came before its first event missed all of it."""
    room = opened(head(5))
    room.lose_sync()
    assert room.recover(tail(*lines).replay(Since(room.begin_recovery() or "")), now_ms=9_000)
    assert room.forks.unmarked == (Fork(BEGINNING, 9_000),)
    assert room.forks.crosses("4-0", has_stayed=True)
    assert not room.forks.crosses("99000-0", has_stayed=True)


def test_redis_that_began_anew_has_no_fork() -> None:
    """Its epoch tells everybody who was there before; a mark would tell those who came since, too."""
    room = opened(head(5))
    room.lose_sync()
    assert room.recover(tail(epoch_ms=8_000).replay(Since(room.begin_recovery() or "")), now_ms=9_000, epoch_ms=8_000)
    assert room.forks.unmarked == ()


@pytest.mark.parametrize("read", [chain(1, 7), chain(7, 9)], ids=["filled", "trimmed"])
def test_gap_that_is_filled_or_trimmed_is_no_fork(read: tuple[Arrived, ...]) -> None:
    """The log has, or had, all there was."""
    room = opened(head(5))
    room.lose_sync()
    assert mend(room, tail(*read))
    assert room.forks.unmarked == ()


def test_room_learns_of_a_fork_and_tells_it_once() -> None:
    """Another edge found it: members may have passed it, so they are told where they are."""
    room = opened(head(5))
    assert room.learn([FORK])
    assert told(room) == [("3-3", "5-5", "diverged")]
    assert not room.learn([FORK, Fork("3-3", 9_500)])
    assert (told(room), room.forks.unmarked) == ([], ())
    assert room.accept(event(6))
    assert room.forks.crosses("3-3", has_stayed=True)


def test_room_knows_what_was_marked_before_it_opened() -> None:
    """Its members came later, and are told nothing."""
    room = opened(Head("5-5", event(5).line, (FORK,)))
    assert not room.learn([FORK])
    assert told(room) == []
    assert room.forks.crosses("3-3", has_stayed=True)


def test_room_that_waits_for_its_log_learns_later() -> None:
    """What it is mended with says where its members stand."""
    room = opened(head(5))
    room.lose_sync()
    assert not room.learn([FORK])
    assert mend(room, tail(*chain(1, 6)))
    assert told(room) == [6]
    assert room.learn([FORK])


def test_latest_channel_learns_nothing() -> None:
    """It never tells a gap."""
    room = opened(head(5), retention=LATEST)
    assert not room.learn([FORK])
    assert told(room) == []


# What the hub makes of it.


@pytest.fixture
def redis() -> Redis:
    """Return a Redis with a hub on it."""
    return Redis()


def fail_over(redis: Redis, *, keep: int) -> None:
    """Let a replica take over that has the first ``keep`` events."""
    redis.lose(keep=keep)
    redis.on_the_way.clear()
    redis.hub.link_went()
    redis.generation += 1


def room_of(redis: Redis) -> Room:
    """Return the one open room."""
    return redis.hub._rooms[X.redis.encode()]  # noqa: SLF001 (nothing else tells whether a room waits)


async def test_fork_is_marked_before_the_comparison_ends(redis: Redis) -> None:
    """The edge had 4 and 5; whoever asks another edge for what follows 3 must find the mark."""
    await join(redis)
    redis.publish(1, 2, 3, 4, 5)
    redis.arrive()
    fail_over(redis, keep=3)
    await redis.hub.compare()
    assert [fork.position for fork in redis.marks] == ["3-3"]
    again = Redis(server=redis.server)
    await join(again)
    assert (await again.hub.replay(X, Since("3-3"))).reason is Reason.DIVERGED
    assert (await again.hub.replay(X, Since("2-2"))).reason is Reason.DIVERGED


async def test_mark_that_could_not_be_written_is_written_by_the_next_comparison(redis: Redis) -> None:
    """Redis went away in between: the room agrees with its log by now, and the mark is still owed."""
    await join(redis)
    redis.publish(1, 2, 3, 4, 5)
    redis.arrive()
    fail_over(redis, keep=3)
    redis.fails_to_mark = BusUnavailable("away")
    with pytest.raises(BusUnavailable):
        await redis.hub.compare()
    redis.fails_to_mark = None
    await redis.hub.compare()
    assert [fork.position for fork in redis.marks] == ["3-3"]


async def test_mark_that_redis_refuses_holds_nothing_up(redis: Redis) -> None:
    """A full Redis, or one that does not let the edge: the edge itself tells by what it knows."""
    await join(redis)
    redis.publish(1, 2, 3, 4, 5)
    redis.arrive()
    fail_over(redis, keep=3)
    redis.fails_to_mark = BusError("OOM")
    await redis.hub.compare()
    assert redis.marks == []
    assert (await redis.hub.replay(X, Since("2-2"))).reason is Reason.DIVERGED


@pytest.mark.parametrize("looks", [True, False])
async def test_members_are_told_of_a_mark_that_came_later(redis: Redis, looks: bool) -> None:
    """This edge compared first; when the other one has left its mark, a second look finds it, or the next one."""
    member = await join(redis)
    redis.publish(1, 2, 3)
    redis.arrive()
    fail_over(redis, keep=3)
    await redis.hub.compare()
    assert (await redis.hub.replay(X, Since("3-3"))).reason is None, "nobody can know yet"
    redis.publish(6)
    redis.arrive()
    redis.marks = [FORK]
    for _ in range(2):
        await (redis.hub.look() if looks else redis.hub.compare())
    assert sum(b"room.gap" in frame for frame in member.frames) == 1
    assert (await redis.hub.replay(X, Since("3-3"))).reason is Reason.DIVERGED
    assert (await redis.hub.replay(X, Since("6-6", has_stayed=True))).reason is None


async def test_room_and_replay_agree_on_who_passes_a_fork(redis: Redis) -> None:
    """A client that catches up behind a new fork is in the room next: refused there it would read without a pause."""
    await join(redis)
    redis.publish(1, 2, 3, 4, 5)
    redis.arrive()
    fail_over(redis, keep=3)
    await redis.hub.compare()
    redis.publish(6)
    redis.arrive()
    assert redis.hub.missing(X, "6-6", is_told=False) is not None
    assert redis.hub.missing(X, "3-3", is_told=False) is None


async def test_gap_found_while_redis_takes_a_mark_is_recovered(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recovery that marks has read the log already: what the room lacks since is read behind the mark."""
    marks, goes_on = asyncio.Event(), asyncio.Event()
    mark = redis.hub._recovery._log.mark  # noqa: SLF001 (Redis is slow for this command alone)

    async def slowly(*arguments: Any) -> None:
        marks.set()
        await goes_on.wait()
        await mark(*arguments)

    monkeypatch.setattr(redis.hub._recovery._log, "mark", slowly)  # noqa: SLF001
    await join(redis)
    redis.publish(1, 2, 3, 4, 5)
    redis.arrive()
    fail_over(redis, keep=3)
    comparing = asyncio.create_task(redis.hub.compare())
    await marks.wait()
    redis.publish(6, 7)
    del redis.on_the_way[0]
    redis.arrive()
    assert not room_of(redis).sequencer.is_in_sync
    goes_on.set()
    await comparing
    await eventually(lambda: room_of(redis).sequencer.is_in_sync)


async def test_mark_that_a_second_takeover_lost_is_left_again(redis: Redis) -> None:
    """The next replica had the log, and not yet the mark: the other edges are still to learn of the fork."""
    await join(redis)
    redis.publish(1, 2, 3, 4, 5)
    redis.arrive()
    fail_over(redis, keep=3)
    await redis.hub.compare()
    redis.publish(6)
    redis.arrive()
    redis.marks = []
    fail_over(redis, keep=4)
    await redis.hub.compare()
    assert [fork.position for fork in redis.marks] == ["3-3"]


async def test_mark_of_another_redis_is_not_left_again(redis: Redis) -> None:
    """A Redis that began anew says so by its epoch; who came since then has lost nothing."""
    await join(redis)
    redis.publish(1, 2, 3, 4, 5)
    redis.arrive()
    fail_over(redis, keep=3)
    await redis.hub.compare()
    redis.marks = []
    redis.lose(keep=0)
    redis.born = "9999-another"
    fail_over(redis, keep=0)
    await redis.hub.compare()
    assert redis.marks == []
    fail_over(redis, keep=0)
    await redis.hub.compare()
    assert redis.marks == []


async def test_reply_waits_for_the_comparison(redis: Redis) -> None:
    """Between the link's return and the end of the comparison nobody is told that nothing is missing."""
    await join(redis)
    redis.publish(1, 2, 3, 4, 5)
    redis.arrive()
    fail_over(redis, keep=3)
    asked = [asyncio.create_task(redis.hub.replay(X, Since(at))) for at in ("2-2", "3-3")]
    for _ in range(20):
        await asyncio.sleep(0)
    assert not any(task.done() for task in asked)
    await redis.hub.compare()
    assert [(await task).reason for task in asked] == [Reason.DIVERGED, Reason.DIVERGED]


async def test_reply_that_waits_is_refused_when_the_link_goes_again(redis: Redis) -> None:
    """The client is told to repeat it."""
    await join(redis)
    redis.hub.link_went()
    asked = asyncio.create_task(redis.hub.replay(X, Since("2-2")))
    await asyncio.sleep(0)
    redis.hub.link_went()
    with pytest.raises(BusUnavailable):
        await asked


async def test_reply_does_not_wait_for_ever(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """A comparison that does not come to its end is no reason to keep a client waiting."""
    monkeypatch.setattr(mending, "_COMPARED_S", 0.01)
    await join(redis)
    redis.hub.link_went()
    with pytest.raises(BusUnavailable):
        await redis.hub.replay(X, Since("2-2"))


async def test_comparison_of_an_earlier_link_lets_nobody_through(redis: Redis) -> None:
    """The link was lost again while rooms were compared: what was compared says nothing about the next one."""
    await join(redis)
    redis.hub.link_went()
    comparing = asyncio.create_task(redis.hub.compare())
    await asyncio.sleep(0)
    redis.generation += 1
    redis.hub.link_went()
    await comparing
    asked = asyncio.create_task(redis.hub.replay(X, Since("2-2")))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not asked.done()
    await redis.hub.compare()
    await asked


async def test_room_is_not_closed_before_it_was_compared() -> None:
    """Its last member left while the link was down: what the room had seen is still to be compared."""
    redis = Redis(linger_s=0)
    member = await join(redis)
    redis.publish(1, 2, 3, 4, 5)
    redis.arrive()
    redis.is_up = False
    fail_over(redis, keep=3)
    redis.hub.leave(X, member)
    await redis.hub.close_empty()
    redis.is_up = True
    await redis.hub.close_empty()
    await redis.hub.compare()
    assert [fork.position for fork in redis.marks] == ["3-3"]
    await redis.hub.close_empty()
    await eventually(lambda: not redis.hub.channels)


async def test_line_of_an_expired_log_comes_before_those_of_the_next(redis: Redis) -> None:
    """A log is read, found to begin anew, and a line of the one before is still on its way: it was first."""
    member = await join(redis)
    redis.publish(1)
    redis.arrive()
    redis.publish(2, 3)  # 2 is lost on its way, 3 comes late
    del redis.on_the_way[0]
    late = redis.on_the_way.copy()
    redis.lose(keep=0)
    redis.publish(4)
    redis.on_the_way = late + redis.on_the_way[-1:]
    redis.hub._recovery.begin(suspected(redis))  # noqa: SLF001 (a gap that was found already)
    await eventually(lambda: 4 in member.events)
    assert member.events == [1, 3, 4]


def suspected(redis: Redis) -> Room:
    (room,) = redis.hub._rooms.values()  # noqa: SLF001 (the same)
    room.sequencer.lose_sync()
    return room
