"""``edgebus get``: one event, by position or id, with its channel or without."""

import json

import pytest

from bus.broker.embedded import EmbeddedBroker
from bus.errors import BusError, EventError
from edgebus.catalogue import all_services, channel_by_name
from edgebus.commands.finding import bare_channels, show_event
from producers import Producer
from producers.services.mahavishnu import WorkflowStarted

SERVICES = all_services()
EVERYWHERE = bare_channels(SERVICES)


async def test_event_is_found_by_position_and_by_id(
    broker: EmbeddedBroker, producer: Producer, capsys: pytest.CaptureFixture[str]
) -> None:
    """In its channel by both; without a channel by the position and the id on one of the channels without an id."""
    note = "\x1b[2J"
    published = await producer.publish(WorkflowStarted(workflow_id="get-1", note=note))
    for number in range(300):  # more than a page
        await producer.publish(WorkflowStarted(workflow_id="get-1", number=number))
    channel, _ = channel_by_name("workflow:get-1", SERVICES)
    at, in_global = published.positions["workflow:get-1"] or "", published.positions["global"] or ""
    for wanted, channels in ((at, [channel]), (published.id, [channel]), (in_global, EVERYWHERE)):
        await show_event(broker.url, wanted, channels, as_json=True)
        found = json.loads(capsys.readouterr().out)
        assert (found["id"], found["data"]["note"]) == (published.id, note)
    await show_event(broker.url, published.id, EVERYWHERE, as_json=False)
    shown = capsys.readouterr().out
    assert "room           global" in shown
    assert f"position       {in_global}" in shown
    assert note not in shown


async def test_event_that_is_nowhere(broker: EmbeddedBroker) -> None:
    """The error names the logs that were read, and how to name a channel; a live channel has none."""
    channel, _ = channel_by_name("workflow:get-2", SERVICES)
    with pytest.raises(BusError, match=r"with the id nope in bus:log:\{workflow:get-2\} \(trimmed, expired, or never"):
        await show_event(broker.url, "nope", [channel], as_json=False)
    with pytest.raises(BusError, match=r"at the position 1-1 in the logs of .*global:mahavishnu.*: edgebus get 1-1 CH"):
        await show_event(broker.url, "1-1", EVERYWHERE, as_json=False)
    live, _ = channel_by_name("cursor:d1", SERVICES)
    with pytest.raises(BusError, match="a live channel has no log"):
        await show_event(broker.url, "nope", [live], as_json=False)
    with pytest.raises(EventError, match="a position is"):
        await show_event(broker.url, "a\x1b", EVERYWHERE, as_json=False)
