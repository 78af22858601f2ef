"""What is published arrives, in order and chained, and is kept as its family says."""

import asyncio
import itertools
import json
import re
import time
from itertools import pairwise

import pytest

from bus.channel import Channel
from bus.envelope import LINE_LIMIT_BYTES, splice
from bus.errors import BusError, PublishError, PublishIncomplete
from bus.log.appending import Appended, Entry
from producers import Producer
from tests.appending_log import AppendingLog
from tests.contract.brokers import Broker, Cli, Receiver, also_fake
from tests.contract.events import (
    GLOBAL,
    SHORT,
    SKILL,
    TICK,
    WORKFLOW,
    Many,
    Short,
    Skill,
    Stage,
    Started,
    Tick,
    entries,
    front,
    parts,
)

DAY_MS = 24 * 60 * 60 * 1000
SALT_LIMIT = 2**32
SEED = {"previous": "0-0", "id": "seed", "event": "seed.one", "line": '{"event":"seed.one","data":{},"timestamp":"t"}'}


async def append(log: AppendingLog, *events: Stage | Started | Short | Skill | Tick | Many) -> list[Appended]:
    """Append what must succeed."""
    outcomes = await log.append(entries(*events))
    appended = [outcome for outcome in outcomes if isinstance(outcome, Appended)]
    assert appended == outcomes
    return appended


async def now_ms(redis: Cli) -> int:
    seconds, micros = await redis.time()
    return int(seconds * 1000 + micros // 1000)


async def published(log: AppendingLog, receiver: Receiver, channel: Channel, *events: Stage) -> list[bytes]:
    """Append to a channel that is watched, and return what the receiver got for it."""
    before = sum(name == channel.redis for name, _ in receiver.lines)
    await append(log, *events)
    return (await receiver.of(channel.redis, before + len(events)))[before:]


@also_fake
async def test_line_arrives_byte_for_byte(log: AppendingLog, receiver: Receiver) -> None:
    """A subscriber gets the stored line with position and previous spliced in at its front, and nothing re-encoded."""
    await receiver.subscribe("workflow:bytes")
    (entry,) = entries(Stage(workflow_id="bytes", text='é\U0001f600 "\\ \n\x00 \x7f </script>'))
    (appended,) = await log.append([entry])
    assert isinstance(appended, Appended)
    assert appended.receivers == 1
    assert await receiver.of("workflow:bytes", 1) == [splice(entry.line, appended.position, "0-0")]


async def test_lines_arrive_in_the_order_of_the_log(log: AppendingLog, receiver: Receiver, redis: Cli) -> None:
    """What one sender appends, in one pipeline and over several, comes in that order, which is the log's."""
    await receiver.subscribe("workflow:order")
    for start in range(0, 300, 100):
        await append(log, *(Stage(workflow_id="order", number=number) for number in range(start, start + 100)))
    lines = await receiver.of("workflow:order", 300)
    assert [json.loads(line)["data"]["number"] for line in lines] == list(range(300))
    stored = await redis.xrange("bus:log:{workflow:order}")
    assert [front(line)[0] for line in lines] == [entry_id.decode() for entry_id, _ in stored]


@also_fake
async def test_positions_are_a_chain_from_the_beginning(log: AppendingLog, receiver: Receiver) -> None:
    """The first event's previous is 0-0 and each later one's the position before it; positions grow strictly."""
    await receiver.subscribe("workflow:chain")
    appended = await append(log, *(Stage(workflow_id="chain", number=number) for number in range(50)))
    fronts = [front(line) for line in await receiver.of("workflow:chain", 50)]
    assert [position for position, _ in fronts] == [one.position for one in appended]
    assert fronts[0][1] == "0-0"
    assert all(previous == before for (before, _), (_, previous) in pairwise(fronts))
    assert all(parts(one) < parts(other) for (one, _), (other, _) in pairwise(fronts))


async def test_senders_at_once_make_one_chain(broker: Broker, receiver: Receiver) -> None:
    """Several producers on one channel share its one chain, and nobody's event is lost or doubled."""
    await receiver.subscribe("workflow:crowd")
    async with Producer(broker.url) as one, Producer(broker.url) as other:
        await asyncio.gather(
            *(sender.publish(Stage(workflow_id="crowd", number=n)) for n in range(100) for sender in (one, other))
        )
    fronts = [front(line) for line in await receiver.of("workflow:crowd", 200)]
    assert fronts[0][1] == "0-0"
    assert all(previous == before for (before, _), (_, previous) in pairwise(fronts))
    assert len({position for position, _ in fronts}) == 200


async def test_position_is_the_time_of_redis_and_a_salt(log: AppendingLog, redis: Cli) -> None:
    """A position is the milliseconds of Redis' clock and a random number, so that time travel by XRANGE works."""
    before = await now_ms(redis)
    salts = set()
    for number in range(10):
        (appended,) = await append(log, Stage(workflow_id=f"salt{number}"))
        ms, salt = parts(appended.position)
        assert before <= ms <= await now_ms(redis)
        assert 1 <= salt <= SALT_LIMIT
        salts.add(salt)
    assert len(salts) == 10


@pytest.mark.parametrize("together", [False, True])
async def test_number_within_a_millisecond_grows_by_a_salt(
    log: AppendingLog, monkeypatch: pytest.MonkeyPatch, together: bool
) -> None:
    """In one millisecond n is that of the event before, plus one and the salt, to the digit, for all sizes of salts."""
    salts = (1, 7, 999_998, 1_000_000, 2_000_000_000, 4_000_000_007, SALT_LIMIT)
    drawn = itertools.cycle(salts)
    for module in ("appending", "several"):
        monkeypatch.setattr(f"bus.log.{module}.salt", lambda: next(drawn))
    found: list[tuple[int, int]] = []
    for _ in range(20):
        some = entries(*[Stage(workflow_id="within")] * 15)
        for batch in [some] if together else [[one] for one in some]:
            found += [parts(it.position) for it in await log.append(batch) if isinstance(it, Appended)]
    assert len(found) == 300
    steps = [n - last_n - 1 if ms == last_ms else n for (last_ms, last_n), (ms, n) in pairwise(found)]
    assert set(steps) <= set(salts)
    assert len({ms for ms, _ in found}) < len(found)


async def test_clock_behind_the_last_entry_grows_its_number(log: AppendingLog, receiver: Receiver, redis: Cli) -> None:
    """With the newest entry in the future, its millisecond stays and n grows by one and a salt; the chain goes on."""
    channel = WORKFLOW.fill("future")
    far_ms = await now_ms(redis) + 10 * DAY_MS
    await redis.xadd(channel.log_key, SEED, id=f"{far_ms}-5")
    await receiver.subscribe(channel.redis)
    lines = await published(log, receiver, channel, *(Stage(workflow_id="future", number=n) for n in range(20)))
    fronts = [front(line) for line in lines]
    assert fronts[0][1] == f"{far_ms}-5"
    assert all(previous == before for (before, _), (_, previous) in pairwise(fronts))
    numbers = [5] + [parts(position)[1] for position, _ in fronts]
    assert {parts(position)[0] for position, _ in fronts} == {far_ms}
    assert all(2 <= other - one <= 1 + SALT_LIMIT for one, other in pairwise(numbers))


async def test_number_near_its_limit_moves_the_millisecond_on(
    log: AppendingLog, receiver: Receiver, redis: Cli
) -> None:
    """Lua counts in doubles, so n never reaches 2^52: the millisecond moves on by one and n is a salt again."""
    channel = WORKFLOW.fill("limit")
    far_ms = await now_ms(redis) + 10 * DAY_MS
    await redis.xadd(channel.log_key, SEED, id=f"{far_ms}-{2**52 - 2}")
    await receiver.subscribe(channel.redis)
    lines = await published(log, receiver, channel, Stage(workflow_id="limit"), Stage(workflow_id="limit"))
    (first, first_previous), (second, second_previous) = map(front, lines)
    assert first_previous == f"{far_ms}-{2**52 - 2}"
    assert second_previous == first
    assert parts(first)[0] == parts(second)[0] == far_ms + 1
    assert 1 <= parts(first)[1] <= SALT_LIMIT
    assert parts(first)[1] < parts(second)[1] <= 2 * SALT_LIMIT + 1


@pytest.mark.parametrize("last", ["8888888888888-5", "8888888888888-4503599627370000", "18446744073709551615-1", "5-5"])
async def test_events_together_behind_a_strange_end_are_one_chain(
    log: AppendingLog, receiver: Receiver, redis: Cli, last: str
) -> None:
    """Behind a clock that was ahead, a number beyond doubles, or a typed id no clock gives: all come once, in order."""
    key = WORKFLOW.fill("strange").log_key
    await redis.xadd(key, {"previous": "0-0", "id": "x", "event": "e", "line": "{}"}, id=last)
    await receiver.subscribe("workflow:strange")
    appended = await append(log, *(Stage(workflow_id="strange", number=number) for number in range(5)))
    fronts = [front(line) for line in await receiver.of("workflow:strange", 5)]
    assert [position for position, _ in fronts] == [one.position for one in appended]
    assert fronts[0][1] == ("0-0" if last.startswith("184") else last)
    assert all(previous == before for (before, _), (_, previous) in pairwise(fronts))


async def test_events_of_many_channels_together(log: AppendingLog, receiver: Receiver, redis: Cli) -> None:
    """Events leave as few commands, each channel is a chain of its own, and a log that is not as usual costs itself."""
    names = [f"mix{number}" for number in range(60)]
    key_of = {name: WORKFLOW.fill(name).log_key for name in names}
    await redis.xadd(key_of["mix1"], SEED, id="8888888888888-5")  # ends ahead of the clock
    await redis.set(key_of["mix2"], "typed")
    await redis.xadd(key_of["mix3"], SEED)
    await redis.xtrim(key_of["mix3"], maxlen=0, approximate=False)
    await receiver.subscribe(*(f"workflow:{name}" for name in names if name != "mix2"))
    rounds = [Stage(workflow_id=name, number=number) for number in range(3) for name in names]
    some = entries(*rounds, *[Short(workflow_id=name) for name in names[:9]])
    outcomes = await log.append(some)
    failed = [one.channel.name for one, it in zip(some, outcomes, strict=True) if not isinstance(it, Appended)]
    assert failed == ["workflow:mix2"] * 3
    for name in set(names) - {"mix2"}:
        lines = await receiver.of(f"workflow:{name}", 3)
        fronts = [front(line) for line in lines]
        assert [json.loads(line)["data"]["number"] for line in lines] == [0, 1, 2]
        assert all(previous == at for (at, _), (_, previous) in pairwise(fronts))
        stored = await redis.xrevrange(key_of[name], count=3)
        assert [at.decode() for at, _ in stored[::-1]] == [at for at, _ in fronts]
        assert [f"{at} 1" for at, _ in fronts] == [
            f"{it.position} {it.receivers}"
            for one, it in zip(some, outcomes, strict=True)
            if isinstance(it, Appended) and one.channel.name == f"workflow:{name}"
        ]
        assert (fronts[0][1] == "0-0") == (name not in ("mix1", "mix3"))
        assert DAY_MS - 10_000 < await redis.pttl(key_of[name]) <= DAY_MS + 1_000


async def test_events_together_on_an_emptied_log_go_on_from_its_end(log: AppendingLog, redis: Cli) -> None:
    """A log that was emptied by hand has an end, and the events that come together are chained to that end."""
    key = WORKFLOW.fill("emptied").log_key
    (first,) = await append(log, Stage(workflow_id="emptied"))
    await redis.xtrim(key, maxlen=0, approximate=False)
    await append(log, *(Stage(workflow_id="emptied", number=number) for number in range(3)))
    stored = await redis.xrange(key)
    assert stored[0][1][b"previous"].decode() == first.position
    assert [fields[b"previous"] for _, fields in stored[1:]] == [entry_id for entry_id, _ in stored[:-1]]


async def test_number_beyond_doubles_does_not_raise(log: AppendingLog, redis: Cli) -> None:
    """An id that Redis allows and Lua cannot count, put there by hand, is passed by all the same."""
    channel = WORKFLOW.fill("huge")
    far_ms = await now_ms(redis) + 10 * DAY_MS
    await redis.xadd(channel.log_key, SEED, id=f"{far_ms}-{2**64 - 1}")
    (appended,) = await append(log, Stage(workflow_id="huge"))
    assert parts(appended.position)[0] == far_ms + 1


async def test_log_emptied_by_hand_continues_its_chain(log: AppendingLog, receiver: Receiver, redis: Cli) -> None:
    """After XTRIM to nothing the next event's previous is the last one there was, for whoever stands on it."""
    channel = WORKFLOW.fill("emptied")
    await receiver.subscribe(channel.redis)
    (before,) = await published(log, receiver, channel, Stage(workflow_id="emptied"))
    await redis.xtrim(channel.log_key, maxlen=0)
    assert await redis.xlen(channel.log_key) == 0
    first, second = await published(log, receiver, channel, Stage(workflow_id="emptied"), Stage(workflow_id="emptied"))
    assert front(first)[1] == front(before)[0]
    assert front(second)[1] == front(first)[0]
    assert parts(front(first)[0]) > parts(front(before)[0])


async def test_newest_entry_deleted_by_hand_leaves_a_chain(log: AppendingLog, receiver: Receiver, redis: Cli) -> None:
    """After XDEL of the newest entry the next event follows an entry that is or was there, and later ones follow it."""
    channel = WORKFLOW.fill("deleted")
    await receiver.subscribe(channel.redis)
    kept, gone = await published(log, receiver, channel, Stage(workflow_id="deleted"), Stage(workflow_id="deleted"))
    assert (position := front(gone)[0]) is not None
    assert await redis.xdel(channel.log_key, position) == 1
    first, second = await published(log, receiver, channel, Stage(workflow_id="deleted"), Stage(workflow_id="deleted"))
    assert front(first)[1] in {front(kept)[0], front(gone)[0]}
    assert front(second)[1] == front(first)[0]
    assert parts(front(first)[0]) > parts(position)


async def test_newest_entry_deleted_with_the_clock_behind_does_not_raise(log: AppendingLog, redis: Cli) -> None:
    """Redis refuses an id at or below one it had, so the chain goes on from the deleted entry's id."""
    channel = WORKFLOW.fill("both")
    far_ms = await now_ms(redis) + 10 * DAY_MS
    await redis.xadd(channel.log_key, SEED, id=f"{far_ms}-5")
    await redis.xadd(channel.log_key, SEED, id=f"{far_ms}-{2**40}")
    assert await redis.xdel(channel.log_key, f"{far_ms}-{2**40}") == 1
    (appended,) = await append(log, Stage(workflow_id="both"))
    ms, number = parts(appended.position)
    assert ms == far_ms
    assert 2**40 + 2 <= number <= 2**40 + 1 + SALT_LIMIT
    ((_, fields),) = await redis.xrevrange(channel.log_key, count=1)
    assert fields[b"previous"].decode() == f"{far_ms}-{2**40}"


async def test_log_deleted_by_hand_begins_anew(log: AppendingLog, receiver: Receiver, redis: Cli) -> None:
    """A log that is gone starts a chain of its own, from 0-0."""
    channel = WORKFLOW.fill("gone")
    await receiver.subscribe(channel.redis)
    await published(log, receiver, channel, Stage(workflow_id="gone"))
    await redis.delete(channel.log_key)
    (line,) = await published(log, receiver, channel, Stage(workflow_id="gone"))
    assert front(line)[1] == "0-0"


@also_fake
async def test_entry_has_the_documented_fields(log: AppendingLog, redis: Cli) -> None:
    """A person with redis-cli finds previous, id, event and line, in this order, and the line is the envelope."""
    (entry,) = entries(Stage(workflow_id="fields", number=7))
    await log.append([entry])
    ((_, fields),) = await redis.xrange("bus:log:{workflow:fields}")
    assert list(fields) == [b"previous", b"id", b"event", b"line"]
    assert (fields[b"previous"], fields[b"event"], fields[b"line"]) == (b"0-0", b"workflow.stage", entry.line)
    assert fields[b"id"].decode() == entry.id == json.loads(entry.line)["id"]


@also_fake
async def test_latest_keeps_exactly_one(log: AppendingLog, redis: Cli) -> None:
    """Of a `latest` channel Redis keeps the last event only, with positions chained like any other's."""
    appended = await append(log, *(Skill(workflow_id="one", number=number) for number in range(30)))
    ((entry_id, fields),) = await redis.xrange(SKILL.fill("one").log_key)
    assert entry_id.decode() == appended[-1].position
    assert json.loads(fields[b"line"])["data"]["number"] == 29
    assert fields[b"previous"].decode() == appended[-2].position


async def test_history_keeps_about_its_number(log: AppendingLog, redis: Cli) -> None:
    """A log holds at least its number of the newest events, and not many more: the trim is approximate."""
    key = SHORT.fill("many").log_key
    for start in range(0, 1_000, 250):
        await append(log, *(Short(workflow_id="many", number=number) for number in range(start, start + 250)))
    assert 100 <= await redis.xlen(key) <= 250
    newest = [json.loads(fields[b"line"])["data"]["number"] for _, fields in await redis.xrange(key)]
    assert newest == list(range(1_000 - len(newest), 1_000))


async def test_live_keeps_nothing_and_has_no_positions(log: AppendingLog, receiver: Receiver, redis: Cli) -> None:
    """Of a `live` channel there is no log, and its lines say null twice."""
    await receiver.subscribe("tick:t")
    appended = await append(log, Tick(workflow_id="t", number=1), Tick(workflow_id="t", number=2))
    lines = await receiver.of("tick:t", 2)
    assert [json.loads(line)["data"]["number"] for line in lines] == [1, 2]
    assert all(line.startswith(b'{"position":null,"previous":null,"id":') for line in lines)
    assert appended == [Appended(None, 1), Appended(None, 1)]
    assert await redis.exists(TICK.fill("t").log_key) == 0


async def test_life_is_set_and_renewed_by_each_event(log: AppendingLog, redis: Cli) -> None:
    """A log expires 24 hours, or its family's time, after its last event; an event begins that time anew."""
    kept, short = WORKFLOW.fill("life").log_key, SHORT.fill("life").log_key
    for key in (kept, short):
        await redis.xadd(key, SEED, id="1700000000000-1")
        await redis.pexpire(key, 20_000)
    for _ in range(2):
        await append(log, Stage(workflow_id="life"), Short(workflow_id="life"))
        assert DAY_MS - 10_000 < await redis.pttl(kept) <= DAY_MS + 1_000
        assert 50_000 < await redis.pttl(short) <= 60_000
        await redis.pexpire(short, 20_000)


@pytest.mark.parametrize("count", [1, 3])
async def test_life_of_hours_is_renewed_once_a_second(log: AppendingLog, redis: Cli, count: int) -> None:
    """Behind an event of the same second the life stays as that one set it; behind an entry typed by hand it is set."""
    key, seconds = WORKFLOW.fill("second").log_key, [0, 1]
    while seconds[0] != seconds[1]:
        before = await append(log, *[Stage(workflow_id="second")] * count)
        await redis.pexpire(key, 20_000)
        after = await append(log, *[Stage(workflow_id="second")] * count)
        seconds = [parts(it.position)[0] // 1000 for it in (before[-1], after[0])]
    assert await redis.pttl(key) <= 20_000
    await redis.xadd(key, {"typed": "by hand"})
    await append(log, *[Stage(workflow_id="second")] * count)
    assert DAY_MS - 10_000 < await redis.pttl(key) <= DAY_MS + 1_000


@pytest.mark.parametrize("count", [1, 3])
async def test_log_outlives_each_event_by_its_whole_life(log: AppendingLog, redis: Cli, count: int) -> None:
    """Also the last event of a second, whose first event began the life anew."""
    key = WORKFLOW.fill("whole").log_key
    for _ in range(10):
        last = (await append(log, *[Stage(workflow_id="whole")] * count))[-1]
        (second, micros), left_ms = await redis.pipeline().time().pttl(key).execute()
        assert second * 1000 + micros // 1000 + left_ms >= parts(last.position)[0] + DAY_MS


async def test_shared_name_goes_on_the_services_channel(log: AppendingLog, receiver: Receiver) -> None:
    """`global` is `global:mahavishnu` on Redis, and the line says `global`; both lines of the event have one id."""
    await receiver.subscribe("workflow:g", "global:mahavishnu")
    await append(log, Started(workflow_id="g"))
    (line,) = await receiver.of("workflow:g", 1)
    (shared,) = await receiver.of("global:mahavishnu", 1)
    assert json.loads(shared)["room"] == "global" == GLOBAL.fill().name
    assert json.loads(shared)["id"] == json.loads(line)["id"]


async def test_failed_entry_does_not_touch_the_others(log: AppendingLog, receiver: Receiver, redis: Cli) -> None:
    """A log that somebody replaced by a text fails its own entry, which is not published; the others are."""
    await redis.set(WORKFLOW.fill("wrong").log_key, "a text")
    await receiver.subscribe("workflow:before", "workflow:wrong", "workflow:after")
    ids = ("before", "wrong", "after")
    first, wrong, last = await log.append(entries(*(Stage(workflow_id=workflow_id) for workflow_id in ids)))
    assert isinstance(first, Appended)
    assert isinstance(last, Appended)
    assert isinstance(wrong, PublishError)
    assert "workflow:wrong" in str(wrong)
    await receiver.of("workflow:after", 1)
    assert [name for name, _ in receiver.lines] == ["workflow:before", "workflow:after"]


async def test_event_on_some_of_its_channels_is_incomplete(broker: Broker, redis: Cli) -> None:
    """The producer names the channels that have the event and those that do not."""
    await redis.set(WORKFLOW.fill("half").log_key, "a text")
    async with Producer(broker.url) as producer:
        with pytest.raises(PublishIncomplete) as caught:
            await producer.publish(Started(workflow_id="half"))
        assert list(caught.value.positions) == ["global"]
        assert list(caught.value.missing) == ["workflow:half"]
        with pytest.raises(PublishError, match="workflow:half"):
            await producer.publish(Stage(workflow_id="half"))
        published = await producer.publish(Many(workflow_id="whole"))
    assert list(published.positions) == ["workflow:whole", "skill:whole", "tick:whole"]
    assert published.positions["tick:whole"] is None


@also_fake
async def test_script_that_redis_forgot_is_loaded_again(log: AppendingLog, receiver: Receiver, redis: Cli) -> None:
    """After SCRIPT FLUSH the next pipeline is carried out once, whole and in order."""
    await receiver.subscribe("workflow:noscript", "tick:noscript")
    await append(log, Stage(workflow_id="noscript", number=0))
    await redis.script_flush()
    await append(
        log, *(Stage(workflow_id="noscript", number=number) for number in range(1, 20)), Tick(workflow_id="noscript")
    )
    await receiver.of("tick:noscript", 1)
    lines = await receiver.of("workflow:noscript", 20)
    assert [json.loads(line)["data"]["number"] for line in lines] == list(range(20))
    assert await redis.xlen(WORKFLOW.fill("noscript").log_key) == 20


async def test_epoch_is_set_once_by_whoever_comes_first(broker: Broker, redis: Cli) -> None:
    """`bus:epoch` is `<ms>-<random>`, of the first connection, and never changes after that."""
    began_ms = await now_ms(redis)
    async with AppendingLog(broker.url, name="one") as one, AppendingLog(broker.url, name="other") as other:
        await append(one, Stage(workflow_id="epoch"))
        epoch = await redis.get("bus:epoch")
        assert (match := re.fullmatch(rb"([0-9]+)-([0-9a-z]+)", epoch))
        assert began_ms <= int(match[1]) <= await now_ms(redis)
        assert len(match[2]) >= 8
        await append(other, Stage(workflow_id="epoch"))
        await redis.script_flush()
        await append(one, Stage(workflow_id="epoch"))
    assert await redis.get("bus:epoch") == epoch
    assert await redis.pttl("bus:epoch") == -1


async def test_longest_line_travels(log: AppendingLog, receiver: Receiver) -> None:
    """A line of 256 KiB arrives whole, and the small one behind it after it."""
    await receiver.subscribe("workflow:large")
    channel = WORKFLOW.fill("large")
    line = b'{"id":"x","data":{"text":"' + b"x" * (LINE_LIMIT_BYTES - 29) + b'"}}'
    assert len(line) == LINE_LIMIT_BYTES
    large, small = await log.append([Entry(channel, "x", "a.large", line), *entries(Stage(workflow_id="large"))])
    assert isinstance(large, Appended)
    assert isinstance(small, Appended)
    arrived = await receiver.of("workflow:large", 2)
    assert arrived[0] == splice(line, large.position, "0-0")
    assert front(arrived[1]) == (small.position, large.position)


async def test_line_with_anything_in_it_is_stored_and_published_alike(
    log: AppendingLog, receiver: Receiver, redis: Cli
) -> None:
    """Bytes are not interpreted by the script: percent signs, NUL and broken UTF-8 come through."""
    await receiver.subscribe("workflow:any")
    line = b'{"id":"%1 %s %%","data":"\x00\xff\\u0000\r\n"}'
    (appended,) = await log.append([Entry(WORKFLOW.fill("any"), "%1", "a.b", line)])
    assert isinstance(appended, Appended)
    assert await receiver.of("workflow:any", 1) == [splice(line, appended.position, "0-0")]
    ((_, fields),) = await redis.xrange(WORKFLOW.fill("any").log_key)
    assert fields[b"line"] == line


async def test_thousand_publishes_at_once_arrive(broker: Broker, receiver: Receiver) -> None:
    """1,000 publishes under way at one time share the producer's one connection, and all arrive in order."""
    await receiver.subscribe("workflow:thousand")
    began_s = time.monotonic()
    async with Producer(broker.url) as producer:
        results = await asyncio.gather(
            *(producer.publish(Stage(workflow_id="thousand", number=number)) for number in range(1_000))
        )
    lines = await receiver.of("workflow:thousand", 1_000)
    print(f"1,000 publishes in {time.monotonic() - began_s:.2f} s")
    assert [json.loads(line)["data"]["number"] for line in lines] == list(range(1_000))
    assert [front(line)[0] for line in lines] == [it.positions["workflow:thousand"] for it in results]


async def test_refusal_of_the_pipeline_is_an_error_of_the_bus(log: AppendingLog, redis: Cli) -> None:
    """An error that Redis answers a command with is a BusError, and not the client library's."""
    await redis.set("bus:edge:text", "a text")
    with pytest.raises(BusError):
        await log.announce("bus:edge:text", {"port": 1}, expires_s=1)
