"""The state of a channel, on every server and on the log in memory: one contract for both."""

import json
import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import pytest
from redis.asyncio import Redis

from bus.channel import Channel, Family
from bus.envelope import place_of, splice
from bus.event import Event
from bus.keyed import Keyed
from bus.log.appending import KEYED_SCRIPT, SCRIPT, Appended, Entry
from bus.log.kept_state import KeptState
from bus.log.memory import MemoryLog
from bus.log.publisher import AppendLog
from tests.appending_log import AppendingLog
from tests.contract.brokers import FAKE, REAL, Broker, Cli
from tests.contract.conftest import serve
from tests.contract.events import (
    DIAGRAM,
    ELEMENTS,
    DiagramSaved,
    ElementAdded,
    ElementDeleted,
    ElementUpdated,
    entries,
    front,
)

MEMORY: Final = "memory"


@dataclass(frozen=True, slots=True)
class State:
    """A channel's state: key to line, the keys of tombstones, and whether keys are missing."""

    lines: dict[str, bytes]
    gone: set[str]
    evicted: str | None

    @property
    def ids(self) -> dict[str, str]:
        """Key to the id of its newest event."""
        return {key: json.loads(line)["id"] for key, line in self.lines.items()}


@dataclass(frozen=True, slots=True)
class Place:
    """A log, the reading of states there, and an id that no other test uses."""

    log: AppendLog
    read: Callable[[Channel], Awaitable[State]]
    id: str

    @property
    def channel(self) -> Channel:
        return DIAGRAM.fill(self.id)

    async def append(self, *events: Event, family: Family = DIAGRAM) -> list[str]:
        """Append events to a channel of ``family``; return the ids."""
        some = [replace(it, channel=family.fill(self.id)) for it in entries(*events)]
        outcomes = await self.log.append(some)
        assert all(isinstance(it, Appended) for it in outcomes)
        return [it.id for it in some]

    def added(self, element: str | None, text: str = "") -> Event:
        return ElementAdded(diagram_id=self.id, element_id=element, text=text)

    def updated(self, element: str, **changes: Any) -> Event:
        return ElementUpdated(diagram_id=self.id, element_id=element, changes=changes)

    def deleted(self, element: str) -> Event:
        return ElementDeleted(diagram_id=self.id, element_id=element)


async def of_redis(redis: Cli, channel: Channel) -> State:
    """Read a state as a person with redis-cli does, and check the bookkeeping against the lines."""
    found = {key.decode(): line for key, line in (await redis.hgetall(channel.state_key)).items()}
    bytes_, evicted = int(found.pop("bus:bytes", 0)), found.pop("bus:evicted", None)
    assert int(found.pop("bus:writes", 0)) >= len(found)
    _, ages, names = channel.state_keys
    scores = {key.decode(): score for key, score in await redis.zrange(ages, 0, -1, withscores=True)}
    assert scores.keys() == found.keys()
    assert bytes_ == sum(len(key) + len(line) for key, line in found.items())
    if channel.keyed is not None and channel.keyed.has_parts:
        assert {key.decode() for key in await redis.zrange(names, 0, -1)} == found.keys()
    return State(found, {key for key, score in scores.items() if score < 0}, evicted and evicted.decode())


async def of_memory(log: MemoryLog, channel: Channel) -> State:
    kept = log.states[channel.name]
    return State(dict(kept.lines), set(kept.gone), kept.evicted)


@pytest.fixture(params=[*REAL, MEMORY])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    if request.param == MEMORY:
        memory = MemoryLog()
        yield Place(memory, lambda channel: of_memory(memory, channel), secrets.token_hex(4))
        return
    for server in serve(request.param):
        async with AppendingLog(server.url, name="edgebus-producer-test") as log, Redis.from_url(server.url) as redis:
            yield Place(log, lambda channel: of_redis(redis, channel), secrets.token_hex(4))


@pytest.mark.parametrize("place", [*REAL, FAKE, MEMORY], indirect=True)
async def test_newest_event_of_each_key_is_the_state(place: Place) -> None:
    """A newer event takes the place of an older one of its key; lines stand as published, with their positions."""
    one, two, newer = await place.append(place.added("e1"), place.added("e2"), place.added("e1", "again"))
    state = await place.read(place.channel)
    assert state.ids == {"element:e1": newer, "element:e2": two}
    assert one not in state.ids.values()
    positions = {key: front(line) for key, line in state.lines.items()}
    assert positions["element:e1"][1] == positions["element:e2"][0]
    assert state.gone == set()
    assert state.evicted is None


async def test_events_of_the_tail_are_no_state(place: Place) -> None:
    """An event that is not listed, or names no key, is in the log alone."""
    await place.append(DiagramSaved(diagram_id=place.id), place.added(None), place.added(""), place.updated("e1"))
    assert (await place.read(place.channel)).ids == {}


async def test_updates_of_parts_stand_beside_each_other(place: Place) -> None:
    """An update is the newest of each changed property: base event and parts make the whole, in position order."""
    base, x, both = await place.append(place.added("e1"), place.updated("e1", x=1, w=1), place.updated("e1", y=1, w=2))
    state = await place.read(place.channel)
    assert state.ids == {"element:e1": base, "element:e1:x": x, "element:e1:w": both, "element:e1:y": both}


async def test_removal_leaves_a_tombstone_and_no_parts(place: Place) -> None:
    """The removing event stands in place of the key, and all keys under the key are gone; others stay."""
    ids = await place.append(
        place.added("e1"), place.updated("e1", x=1), place.added("e10"), place.updated("e10", x=1), place.deleted("e1")
    )
    state = await place.read(place.channel)
    assert state.ids == {"element:e1": ids[4], "element:e10": ids[2], "element:e10:x": ids[3]}
    assert state.gone == {"element:e1"}
    [again] = await place.append(place.added("e1"))
    state = await place.read(place.channel)
    assert state.ids["element:e1"] == again
    assert state.gone == set()


async def test_repeated_attempt_writes_the_state_once(place: Place) -> None:
    """A repetition that is found in the log does not take the place of a newer event."""
    old, new = entries(place.added("e1", "old"), place.added("e1", "new"))
    await place.log.append([old])
    since_ms = place.log.sent_ms
    await place.log.append([new])
    [outcome] = await place.log.append([replace(old, since_ms=since_ms)])
    assert isinstance(outcome, Appended)
    assert (await place.read(place.channel)).ids == {"element:e1": new.id}


def small(**bounds: int) -> Family:
    return Family("small:{diagram_id}", keyed=replace(ELEMENTS, **bounds))  # type: ignore[arg-type]


async def test_tombstones_go_first_then_the_oldest_keys(place: Place) -> None:
    """Past the bound a tombstone goes without a trace; a key that goes is remembered, and the state says so."""
    family = small(max_keys=3)
    channel = family.fill(place.id)
    await place.append(place.added("old"), place.added("gone"), place.added("b"), place.deleted("gone"), family=family)
    await place.append(place.added("c"), family=family)
    state = await place.read(channel)
    assert sorted(state.lines) == ["element:b", "element:c", "element:old"]
    assert state.evicted is None
    evicted = front(state.lines["element:old"])[0]
    await place.append(place.added("d"), family=family)
    state = await place.read(channel)
    assert sorted(state.lines) == ["element:b", "element:c", "element:d"]
    assert state.evicted == evicted


async def test_bytes_are_bounded(place: Place) -> None:
    """Large lines push out the oldest, whatever their number."""
    family = small(max_bytes=20_000)
    await place.append(*(place.added(f"e{number}", "x" * 5_000) for number in range(10)), family=family)
    state = await place.read(family.fill(place.id))
    assert sorted(state.lines) == ["element:e7", "element:e8", "element:e9"]
    assert state.evicted is not None


@pytest.mark.parametrize("seed", range(6))
async def test_redis_keeps_what_the_memory_keeps(place: Place, seed: int) -> None:
    """Any mix of events leaves the same keys, tombstones and evictions on a server and in memory."""
    dice, wanted, previous = random.Random(seed), KeptState(), "0-0"  # noqa: S311 -- no secret
    keyed = replace(ELEMENTS, max_keys=dice.choice([3, 6, 100]), max_bytes=dice.choice([1_500, 4_000, 100_000]))
    channel = Family("small:{diagram_id}", keyed=keyed).fill(place.id)
    makes = [
        lambda e: place.added(e, "x" * dice.randrange(200)),
        lambda e: place.updated(e, **{dice.choice("xyz"): 1, dice.choice("xyz"): 2}),
        place.deleted,
    ]
    events = [dice.choice(makes)(dice.choice(["a", "a:b", "ab", "c"])) for _ in range(40)]
    some = [replace(it, channel=channel) for it in entries(*events)]
    for entry in some:
        [outcome] = await place.log.append([entry])
        assert isinstance(outcome, Appended)
        position = outcome.position or ""
        line = splice(entry.line, position, previous)
        wanted.keep(keyed, place_of(channel, entry.event, entry.line), line, previous)
        previous = position
    assert await place.read(channel) == State(wanted.lines, wanted.gone, wanted.evicted)


# Servers alone.


@pytest.fixture
async def kept(broker: Broker, log: AppendingLog, redis: Cli) -> Place:
    return Place(log, lambda channel: of_redis(redis, channel), secrets.token_hex(4))


async def test_life_is_that_of_the_log(kept: Place, redis: Cli) -> None:
    """State and log expire together."""
    await kept.append(kept.added("e1"))
    lives = [await redis.pttl(key) for key in (kept.channel.log_key, *kept.channel.state_keys)]
    assert max(lives) - min(lives) < 1_000
    assert min(lives) > 80_000_000


async def test_log_that_begins_anew_has_a_state_of_its_own(kept: Place, redis: Cli) -> None:
    """A log deleted by hand takes its state along with the next event; nothing of before is shown."""
    await kept.append(kept.added("e1"))
    await redis.delete(kept.channel.log_key)
    [two] = await kept.append(kept.added("e2"))
    assert (await kept.read(kept.channel)).ids == {"element:e2": two}


async def test_state_that_begins_behind_its_log_says_so(kept: Place, redis: Cli) -> None:
    """After an upgrade, or a state deleted by hand, keys of before may be missing."""
    await kept.append(kept.added("e1"))
    newest = front((await kept.read(kept.channel)).lines["element:e1"])[0]
    await redis.delete(*kept.channel.state_keys)
    await kept.append(kept.added("e2"))
    state = await kept.read(kept.channel)
    assert list(state.lines) == ["element:e2"]
    assert state.evicted == newest


@pytest.mark.parametrize("index", [0, 1, 2])
async def test_key_of_another_type_refuses_the_publish_whole(kept: Place, redis: Cli, index: int) -> None:
    """Stored, published and kept, or none of the three; the sentence is Redis' own."""
    await redis.set(kept.channel.state_keys[index], "typed by hand")
    outcomes = await kept.log.append(entries(kept.added("e1")))
    assert "WRONGTYPE" in str(outcomes[0]) or "type" in str(outcomes[0])
    assert await redis.exists(kept.channel.log_key) == 0


@pytest.mark.parametrize("value", ["nonsense", "nan", "inf", "-5", "1e400"])
async def test_count_typed_by_hand_is_counted_anew(kept: Place, redis: Cli, value: str) -> None:
    """A wrong number of bytes may cost keys, and never the publish; the bounds hold again later."""
    await kept.append(kept.added("e1"), kept.added("e2"))
    await redis.hset(kept.channel.state_key, "bus:bytes", value)
    await kept.append(kept.added("e3"), kept.added("e4"))
    assert int(await redis.hget(kept.channel.state_key, "bus:bytes")) >= 0


@pytest.mark.parametrize("count", [3_000, pytest.param(100_000, marks=pytest.mark.nightly)])
async def test_hundred_thousand_keys_are_bounded(kept: Place, redis: Cli, count: int) -> None:
    """The newest stay; the keys in Redis never grow past the bound."""
    limit = count // 10
    line = entries(kept.added("e"))[0].line
    head, tail = line.split(b'"element_id":"e"')
    channel = small(max_keys=limit, max_bytes=2**26).fill(kept.id)
    for start in range(0, count, 1_000):
        numbers = range(start, start + 1_000)
        some = [
            Entry(channel, f"id{number}", "element.added", b'%b"element_id":"e%d"%b' % (head, number, tail))
            for number in numbers
        ]
        assert all(isinstance(it, Appended) for it in await kept.log.append(some))
    assert await redis.hlen(channel.state_key) == limit + 3
    assert await redis.hexists(channel.state_key, f"element:e{count - 1}")
    assert not await redis.hexists(channel.state_key, f"element:e{count - limit - 1}")
    assert await redis.hexists(channel.state_key, "bus:evicted")


def test_plain_families_run_the_plain_script() -> None:
    """The script of channels without a state knows nothing of states; that of the others holds all of it."""
    assert "bus:" not in SCRIPT.replace("bus.", "")
    assert "ages" not in SCRIPT
    rare = SCRIPT.partition("-- RARE\n")[2]
    assert rare.count("\n") > 100
    assert all(line in KEYED_SCRIPT for line in rare.splitlines())
    assert KEYED_SCRIPT.count("keep(previous, spliced)") == 1
    assert Keyed({}).has_parts is False
