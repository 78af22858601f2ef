"""One second for a pipe: text without an escape sequence, and data for programs."""

import pytest

from bus.admin.registry import entry_of
from bus.admin.values import EdgeEntry
from edgebus.top.facts import edge_facts
from edgebus.top.frames import EdgeNow, Frame
from edgebus.top.snapshot import as_data, first_whole, show_frame
from tests.edgebus.top.fake_source import BUSY, SAFE, FakeSource, client, look


def test_frame_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    """Sums, troubles, then the tables, a line a row; the ten busiest rooms."""
    show_frame(BUSY, "redis://127.0.0.1:6390", 0.0)
    shown = capsys.readouterr().out
    assert shown.startswith(
        "3 edge(s)  60 client(s)  15 room(s) on them  in 600/s  out 6,000/s  redis://127.0.0.1:6390\n! mahav"
    )
    assert SAFE in shown
    assert "\x1b" not in shown
    assert shown.count("workflow:w") == 10


def test_frame_as_data() -> None:
    """Edges with their entry, state and look; troubles with their weight; Redis' presence."""
    seen = as_data(BUSY, 0.0)
    assert [it["state"] for it in seen["edges"]] == ["ready", "ready", "link deaf"]
    assert seen["edges"][1]["look"]["rates"]["events_in"] == 200.0
    assert [it["is_bad"] for it in seen["troubles"]] == [True, False]
    assert seen["redis"] == {"is_there": True, "away_s": None, "why": None}


async def test_looks_are_waited_for_and_not_for_ever() -> None:
    """The first frame may be before edges began to measure; an edge that never does is shown all the same."""
    blind = Frame((EdgeNow(EdgeEntry("a-b-1-1-1")),))
    assert await first_whole(FakeSource(blind, BUSY).frames()) is BUSY
    assert await first_whole(FakeSource(blind, blind, blind, blind).frames()) is blind
    assert await first_whole(FakeSource(Frame()).frames()) == Frame()


def test_entry_that_a_person_typed_ends_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Numbers beyond every clock, negative ones, and texts with escape sequences are shown as they are, harmlessly."""
    odd = {
        b"service": b"\x1b[2J",
        b"started": b"99999999999999999999",
        b"connections": b"-5",
        b"certificate_expires": b"-1",
        b"clock_offset_ms": b"1e300",
        b"link": b"up\x07" * 100,
        b"rooms": b"many",
        b"ready": b"\xff",
    }
    entry = entry_of("\n\x1b]0;x\x07", odd)
    twice = (client(1), client(1))
    frame = Frame((EdgeNow(entry, look(1, clients=twice)),))
    show_frame(frame, "redis://h", 0.0)
    shown = capsys.readouterr().out
    assert not set(shown) & {"\x1b", "\x07"}
    assert shown.count("c00001") == 2, "once in the table, once in the head"
    assert dict(edge_facts(frame.edges[0]))["started"].startswith("-")
