"""What an edge's messages mean, and whose notices are believed."""

from typing import Any

import orjson
import pytest

from clients.values import Received
from clients.wire import CONNECTION_NOTICES, ROOM_NOTICES, Notice, decode

ROOM = "workflow:1"


def said(event: str, **keys: Any) -> Any:
    return decode(orjson.dumps({"type": "event", "id": "x", "event": event, "data": {}, **keys}))


@pytest.mark.parametrize("event", sorted(CONNECTION_NOTICES))
def test_notice_of_the_connection_has_no_room(event: str) -> None:
    """A line on a channel that is named like one is an event of that channel; one with a position is none at all."""
    assert said(event, room=None, position=None) == Notice(event, None, {})
    assert said(event, room=ROOM, position=None) == Received(ROOM, "x", event, {}, "", None, None)
    assert said(event, room=None, position="1-1") is None


@pytest.mark.parametrize("event", sorted(ROOM_NOTICES))
def test_notice_of_a_room_names_the_room_and_has_no_position(event: str) -> None:
    """An event in the log that is named like one is an event; without a room it says nothing."""
    assert said(event, room=ROOM, position=None) == Notice(event, ROOM, {})
    assert said(event, room=ROOM, position="2-2", previous="1-1") == Received(ROOM, "x", event, {}, "", "2-2", "1-1")
    assert said(event, room=None, position=None) is None


def test_event_without_a_room_is_nothing() -> None:
    """No channel's event, and no notice that is known."""
    assert said("workflow.started", room=None) is None
    assert said("of.tomorrow", room=None) is None


@pytest.mark.parametrize("kind", ["response", "error", "pong"])
@pytest.mark.parametrize("front", [{"position": None, "previous": None}, {"position": "1-1"}, {"room": ROOM}])
def test_line_of_a_channel_answers_nothing(kind: str, front: dict[str, Any]) -> None:
    """An answer has neither room nor place in a log; a line that was typed with the bus's front may say anything."""
    answer = {"type": kind, "correlation_id": "1", "event": "auth", "data": {}, "error_code": "AUTH_FAILED"}
    assert decode(orjson.dumps(answer)) is not None
    assert decode(orjson.dumps({**front, **answer})) is None
