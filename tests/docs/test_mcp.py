"""docs/mcp.md: its client and its health tool run, and its table is that of the tools."""

import asyncio
import os
import re
import sys
from pathlib import Path
from typing import Any

import orjson
from mcp import Client

from bus.broker.embedded import EmbeddedBroker
from edgebus.agents.server import server_of
from edgebus.catalogue import all_services
from producers import Producer
from producers.services.mahavishnu import WorkflowStarted
from tests.docs.pages import ROOT, blocks

PAGE = "docs/mcp.md"
DEADLINE_S = 50.0


def block(language: str, note: str = "") -> str:
    (found,) = [it.text for it in blocks(PAGE) if (it.language, it.note) == (language, note)]
    return found


async def test_client_of_the_page_speaks_with_a_process(broker: EmbeddedBroker, tmp_path: Path) -> None:
    """The page's program starts the command as an agent does, over stdio, and the process ends with it."""
    (tmp_path / "edgebus").write_text(f'#!/bin/sh\nexec {sys.executable} -m edgebus "$@"\n')
    (tmp_path / "edgebus").chmod(0o755)
    async with Producer(broker.url) as producer:
        await producer.publish(WorkflowStarted(workflow_id="wf_123", adapter="local"))
    program = block("python", "client").replace("redis://127.0.0.1:6390", broker.url)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program),
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(DEADLINE_S):
        printed, _ = await process.communicate()
    assert (process.returncode, printed.decode()) == (0, "workflow.started local\nstopped\n")


async def test_table_has_the_tools() -> None:
    """Every tool has its row, with its arguments, and every row is a tool."""
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", (ROOT / PAGE).read_text("utf-8"), re.MULTILINE)
    named = {tool: set(re.findall(r"`([a-z_]+)`", re.sub(r"\([^)]*\)", _alias(text), text))) for tool, text in rows}
    async with server_of("redis://127.0.0.1:1", all_services(), allow_publish=True) as server, Client(server) as client:
        tools = (await client.list_tools()).tools
    assert named == {it.name: set(it.input_schema.get("properties", {})) for it in tools}


def _alias(text: str) -> str:
    return "`channel`" if "(or `channel`)" in text else ""


def test_settings_of_an_agents_program_call_the_command() -> None:
    """The JSON is JSON, and names a command and options that there are."""
    server = orjson.loads(block("json"))["mcpServers"]["edgebus"]
    assert (server["command"], server["args"][:2]) == ("edgebus", ["mcp", "--redis"])


async def test_health_tool_answers_in_three_lines(broker: EmbeddedBroker) -> None:
    """The page's function returns what an agent reads."""
    names: dict[str, Any] = {}
    exec(block("python", "health").replace("redis://127.0.0.1:6390", broker.url), names)  # noqa: S102 (the page's own)
    told = await names["websocket_health_check"]()
    assert told.items() >= {"status": "stopped", "connections": 0, "rooms": 0}.items()
