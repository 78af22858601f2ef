"""Clients that share no code with the edge: a page in Chromium, npm's ``ws``, and the websockets library's program."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from bus.broker.embedded import EmbeddedBroker
from producers import Producer
from producers.services.mahavishnu import WorkflowStageCompleted
from tests.journeys.clients import EVENT_KEYS, Message, eventually
from tests.journeys.peers import InTerminal, Peer, chromium, node_ws, websockets_client
from tests.journeys.processes import Processes, fetch

Lend = Callable[[Processes, int, Path], AbstractContextManager[Peer]]


async def answer(peer: Peer, id: str) -> Message:
    """Return the answer to the message with that id."""
    found: list[Message] = await eventually(lambda: [it for it in peer.heard() if it["correlation_id"] == id])
    assert len(found) == 1, "every message has one answer"
    return found[0]


def events(peer: Peer) -> list[Message]:
    return [message for message in peer.heard() if message["room"] is not None]


async def publish(producer: Producer, *names: str) -> None:
    for name in names:
        await producer.publish(
            WorkflowStageCompleted(workflow_id="peer", stage_name=name, result={"text": "é\u2028😀"})
        )


@pytest.mark.parametrize("lend", [chromium, node_ws, websockets_client])
async def test_peer_from_its_hello_to_its_goodbye(
    lend: Lend, broker: EmbeddedBroker, producer: Producer, processes: Processes, tmp_path: Path
) -> None:
    """It subscribes, gets events whole and in order, has a ping and a mistake answered, and closes in order."""
    [(_, port)] = processes.edges("mahavishnu", broker.url)
    with lend(processes, port, tmp_path) as peer:
        await eventually(lambda: [it for it in peer.heard() if it["event"] == "session.created"])
        peer.say({"type": "request", "event": "subscribe", "data": {"channel": "workflow:peer"}, "id": "s1"})
        assert (await answer(peer, "s1"))["data"]["status"] == "subscribed"

        await publish(producer, "one", "two", "three")
        came = await eventually(lambda: events(peer) if len(events(peer)) == 3 else None)
        assert [it["data"]["stage_name"] for it in came] == ["one", "two", "three"]
        assert all(it.keys() == EVENT_KEYS and it["data"]["result"]["text"] == "é\u2028😀" for it in came)
        assert [it["previous"] for it in came[1:]] == [it["position"] for it in came[:-1]]

        peer.say({"type": "ping", "id": "p1"})
        assert (await answer(peer, "p1"))["type"] == "pong"
        peer.say({"type": "request", "event": "subscribe", "data": {"channel": "nowhere:x"}, "id": "s2"})
        assert (await answer(peer, "s2"))["error_code"] == "INVALID_CHANNEL"
        await publish(producer, "four")
        await eventually(lambda: len(events(peer)) == 4)

        peer.close()
        assert await eventually(peer.closed) == 1000
    await eventually(lambda: '"connections":0' in fetch(f"http://127.0.0.1:{port}/healthz")[1])


async def test_ping_frame_of_a_peer_is_answered(broker: EmbeddedBroker, processes: Processes, tmp_path: Path) -> None:
    """A ping frame comes back as a pong frame with its payload; a page and the interactive client cannot send one."""
    [(_, port)] = processes.edges("mahavishnu", broker.url)
    with node_ws(processes, port, tmp_path) as peer:
        assert isinstance(peer, InTerminal)
        peer.running.until(lambda: "Connected" in peer.running.output)
        peer.running.type("ping")
        peer.running.until(lambda: "pong: a frame" in peer.running.output)
        peer.close()
        assert await eventually(peer.closed) == 1000
        assert peer.running.exit_code() == 0
