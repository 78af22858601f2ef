"""One client's way into a room, with a hub that a test scripts: what is told where, and once."""

import logging
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from bus.channel import Channel
from bus.envelope import Arrived
from bus.log.replay import FromState, Replay, Since, Start
from bus.position import Reason
from edges.limits.floods import Floods
from edges.protocol.envelope import ENVELOPE
from edges.rooms.renderings import Renderings
from edges.rooms.repairs import Repairs
from edges.session.subscriptions import Subscriptions
from tests.edges.hub_redis import X
from tests.edges.rooms.test_room import event


class ScriptedHub:
    """Gives replays one after the other; ``lines_per_slot`` says after how many lines each slot is over."""

    def __init__(self, replays: Sequence[Replay], lines_per_slot: int) -> None:
        self._replays, self._lines_per_slot = list(replays), lines_per_slot
        self.asked: list[Start] = []
        self.replay_slots = self
        self._looks = self.joined = 0
        self.told = Counter[Reason]()
        self.repairs = Repairs(Floods(logging.getLogger("edgebus.edges")))
        self.renderings = Renderings()
        self.learned: tuple[str, ...] = ()
        """Forks that the room knows of when a replay has ended."""

    @asynccontextmanager
    async def slot(self, _: str) -> AsyncIterator["ScriptedHub"]:
        self._looks = 0
        yield self

    @property
    def is_over(self) -> bool:
        self._looks += 1
        return self._looks >= self._lines_per_slot

    async def open(self, _: Channel) -> None: ...

    async def replay(self, _: Channel, start: Start) -> Replay:
        self.asked.append(start)
        return self._replays.pop(0)

    def missing(self, *_: Any, **__: Any) -> Sequence[Arrived]:
        return ()

    def forks(self, _: Channel) -> Sequence[str]:
        return self.learned

    def join_now(self, *_: Any) -> object:
        self.joined += 1
        return object()

    def leave(self, *_: Any) -> None: ...


class Listener:
    """A client that reads at once."""

    direct = direct_joined = None
    takes_more = True

    name = "a client"

    dialect = ENVELOPE

    def __init__(self) -> None:
        self.said: list[Any] = []

    def write(self, frames: bytes, behind: bytes = b"") -> None:
        for frame in (frames + behind).split(b"\x81")[1:]:
            message = orjson.loads(frame[frame.index(b"{") :])
            is_notice = message.get("event") in ("room.gap", "room.state")
            self.said.append(tuple(message["data"].values()) if is_notice else message["n"])

    def attend(self, rooms: int) -> None: ...

    async def drained(self) -> None: ...

    def deliver(self, _: bytes) -> bool:
        return False

    def uncork(self) -> int:
        return 0

    def close_slow(self) -> None: ...


async def test_gap_in_a_replay_is_told_once_though_its_client_gives_way_there() -> None:
    """The turn ends behind the very event where others are lost: what is read on begins with the gap that was told."""
    first = Replay((*(event(n) for n in (3, 4, 5)), event(8, 5)), None, "8-8").passing(["5-5"])
    rest = Replay((event(8, 5),), None, "8-8").passing(["5-5"])
    assert (first.gap_after, rest.reason, rest.forks) == ("5-5", Reason.DIVERGED, ())
    hub, listener = ScriptedHub([first, rest], lines_per_slot=3), Listener()
    rooms = Subscriptions(listener, hub, waiting_bytes=2)  # type: ignore[arg-type]
    async with rooms.resume(X, Since("2-2")) as replay:
        assert replay == first
    assert listener.said == [3, 4, 5, ("5-5", "8-8", "diverged"), 8]
    assert hub.asked == [Since("2-2"), Since("5-5", has_stayed=True)]
    assert X.name in rooms.rooms


@pytest.mark.parametrize(
    ("learned", "told"),
    [
        pytest.param(("4-4",), [("4-4", "6-6", "diverged")], id="behind a line that was given"),
        pytest.param(("2-2",), [], id="where the client stood: the reply's matter"),
        pytest.param(("1-1",), [], id="before"),
        pytest.param(("5-5",), [], id="told in its place"),
        pytest.param(("6-6",), [("6-6", "6-6", "diverged")], id="at the end"),
    ],
)
async def test_fork_that_became_known_during_a_replay_is_told_at_its_end(
    learned: tuple[str, ...], told: list[Any]
) -> None:
    """The room tells its subscribers of what another edge marked; a client within a replay is none of them."""
    replay = Replay(tuple(event(number) for number in (3, 4, 5, 6)), None, "6-6").passing(["5-5"])
    hub, listener = ScriptedHub([replay], lines_per_slot=100), Listener()
    hub.learned = learned
    rooms = Subscriptions(listener, hub, waiting_bytes=1_000)  # type: ignore[arg-type]
    async with rooms.resume(X, Since("2-2")):
        pass
    assert listener.said == [3, 4, 5, ("5-5", "6-6", "diverged"), 6, *told]


def state(*numbers: int, at: int, truncated: bool = False) -> Replay:
    return Replay(tuple(event(n) for n in numbers), None, f"{at}-{at}", is_state=True, truncated=truncated)


@pytest.mark.parametrize("goes_on", [True, False])
async def test_state_goes_on_behind_a_client_that_gave_way(goes_on: bool) -> None:
    """The rest of the state where the log goes on from it, without what is newer now; else the state anew."""
    answers = [state(2, 4, 6, at=9), Replay((), None if goes_on else Reason.TRIMMED, "12-12")]
    answers += [state(2, 6, 8, 11, at=12), Replay((), None, "12-12"), state(8, 11, at=12)]
    hub, listener = ScriptedHub(answers, lines_per_slot=2), Listener()
    rooms = Subscriptions(listener, hub, waiting_bytes=2)  # type: ignore[arg-type]
    async with rooms.resume(X, FromState(), with_state=True) as replay:
        assert (replay.is_state, replay.position) == (True, "9-9")
    rest = [("9-9", 2, False, False), 6, 8] if goes_on else [("12-12", 4, False, True), 2, 6]
    rest += [] if goes_on else [("12-12", 2, False, False), 8, 11]
    assert listener.said == [2, 4, *rest]
    assert hub.asked[:3] == [FromState(), Since("9-9", has_stayed=True), FromState(anew=True)]


async def test_state_takes_the_place_of_a_partial_tail() -> None:
    """A client that may have missed events is given the state, read after it came, and the reason."""
    hub = ScriptedHub([Replay((event(8, 3),), Reason.TRIMMED, "8-8"), state(2, 8, at=9)], lines_per_slot=9)
    rooms = Subscriptions(Listener(), hub, waiting_bytes=9)  # type: ignore[arg-type]
    async with rooms.resume(X, Since("2-2"), with_state=True) as replay:
        assert (replay.reason, replay.is_state, replay.position) == (Reason.TRIMMED, True, "9-9")
    assert hub.asked == [Since("2-2"), FromState(anew=True)]


async def test_events_missed_behind_the_state_bring_another() -> None:
    """What the log lost while a client read its state is told, and the state comes anew."""
    answers = [state(2, 4, at=4), Replay((event(8, 7),), Reason.TRIMMED, "8-8"), state(4, 8, at=8)]
    hub, listener = ScriptedHub(answers, lines_per_slot=9), Listener()
    found = iter([None, ()])
    hub.missing = lambda *_, **__: next(found)  # type: ignore[method-assign, assignment]
    rooms = Subscriptions(listener, hub, waiting_bytes=9_000)  # type: ignore[arg-type]
    async with rooms.resume(X, FromState(), with_state=True):
        pass
    assert listener.said == [2, 4, ("4-4", "8-8", "trimmed"), ("8-8", 2, False, True), 4, 8]


async def test_client_that_stood_elsewhere_is_not_told_of_places_when_it_comes_back() -> None:
    """It was told so, and builds its state anew; no place is told at the end of the replay, either."""
    lines = tuple(event(number) for number in (3, 4, 5))
    replay = Replay(lines, Reason.DIVERGED, "5-5", forks_elsewhere=()).passing(["4-4"])
    hub, listener = ScriptedHub([replay], lines_per_slot=100), Listener()
    hub.learned = ("4-4",)
    rooms = Subscriptions(listener, hub, waiting_bytes=1_000)  # type: ignore[arg-type]
    async with rooms.resume(X, Since("2-9")):
        pass
    assert listener.said == [3, 4, 5]


@pytest.mark.parametrize("is_gone", [True, False], ids=["gone", "left"])
@pytest.mark.parametrize("count", [2, 0], ids=["between lines", "behind the answer"])
async def test_client_out_during_a_replay_joins_no_room(is_gone: bool, count: int) -> None:
    """A client that left, or is gone, is given no more of a replay, and is in no room behind the last line."""
    replay = Replay(tuple(event(n) for n in (3, 4, 5)[:count]), None, "5-5")
    hub, listener = ScriptedHub([replay], lines_per_slot=3), Listener()
    rooms, written = Subscriptions(listener, hub, waiting_bytes=2), list[bytes]()  # type: ignore[arg-type]

    def write(frames: bytes, behind: bytes = b"") -> None:
        written.append(frames + behind)
        rooms.end() if is_gone else rooms.leave(X)

    listener.write = write  # type: ignore[method-assign]
    async with rooms.resume(X, Since("2-2")):
        if not count:
            write(b"the answer")
    assert (len(written), hub.joined, X.name in rooms.rooms) == (1, 0, False)
