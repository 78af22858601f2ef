"""The story of an outage: its lines carry one incident, and the last line says how long and what was made up for."""

import logging
from typing import Any

import pytest

from bus.log_fields import AddFields, speaking
from bus.position import Reason
from edges.lifecycle.outage import Outage
from edges.limits.floods import Floods
from edges.protocol.messages import gap
from edges.rooms.repairs import Repairs
from producers.services.mahavishnu import WORKFLOW

CHANNEL = WORKFLOW.called("workflow:wf_1")


class Told:
    """An outage with a clock and a generation of the test's own, and the lines that it logged."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "edgebus.edges")
        self._caplog, self.now_s, self.generation = caplog, 0.0, 1
        floods = Floods(logging.getLogger("edgebus.edges"), lambda: self.now_s)
        self.repairs = Repairs(floods)
        clock = lambda: self.now_s  # noqa: E731 (a clock)
        self.outage = Outage("edge-1", lambda: self.generation, lambda: 20, self.repairs, floods, clock)

    def lines(self) -> list[dict[str, Any]]:
        """Return the records so far."""
        return [vars(it) | {"event": it.getMessage()} for it in self._caplog.records]


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Told:
    caplog.handler.addFilter(AddFields())
    return Told(caplog)


def test_incident_from_loss_to_restoration(told: Told) -> None:
    """Each line between carries the incident; gaps that were summed up come before the line that ends the story."""
    outage = told.outage
    with speaking(outage.fields):
        outage.began("Redis closed the connection", rooms=5)
        outage.told(19)
        told.now_s, told.generation = 20.3, 2
        outage.link_came(7)
        for number in range(3):
            told.repairs.repaired(CHANNEL, "1-1", "4-4", 3)
            told.repairs.gaps(CHANNEL, [b"{}", gap(CHANNEL.name, f"{number}-1", "9-1", Reason.UNKNOWN)])
        outage.ended(rooms=5, clients=19)
        logging.getLogger("edgebus.edges").info("later")
    lines = told.lines()
    assert [it["incident"] for it in lines[:-1]] == ["link-1"] * (len(lines) - 1)
    assert "incident" not in lines[-1]
    assert [it["event"] for it in lines] == [
        "link to Redis is lost",
        "clients were told that events are late",
        "link to Redis is up",
        "events that a room lacked were read from the log",
        "a room was told of a gap",
        "events that a room lacked were read from the log",
        "a room was told of a gap",
        "link to Redis is restored: rooms are up to date again",
        "later",
    ]
    assert [it["generation"] for it in lines] == [1, 1, *[2] * 7]
    last = lines[-2]
    assert (last["after_s"], last["rooms_compared"], last["events_repaired"]) == (20.3, 5, 9)
    assert (last["gaps_told"], last["clients"], last["levelname"]) == ({"unknown": 3}, 19, "WARNING")


def test_link_lost_again_is_the_same_incident(told: Told) -> None:
    """A link that comes and goes before rooms were compared is one story with two losses."""
    with speaking(told.outage.fields):
        told.outage.began("deaf", rooms=1)
        told.now_s, told.generation = 2.0, 2
        told.outage.link_came(1)
        told.outage.began("closed", rooms=1)
        told.now_s, told.generation = 5.0, 3
        told.outage.link_came(1)
        told.outage.ended(rooms=1, clients=0)
    assert {it["incident"] for it in told.lines()} == {"link-1"}
    assert (told.lines()[-1]["losses"], told.lines()[-1]["after_s"]) == (2, 5.0)
    assert told.lines()[-1]["levelname"] == "INFO"


def test_first_link_ends_no_story(told: Told) -> None:
    """A start with Redis there is no incident."""
    told.outage.link_came(2)
    told.outage.ended(rooms=0, clients=0)
    assert [it["event"] for it in told.lines()] == ["link to Redis is up"]


def test_two_edges_of_a_process_speak_apart(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    """The fields are of the edge at work; outside of any edge a line has none."""
    logger = logging.getLogger("edgebus.edges")
    with speaking(lambda: {"edge": "a"}):
        logger.info("one")
        with speaking(lambda: {"edge": "b"}):
            logger.info("two", extra={"channel": "c"})
        logger.info("three", extra={"edge": "of the line"})
    logger.info("four")
    assert [vars(it).get("edge") for it in caplog.records] == ["a", "b", "of the line", None]
