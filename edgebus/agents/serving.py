"""``edgebus mcp``: the way from typed options to a running server."""

import os
import signal
import socket
from collections.abc import Sequence
from typing import Final

from bus.errors import AddressError
from bus.redis.address import without_password
from bus.service import Service
from edgebus.agents.server import serve_http, serve_stdio, server_of
from edgebus.run import signalled
from edgebus.terminal import note
from edges.net.addresses import is_loopback, unbracketed, written

__all__ = ["TOKEN", "place_of", "serve"]

TOKEN: Final = "EDGEBUS_MCP_TOKEN"  # noqa: S105 (the variable's name)
_TOKEN_LENGTH: Final = 16
_PORTS: Final = 65_535


def place_of(text: str, token: str | None) -> tuple[str, int]:
    """Return host and port of ``[HOST:]PORT``; without a host, loopback.

    Raises:
        AddressError: the text has another form, or others would reach a server without a token.

    """
    host, _, port = text.rpartition(":")
    host = unbracketed(host) or "127.0.0.1"
    if not port.isascii() or not port.isdecimal() or int(port) > _PORTS:
        raise AddressError(f"--http {text}: write [HOST:]PORT, such as 8710 or 127.0.0.1:8710")
    if not is_loopback(host) and token is None:
        raise AddressError(
            f"--http {text}: others reach {host}, so set {TOKEN} to a secret of theirs, "
            "and let a proxy end TLS; or leave the host away"
        )
    if token is not None and len(token) < _TOKEN_LENGTH:
        raise AddressError(f"{TOKEN} has {len(token)} characters; at least {_TOKEN_LENGTH} are wanted")
    return host, int(port)


async def serve(redis_url: str, services: Sequence[Service], *, http: str | None, allow_publish: bool) -> None:
    """Serve the tools until the client has gone, or a signal comes.

    Raises:
        AddressError: ``http`` is no place to listen on.
        OSError: the port cannot be had.

    """
    token = os.environ.get(TOKEN) or None
    place = None if http is None else place_of(http, token)
    async with server_of(redis_url, services, allow_publish=allow_publish) as server:
        if place is None:
            signal.signal(
                signal.SIGINT, signal.SIG_DFL
            )  # a thread waits for input, and Python would wait for the thread
            await serve_stdio(server)
            return
        family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
        with socket.create_server(place, family=family) as bound:
            where = written(place[0], bound.getsockname()[1])
            note(f"MCP is served at http://{where}/mcp, Redis is {without_password(redis_url)}")
            async with signalled() as asked:
                await serve_http(server, bound, asked, token=token)
