"""Clients of the ecosystem on two replicas at once: the documented snippets as they stand, and its own client class."""

import asyncio
import importlib
import json
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest
import websockets

from bus.broker.embedded import EmbeddedBroker
from producers import Producer
from producers.services.mahavishnu import Mahavishnu
from tests.journeys.clients import EVENT_KEYS, NINE_KEYS, eventually
from tests.journeys.processes import Processes, environment, wait_ready

PEER: Final = ("mcp_common/websocket/client.py", "mcp_common/websocket/protocol.py")


async def receive(websocket: Any) -> dict[str, Any]:
    async with asyncio.timeout(10):
        message: dict[str, Any] = json.loads(await websocket.recv())
    return message


async def receive_event(websocket: Any) -> dict[str, Any]:
    """Return the next message that is no welcome."""
    while (message := await receive(websocket))["event"] == "session.created":
        pass
    return message


@pytest.fixture
def ports(processes: Processes, broker: EmbeddedBroker) -> list[int]:
    """Start two replicas of mahavishnu."""
    return [port for _, port in processes.edges("mahavishnu", broker.url, 2)]


@pytest.fixture
def patient_ports(processes: Processes, broker: EmbeddedBroker) -> list[int]:
    """Start two replicas that wait a minute for a client's first message: no welcome comes before on a slow machine."""
    return [port for _, port in processes.edges("mahavishnu", broker.url, 2, "welcome_delay_ms=60000")]


async def test_documented_client_pattern(patient_ports: list[int], producer: Producer) -> None:
    """The raw client of the ecosystem's documents subscribes to workflow:abc123 and gets its events, on both."""
    async with (
        websockets.connect(f"ws://127.0.0.1:{patient_ports[0]}") as one,
        websockets.connect(f"ws://127.0.0.1:{patient_ports[1]}") as other,
    ):
        for websocket in (one, other):
            await websocket.send(
                json.dumps(
                    {
                        "type": "request",
                        "event": "subscribe",
                        "data": {"channel": "workflow:abc123"},
                        "id": "sub_001",
                    }
                )
            )
            response = await receive(websocket)
            assert response.keys() == NINE_KEYS
            assert (response["type"], response["event"]) == ("response", "subscribe")
            assert response["correlation_id"] == "sub_001"
            assert response["data"].items() >= {"status": "subscribed", "channel": "workflow:abc123"}.items()
        calls = Mahavishnu(producer)
        await calls.broadcast_workflow_started("abc123", {"adapter": "prefect"})
        await calls.broadcast_workflow_stage_completed("abc123", "extract", {"rows": 3})
        await calls.broadcast_workflow_completed("abc123", {"rows": 3})
        seen = [[await receive_event(websocket) for _ in range(3)] for websocket in (one, other)]
    assert seen[0] == seen[1]
    assert [it["event"] for it in seen[0]] == ["workflow.started", "workflow.stage_completed", "workflow.completed"]
    assert all(it.keys() == EVENT_KEYS and it["room"] == "workflow:abc123" for it in seen[0])
    assert seen[0][0]["data"].items() >= {"workflow_id": "abc123", "adapter": "prefect"}.items()


async def test_documented_integration_test_pattern(patient_ports: list[int], producer: Producer) -> None:
    """The ecosystem's integration tests subscribe to ``global`` and take the first frame for the response."""
    for port in patient_ports:
        async with websockets.connect(f"ws://127.0.0.1:{port}") as websocket:
            await websocket.send(
                json.dumps({"type": "request", "event": "subscribe", "data": {"channel": "global"}, "id": "test_sub"})
            )
            response = json.loads(await websocket.recv())
            assert response["type"] == "response"
            assert response["data"]["status"] == "subscribed"
            await Mahavishnu(producer).broadcast_workflow_started(f"wf_{port}", {})
            event = await receive_event(websocket)
            assert (event["type"], event["event"], event["room"]) == ("event", "workflow.started", "global")
            assert event["data"]["workflow_id"] == f"wf_{port}"


# The client class


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Download the ecosystem's package; it is neither installed nor kept."""
    folder = tmp_path_factory.mktemp("mcp-common")
    download = ["download", "mcp-common", "--no-deps", "--python-version", "3.13", "--only-binary=:all:", "--quiet"]
    pip = [sys.executable, "-m", "pip", *download, "--disable-pip-version-check", "--dest", str(folder)]
    try:
        ran = subprocess.run(pip, env=environment(), capture_output=True, text=True, timeout=50, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("mcp-common could not be downloaded within 50 s")
    if ran.returncode != 0:
        pytest.skip(f"mcp-common could not be downloaded: {ran.stderr.strip().splitlines()[-1:]}")
    return next(folder.glob("mcp_common-*.whl"))


@pytest.fixture
def peer(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Import its client and protocol, and nothing else of it: the packages around them are empty."""
    root = tmp_path / "peer"
    with zipfile.ZipFile(wheel) as archive:
        for name in PEER:
            archive.extract(name, root)
    for folder in {Path(name).parent for name in PEER} | {Path("mcp_common")}:
        (root / folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(root)
    yield importlib.import_module("mcp_common.websocket.client")
    for name in [name for name in sys.modules if name.partition(".")[0] == "mcp_common"]:
        del sys.modules[name]
    shutil.rmtree(root)


class Seen:
    """What the handlers of a client were called with."""

    def __init__(self, client: Any, *events: str) -> None:
        self.data: dict[str, list[dict[str, Any]]] = {event: [] for event in events}
        for event in events:
            client.on_event(event)(self.data[event].append)

    async def wait(self, event: str, count: int = 1) -> dict[str, Any]:
        """Wait for the ``count``-th event; return its data."""
        await eventually(lambda: len(self.data[event]) >= count)
        return self.data[event][count - 1]


@pytest.fixture
async def close() -> AsyncIterator[list[Any]]:
    """Lend a list of clients to disconnect after the test; what their tasks raised is theirs."""
    clients: list[Any] = []
    yield clients
    for client in clients:
        client.reconnect = False
        if client.receive_task.done():
            await asyncio.gather(client.receive_task, return_exceptions=True)
            client.receive_task = None
        await client.disconnect()


@pytest.mark.filterwarnings("ignore:.*iscoroutinefunction:DeprecationWarning")
async def test_client_class_of_the_ecosystem(
    peer: ModuleType, ports: list[int], producer: Producer, close: list[Any]
) -> None:
    """Its client is welcomed, gets the events of its rooms and answers to its requests, on each replica."""
    both = []
    for port in ports:
        client = peer.WebSocketClient(f"ws://127.0.0.1:{port}", reconnect=False)
        close.append(client)
        seen = Seen(client, "session.created", "workflow.started", "workflow.completed")
        await client.connect()
        assert (await seen.wait("session.created"))["message"] == "Connected to Mahavishnu orchestration"
        await client.subscribe_to_room("workflow:abc123")
        unknown = await client.send_request("get_workflow_status", {"workflow_id": "abc123"}, timeout=10)
        assert unknown.data["status"] == "not_found"
        both.append((client, seen))
    calls = Mahavishnu(producer)
    await calls.broadcast_workflow_started("abc123", {"adapter": "prefect"})
    await calls.broadcast_workflow_completed("abc123", {"rows": 3})
    for client, seen in both:
        assert (await seen.wait("workflow.started"))["adapter"] == "prefect"
        assert (await seen.wait("workflow.completed"))["result"] == {"rows": 3}
        answer = await client.send_request("get_workflow_status", {"workflow_id": "abc123"}, timeout=10)
        assert (answer.type, answer.data["status"]) == ("response", "completed")
        await client.unsubscribe_from_room("workflow:abc123")
        refused = await client.send_request("get_the_moon", {}, timeout=10)
        assert (refused.type, refused.error_code) == ("error", "UNKNOWN_REQUEST")


@pytest.mark.filterwarnings("ignore:.*iscoroutinefunction:DeprecationWarning")
@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
async def test_client_class_reconnects(
    peer: ModuleType,
    processes: Processes,
    broker: EmbeddedBroker,
    producer: Producer,
    close: list[Any],
    death: signal.Signals,
) -> None:
    """Its client finds a replica that died and came back on its port, and gets the events of its room again."""
    ((edge, port),) = processes.edges("mahavishnu", broker.url)
    client = peer.WebSocketClient(f"ws://127.0.0.1:{port}", initial_delay=0.1, max_retries=10)
    close.append(client)
    seen = Seen(client, "workflow.started")
    await client.connect()
    await client.subscribe_to_room("workflow:abc123")
    await client.send_request("ping", {}, timeout=10)  # its commands are carried out in order: it is in the room
    await Mahavishnu(producer).broadcast_workflow_started("abc123", {"life": 1})
    assert (await seen.wait("workflow.started"))["life"] == 1

    before = client.receive_task
    edge.signal(death)
    assert await asyncio.to_thread(edge.exit_code) == (0 if death is signal.SIGTERM else -death)
    await asyncio.gather(before, return_exceptions=True)  # a dropped connection ends its task with an exception
    await asyncio.to_thread(wait_ready, processes.begin_edge("mahavishnu", broker.url, port), port)
    await eventually(lambda: client.is_connected and client.receive_task is not before)
    await eventually(client.reconnect_task.done)
    await client.send_request("ping", {}, timeout=10)
    await Mahavishnu(producer).broadcast_workflow_started("abc123", {"life": 2})
    assert (await seen.wait("workflow.started", 2))["life"] == 2
