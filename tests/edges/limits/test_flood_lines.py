"""Lines of which thousands come in a second: the first is told at once, the rest as sums, bounded in every way."""

import logging
from typing import Any

import pytest

from edges.limits.floods import Floods, Told

TOKEN = Told("sent a client away")
GAP = Told("a room was told of a gap", logging.WARNING, by="channel", is_apart=True)
OWN = ("reason", "address", "channel", "count", "within_s", "by_address", "by_channel", "distinct", "example", "events")


class Clock:
    """A clock that a test sets."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def floods(clock: Clock, caplog: pytest.LogCaptureFixture) -> Floods:
    caplog.set_level(logging.INFO, "edgebus.test")
    return Floods(logging.getLogger("edgebus.test"), clock)


def told(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Return the fields of the lines so far, and forget the lines."""
    records = [vars(it) for it in caplog.records]
    caplog.clear()
    return [{name: it[name] for name in OWN if name in it} | {"level": it["levelname"]} for it in records]


def test_first_at_once_and_rest_summed(floods: Floods, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """The first is told with all its fields; the second's end tells how many more, from where, and one example."""
    floods.note(TOKEN, "no JWT", "192.0.2.1", {"connection": "c-0"})
    assert told(caplog) == [{"reason": "no JWT", "address": "192.0.2.1", "count": 1, "level": "INFO"}]
    for number in range(999):
        floods.note(TOKEN, "no JWT", f"192.0.2.{number % 2}", {"connection": f"c-{number}"})
    assert told(caplog) == []
    clock.now_s += 1.04
    floods.flush()
    by_address = {"192.0.2.0": 500, "192.0.2.1": 499}
    (line,) = told(caplog)
    assert line == {
        "reason": "no JWT",
        "count": 999,
        "within_s": 1.0,
        "by_address": by_address,
        "distinct": 2,
        "example": {"connection": "c-998"},
        "level": "WARNING",
    }


def test_quiet_round_begins_anew(floods: Floods, caplog: pytest.LogCaptureFixture) -> None:
    """While a flood lasts no line is a first one again; after a round without it, the next is told at once."""
    for _ in range(3):
        floods.note(TOKEN, "no JWT", "192.0.2.1")
        floods.note(TOKEN, "no JWT", "192.0.2.1")
        floods.flush()
    assert [it["count"] for it in told(caplog)] == [1, 1, 2, 2]
    floods.flush()
    floods.note(TOKEN, "no JWT", "192.0.2.1")
    assert [it["count"] for it in told(caplog)] == [1]


def test_reasons_are_summed_apart(floods: Floods, caplog: pytest.LogCaptureFixture) -> None:
    """Two reasons are two stories; few of a kind stay at the level of the kind."""
    for reason in ("expired", "no JWT", "expired", "no JWT", "expired"):
        floods.note(TOKEN, reason, "192.0.2.1")
    floods.flush()
    lines = [(it["reason"], it["count"], it["level"]) for it in told(caplog)]
    assert lines == [("expired", 1, "INFO"), ("no JWT", 1, "INFO"), ("expired", 2, "INFO"), ("no JWT", 1, "INFO")]


def test_ten_thousand_rooms_are_thirty_lines(floods: Floods, caplog: pytest.LogCaptureFixture) -> None:
    """Rooms are told apart while they are few; beyond that they are one sum, and no number is lost."""
    for number in range(10_000):
        floods.note(GAP, "unknown", f"workflow:{number}", events=2)
    floods.flush()
    lines = told(caplog)
    assert len(lines) <= 31
    assert sum(it["count"] for it in lines) == 10_000
    assert sum(it["events"] for it in lines) == 20_000
    assert lines[-1]["reason"] == "unknown"


def test_addresses_and_reasons_without_end_are_bounded(floods: Floods, caplog: pytest.LogCaptureFixture) -> None:
    """A stranger chooses address and text: neither grows the memory, and the sum still adds up."""
    for number in range(5_000):
        floods.note(TOKEN, f"reason {number}", f"10.0.{number // 256}.{number % 256}")
    floods.flush()
    lines = told(caplog)
    assert sum(it["count"] for it in lines) == 5_000
    assert lines[-1]["reason"] == "others"
    assert lines[-1]["distinct"] == 200
    assert sum(lines[-1]["by_address"].values()) == lines[-1]["count"]


def test_bug_shows_one_traceback(floods: Floods, caplog: pytest.LogCaptureFixture) -> None:
    """A bug that a client meets a hundred times a second is one traceback, and a number."""
    bug = Told("a command failed", logging.ERROR)
    for _ in range(100):
        floods.note(bug, "ValueError", "192.0.2.1", error=ValueError("a bug"))
    floods.flush()
    assert [it.exc_info is not None for it in caplog.records] == [True, False]
    assert [vars(it)["count"] for it in caplog.records] == [1, 99]
