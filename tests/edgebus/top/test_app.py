"""The dashboard under Textual's pilot: what is on the screen, key by key, and in each state."""

import html
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from textual.pilot import Pilot
from textual.widget import Widget
from textual.widgets import DataTable, Input, Static

from bus.admin.values import GoneEdge, View
from edgebus.top.app import Top
from edgebus.top.frames import EdgeNow, Frame, Ledger
from edgebus.top.screens import Overview
from edgebus.top.troubles import troubles
from tests.edgebus.top.fake_source import BUSY, EVIL, QUIET, SAFE, FakeSource, entry, look

_FRAME = "c5c8c6"
"""The colour of a picture's own title."""
WIDE, NARROW = (140, 40), (80, 24)
NAME = "mahavishnu-host-869"


def text_of(app: Top) -> str:
    """Return what is on the screen, line by line."""
    found = re.findall(r"<text[^>]* y=\"([\d.]+)\"[^>]*>(.*?)</text>", app.export_screenshot(title=" "), re.DOTALL)
    lines: dict[float, str] = {}
    for y, part in found:
        lines[float(y)] = lines.get(float(y), "") + html.unescape(part)
    return "\n".join(line for y in sorted(lines) if (line := lines[y].replace("\xa0", " ").strip()))


@asynccontextmanager
async def showing(source: FakeSource, size: tuple[int, int] = NARROW) -> AsyncIterator[Pilot[None]]:
    """Run the dashboard, with the frames given so far on the screen."""
    async with Top(source, "redis://127.0.0.1:6390").run_test(size=size) as pilot:
        await pilot.pause()
        await pilot.pause()
        yield pilot


def see(pilot: Pilot[None]) -> str:
    """Return what the screen's parts say, whether they fit or not: a picture takes a tenth of a second."""
    said: list[str] = []
    for widget in pilot.app.screen.query(Widget):
        if isinstance(widget, Static):
            said += str(widget.content).splitlines()
        elif isinstance(widget, DataTable):
            said += ["  ".join(map(str, widget.get_row_at(index))) for index in range(widget.row_count)]
    return "\n".join(said)


async def press(pilot: Pilot[None], *keys: str) -> str:
    """Press keys, and return what is on the screen then."""
    await pilot.press(*keys)
    pages = [it for it in pilot.app.workers if it.name == "ask for a page"]
    if pages:
        await pilot.app.workers.wait_for_complete(pages)
    await pilot.pause()
    await pilot.pause()
    return see(pilot)


async def type_filter(pilot: Pilot[None], text: str) -> str:
    """Ask for the filter, and return what is on the screen with ``text`` in it."""
    await pilot.press("slash")
    pilot.app.screen.query_one(Input).value = text
    return await press(pilot, "enter")


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_all_at_once_and_what_is_wrong_first(size: tuple[int, int]) -> None:
    """The head has the sums, the deaf link before the slow clients; each table its rows, strangers' texts escaped."""
    async with showing(FakeSource(BUSY), size) as pilot:
        assert isinstance(pilot.app, Top)
        shown = text_of(pilot.app)
    lines = shown.splitlines()
    assert lines[0].startswith("3 edge(s)  60 client(s)  15 room(s) on them  in 600/s  out 6,000/s")
    assert lines[1] == f"! {NAME}3: its link to Redis is deaf: no probe came back"
    assert "- 2 client(s) read slower than events come; 2.0 MB wait for al\\u001b" in " ".join(lines)
    assert "link deaf" in shown
    assert "workflow:w50" in shown
    assert EVIL not in shown
    assert "carol" in shown
    assert ("waiting      state" in shown or "version" in shown) == (size == WIDE)


async def test_keys_sort_filter_and_pause() -> None:
    """Each key of a table does what the page of keys says."""
    source = FakeSource(BUSY)
    async with showing(source) as pilot:
        assert "edges, by in/s" in await press(pilot, "s")
        assert "edges, by in/s reversed" in await press(pilot, "S")
        shown = await type_filter(pilot, "w50")
        assert "workflow:w50" in shown
        assert "workflow:w49" not in shown
        assert "only with 'w50'" in shown
        assert "workflow:w49" in await press(pilot, "escape")
        assert "PAUSED" in await press(pilot, "p")
        source.give(QUIET)
        shown = await press(pilot)
        assert "all is well" in shown, "the head goes on"
        assert "workflow:w50" in shown, "the tables stand still"
        assert "PAUSED" not in await press(pilot, "p")


async def test_keys_drill_and_come_back() -> None:
    """Enter opens an edge, a room, a client; Esc leads back to where it began, and no further."""
    async with showing(FakeSource(BUSY)) as pilot:
        shown = await press(pilot, "enter")
        assert "up, probe 12 ms ago, generation 1" in shown
        assert "pid 1001 on host" in shown
        shown = await press(pilot, "escape", "tab", "enter")
        assert "in Redis      workflow:w50" in shown
        assert "12 entries, 3.5 KB" in shown
        shown = await press(pilot, "escape", "tab", "enter")
        assert "edgebus kick c00001" in shown
        assert SAFE in shown
        assert "edgebus drain EDGE" in await press(pilot, "escape", "question_mark")
        await press(pilot, "escape", "escape")
        assert isinstance(pilot.app.screen, Overview)
        await pilot.press("q")
    assert pilot.app.return_code == 0


async def test_ten_thousand_rooms_are_pages_and_so_are_clients() -> None:
    """A page of 100 is held; the next, the one before, a prefix and another order are asked for."""
    source = FakeSource(BUSY)
    async with showing(source) as pilot:
        shown = await press(pilot, "r")
        assert "page 1, n for more" in shown
        assert "workflow:w0" in shown
        assert "page 2" in await press(pilot, "n")
        assert "page 1" in await press(pilot, "b")
        assert "by rate" in await press(pilot, "s")
        shown = await type_filter(pilot, "workflow:w999")
        assert "beginning with 'workflow:w999'" in shown
        assert "the busiest" in shown
        assert "in Redis      workflow:w999" in await press(pilot, "enter")
        shown = await press(pilot, "c")
        assert "no client c00002 on any of 3 edges" in await press(pilot, "down", "enter"), "it went meanwhile"
    asked = [it for it in source.asked if it[0] == "rooms"]
    assert asked[:2] == [("rooms", "members", "", 100, None), ("rooms", "members", "", 100, "100")]
    assert asked[-1] == ("rooms", "rate", "workflow:w999", 100, None)
    assert ("clients", None, "workflow:w999", None, 100, "1") in source.asked, "the page without a row was passed"
    assert "did not answer: mahavishnu" in shown


STATES = (
    (Frame(has_begun=False), ["asking Redis"]),
    (Frame(), ["no edge yet: start one with  edgebus edge mahavishnu", "edges: none is in Redis' registry"]),
    (replace(QUIET, away_s=12.0, why="refused"), ["! Redis is away for 12 s: refused", "is from before that"]),
    (Frame((EdgeNow(entry(1), gone_s=3.0),)), [f"! {NAME}1 is gone for 3 s: killed, or cut off", "gone 3 s"]),
    (Frame((EdgeNow(entry(1), silent_s=8.0),)), [f"! {NAME}1 is silent for 8 s: no heartbeat", "silent 8 s"]),
    (Frame((EdgeNow(entry(1, draining=True)),)), [f"- {NAME}1 drains, 10 client(s) left", "draining"]),
    (QUIET, ["all is well: 2 edge(s) ready, every link up", "no event in the last second", "slow clients: none"]),
)


async def test_states_have_their_sentences() -> None:
    """Each state says what it is, and what to type where there is something, also where there are 80 columns."""
    source = FakeSource()
    async with showing(source, NARROW) as pilot:
        for frame, sentences in STATES:
            source.give(frame)
            shown = " ".join((await press(pilot)).split())
            assert [it for it in sentences if " ".join(it.split()) not in shown] == [], shown


async def test_without_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    """With NO_COLOR nothing is told by colour alone, and none is drawn."""
    monkeypatch.setenv("NO_COLOR", "1")
    async with showing(FakeSource(BUSY)) as pilot:
        assert pilot.app.no_color
        drawn = set(re.findall(r"-r\d+ { fill: #([0-9a-f]{6})", pilot.app.export_screenshot()))
        assert f"! {NAME}3" in see(pilot)
    assert [it for it in drawn - {_FRAME} if len({it[:2], it[2:4], it[4:]}) > 1] == [], "grey alone"


def test_ledger_tells_what_only_time_tells() -> None:
    """A heartbeat that stays away, an entry that goes, a Redis that comes back: by our own clock."""
    now = [0.0]
    ledger = Ledger(lambda: now[0])
    ledger.take([entry(1), entry(2)], View((look(1), look(2))))
    now[0] = 8.0
    ledger.take([entry(1), entry(2, heartbeat_ms=2)], View((look(1), replace(look(2), at=2))))
    one, two = ledger.frame().edges
    assert (one.silent_s, one.lookless_s, one.look) == (8.0, 8.0, None)
    assert (two.silent_s, two.look is not None) == (None, True)
    ledger.take([entry(2, heartbeat_ms=3)], None, [GoneEdge(entry(1).id, 0.0)])
    now[0] = 10.0
    assert [it.gone_s for it in ledger.frame().edges] == [None, 2.0]
    ledger.away("refused")
    now[0] = 30.0
    assert (ledger.frame().away_s, ledger.frame().why) == (20.0, "refused")
    assert ledger.frame().edges[0].silent_s is None, "nothing is known of an edge while Redis is away"
    ledger.take([], None)
    assert [it.gone_s is None for it in ledger.frame().edges] == [True, False], "edges announce themselves anew"
    now[0] = 36.0
    ledger.take([], None, [GoneEdge(entry(2).id, 20.0)])
    assert [it.gone_s is None for it in ledger.frame().edges] == [False, False]


def test_edge_that_died_before_we_looked_is_told() -> None:
    """Redis' index remembers edges that ended without a word; those of some minutes ago are no news."""
    ledger = Ledger(lambda: 100.0)
    ledger.take([entry(1)], None, [GoneEdge(entry(2).id, 30.0), GoneEdge(entry(3).id, 500.0)])
    assert [(it.entry.id, it.gone_s) for it in ledger.frame().edges] == [(entry(1).id, None), (entry(2).id, 30.0)]


def test_what_happened_of_late_is_told_for_a_minute() -> None:
    """Gaps and slow clients from before the first look are no news; new ones are, each time for a minute."""
    now = [0.0]
    ledger = Ledger(lambda: now[0])
    for at, slow, told in (
        (0.0, 5, None),
        (1.0, 5, None),
        (2.0, 7, 2),
        (40.0, 8, 3),
        (90.0, 8, 3),
        (101.0, 8, None),
        (102.0, 9, 1),
    ):
        now[0] = at
        ledger.take([entry(1, slow=slow, gaps=1)], None)
        edge = ledger.frame().edges[0]
        assert (edge.gaps, edge.slowed.count if edge.slowed else None) == (None, told), at
    assert any("closed 1 client(s) for slow reading" in it.text for it in troubles(ledger.frame(), 0.0))


def test_flood_is_told() -> None:
    """A client that runs into a limit now and then is none; hundreds of times within a minute are a flood."""
    ledger = Ledger(lambda: 100.0)
    for limited, is_told in ((1_000, False), (1_050, False), (1_900, True)):
        ledger.take([entry(1, limited=limited)], None)
        assert any("its limits 900 times" in it.text for it in troubles(ledger.frame(), 0.0)) == is_told


def test_edge_that_ended_in_order_is_no_trouble() -> None:
    """An edge that took itself out of the index is forgotten, whether it drained or was stopped at once."""
    ledger = Ledger(lambda: 100.0)
    ledger.take([entry(1), entry(2, draining=True)], None)
    ledger.take([], None)
    assert ledger.frame().edges == ()
