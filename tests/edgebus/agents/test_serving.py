"""``edgebus mcp`` by HTTP, and its calls; tests/docs/test_mcp.py has a process over stdio."""

import asyncio
import importlib.util
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from typer.testing import CliRunner

from bus.errors import AddressError
from edgebus.agents.server import serve_http, server_of
from edgebus.agents.serving import TOKEN, place_of
from edgebus.catalogue import all_services
from edgebus.cli import app

SECRET = "0123456789abcdef"


@asynccontextmanager
async def served(token: str | None) -> AsyncIterator[str]:
    async with server_of("redis://127.0.0.1:1", all_services()) as server:
        with socket.create_server(("127.0.0.1", 0)) as bound:
            asked = asyncio.Event()
            task = asyncio.create_task(serve_http(server, bound, asked, token=token))
            yield f"http://127.0.0.1:{bound.getsockname()[1]}/mcp"
            asked.set()
            await task


async def test_tools_over_http() -> None:
    """The same tools by streamable HTTP; a page of another name, which a browser was led to, is refused."""
    async with served(None) as url:
        async with Client(url) as client:
            assert "listen" in {it.name for it in (await client.list_tools()).tools}
        async with httpx2.AsyncClient() as browser:
            led = await browser.post(url, json={}, headers={"Host": "evil.example"})
            assert led.status_code == 421
            huge = await browser.post(url, content=b"x" * 300_000, headers={"Content-Type": "application/json"})
            assert huge.status_code == 413


async def test_token_is_asked_for() -> None:
    """With a token, only its holders are let in."""
    async with served(SECRET) as url:
        async with httpx2.AsyncClient() as stranger:
            for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": SECRET}):
                assert (await stranger.post(url, json={}, headers=headers)).status_code == 401
        async with (
            httpx2.AsyncClient(headers={"Authorization": f"Bearer {SECRET}"}) as holder,
            Client(streamable_http_client(url, http_client=holder)) as client,
        ):
            assert (await client.list_tools()).tools


@pytest.mark.parametrize(
    ("text", "token", "place"),
    [
        ("8710", None, ("127.0.0.1", 8710)),
        (":8710", None, ("127.0.0.1", 8710)),
        ("localhost:8710", None, ("localhost", 8710)),
        ("[::1]:8710", None, ("::1", 8710)),
        ("0.0.0.0:8710", SECRET, ("0.0.0.0", 8710)),  # noqa: S104 (said by the caller, with a token)
    ],
)
def test_place_is_of_this_machine_unless_told_otherwise(text: str, token: str | None, place: tuple[str, int]) -> None:
    """A port alone is for this machine; a host is as it is written."""
    assert place_of(text, token) == place


@pytest.mark.parametrize(
    ("text", "token", "sentence"),
    [
        ("", None, r"write \[HOST:\]PORT"),
        ("http", None, r"write \[HOST:\]PORT"),
        ("127.0.0.1:70000", None, r"write \[HOST:\]PORT"),
        ("0.0.0.0:8710", None, TOKEN),
        ("edge.example:8710", None, TOKEN),
        ("8710", "short", "at least 16"),
    ],
)
def test_place_that_is_refused(text: str, token: str | None, sentence: str) -> None:
    """A text of another form, and a server in reach of others that would ask for nothing."""
    with pytest.raises(AddressError, match=sentence):
        place_of(text, token)


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["--http", "0.0.0.0:0"], 2, TOKEN),
        (["--redis", "nonsense"], 2, "Redis URL"),
        (["--service", "nope:SERVICE"], 2, "nope"),
    ],
)
def test_wrong_call_ends_with_a_sentence(words: list[str], code: int, sentence: str) -> None:
    """As every command's."""
    done = CliRunner().invoke(app, ["mcp", *words])
    assert (done.exit_code, done.stdout) == (code, "")
    assert sentence in done.stderr


def test_port_that_is_taken() -> None:
    """The system's sentence, and where."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = CliRunner().invoke(app, ["mcp", "--http", str(taken.getsockname()[1])])
    assert done.exit_code == 1
    assert "cannot listen on" in done.stderr


def test_without_the_package_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tools are an extra."""
    find: Any = importlib.util.find_spec
    monkeypatch.setattr("edgebus.commands.mcp.find_spec", lambda name: None if name == "mcp" else find(name))
    done = CliRunner().invoke(app, ["mcp"])
    assert (done.exit_code, done.stdout) == (1, "")
    assert "pip install 'edgebus[mcp]'" in done.stderr
