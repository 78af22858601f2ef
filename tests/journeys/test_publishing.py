"""Clients that publish through replicas: one by WebSocket, one by curl, while a replica is killed."""

import asyncio
import json
import signal
import subprocess
from typing import Any

from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from clients import Received, connect
from tests.clients.fake_edge import take
from tests.edges.peers import Client
from tests.journeys.processes import DEADLINE_S, Processes, edgebus, program

SERVICE = "excalidraw"
CHANNEL = "diagram:d1"


def drawn(name: str) -> dict[str, Any]:
    return {"diagram_id": "d1", "element": {"id": name}, "user_id": "alice"}


async def publish(client: Client, name: str) -> None:
    """Publish an element with its name as the request's id, in the ecosystem's own form."""
    client.send({"type": "event", "event": "element.added", "data": drawn(name), "id": name})


async def answer(client: Client) -> dict[str, Any]:
    async with asyncio.timeout(DEADLINE_S):
        while (message := await client.message())["type"] != "response":
            assert message["type"] == "event", message
    return dict(message["data"])


def curl(port: int, name: str) -> tuple[int, dict[str, Any]]:
    """Publish as the page shows; return the status and the body."""
    body = json.dumps({"event": "element.added", "data": drawn(name), "id": name})
    ran = subprocess.run(
        [
            *(program("curl", "curl"), "-s", "-w", "\n%{http_code}", "-H", "Content-Type: application/json"),
            *("-H", "Expect: 100-continue", "-d", body, f"http://127.0.0.1:{port}/publish"),
        ],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    )
    text, _, status = ran.stdout.rpartition("\n")
    return int(status), json.loads(text)


async def test_repetition_at_another_replica_is_stored_once(processes: Processes, broker: EmbeddedBroker) -> None:
    """A replica dies with an answer still due: the client repeats elsewhere, and nobody sees an event twice.

    Without the memory of publishes the same steps store twice: ``tests/contract/test_once.py`` has that control.
    """
    (first, first_port), (_, port) = processes.edges(SERVICE, broker.url, 2)
    async with connect(f"ws://127.0.0.1:{port}") as watcher, watcher.subscribe(CHANNEL) as subscription:
        one = await Client.open(first_port)
        await publish(one, "e1")
        place = (await answer(one))["position"]
        await publish(one, "e2")
        first.signal(signal.SIGKILL)
        await one.close()
        other = await Client.open(port)
        await publish(other, "e1")
        assert (await answer(other))["position"] == place
        await publish(other, "e2")
        assert (await answer(other))["id"] == "e2"
        status, body = await asyncio.to_thread(curl, port, "e1")
        assert (status, body["status"], body["position"]) == (200, "published", place)
        assert (await asyncio.to_thread(curl, port, "e3"))[0] == 200
        await other.close()
        seen = await take(subscription, 3)
    assert [it.id for it in seen if isinstance(it, Received)] == ["e1", "e2", "e3"]
    async with Redis.from_url(broker.url) as redis:
        stored: Any = await redis.xrange(f"bus:log:{{{CHANNEL}}}")
    assert [fields[b"id"] for _, fields in stored] == [b"e1", b"e2", b"e3"]


async def test_command_publishes_through_an_edge(processes: Processes, broker: EmbeddedBroker) -> None:
    """``edgebus publish --url`` needs no Redis, by either way in; a refusal ends with 2."""
    [(_, port)] = processes.edges(SERVICE, broker.url)
    for url in (f"ws://127.0.0.1:{port}", f"http://127.0.0.1:{port}"):
        ran = await asyncio.to_thread(
            edgebus, "publish", "element.added", json.dumps(drawn("e1")), "--url", url, "--redis", "redis://127.0.0.1:1"
        )
        assert (ran.returncode, ran.stdout.splitlines()[0].split()[0]) == (0, CHANNEL), ran.stderr
        refused = await asyncio.to_thread(edgebus, "publish", "element.added", "{}", "--url", url)
        assert refused.returncode == 2
        assert "diagram_id: field required" in refused.stderr
