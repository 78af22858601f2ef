"""``process_request``: the hook of ``websockets`` in front of every handshake and plain request."""

import asyncio
import logging
from http import HTTPStatus
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.datastructures import Headers
from websockets.exceptions import InvalidStatus
from websockets.http11 import Request, Response

from tests.edgebus.compat.conftest import OpenClient, StartServer
from tests.edgebus.compat.services import FastblocksWebSocketServer
from tests.edges.peers import Client, eventually, upgrade

PAGE = "https://app.example.com"


def allow_page(connection: Any, request: Request) -> Response | None:
    """Answer a health check, and let one page in: the two uses of the ecosystem."""
    if request.path == "/status":
        return connection.respond(HTTPStatus.OK, f"well, {connection.remote_address[0]}\n")  # type: ignore[no-any-return]
    if (origin := request.headers.get("Origin")) not in {None, PAGE}:
        return connection.respond(HTTPStatus.FORBIDDEN, f"not {origin}\n")  # type: ignore[no-any-return]
    return None


async def allow_page_slowly(connection: Any, request: Request) -> Response | None:
    await asyncio.sleep(0)
    return allow_page(connection, request)


async def get(port: int, path: str, method: str = "GET") -> tuple[int, bytes]:
    client = await Client.connect(port)
    client.write(f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    status, _, _ = await client.head()
    body = await client.rest()
    await client.close()
    return status, body


@pytest.mark.parametrize("hook", [allow_page, allow_page_slowly])
async def test_hook_answers_or_lets_pass(hook: Any, start_server: StartServer) -> None:
    """Its answer is the client's, for plain requests too; None leaves the request to the server."""
    server = await start_server(FastblocksWebSocketServer, process_request=hook, allowed_origins=f"{PAGE},https://b.c")
    assert await get(server.port, "/status") == (200, b"well, 127.0.0.1\n")
    assert await get(server.port, "/status", "HEAD") == (200, b"")
    assert (await get(server.port, "/healthz"))[0] == 200
    with pytest.raises(InvalidStatus) as refused:
        await connect(server.uri, origin="https://b.c")  # type: ignore[arg-type]
    assert (refused.value.response.status_code, refused.value.response.body) == (403, b"not https://b.c\n")
    async with connect(server.uri, origin=PAGE) as websocket:  # type: ignore[arg-type]
        await websocket.send('{"type":"request","event":"subscribe","data":{"channel":"state"},"id":"s1"}')
        assert '"subscribed"' in str(await websocket.recv())
    assert server.statistics()["hook_errors"]["process_request"] == 0


async def test_edge_judges_beside_the_hook(start_server: StartServer) -> None:
    """A hook that lets all pass opens nothing: pages of other machines stay outside until they are listed."""
    server = await start_server(FastblocksWebSocketServer, process_request=lambda *_: None)
    with pytest.raises(InvalidStatus) as refused:
        await connect(server.uri, origin="https://evil.example")  # type: ignore[arg-type]
    assert refused.value.response.status_code == 403


async def test_client_that_does_not_wait(start_server: StartServer) -> None:
    """Frames right behind the handshake, before the hook has answered, are read in order."""
    go = asyncio.Event()

    async def wait(_: Any, __: Request) -> None:
        await go.wait()

    server = await start_server(FastblocksWebSocketServer, process_request=wait)
    client = await Client.connect(server.port)
    client.write(upgrade())
    client.request("subscribe", channel="state")
    await asyncio.sleep(0)
    go.set()
    assert (await client.head())[0] == 101
    assert (await client.message())["data"]["channel"] == "state"
    await client.close()


def raises(*_: Any) -> None:
    raise OSError("secret detail")


@pytest.mark.parametrize(
    "hook",
    [raises, lambda *_: (200, [], b"ok"), lambda *_: Response(101, "Switching Protocols", Headers())],
    ids=["raises", "legacy tuple", "101"],
)
async def test_hook_that_fails(hook: Any, start_server: StartServer, caplog: pytest.LogCaptureFixture) -> None:
    """Answered 500 without the error's text, counted and logged; nobody comes in by a broken hook."""
    server = await start_server(FastblocksWebSocketServer, process_request=hook)
    with caplog.at_level(logging.ERROR), pytest.raises(InvalidStatus) as refused:
        await connect(server.uri)
    assert refused.value.response.status_code == 500
    assert b"secret" not in (refused.value.response.body or b"")
    assert (await get(server.port, "/healthz"))[0] == 500
    assert server.statistics()["hook_errors"]["process_request"] == 2
    assert any(record.exc_info for record in caplog.records)


async def test_hook_that_never_returns(
    start_server: StartServer, open_client: OpenClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After ``open_timeout_s`` the hook is ended, counted and answered for; others come in meanwhile."""
    monkeypatch.setenv("EDGEBUS_OPEN_TIMEOUT_S", "0.3")

    async def hang(_: Any, request: Request) -> None:
        if request.path == "/hang":
            await asyncio.Event().wait()

    server = await start_server(FastblocksWebSocketServer, process_request=hang)
    client = await Client.connect(server.port)
    client.write(upgrade("/hang"))
    other = await open_client(server)
    assert (await other.message())["event"] == "session.created"
    assert (await client.head())[0] == 500
    assert server.statistics()["hook_errors"]["process_request"] == 1
    await client.close()


async def test_client_that_goes_while_the_hook_thinks(start_server: StartServer, open_client: OpenClient) -> None:
    """No client comes in behind a socket that is gone."""
    go, asked = asyncio.Event(), asyncio.Event()

    async def wait(_: Any, request: Request) -> None:
        if request.path == "/slow":
            asked.set()
            await go.wait()

    server = await start_server(FastblocksWebSocketServer, process_request=wait)
    client = await Client.connect(server.port)
    client.write(upgrade("/slow"))
    await asked.wait()
    client.writer.transport.abort()
    go.set()
    other = await open_client(server)
    await other.message()
    await eventually(lambda: len(server.connections) == 1)
    assert server.statistics()["hook_errors"]["process_request"] == 0
