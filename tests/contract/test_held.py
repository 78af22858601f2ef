"""Events of clients are refused while another user holds a key of the state, by the script that appends."""

from dataclasses import replace
from typing import Final

import pytest

from bus.errors import BusError, PublishHeld
from bus.event import Event
from bus.held import Held, Hold
from bus.log.appending import Appended, Entry
from bus.log.memory import MemoryLog
from tests.appending_log import AppendingLog
from tests.contract.brokers import Broker, Cli, also_fake
from tests.contract.events import DIAGRAM, DiagramLocked, DiagramUnlocked, ElementAdded, entries

CHANNEL: Final = DIAGRAM.fill("d")
LOCKED: Final = Held(DIAGRAM, by=DiagramLocked)


def by(user: str, event: Event, once: str, *, hold: bool = True) -> Entry:
    [one] = entries(event)
    asked: Hold | None = LOCKED.hold(event, user) if hold else None
    return replace(one, id=once, once=once, hold=asked)


def drawn(name: str) -> ElementAdded:
    return ElementAdded(diagram_id="d", element_id=name)


async def told(log: AppendingLog | MemoryLog, entry: Entry) -> str:
    [outcome] = await log.append([entry])
    if isinstance(outcome, PublishHeld):
        return f"held by {outcome.holder}"
    return "stored" if isinstance(outcome, Appended) else repr(outcome)


async def the_story(log: AppendingLog | MemoryLog) -> list[str]:
    """Ann draws, Bob locks; Ann, Bob and the service draw; Ann unlocks in vain, Bob does; Ann draws."""
    ann_again = by("ann", drawn("e0"), "0")
    steps = [
        ann_again,
        by("bob", DiagramLocked(diagram_id="d", user_id="bob"), "1"),
        by("ann", drawn("e1"), "2"),
        by("ann", DiagramLocked(diagram_id="d", user_id="ann"), "3"),
        by("bob", drawn("e2"), "4"),
        by("the service", drawn("e3"), "5", hold=False),
        ann_again,  # a repetition of what came before the lock is answered, not refused
        by("ann", DiagramUnlocked(diagram_id="d", user_id="ann"), "6"),
        by("bob", DiagramUnlocked(diagram_id="d", user_id="bob"), "7"),
        by("ann", drawn("e4"), "8"),
    ]
    return [await told(log, step) for step in steps]


_STORY: Final = [
    "stored", "stored", "held by bob", "held by bob", "stored", "stored", "stored", "held by bob", "stored", "stored",
]  # fmt: skip


@also_fake
async def test_others_are_refused_while_a_user_holds_the_lock(broker: Broker, redis: Cli) -> None:
    """The holder goes on, others are refused with the holder's name, and nothing of theirs is stored."""
    async with AppendingLog(broker.url, name="edge", once=True) as log:
        assert await the_story(log) == _STORY
    assert [fields[b"id"] for _, fields in await redis.xrange(CHANNEL.log_key)] == [b"0", b"1", b"4", b"5", b"7", b"8"]


async def test_log_in_memory_tells_the_same_story() -> None:
    """What tests of services see in memory is what Redis does."""
    assert await the_story(MemoryLog()) == _STORY


@also_fake
async def test_refused_event_is_stored_when_repeated_behind_the_lock(broker: Broker) -> None:
    """A refusal is not remembered as the publish: the same wish goes through once the lock is gone."""
    wish = by("ann", drawn("e1"), "2")
    async with AppendingLog(broker.url, name="edge", once=True) as log:
        await log.append([by("bob", DiagramLocked(diagram_id="d", user_id="bob"), "1")])
        assert await told(log, wish) == "held by bob"
        await log.append([by("bob", DiagramUnlocked(diagram_id="d", user_id="bob"), "3")])
        assert await told(log, wish) == "stored"


@also_fake
@pytest.mark.parametrize(
    "typed", [b"", b"{", b"[]", b'{"event":"diagram.locked"}', b'{"event":"diagram.locked","data":[]}']
)
async def test_whatever_is_typed_in_place_of_a_lock_holds_nobody(broker: Broker, redis: Cli, typed: bytes) -> None:
    """A value of another form is no lock: people draw on."""
    await redis.hset(CHANNEL.state_key, "lock", typed)
    async with AppendingLog(broker.url, name="edge", once=True) as log:
        assert await told(log, by("ann", drawn("e1"), "1")) == "stored"


def test_error_names_channel_and_holder() -> None:
    """The sentence says who, for a client's answer."""
    error: BusError = PublishHeld("diagram:d", "bob")
    assert str(error) == "diagram:d is held by bob"
