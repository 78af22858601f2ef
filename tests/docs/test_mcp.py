"""docs/mcp.md: its client and its health tool run, and its table is that of the tools."""

import os
import re
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from mcp import Client

from bus.broker.embedded import EmbeddedBroker
from edgebus.agents.server import server_of
from edgebus.catalogue import all_services
from producers.blocking import Producer
from producers.services.mahavishnu import WorkflowStarted
from tests.docs.pages import ROOT, blocks

PAGE = "docs/mcp.md"


def block(language: str, note: str = "") -> str:
    (found,) = [it.text for it in blocks(PAGE) if (it.language, it.note) == (language, note)]
    return found


def test_client_of_the_page_speaks_with_a_process(
    broker: EmbeddedBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page's program starts the command as an agent does, over stdio; the process ends with the block."""
    # Some seconds: loading the package `mcp` in a process of its own is all of them.
    (tmp_path / "edgebus").write_text(f'#!/bin/sh\nexec {sys.executable} -m edgebus "$@"\n')
    (tmp_path / "edgebus").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with Producer(broker.url) as producer:
        producer.publish(WorkflowStarted(workflow_id="wf_123", adapter="local"))
    program = block("python", "client").replace("redis://127.0.0.1:6390", broker.url)
    exec(program, {"__name__": "__main__"})  # noqa: S102 (the page's own program)
    assert capsys.readouterr().out == "workflow.started local\nstopped\n"


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
