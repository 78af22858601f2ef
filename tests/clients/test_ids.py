"""Ids in any spelling, at the client: one subscription, under the name that was asked."""

from urllib.parse import quote

import pytest

from bus.broker.embedded import EmbeddedBroker
from clients import AlreadyFollowed, Gap, Received, Refused, connect
from producers import Producer
from producers.services.mahavishnu import SERVICE, WorkflowStarted
from tests.clients.fake_edge import at, fake_edge, short, take
from tests.clients.test_edge import running

IDS = ("domain:key:provider", "my project", "Müller", "me@x.org", "a/b", "аdmin", "2*3")  # noqa: RUF001 (a homoglyph)


@pytest.mark.parametrize("service", [SERVICE, None])
async def test_event_comes_under_the_name_that_was_asked(
    broker: EmbeddedBroker, producer: Producer, service: object
) -> None:
    """By the plain id and by the encoded one: what the SDK publishes arrives, and says the caller's own name."""
    async with running(broker) as edge:
        url = f"ws://127.0.0.1:{edge.port}"
        for workflow_id in IDS:
            event = WorkflowStarted(workflow_id=workflow_id)
            [spelled] = [channel.name for channel in event.channels() if channel.name != "global"]
            for name in (f"workflow:{workflow_id}", spelled, f"workflow:{quote(workflow_id, safe='')}"):
                async with connect(url, service=service) as client, client.subscribe(name) as events:  # type: ignore[arg-type]
                    await producer.publish(event)
                    [value] = await take(events)
                assert isinstance(value, Received)
                assert (events.channel, value.channel, value.data["workflow_id"]) == (name, name, workflow_id)


async def test_channel_is_followed_once_by_whatever_name(broker: EmbeddedBroker) -> None:
    """A second name of a channel is no second subscription, and either name ends it."""
    async with running(broker) as edge, connect(f"ws://127.0.0.1:{edge.port}") as client:
        async with client.subscribe("workflow:a b") as first:
            with pytest.raises(AlreadyFollowed, match="workflow:a%20b"):
                client.subscribe("workflow:a%20b")
            client.unsubscribe("workflow:%61%20b")
            assert [value async for value in first] == []
        async with client.subscribe("workflow:a%20b"):
            assert client.statistics().subscriptions == 1


async def test_name_that_cannot_be_one_is_refused_by_the_edge(broker: EmbeddedBroker) -> None:
    """The edge's sentence, with the right spelling, reaches the caller."""
    async with running(broker) as edge, connect(f"ws://127.0.0.1:{edge.port}") as client:
        with pytest.raises(Refused, match="workflow:%25zz"):
            await client.subscribe("workflow:%zz").joined()


async def test_notice_of_a_room_finds_its_subscription() -> None:
    """The edge tells a gap by the events' name; the caller hears of it by their own."""
    async with fake_edge() as edge, connect(edge.url) as client:
        talk = await edge.accept()
        events = client.subscribe("workflow:a b")
        await talk.joins(0)
        await talk.event(1, channel="workflow:a%20b")
        await talk.notice("room.gap", "workflow:a%20b", **{"from": at(1), "to": at(9), "reason": "trimmed"})
        await talk.event(9, channel="workflow:a%20b")
        values = await take(events, 3)
        assert short(values) == [1, Gap("workflow:a b", at(1), at(9), "trimmed"), 9]
        assert {value.channel for value in values} == {"workflow:a b"}
