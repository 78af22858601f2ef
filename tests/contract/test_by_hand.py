"""What people do to logs by hand: entries typed with XADD, keys of another type, logs that were emptied."""

import dataclasses
import logging
import math

import pytest

from bus.log.appending import Appended
from bus.log.forks import Fork
from bus.log.log import Head
from bus.log.replay import Since
from bus.position import BEGINNING, Reason, milliseconds
from bus.redis.keys import EPOCH_KEY
from tests.appending_log import AppendingLog
from tests.contract.brokers import Cli
from tests.contract.events import SKILL, WORKFLOW, Skill, Stage, entries, front
from tests.contract.test_read import fill
from tests.leaks import ours

CHANNEL = WORKFLOW.fill("hand")
TYPED = [
    {"note": "typed"},
    {"line": "{}"},
    {"previous": "0-0"},
    {"previous": "soon", "line": "{}"},
    {"previous": b"\xff-\xff", "line": "{}"},
    {"previous": "0-0", "line": "no object"},
    {"previous": "0-0", "line": b"{\xff}"},
]
NO_EVENTS = [
    '{"id":"x"}',
    '{"oops}',
    '{"event":"e"}',
    '{"event":5,"data":{},"timestamp":"t"}',
    '{"event":"e","data":[],"timestamp":"t"}',
    '{"event":"e","data":null,"timestamp":"t"}',
    '{"event":"e","data":{},"timestamp":5}',
    '{"event":"e","data":{"n":NaN},"timestamp":"t"}',
]


async def typed(redis: Cli, fields: object = None) -> str:
    """Type an entry at the end of the log; return its id."""
    newest = await redis.xrevrange(CHANNEL.log_key, count=1)
    ms = milliseconds(newest[0][0].decode()) + 1 if newest else 1
    entry_id = await redis.xadd(CHANNEL.log_key, fields or TYPED[0], id=f"{ms}-1")
    return str(entry_id.decode())


@pytest.mark.parametrize("fields", TYPED)
async def test_typed_entry_is_passed_over(log: AppendingLog, redis: Cli, fields: object) -> None:
    """An entry that the bus did not write stands in nobody's way, whatever reads the log."""
    before = await fill(log, "hand", 2)
    await typed(redis, fields)
    after = await fill(log, "hand", 2)
    assert [event.position for event in (await log.history(CHANNEL)).events] == [*before, *after]
    assert len(await log.lines(CHANNEL, count=10)) == 4
    assert [line.position for line in (await log.tail(CHANNEL)).lines] == after
    assert (await log.heads([CHANNEL]))[0].position == after[-1]


async def test_typed_entry_breaks_the_chain(log: AppendingLog, redis: Cli) -> None:
    """The event behind it names it, so who stood before it is told; who stood on it or behind it misses nothing."""
    before = await fill(log, "hand", 2)
    by_hand = await typed(redis)
    assert [(await log.tail(CHANNEL)).replay(Since(at or "")).reason for at in (*before, by_hand)] == [None, None, None]
    after = await fill(log, "hand", 2)
    tail = await log.tail(CHANNEL)
    reasons = [tail.replay(Since(at or "")).reason for at in (*before, by_hand, *after)]
    assert reasons == [Reason.TRIMMED, Reason.TRIMMED, None, None, None]


async def test_typed_entry_at_the_end_is_where_a_newcomer_stands(log: AppendingLog, redis: Cli) -> None:
    """The next event will name it; of the events before it the last one is the newest."""
    (before,) = await fill(log, "hand", 1)
    by_hand = await typed(redis)
    (head,) = await log.heads([CHANNEL])
    assert (head.position, head.last) == (by_hand, (await log.lines(CHANNEL, count=1))[0])
    assert f'"position":"{before}"'.encode() in (head.last or b"")
    (after,) = await fill(log, "hand", 1)
    tail = await log.tail(CHANNEL)
    assert [(line.position, line.previous) for line in tail.lines] == [(after, by_hand)]


async def test_log_of_typed_entries_alone_has_an_end(log: AppendingLog, redis: Cli) -> None:
    """Nothing in it can be read, and nothing fails."""
    by_hand = await typed(redis)
    assert await log.heads([CHANNEL]) == [Head(by_hand, None)]
    tail = await log.tail(CHANNEL)
    assert (tail.lines, tail.last, tail.position) == ((), by_hand, by_hand)
    assert (await log.history(CHANNEL)).events == []
    assert await log.lines(CHANNEL, count=5) == []


async def test_newest_lines_are_found_behind_typed_entries(log: AppendingLog, redis: Cli) -> None:
    """So many lines as were asked for, though entries among the newest are none."""
    await fill(log, "hand", 4)
    for _ in range(3):
        await typed(redis)
    lines = await log.lines(CHANNEL, count=3)
    assert len(lines) == 3


async def test_typed_entry_is_told_once(log: AppendingLog, redis: Cli, caplog: pytest.LogCaptureFixture) -> None:
    """One warning names the channel and the entry, however often the log is read, and shows nothing of its content."""
    await fill(log, "hand", 1)
    by_hand = await typed(redis, {"note": "secret"})
    with caplog.at_level(logging.WARNING, "edgebus.bus"):
        for _ in range(3):
            await log.tail(CHANNEL)
            await log.heads([CHANNEL])
            await log.history(CHANNEL)
    (record,) = ours(caplog.records)
    assert (vars(record)["channel"], vars(record)["entry"]) == (CHANNEL.redis, by_hand)
    assert "secret" not in str(vars(record))


async def test_key_of_another_type_is_no_log(log: AppendingLog, redis: Cli, caplog: pytest.LogCaptureFixture) -> None:
    """A key that somebody SET fails nobody else's read; its channel is one without a log, and that is told once."""
    others = await fill(log, "other", 1)
    await redis.set(CHANNEL.log_key, "by hand")
    with caplog.at_level(logging.WARNING, "edgebus.bus"):
        for _ in range(2):
            mine, other = await log.heads([CHANNEL, WORKFLOW.fill("other")])
    assert (mine.last, (mine.position or "").endswith("-0"), other.position) == (None, True, others[0])
    tail = await log.tail(CHANNEL)
    assert (tail.lines, tail.last) == ((), BEGINNING)
    assert (await log.history(CHANNEL)).events == []
    assert await log.lines(CHANNEL, count=5) == []
    assert len(ours(caplog.records)) == 1


@pytest.mark.parametrize("empties", ["xtrim", "xdel"])
async def test_head_of_an_emptied_log_is_its_last_id(log: AppendingLog, redis: Cli, empties: str) -> None:
    """The next event names the last id ever generated: a reader that stands there misses nothing."""
    positions = await fill(log, "hand", 3)
    if empties == "xtrim":
        await redis.xtrim(CHANNEL.log_key, maxlen=0, approximate=False)
    else:
        await redis.xdel(CHANNEL.log_key, *positions)
    assert await log.heads([CHANNEL]) == [Head(positions[-1], None)]
    await fill(log, "hand", 1)
    assert (await log.tail(CHANNEL)).lines[0].previous == positions[-1]


async def test_latest_event_is_found_behind_a_typed_entry(log: AppendingLog, redis: Cli) -> None:
    """A newcomer to a `latest` channel is shown its event, though somebody typed an entry after it."""
    channel = SKILL.fill("hand")
    (outcome,) = await log.append(entries(Skill(workflow_id="hand", number=7)))
    assert isinstance(outcome, Appended)
    await redis.xadd(channel.log_key, {"note": "typed"}, id=f"{milliseconds(outcome.position or '') + 1}-1")
    (head,) = await log.heads([channel])
    assert b'"number":7' in (head.last or b"")


FAR = ["9007199254740993-5", "18446744073709551615-1", "18446744073709551615-18446744073709551615"]


@pytest.mark.parametrize("far", FAR)
@pytest.mark.parametrize("is_gone", [False, True])
async def test_log_goes_on_behind_an_id_that_no_clock_gives(
    log: AppendingLog, redis: Cli, far: str, is_gone: bool
) -> None:
    """An entry typed past 2^53 ms holds up no event: it goes, the log's own entries stay, and the chain is whole."""
    before = await fill(log, "hand", 3)
    await redis.xadd(CHANNEL.log_key, TYPED[0], id=far)
    if is_gone:
        await redis.xdel(CHANNEL.log_key, far)
    after = await fill(log, "hand", 2)
    tail = await log.tail(CHANNEL)
    assert [line.position for line in tail.lines] == [*before, *after]
    assert tail.replay(Since(before[-1] or "")).reason is None
    assert tail.replay(Since(far)).reason is Reason.DIVERGED
    assert [entry_id.decode() for entry_id, _ in await redis.xrange(CHANNEL.log_key)] == [*before, *after]
    assert 0 < await redis.pttl(CHANNEL.log_key) <= CHANNEL.retention.life_ms


@pytest.mark.parametrize("far", FAR)
async def test_log_of_nothing_but_an_id_that_no_clock_gives(log: AppendingLog, redis: Cli, far: str) -> None:
    """Where nothing else is in the log, it begins anew."""
    await redis.xadd(CHANNEL.log_key, TYPED[0], id=far)
    (after,) = await fill(log, "hand", 1)
    assert [(it.position, it.previous) for it in (await log.tail(CHANNEL)).lines] == [(after, BEGINNING)]


async def test_repeated_attempt_finds_its_event_though_somebody_typed_far_behind_it(
    log: AppendingLog, redis: Cli
) -> None:
    """A repetition stores nothing twice there, and keeps the log from living for ever."""
    (entry,) = entries(Stage(workflow_id="hand"))
    (first,) = await log.append([entry])
    await redis.xadd(CHANNEL.log_key, TYPED[0], id=FAR[-1])
    (again,) = await log.append([dataclasses.replace(entry, since_ms=log.sent_ms)])
    assert isinstance(first, Appended)
    assert isinstance(again, Appended)
    assert again.position == first.position
    assert await redis.pttl(CHANNEL.log_key) > 0
    (other,) = await log.append([dataclasses.replace(entry, id="other", since_ms=log.sent_ms)])
    assert isinstance(other, Appended)


@pytest.mark.parametrize("line", NO_EVENTS)
async def test_line_that_is_no_event_is_left_out_of_the_past(log: AppendingLog, redis: Cli, line: str) -> None:
    """What looks like an entry of the bus's own, and holds no event, costs that entry; it is counted."""
    before = await fill(log, "hand", 1)
    await typed(redis, {"previous": before[0], "line": line})
    after = await fill(log, "hand", 1)
    counted = log.unreadable
    assert [event.position for event in (await log.history(CHANNEL)).events] == [*before, *after]
    assert log.unreadable > counted


@pytest.mark.parametrize(
    "line",
    [
        *NO_EVENTS[:6],
        '{"event":"e","data":{},"room":"workflow:other"}',
        '{"event":"e","data":{},"room":null}',
        '{"event":"room.left","data":{},"room":"workflow:hand"}',
    ],
)
async def test_line_that_no_client_should_read_is_passed_over(log: AppendingLog, redis: Cli, line: str) -> None:
    """What is typed into a log goes by the rules of what is typed on a channel: an event of this one, or none."""
    before = await fill(log, "hand", 1)
    await typed(redis, {"previous": before[0], "line": line})
    assert (await log.heads([CHANNEL]))[0].last == (await log.lines(CHANNEL, count=9))[-1]
    after = await fill(log, "hand", 1)
    assert [line.position for line in (await log.tail(CHANNEL)).lines] == after
    assert [front(line)[0] for line in await log.lines(CHANNEL, count=9)] == [*before, *after]


EPOCHS: list[object] = ["", "soon", b"\xff\xfe", "-5-a", "1e3-a", "1795000000000", f"{'9' * 30}-a", f"{'9' * 5000}-a"]


@pytest.mark.parametrize("epoch", EPOCHS, ids=lambda it: ascii(it)[:40])
async def test_epoch_that_nobody_can_read(
    log: AppendingLog, redis: Cli, epoch: object, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody can tell then when this Redis began, so whoever comes back is told so, and given what there is."""
    positions = await fill(log, "hand", 2)
    await redis.set(EPOCH_KEY, epoch)
    for _ in range(2):
        assert isinstance(await log.epoch(), str)
        replay = (await log.tail(CHANNEL)).replay(Since(positions[0] or ""))
        assert (replay.reason, [it.position for it in replay.lines]) == (Reason.UNKNOWN, positions)
    if epoch:
        (record,) = [it for it in ours(caplog.records) if it.levelname == "WARNING"]
        assert vars(record)["run"] == "redis-cli DEL bus:epoch"


async def test_epoch_of_another_type(log: AppendingLog, redis: Cli) -> None:
    """A key that somebody made a list fails nothing, either."""
    positions = await fill(log, "hand", 1)
    await redis.delete(EPOCH_KEY)
    await redis.rpush(EPOCH_KEY, "by hand")
    assert isinstance(await log.epoch(), str)
    assert (await log.tail(CHANNEL)).replay(Since(positions[0] or "")).reason is Reason.UNKNOWN
    await redis.delete(EPOCH_KEY)


@pytest.mark.parametrize("score", [math.inf, -math.inf, -1.0, 1e300, float(2**53)])
async def test_mark_that_nobody_can_read(
    log: AppendingLog, redis: Cli, score: float, caplog: pytest.LogCaptureFixture
) -> None:
    """A score that is no time, or a member that is no position, is passed over, counted and told once; others count."""
    await fill(log, "hand", 1)
    await redis.zadd(CHANNEL.forks_key, {"1-1": score, "soon": 5, b"\xff": 6, "2-2": 7})
    for _ in range(2):
        assert await log.forks([CHANNEL]) == [(Fork("2-2", 7),)]
    (head,) = await log.heads([CHANNEL])
    tail = await log.tail(CHANNEL)
    assert head.forks == tail.forks == (Fork("2-2", 7),)
    assert log.unreadable == 4
    (record,) = ours(caplog.records)
    assert vars(record)["key"] == CHANNEL.forks_key


async def test_marks_are_read_within_bounds(log: AppendingLog, redis: Cli) -> None:
    """However many somebody types, no edge reads them all."""
    await redis.zadd(CHANNEL.forks_key, {f"{number}-1": number for number in range(1, 10_001)})
    (marks,) = await log.forks([CHANNEL])
    assert len(marks) < 100
    assert marks[-1] == Fork("10000-1", 10_000)
