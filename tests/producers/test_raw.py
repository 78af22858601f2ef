"""Events with no model, as bridges publish them: any name and data on any channel, and what is refused."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from bus.channel import LATEST
from bus.errors import ChannelError, EventError
from producers import CapturingProducer, raw_event
from producers.capturing import BlockingCapturingProducer
from producers.services.mahavishnu import SERVICE as MAHAVISHNU
from producers.services.mahavishnu import WORKFLOW
from producers.services.session_buddy import SERVICE as SESSION_BUDDY

TIME = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


async def test_name_and_data_become_a_line_like_any() -> None:
    """The line has the nine keys; values are made JSON; the time of publishing is put in where there is none."""
    producer = CapturingProducer()
    published = await producer.publish_raw("code", "Build:done", {"at": TIME, "path": Path("/a"), "of": (1, 2)})
    [line] = [orjson.loads(it) for it in producer.lines["code"]]
    assert line["data"].pop("timestamp") == line["timestamp"]
    assert line["data"] == {"at": "2026-01-02T03:04:05Z", "path": "/a", "of": [1, 2]}
    assert (line["event"], line["type"], line["room"], line["id"]) == ("Build:done", "event", "code", published.id)


async def test_time_of_the_other_system_stays() -> None:
    """A bridge hands on the data as they are, `timestamp` included; the envelope has the time of publishing."""
    producer = CapturingProducer()
    await producer.publish_raw("workflow:wf", "workflow.started", {"timestamp": "yesterday", "channels": 1})
    [line] = [orjson.loads(it) for it in producer.lines["workflow:wf"]]
    assert line["data"] == {"timestamp": "yesterday", "channels": 1}
    assert line["timestamp"] != "yesterday"


async def test_names_of_a_service_are_looked_up_in_it() -> None:
    """A service decides what `global` means in Redis, and the retention of a channel."""
    [shared] = raw_event("global", "e", service=MAHAVISHNU).channels()
    assert (shared.name, shared.redis) == ("global", "global:mahavishnu")
    assert raw_event("skills", "e", service=SESSION_BUDDY).channels()[0].retention == LATEST
    with pytest.raises(ChannelError, match="the forms are"):
        raw_event("code", "e", service=MAHAVISHNU)
    assert raw_event("workflow:a b", "e").channels()[0].redis == "workflow:a%20b"
    assert raw_event(WORKFLOW.fill("a b"), "e").channels() == (WORKFLOW.fill("a b"),)


async def test_raw_events_may_be_emitted_and_published_without_asyncio() -> None:
    """The same event goes to `emit`; the twin without asyncio has the same call."""
    producer = CapturingProducer()
    assert producer.emit(raw_event("code", "e", {"a": 1}))
    assert [it.event_name for it in producer.events] == ["e"]
    with BlockingCapturingProducer() as blocked:
        assert blocked.publish_raw("code", "e").positions.keys() == {"code"}


@pytest.mark.parametrize(
    ("channel", "event", "data", "error"),
    [
        ("bus:x", "e", {}, ChannelError),
        ("", "e", {}, ChannelError),
        ("Code", "e", {}, ChannelError),
        ("code:", "e", {}, ChannelError),
        ("code:%zz", "e", {}, ChannelError),
        ("code:" + "x" * 10_000, "e", {}, ChannelError),
        ("code", 'a"b', {}, EventError),
        ("code", "", {}, EventError),
        ("code", "x" * 129, {}, EventError),
        ("code", "room.gap", {}, EventError),
        ("code", "e", {"a": [float("nan")]}, ValidationError),
        ("code", "e", {"a": object()}, ValidationError),
        ("code", "e", "text", ValidationError),
    ],
)
async def test_what_is_no_event_is_refused(channel: str, event: str, data: Any, error: type[Exception]) -> None:
    """Rooms of the bus itself, notices of an edge, names that would break the line, NaN: nothing is sent."""
    producer = CapturingProducer()
    with pytest.raises(error):
        await producer.publish_raw(channel, event, data)
    assert producer.events == []
