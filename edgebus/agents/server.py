"""The MCP server: the table of tools, and the ways to serve."""

import asyncio
import hmac
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import uvicorn
from mcp.server import MCPServer
from mcp_types import ToolAnnotations

from bus.admin.operator import Operator
from bus.log.log import Log
from bus.service import Service
from bus.tasks import end
from edgebus import __version__
from edgebus.agents.bus_tools import BusTools
from edgebus.agents.ecosystem import Ecosystem
from edgebus.agents.watching import Listening
from producers import Producer

__all__ = ["serve_http", "serve_stdio", "server_of", "with_tools"]

_INSTRUCTIONS: Final = (
    "Tools for edgebus, an event bus on Redis with WebSocket edges. `edges` says what runs, "
    "`rooms` and `clients` who is there, `history` what was, `listen` what comes within some seconds."
)
_READS: Final = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_PUBLISHES: Final = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=False)
_REQUEST_BYTES: Final = 256 * 1024
_FAREWELL_S: Final = 2


@asynccontextmanager
async def server_of(
    redis_url: str, services: Sequence[Service], *, allow_publish: bool = False
) -> "AsyncIterator[MCPServer[Any]]":
    """Give a server of the tools; Redis is reached when a tool is called.

    Args:
        redis_url: the user is ``operator`` of ``edgebus acl``.
        services: known by code, with channels and events.
        allow_publish: offer the publishing tools.

    """
    async with (
        Operator(redis_url) as operator,
        Log(redis_url, name="edgebus-mcp") as log,
        _producer(redis_url, is_wanted=allow_publish) as producer,
    ):
        ecosystem = Ecosystem(operator, producer, services)
        tools = BusTools(redis_url, operator, log, Listening(redis_url), producer, services)
        yield with_tools(ecosystem, tools, allow_publish=allow_publish)


@asynccontextmanager
async def _producer(redis_url: str, *, is_wanted: bool) -> AsyncIterator[Producer | None]:
    if not is_wanted:
        yield None
        return
    async with Producer(redis_url, name="mcp", deadline_s=0) as producer:
        yield producer


def with_tools(ecosystem: Ecosystem, tools: BusTools, *, allow_publish: bool) -> "MCPServer[Any]":
    """Return a server of the tools; ``publish`` is among the tools with ``allow_publish`` alone."""
    server: MCPServer[Any] = MCPServer("edgebus", version=__version__, instructions=_INSTRUCTIONS, log_level="WARNING")
    for reads in (
        ecosystem.websocket_health_check,
        ecosystem.websocket_get_status,
        ecosystem.websocket_list_rooms,
        ecosystem.websocket_get_metrics,
        tools.edges,
        tools.rooms,
        tools.clients,
        tools.services,
        tools.history,
        tools.listen,
        tools.doctor,
        tools.trace,
    ):
        server.add_tool(reads, annotations=_READS)
    # The ecosystem's tool is there in either case, since its programs look for the five names; it says how to allow it.
    server.add_tool(ecosystem.websocket_broadcast_test_event, annotations=_PUBLISHES)
    if allow_publish:
        server.add_tool(tools.publish, annotations=_PUBLISHES)
    return server


async def serve_stdio(server: "MCPServer[Any]") -> None:
    """Serve on standard input and output, until the client closes the input."""
    await server.run_stdio_async()


async def serve_http(
    server: "MCPServer[Any]", bound: socket.socket, asked: asyncio.Event, *, token: str | None
) -> None:
    """Serve by streamable HTTP at ``/mcp`` on a bound socket, until ``asked``; with ``token``, to holders alone."""
    # The host decides about checks of `Host` and `Origin`: on loopback, a page in a browser could be led here by DNS.
    host = str(bound.getsockname()[0])
    app: Any = server.streamable_http_app(host=host, max_request_body_size=_REQUEST_BYTES)
    config = uvicorn.Config(
        app if token is None else _Guarded(app, token),
        log_config=None,  # the command has set the logs up, for standard error
        access_log=False,
        timeout_graceful_shutdown=_FAREWELL_S,
    )
    http = _Server(config)
    task = asyncio.create_task(http.serve(sockets=[bound]))
    asking = asyncio.create_task(asked.wait())
    await asyncio.wait([task, asking], return_when=asyncio.FIRST_COMPLETED)
    await end([asking])
    http.should_exit = True
    await task


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the command."""
        yield


class _Guarded:
    """An ASGI application in front of another, for requests with the token alone."""

    def __init__(self, app: Any, token: str) -> None:
        self._app, self._wanted = app, f"Bearer {token}".encode()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        given = dict(scope.get("headers", ())).get(b"authorization", b"")
        if scope["type"] != "http" or hmac.compare_digest(given, self._wanted):
            await self._app(scope, receive, send)
            return
        headers = [(b"www-authenticate", b"Bearer"), (b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": b"a bearer token is wanted\n"})
