"""Commands that many clients say in the same bytes."""

import pytest

from bus.broker.embedded import EmbeddedBroker
from bus.log.replay import Last, Since
from edges.session.command import COMMON_BYTES, KnownCommands
from edges.session.verbs.ping import Ping
from edges.session.verbs.subscribe import Subscribe
from producers import Producer
from producers.services.mahavishnu import WorkflowStarted
from tests.edges.conftest import OpenClient, StartEdge


def test_common_commands_are_known_by_text() -> None:
    """A subscribe at the end of the log or from a position is known; other wishes, verbs and long texts are not."""
    known, common = KnownCommands(), Subscribe("workflow:x", "1")
    known.remember(b"common", common)
    known.remember(b"back", Subscribe("workflow:x", "1", Since("5-5")))
    known.remember(b"newest", Subscribe("workflow:x", "1", Last(5)))
    known.remember(b"state", Subscribe("workflow:x", "1", with_state=True))
    known.remember(b"ping", Ping("1"))
    known.remember(b"l" * (COMMON_BYTES + 1), common)
    assert (len(known), known.get(b"common")) == (2, common)
    assert known.get(b"back") == Subscribe("workflow:x", "1", Since("5-5"))


def test_known_commands_are_bounded() -> None:
    """Ever new texts push out the old ones, not the memory of the edge."""
    known = KnownCommands()
    for number in range(5_000):
        known.remember(b"%d" % number, Subscribe("workflow:x", str(number)))
    assert len(known) <= 1_024
    assert known.get(b"4999") == Subscribe("workflow:x", "4999")


async def test_same_words_of_two_clients_are_two_subscriptions(
    start_edge: StartEdge, broker: EmbeddedBroker, open_client: OpenClient
) -> None:
    """Each is answered and welcomed by ids of its own, and both are in the room."""
    edge, answers = await start_edge(broker, welcome_delay_ms=60_000), []
    for _ in range(2):
        client = await open_client(edge)
        client.send({"type": "request", "event": "subscribe", "data": {"channel": "workflow:x"}, "id": "1"})
        answers.append([await client.message(), await client.message()])
    (first, hello), (second, again) = answers
    assert len({it["id"] for it in (first, hello, second, again)}) == 4
    assert hello["data"]["connection_id"] != again["data"]["connection_id"]
    for answer in (first, second):
        assert (answer["correlation_id"], answer["data"]["status"]) == ("1", "subscribed")
    (room,) = edge._parts.hub.rooms  # noqa: SLF001
    assert len(room) == 2


async def test_same_position_of_two_clients_is_answered_as_of_now(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, producer: Producer
) -> None:
    """What was published since the first came back is given to the second, who says the same words."""
    edge = await start_edge(broker, welcome_delay_ms=60_000)
    first, *_ = [await producer.publish(WorkflowStarted(workflow_id="x")) for _ in range(2)]
    for count in (1, 2):
        client = await open_client(edge)
        client.request("subscribe", channel="workflow:x", since=first.positions["workflow:x"])
        assert (await client.message())["data"]["recovered"] is True
        assert (await client.message())["event"] == "session.created"
        assert [(await client.message())["event"] for _ in range(count)] == ["workflow.started"] * count
        await producer.publish(WorkflowStarted(workflow_id="x"))
        assert (await client.message())["event"] == "workflow.started"  # the room has it, too


@pytest.mark.parametrize("limit", [1, 2])
async def test_known_words_pay_the_rate(
    limit: int, start_edge: StartEdge, broker: EmbeddedBroker, open_client: OpenClient
) -> None:
    """A text that is known counts as any other message."""
    edge = await start_edge(broker, message_rate_limit=limit)
    client = await open_client(edge)
    for _ in range(2 * limit + 1):
        client.send({"type": "request", "event": "subscribe", "data": {"channel": "workflow:x"}, "id": "1"})
    messages = [await client.message() for _ in range(2 * limit + 2)]
    assert [it["error_code"] for it in messages if it["type"] == "error"] == ["RATE_LIMIT_EXCEEDED"]
