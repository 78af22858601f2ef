"""Reading logs: heads, history and lines; and the keys that an edge keeps."""

import json
from hashlib import sha1

import pytest

from bus.log.appending import SCRIPT, Appended
from bus.log.log import Head, Log
from bus.position import is_position
from tests.appending_log import AppendingLog
from tests.contract.brokers import Broker, Cli, Receiver, also_fake
from tests.contract.events import SHORT, SKILL, TICK, WORKFLOW, Short, Skill, Stage, Tick, entries, front

DAY_MS = 24 * 60 * 60 * 1000


async def fill(log: AppendingLog, name: str, count: int, text: str = "") -> list[str | None]:
    """Append so many events, and return their positions."""
    positions = []
    for start in range(0, count, 250):
        numbers = range(start, min(count, start + 250))
        outcomes = await log.append(entries(*(Stage(workflow_id=name, number=it, text=text) for it in numbers)))
        positions += [outcome.position for outcome in outcomes if isinstance(outcome, Appended)]
    assert len(positions) == count
    return positions


@also_fake
async def test_head_is_the_last_line_as_it_was_published(log: AppendingLog, receiver: Receiver) -> None:
    """The head of a log is its newest position, and the very bytes that subscribers got."""
    await receiver.subscribe("workflow:head", "skill:head")
    positions = await fill(log, "head", 3)
    await log.append(entries(Skill(workflow_id="head")))
    lines = await receiver.of("workflow:head", 3)
    (latest,) = await receiver.of("skill:head", 1)
    assert await log.heads([WORKFLOW.fill("head"), SKILL.fill("head")]) == [
        Head(positions[-1], lines[-1]),
        Head(front(latest)[0], latest),
    ]


async def test_head_without_a_log_is_the_time_of_redis(log: AppendingLog, redis: Cli) -> None:
    """The position of a room without a log is `<Redis ms>-0`; that of a `live` one is None."""
    seconds, micros = await redis.time()
    absent, live, other = await log.heads([WORKFLOW.fill("absent"), TICK.fill("absent"), SKILL.fill("absent")])
    assert absent.last is live.last is None
    assert live.position is None
    assert absent.position is not None
    assert is_position(absent.position)
    ms, _, number = absent.position.partition("-")
    assert number == "0"
    assert seconds * 1000 + micros // 1000 <= int(ms)
    assert other == absent
    assert await redis.exists(WORKFLOW.fill("absent").log_key) == 0


async def test_heads_come_in_the_order_they_were_asked_for(log: AppendingLog) -> None:
    """Many rooms are read in one go, each with its own end."""
    names = [f"many{number}" for number in range(300)]
    outcomes = await log.append(entries(*(Stage(workflow_id=name) for name in names)))
    heads = await log.heads([WORKFLOW.fill(name) for name in names])
    assert [head.position for head in heads] == [it.position for it in outcomes if isinstance(it, Appended)]
    assert [json.loads(head.last or b"")["room"] for head in heads] == [f"workflow:{name}" for name in names]
    assert await log.heads([]) == []


@also_fake
async def test_history_is_oldest_first(log: AppendingLog) -> None:
    """Past events come oldest first with name, data, time and position; a whole log is not truncated."""
    positions = await fill(log, "past", 3)
    history = await log.history(WORKFLOW.fill("past"))
    assert not history.truncated
    assert [event.position for event in history.events] == positions
    assert [event.data["number"] for event in history.events] == [0, 1, 2]
    assert {event.event for event in history.events} == {"workflow.stage"}
    assert all(event.timestamp == event.data["timestamp"] for event in history.events)


@pytest.mark.parametrize("count", [0, 1, 199, 200, 201, 400, 650])
async def test_history_longer_than_a_page_is_whole(log: AppendingLog, count: int) -> None:
    """A log is read in pages; at their borders nothing is missing and nothing doubled."""
    positions = await fill(log, "pages", count)
    history = await log.history(WORKFLOW.fill("pages"))
    assert [event.position for event in history.events] == positions
    assert not history.truncated


async def test_history_that_lost_its_beginning_says_so(log: AppendingLog, redis: Cli) -> None:
    """A log that was trimmed, by retention or by hand, is truncated."""
    for _ in range(3):
        await log.append(entries(*(Short(workflow_id="long", number=number) for number in range(200))))
    trimmed = await log.history(SHORT.fill("long"))
    assert trimmed.truncated
    assert 100 <= len(trimmed.events) < 600
    await fill(log, "byhand", 3)
    await redis.xtrim(WORKFLOW.fill("byhand").log_key, maxlen=2, approximate=False)
    by_hand = await log.history(WORKFLOW.fill("byhand"))
    assert by_hand.truncated
    assert [event.data["number"] for event in by_hand.events] == [1, 2]


async def test_history_is_bounded_in_bytes(log: AppendingLog) -> None:
    """Of a large log the newest lines within the bound are read, and it is truncated; one line is always read."""
    await fill(log, "bytes", 50, text="x" * 1_000)
    history = await log.history(WORKFLOW.fill("bytes"), limit_bytes=10_000)
    assert history.truncated
    assert [event.data["number"] for event in history.events] == list(range(50 - len(history.events), 50))
    assert 5 <= len(history.events) <= 9
    tiny = await log.history(WORKFLOW.fill("bytes"), limit_bytes=1)
    assert [event.data["number"] for event in tiny.events] == [49]
    assert tiny.truncated


async def test_lines_are_those_that_were_published(log: AppendingLog, receiver: Receiver) -> None:
    """The newest lines, oldest first, are the bytes that subscribers got."""
    await receiver.subscribe("workflow:lines")
    await fill(log, "lines", 10)
    published = await receiver.of("workflow:lines", 10)
    assert await log.lines(WORKFLOW.fill("lines"), count=4) == published[-4:]
    assert await log.lines(WORKFLOW.fill("lines"), count=100) == published
    assert await log.lines(WORKFLOW.fill("nothing"), count=5) == []


async def test_keep_begins_a_logs_life_anew(log: AppendingLog, redis: Cli) -> None:
    """The log of a room that somebody watches does not expire; what is not there is not made."""
    await fill(log, "kept", 1)
    await log.append(entries(Short(workflow_id="kept"), Tick(workflow_id="kept")))
    kept, short = WORKFLOW.fill("kept"), SHORT.fill("kept")
    await redis.pexpire(kept.log_key, 10_000)
    await redis.pexpire(short.log_key, 10_000)
    await log.keep([kept, short, TICK.fill("kept"), WORKFLOW.fill("not_there")])
    assert DAY_MS - 10_000 < await redis.pttl(kept.log_key) <= DAY_MS + 1_000
    assert 50_000 < await redis.pttl(short.log_key) <= 60_000
    assert await redis.exists(TICK.fill("kept").log_key, WORKFLOW.fill("not_there").log_key) == 0
    await log.keep([])


async def test_heads_of_rooms_that_open_keep_their_logs(log: AppendingLog, redis: Cli) -> None:
    """Where logs end and that they live on is one question; the answers are those of one that only reads."""
    await fill(log, "kept", 2)
    await fill(log, "emptied", 2)
    await redis.xtrim(WORKFLOW.fill("emptied").log_key, maxlen=0, approximate=False)
    channels = [WORKFLOW.fill(name) for name in ("kept", "absent", "emptied")]
    channels.insert(1, TICK.fill("kept"))
    for channel in channels:
        await redis.pexpire(channel.log_key, 10_000)
    (kept, live, absent, emptied), read = await log.heads(channels, keeps=True), await log.heads(channels)
    assert [kept, live, emptied] == [read[0], read[1], read[3]]
    assert (absent.last, (absent.position or "").partition("-")[2]) == (None, "0")
    assert DAY_MS - 10_000 < await redis.pttl(channels[0].log_key) <= DAY_MS + 1_000
    assert await redis.exists(channels[1].log_key, channels[2].log_key) == 0


async def test_announced_edge_is_there_until_it_withdraws_or_expires(log: AppendingLog, redis: Cli) -> None:
    """An edge's hash holds what it says, expires when it is not refreshed, and is gone at once when withdrawn."""
    key = "bus:edge:mahavishnu-h-8690-1"
    await log.announce(key, {"service": "mahavishnu", "port": 8690, "connections": 0}, expires_s=10)
    assert await redis.hgetall(key) == {b"service": b"mahavishnu", b"port": b"8690", b"connections": b"0"}
    assert 5_000 < await redis.pttl(key) <= 10_000
    await redis.pexpire(key, 1_000)
    await log.announce(key, {"service": "mahavishnu", "port": 8690, "connections": 7}, expires_s=10)
    assert await redis.hget(key, "connections") == b"7"
    assert 5_000 < await redis.pttl(key) <= 10_000
    await log.withdraw(key)
    assert await redis.exists(key) == 0
    await log.withdraw(key)


async def test_log_can_be_closed_twice_and_used_again(broker: Broker) -> None:
    """Closing is idempotent, and a later call connects anew."""
    log = AppendingLog(broker.url, name="edgebus-test")
    await log.ping()
    await log.close()
    await log.close()
    await log.ping()
    await log.close()


async def test_log_that_only_reads_asks_for_less(broker: Broker, redis: Cli) -> None:
    """A log that appends nothing reads and sets the epoch, and loads no script."""
    async with Log(broker.url, name="edgebus-test") as log:
        assert (await log.tail(WORKFLOW.fill("read"))).lines == ()
        assert await log.epoch()
    assert await redis.script_exists(sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()) == [False]


@also_fake
async def test_epoch_is_set_once(broker: Broker) -> None:
    """Whoever connects later leaves the epoch as it is."""
    async with (
        AppendingLog(broker.url, name="edgebus-one") as one,
        AppendingLog(broker.url, name="edgebus-other") as other,
    ):
        assert await one.epoch() == await other.epoch()


async def test_epoch_of_an_older_version_is_kept(broker: Broker, redis: Cli) -> None:
    """A Redis that an older version knew is the same one still: its key has another name, and goes on beside."""
    await redis.delete("bus:epoch")
    await redis.set("bus:birth", "1700000000000-0123abcd")
    async with (
        AppendingLog(broker.url, name="edgebus-one") as one,
        AppendingLog(broker.url, name="edgebus-other") as other,
    ):
        assert await one.epoch() == await other.epoch() == "1700000000000-0123abcd"
        assert (await other.tail(WORKFLOW.fill("old"))).epoch_ms == 1_700_000_000_000
    assert await redis.get("bus:birth") == b"1700000000000-0123abcd"


async def test_epoch_stays_whatever_an_older_version_writes(broker: Broker, redis: Cli) -> None:
    """An older version beside this one has a key of its own: it cannot make another Redis of this one."""
    async with AppendingLog(broker.url, name="edgebus-one") as one:
        epoch = await one.epoch()
        await redis.set("bus:birth", "1700000000000-0123abcd")
        async with AppendingLog(broker.url, name="edgebus-other") as other:
            assert await one.epoch() == await other.epoch() == epoch


@pytest.mark.parametrize("command", ["SET bus:birth soon", "RPUSH bus:birth 1700000000000-a"])
async def test_epoch_of_an_older_version_that_nobody_can_read_is_none(broker: Broker, redis: Cli, command: str) -> None:
    """What stands under the former name in another form is passed over: this Redis begins now."""
    await redis.delete("bus:epoch")
    await redis.execute_command(*command.split())
    async with AppendingLog(broker.url, name="edgebus-one") as one:
        tail = await one.tail(WORKFLOW.fill("odd"))
        assert 1_700_000_000_000 < tail.epoch_ms <= tail.now_ms
