"""A client that comes back to little is given all of it with the answer; whoever may have to wait is not."""

from collections import Counter
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from bus.channel import Channel
from bus.envelope import Arrived
from bus.log.replay import Last, Replay, Since, Start
from edges.limits.replay_slots import Slots
from edges.protocol.envelope import ENVELOPE, text_frame
from edges.rooms.renderings import Renderings
from edges.session.replaying import AT_ONCE_BYTES
from edges.session.subscriptions import Subscriptions
from producers.services.mahavishnu import SERVICE

CHANNEL = SERVICE.channel("workflow:x")
BACK = Since("1-1")


def lines(*numbers: int, size: int = 0) -> tuple[Arrived, ...]:
    """Return lines at these positions, each behind the one before."""
    ids = ["1-1", *(f"{number}-{number}" for number in numbers)]
    return tuple(Arrived(b"%b%0*d" % (p.encode(), size, 0), p, before) for before, p in pairwise(ids))


def replay(*found: Arrived) -> Replay:
    return Replay(found, None, found[-1].position or "" if found else "1-1")


class Hub:
    """A hub with an open room, whose answers are said beforehand."""

    def __init__(self, found: Replay | None, behind: Any = (), forks: tuple[str, ...] = ()) -> None:
        self._found, self._behind, self._forks = found, behind, forks
        self.replay_slots, self.renderings, self.joined = Slots("max_replays", 1), Renderings(), Counter[str]()

    def replay_at_hand(self, _: Channel, __: Since) -> Replay | None:
        return self._found

    def forks(self, _: Channel) -> tuple[str, ...]:
        return self._forks

    def missing(self, *_: Any, **__: Any) -> Any:
        return self._behind

    def join_now(self, channel: Channel, _: object) -> object:
        self.joined[channel.name] += 1
        return self

    def leave(self, channel: Channel, _: object) -> None:
        self.joined[channel.name] -= 1


def rooms(hub: Hub, *, is_idle: bool = True, waiting_bytes: int = 1 << 20) -> Subscriptions:
    transport: Any = SimpleNamespace(dialect=ENVELOPE, is_idle=is_idle, attend=lambda _: None)
    hubs: Any = hub
    return Subscriptions(transport, hubs, waiting_bytes=waiting_bytes)


def test_missed_lines_and_those_the_room_took_since_come_in_one_piece() -> None:
    """The replay and the lines that came behind it are one piece, in order."""
    hub = Hub(replay(*lines(2, 3)), behind=lines(4))
    client = rooms(hub)

    found = client.resume_at_once(CHANNEL, BACK)

    assert found is not None
    assert found.frames == b"".join(text_frame(it.line) for it in lines(2, 3, 4))
    assert (list(client.rooms), hub.joined["workflow:x"]) == (["workflow:x"], 1)
    assert (hub.replay_slots.held, hub.replay_slots.waits.count) == (0, 1)


def test_client_that_missed_nothing_joins_with_the_answer() -> None:
    """Nothing is written, and the client is in the room."""
    found = rooms(Hub(replay())).resume_at_once(CHANNEL, BACK)

    assert found is not None
    assert found.frames == b""


@pytest.mark.parametrize(
    "hub",
    [
        pytest.param(Hub(None), id="the log has to be read"),
        pytest.param(Hub(replay(*lines(2)), forks=("1-1",)), id="a fork may have to be told"),
        pytest.param(Hub(replay(*lines(2)), behind=None), id="the room forgot what came since"),
        pytest.param(Hub(replay(*lines(*range(2, 103)))), id="more lines than are written at once"),
        pytest.param(Hub(replay(*lines(2, 3, size=AT_ONCE_BYTES // 2))), id="more bytes"),
        pytest.param(Hub(replay(*lines(2)), behind=lines(3, size=AT_ONCE_BYTES)), id="more bytes since"),
    ],
)
def test_longer_answer_is_left_to_a_replay_in_steps(hub: Hub) -> None:
    """More than one piece goes at the pace of the client."""
    client = rooms(hub)

    assert client.resume_at_once(CHANNEL, BACK) is None
    assert (client.rooms, hub.joined.total()) == ({}, 0)


@pytest.mark.parametrize(
    ("start", "given"),
    [(BACK, {"is_idle": False}), (BACK, {"waiting_bytes": AT_ONCE_BYTES}), (Last(1), {})],
    ids=["bytes wait", "little may wait", "no position"],
)
def test_client_that_may_have_to_be_waited_for_is_left_to_a_replay_in_steps(start: Start, given: Any) -> None:
    """Where bytes wait, little may wait, or the place must be looked up, a step has to wait."""
    assert rooms(Hub(replay(*lines(2))), **given).resume_at_once(CHANNEL, start) is None


def test_client_in_the_room_already_leaves_the_room_first() -> None:
    """The old place in the room is given up in a step of its own, and no line is given twice."""
    client = rooms(Hub(replay()))
    client.resume_at_once(CHANNEL, BACK)

    assert client.resume_at_once(CHANNEL, BACK) is None


async def test_client_queues_up_where_no_slot_is_free() -> None:
    """Whoever waits for a slot is not overtaken."""
    hub = Hub(replay(*lines(2)))
    async with hub.replay_slots.slot("elsewhere"):
        assert rooms(hub).resume_at_once(CHANNEL, BACK) is None


def test_client_that_has_gone_joins_no_room() -> None:
    """A client at its end is given nothing."""
    client = rooms(Hub(replay()))
    client.end()

    assert client.resume_at_once(CHANNEL, BACK) is None
