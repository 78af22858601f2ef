"""The way of session-buddy's own clients into all skills: no update comes in front of an answer."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from bus.broker.embedded import EmbeddedBroker
from bus.channel import Channel
from edges import Edge
from edges.protocol.messages import Outgoing
from edges.session import first_room
from edges.session.dialect_choice import DialectChoice
from edges.session.subscriptions import Joined
from producers import Producer
from producers.services.session_buddy import SERVICE, SessionBuddy
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import Client, eventually
from tests.edges.session.test_session_buddy import Buddy, skill

FOR_EVER_S = 600.0
PING: dict[str, Any] = {"type": "ping"}
SUBSCRIBE = {"type": "subscribe", "skill": "a"}
UNSUBSCRIBE = {"type": "unsubscribe"}
ANSWERS = {"ping": "pong", "subscribe": "subscription_confirmed", "unsubscribe": "subscription_confirmed"}


@pytest.fixture
async def edge(broker: EmbeddedBroker, start_edge: StartEdge) -> Edge:
    """Lend session-buddy's edge; the silent are welcomed at once."""
    return await start_edge(broker, SERVICE, welcome_delay_ms=1)


@pytest.fixture
def buddy(producer: Producer) -> Buddy:
    """Lend the broadcaster."""
    return SessionBuddy(producer)


async def connected(edge: Edge, open_client: OpenClient) -> Client:
    """Return a client that said nothing, and was put on the way into all skills by the timer."""
    client = await open_client(edge)
    assert (await client.message())["type"] == "connected"
    return client


async def _stream(buddy: Buddy) -> None:
    number = 0
    while True:
        number += 1
        await buddy.broadcast_metrics([skill("a", number), skill("b")], [])


@pytest.mark.parametrize("asked", [PING, SUBSCRIBE, UNSUBSCRIBE], ids=lambda asked: str(asked["type"]))
async def test_answer_is_the_next_frame_with_a_stream_running(
    edge: Edge, open_client: OpenClient, buddy: Buddy, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any]
) -> None:
    """A hundred clients wait for `connected`, ask, and take the next frame for the answer: it is, a hundred times."""
    # One member sees the stream, so updates do pass through the edge; time for silence is not the test's.
    member = await open_client(edge)
    member.send({"type": "subscribe", "skill": None})
    assert [(await member.message())["type"] for _ in range(2)] == ["connected", "subscription_confirmed"]
    monkeypatch.setattr(first_room, "QUIET_S", FOR_EVER_S)
    monkeypatch.setattr(first_room, "TALK_S", FOR_EVER_S)
    stream, found = asyncio.create_task(_stream(buddy)), []
    try:
        for _ in range(100):
            client = await connected(edge, open_client)
            assert (await member.message())["type"] == "metrics_update"
            client.send(asked)
            found.append((await client.message())["type"])
            await client.close()
    finally:
        stream.cancel()
        with suppress(asyncio.CancelledError):
            await stream
    assert found == [ANSWERS[asked["type"]]] * 100


async def test_client_that_talks_on_gets_the_next_tick(
    edge: Edge, open_client: OpenClient, buddy: Buddy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that is never silent is not kept out of all skills: it gets the next tick, and not the latest."""
    monkeypatch.setattr(first_room, "QUIET_S", FOR_EVER_S)
    monkeypatch.setattr(first_room, "TALK_S", 0.0)
    await buddy.broadcast_metrics([skill("old")], [])
    client = await connected(edge, open_client)
    await eventually(lambda: edge.health()["rooms"] == 1)
    client.send(PING)
    assert await client.message() == {"type": "pong"}
    await buddy.broadcast_metrics([skill("new")], [])
    assert (await client.message())["data"]["top_skills"] == [skill("new")]


class Alone:
    """A first room with a client at the door, and all else of an edge made up."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.rooms: dict[str, Channel] = {}
        self.has_ended = self.is_busy = False
        self.joined_at: float | None = None
        self.shown: list[Outgoing] = []
        context = SimpleNamespace(hub=self, first_link=self._at_once, service=SERVICE, spawn=self._spawn)
        admission = SimpleNamespace(is_locked=False, may_read=lambda _: True)
        parts: Any = (context, self, DialectChoice(SERVICE), admission, self._carry, "c1", lambda: self.is_busy)
        self.room = first_room.FirstRoom(*parts)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self.task = asyncio.create_task(work, name=name)

    async def _at_once(self) -> None: ...

    async def _carry(self, outcome: AsyncIterator[Outgoing], *_: object) -> None:
        self.shown += [item async for item in outcome]

    async def open(self, channel: Channel) -> None:
        assert not self.has_ended

    def join(self, channel: Channel) -> Joined:
        self.rooms[channel.name], self.joined_at = channel, self.loop.time()
        return Joined("1-0", (b"latest",))

    async def says_every(self, pause_s: float, times: int) -> None:
        """Say something now and then."""
        for _ in range(times):
            await asyncio.sleep(pause_s)
            self.room.heard()

    async def entered(self) -> float:
        """Return the time of the entry, from the clock's zero."""
        await self.task
        assert self.joined_at is not None
        return self.joined_at


@pytest.mark.virtual_time
async def test_silence_brings_the_latest() -> None:
    """A client that stays silent for 250 ms is shown the latest; each message begins the 250 ms anew."""
    silent, talker = Alone(), Alone()
    for one in (silent, talker):
        one.room.enter()
    await talker.says_every(0.2, 2)
    assert await silent.entered() == pytest.approx(0.25)
    assert await talker.entered() == pytest.approx(0.65)
    assert silent.shown == talker.shown == [b"latest"]


@pytest.mark.virtual_time
async def test_talk_without_end_keeps_nobody_out() -> None:
    """Who is never silent enters within 250 ms of the first second, and is shown the next tick only."""
    talker = Alone()
    talker.room.enter()
    await talker.says_every(0.2, 10)
    assert 1 <= await talker.entered() <= 1.25
    assert talker.shown == []


@pytest.mark.virtual_time
async def test_command_under_way_comes_first() -> None:
    """While a command is under way, however long, its answer is waited for, and then a silence."""
    asking, gone = Alone(), Alone()
    for one in (asking, gone):
        one.room.enter()
        one.is_busy = True
    await asyncio.sleep(5)
    asking.is_busy, gone.has_ended = False, True
    assert 5 <= await asking.entered() <= 5.5
    await gone.task
    assert gone.joined_at is None
    assert (asking.shown, gone.shown) == ([b"latest"], [])
