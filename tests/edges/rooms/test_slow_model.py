"""Members that lag and come back at any moment, also in mid-pass: each event is given, or told as missing."""

import asyncio
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus.channel import SKIP, Channel
from edges.protocol.envelope import ENVELOPE, Dialect
from tests.edges.hub_redis import Redis

PAGE = Channel("workflow:x", "workflow:x", when_slow=SKIP)
MEMBERS = 4
ACTIONS = st.lists(
    st.one_of(
        st.just(("publish", 0)),
        st.just(("let go on", 0)),
        st.tuples(st.sampled_from(["suspend", "readmit", "leave"]), st.integers(0, MEMBERS - 1)),
    ),
    max_size=40,
)


class Member:
    """Keeps what it is given, and checks the chain as a client does."""

    direct = direct_joined = None
    dialect: Dialect = ENVELOPE

    def __init__(self) -> None:
        self.at: str | None = None
        self.told: tuple[str | None, str | None] | None = None

    def begin(self, at: str | None) -> None:
        self.at, self.told = at, None

    def deliver(self, frames: bytes) -> bool:
        while frames:
            size, start = (frames[1], 2) if frames[1] < 126 else (int.from_bytes(frames[2:4]), 4)
            self.take(frames[start : start + size])
            frames = frames[start + size :]
        return False

    def take(self, line: bytes) -> None:
        value = orjson.loads(line)
        if self.told is None:
            assert value["previous"] == self.at
        else:
            assert self.told == (self.at, value["position"])
        self.at, self.told = value["position"], None

    def gap(self, data: Any) -> None:
        assert self.told is None
        self.told = (data["from"], data["to"])

    def uncork(self) -> int:
        return 0

    def takes(self, size: int) -> bool:
        return size >= 0

    def recover(self, channel: Channel, position: str) -> None:
        raise AssertionError("it takes all")

    def fail(self) -> None: ...


class Room:
    """A hub with one room, in which a pass goes through one member at a time."""

    def __init__(self) -> None:
        self.redis, self.number = Redis(), 1
        self.redis.publish(self.number)
        self.members = [Member() for _ in range(MEMBERS)]

    async def begin(self) -> None:
        await self.redis.hub.open(PAGE)
        for member in self.members:
            self.join(member)

    def join(self, member: Member) -> None:
        room = self.redis.hub.join_now(PAGE, member)
        assert room is not None
        member.begin(room.position)

    async def act(self, action: str, member: Member) -> None:
        match action:
            case "publish":
                self.number += 1
                self.redis.publish(self.number)
                self.redis.arrive()
            case "let go on":
                await asyncio.sleep(0)
            case "suspend":
                self.redis.hub.suspend(PAGE, member)
            case "readmit":
                self.readmit(member)
            case "leave":
                self.redis.hub.leave(PAGE, member)
                self.join(member)

    def readmit(self, member: Member) -> None:
        for item in self.redis.hub.readmit(PAGE, member):
            if isinstance(item, bytes):
                member.take(item)
            else:
                member.gap(item.data)


async def play(actions: list[tuple[str, int]]) -> None:
    room = Room()
    await room.begin()
    for action, number in actions:
        await room.act(action, room.members[number])
    for member in room.members:
        room.readmit(member)
    await room.act("publish", room.members[0])
    for _ in range(20 * MEMBERS):
        await asyncio.sleep(0)
    for member in room.members:  # those whose turn to lag came with the end of the pass
        room.readmit(member)
    assert [member.at for member in room.members] == [f"{room.number}-{room.number}"] * MEMBERS


@pytest.mark.parametrize("slice_members", [1, 100])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=ACTIONS)
def test_members_that_lag_are_given_or_told_everything(
    slice_members: int, monkeypatch: pytest.MonkeyPatch, actions: list[tuple[str, int]]
) -> None:
    """Whatever the order of events, lagging and coming back, the chain holds at every member."""
    monkeypatch.setattr("edges.rooms.fanout._SLICE_SUBSCRIBERS", slice_members)
    asyncio.run(play(actions))
