"""README.md: what it shows runs."""

import asyncio
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest
from websockets.asyncio.client import connect

from bus.broker.embedded import EmbeddedBroker
from edges import Edge, EdgeSettings
from producers import Producer
from producers.services import mahavishnu
from tests.docs.pages import ROOT, blocks
from tests.edges.peers import eventually

DEADLINE_S = 20.0


def python_block(having: str) -> str:
    found = [block.text for block in blocks("README.md") if block.language == "python" and having in block.text]
    assert len(found) == 1
    return found[0]


async def test_readme_example_reaches_the_readme_client(tmp_path: Path) -> None:
    """The ten lines publish, and the client's lines, pointed at the edge, show the event."""
    async with (
        EmbeddedBroker(port=0) as broker,
        Edge(mahavishnu.SERVICE, EdgeSettings(port=0, redis_url=broker.url)) as edge,
    ):
        client = tmp_path / "client.py"
        client.write_text(python_block("websockets").replace("8690", str(edge.port)))
        listener = await asyncio.create_subprocess_exec(
            sys.executable, "-u", client, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert listener.stdout is not None
        async with asyncio.timeout(DEADLINE_S):
            assert orjson.loads(await listener.stdout.readline())["event"] == "subscribe"
            assert orjson.loads(await listener.stdout.readline())["event"] == "session.created"
            publisher = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", python_block("Producer()")),
                env={**os.environ, "EDGEBUS_REDIS_URL": broker.url},
                stdout=subprocess.PIPE,
            )
            printed, _ = await publisher.communicate()
            event = orjson.loads(await listener.stdout.readline())
        listener.kill()
        await listener.communicate()
    assert event["event"] == "workflow.started"
    assert event["data"]["adapter"] == "local"
    assert printed.decode().split()[0] == event["id"]


async def test_readme_client_that_resumes_misses_nothing_on_a_fresh_redis(tmp_path: Path) -> None:
    """What the third example prints first, of a Redis younger than its span, is the event, and no loss."""
    async with (
        EmbeddedBroker(port=0) as broker,
        Edge(mahavishnu.SERVICE, EdgeSettings(port=0, redis_url=broker.url)) as edge,
        Producer(broker.url) as producer,
    ):
        client = tmp_path / "client.py"
        client.write_text(python_block("from clients import Gap").replace("8690", str(edge.port)))
        await producer.publish(mahavishnu.WorkflowStarted(workflow_id="wf_123", adapter="local"))
        await eventually(lambda: edge.not_ready() is None)
        listener = await asyncio.create_subprocess_exec(
            *(sys.executable, "-u", client),
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
        )
        assert listener.stdout is not None
        async with asyncio.timeout(DEADLINE_S):
            assert (await listener.stdout.readline()).startswith(b"workflow.started ")
        listener.kill()
        await listener.communicate()


async def test_readme_service_needs_its_one_file_only(tmp_path: Path) -> None:
    """The service of the README is served, published to and listened to by the commands below it."""
    (tmp_path / "weather.py").write_text(python_block("SERVICE = Service("))
    commands = next(block.text for block in blocks("README.md") if "weather:SERVICE" in block.text)
    edge_line, listen_line, publish_line = (shlex.split(line)[1:] for line in commands.splitlines())
    with EmbeddedBroker(port=0) as broker:
        environment = {**os.environ, "EDGEBUS_REDIS_URL": broker.url, "PYTHONPATH": str(ROOT)}
        environment["EDGEBUS_DRAIN_NOTICE_S"] = "0"  # no balancer has to notice

        def start(words: list[str]) -> "subprocess.Popen[bytes]":
            argv = [sys.executable, "-m", "edgebus", *words]
            return subprocess.Popen(
                argv, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )

        with start([*edge_line, "--port", "0"]) as edge:
            assert edge.stdout is not None
            url = re.search(r"ws://[\d.:]+", edge.stdout.readline().decode())
            assert url is not None
            with start([*listen_line, "--url", url[0], "--count", "1", "--json"]) as listener:
                assert listener.stdout is not None
                await _watched(url[0])
                with start(publish_line) as publisher:
                    assert publisher.wait(DEADLINE_S) == 0
                event = orjson.loads(listener.stdout.readline())
                assert listener.wait(DEADLINE_S) == 0
            edge.terminate()
            assert edge.wait(DEADLINE_S) == 0
    assert event["room"] == "station:north"
    assert event["data"]["celsius"] == -3.5


async def _watched(url: str) -> None:
    """Wait until the edge has a room, by asking its health."""
    due = time.monotonic() + DEADLINE_S
    host, port = url.removeprefix("ws://").split(":")
    while time.monotonic() < due:
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        if b'"rooms":1' in answer:
            return
    pytest.fail("nobody watched in time")


def test_readme_names_every_command() -> None:
    """The table of commands is the command line's."""
    done = subprocess.run(
        [sys.executable, "-m", "edgebus", "--help"],
        capture_output=True,
        check=True,
        env={**os.environ, "COLUMNS": "90"},
    )
    commands = re.findall(r"^  ([a-z][a-z-]+) {2,}", done.stdout.decode(), re.MULTILINE)
    rows = re.findall(r"^\| (`edgebus .*?) \| ", (ROOT / "README.md").read_text(), re.MULTILINE)
    # A row may name several: `edgebus edges`, `rooms`
    named = {
        re.split(r"[ |]", part.removeprefix("edgebus "))[0] for row in rows for part in re.findall(r"`(.+?)`", row)
    }
    assert len(commands) >= 7
    assert [name for name in commands if name not in named] == []


async def test_client_without_a_message_is_welcomed_by_name() -> None:
    """The port of the README's client is mahavishnu's."""
    async with (
        EmbeddedBroker(port=0) as broker,
        Edge(mahavishnu.SERVICE, EdgeSettings(port=0, redis_url=broker.url, welcome_delay_ms=0)) as edge,
        connect(f"ws://127.0.0.1:{edge.port}") as websocket,
        asyncio.timeout(DEADLINE_S),
    ):
        assert orjson.loads(await websocket.recv())["data"]["server"] == "mahavishnu"
    assert mahavishnu.SERVICE.port == 8690
