"""Lines of one read for rooms of one member each: written in one go, or each as if it had come alone."""

from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import orjson
import pytest

from bus.channel import SKIP, Channel
from edges.protocol.envelope import ENVELOPE, Dialect
from edges.rooms.fanout import Fanout
from edges.rooms.flow import FLOWING_BYTES
from edges.rooms.hub import Hub
from edges.rooms.room import Room
from tests.edges.hub_redis import Member, Redis, Wired, join
from tests.edges.peers import eventually
from tests.edges.rooms.test_flow import own

ROOMS = [Channel(f"workflow:{name}", f"workflow:{name}", when_slow=SKIP) for name in "abc"]


class House:
    """A hub with three rooms of one member each, whose first lines flow; and what ways the lines of reads went.

    Attributes:
        together: for each read that was looked at as a whole, whether its lines went in one go.

    """

    def __init__(self) -> None:
        self.redis = Redis()
        self.members = [Wired() for _ in ROOMS]
        self.together: list[bool] = []

    async def begin(self) -> None:
        for channel, member in zip(ROOMS, self.members, strict=True):
            await join(self.redis, channel, member)
        self.deliver(*[(it, own(it, 1)) for it in ROOMS])

    @property
    def hub(self) -> Hub:
        return self.redis.hub

    def room(self, at: int) -> Room:
        room = self.hub.room(ROOMS[at])
        assert room is not None
        return room

    def deliver(self, *lines: tuple[Channel, bytes]) -> None:
        self.hub.deliver([(channel.redis.encode(), line) for channel, line in lines])

    def next(self, number: int) -> None:
        """Let event ``number`` of all rooms come in one read."""
        self.deliver(*[(it, own(it, number)) for it in ROOMS])

    def end(self) -> None:
        """Take note of all that the members were given."""
        for member in self.members:
            member.end()

    def got(self) -> list[list[int]]:
        """End, and return the numbers of the events that each member was given."""
        self.end()
        return [it.got for it in self.members]


@pytest.fixture
async def house(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    monkeypatch.setattr("edges.rooms.arrivals._SEVERAL", 2)
    house, pass_on = House(), Fanout.pass_on_apart

    def noted(*given: object) -> bool:
        house.together.append(pass_on(*given))  # type: ignore[arg-type]  # as given
        return house.together[-1]

    monkeypatch.setattr(Fanout, "pass_on_apart", noted)
    await house.begin()
    assert house.together == []  # where no line flows yet, each is looked at
    yield house
    house.end()


async def test_lines_for_rooms_of_one_go_in_one_go(house: House) -> None:
    """They are counted and remembered, and the rooms stand behind them."""
    house.next(2)
    house.deliver((ROOMS[0], own(ROOMS[0], 3, b',"x":"\xc3\xa9"')), (ROOMS[2], own(ROOMS[2], 3)))
    assert house.together == [True, True]
    assert [house.room(at).position for at in range(3)] == ["3-1", "2-1", "3-1"]
    assert [(house.room(at).flow.count, house.room(at).written) for at in range(3)] == [(2, 3), (1, 2), (2, 3)]
    found = house.hub.missing(ROOMS[0], "1-1", is_told=False)
    assert [it.position for it in found or ()] == ["2-1", "3-1"]
    totals = house.hub.totals
    assert house.got() == [[1, 2, 3], [1, 2], [1, 2, 3]]
    assert (totals.deliveries, totals.writes) == (8, 8)
    assert totals.sent_bytes == sum(len(frame) for it in house.members for frame in it.frames)


def two_members(house: House) -> None:
    house.hub.join_now(ROOMS[1], Member())


def left_out(house: House) -> None:
    other = Member()
    house.hub.join_now(ROOMS[1], other)
    house.hub.suspend(ROOMS[1], other)


def in_several_rooms(house: House) -> None:
    house.members[1].direct = None


@pytest.mark.parametrize("change", [two_members, left_out, in_several_rooms])
async def test_another_room_among_them(house: House, change: Callable[[House], None]) -> None:
    """Where one room is no room of one, or the way to its member is another, each line goes by itself."""
    change(house)
    house.next(2)
    house.next(3)
    assert True not in house.together
    assert house.got() == [[1, 2, 3]] * 3


async def test_room_of_one_again(house: House) -> None:
    """With the other member gone, or back for good, lines go in one go again."""
    other = Member()
    house.hub.join_now(ROOMS[1], other)
    house.hub.suspend(ROOMS[1], other)
    house.next(2)
    house.hub.readmit(ROOMS[1], other)
    house.hub.leave(ROOMS[1], other)
    house.next(3)
    house.next(4)
    assert house.together[-1:] == [True]
    assert house.got() == [[1, 2, 3, 4]] * 3


async def test_line_waits_for_a_pass_through_many(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A room may have one member left whose turn is still to come."""
    monkeypatch.setattr("edges.rooms.fanout._SLICE_SUBSCRIBERS", 1)
    house.members.append(last := Wired())
    house.hub.join_now(ROOMS[1], last)
    house.next(2)
    house.hub.leave(ROOMS[1], house.members[1])
    house.next(3)
    await eventually(lambda: not house.room(1).passes)
    house.next(4)
    assert house.got() == [[1, 2, 3, 4], [1, 2], [1, 2, 3, 4], [2, 3, 4]]
    assert house.together == [True], "only behind the pass"


class Odd:
    """A dialect without a word for the second event, that fails at the third."""

    def __getattr__(self, name: str) -> Any:
        return getattr(ENVELOPE, name)

    def frame(self, line: bytes) -> bytes | None:
        number = orjson.loads(line)["data"]["n"]
        if number == 3:
            raise ZeroDivisionError("a bug of ours")
        return None if number == 2 else ENVELOPE.frame(line)


async def test_dialect_without_a_frame_among_them(house: House) -> None:
    """The others are given their lines; the member goes on behind what the dialect could not say."""
    house.hub.leave(ROOMS[1], house.members[1])
    house.members[1].dialect = cast(Dialect, Odd())
    house.hub.join_now(ROOMS[1], house.members[1])
    for number in range(2, 6):
        house.next(number)
    assert house.together == [False, False, True, True]
    assert house.got() == [[1, 2, 3, 4, 5], [1, 4, 5], [1, 2, 3, 4, 5]]


@pytest.mark.parametrize(
    ("line", "given"),
    [
        pytest.param(own(ROOMS[1], 1), [1], id="again"),
        pytest.param(own(ROOMS[0], 2), [1], id="of another room"),
        pytest.param(own(ROOMS[1], 2, b',"x":"\xff"'), [1], id="no UTF-8"),
        pytest.param(own(ROOMS[1], 2, b',"x":"%b"' % (b"x" * FLOWING_BYTES)), [1, 2], id="long"),
        pytest.param(b'{"event":"e","data":{"n":7}}', [1, 7], id="typed"),
    ],
)
async def test_odd_line_among_them(house: House, line: bytes, given: list[int]) -> None:
    """It is looked at; the others are written as ever."""
    house.deliver((ROOMS[0], own(ROOMS[0], 2)), (ROOMS[1], line), (ROOMS[2], own(ROOMS[2], 2)))
    assert house.together == []
    assert house.got() == [[1, 2], given, [1, 2]]


async def test_line_behind_a_gap_among_them(house: House) -> None:
    """The room is recovered, and the others' lines wait for nothing."""
    house.deliver((ROOMS[0], own(ROOMS[0], 2)), (ROOMS[1], own(ROOMS[1], 3)), (ROOMS[2], own(ROOMS[2], 2)))
    assert (house.together, house.hub.totals.gaps) == ([], 1)
    await eventually(lambda: house.room(1).sequencer.is_in_sync)
    house.end()
    assert [it.events for it in house.members] == [[1, 2], [1, 3], [1, 2]]


async def test_line_without_a_room_among_them(house: House) -> None:
    """It is counted as dropped, and the others are written as ever."""
    nowhere = Channel("workflow:d", "workflow:d")
    house.deliver((ROOMS[0], own(ROOMS[0], 2)), (nowhere, own(nowhere, 1)), (ROOMS[2], own(ROOMS[2], 2)))
    assert (house.together, house.hub.statistics().drops["no_room"]) == ([], 1)
    assert house.got() == [[1, 2], [1], [1, 2]]
