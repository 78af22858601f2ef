"""``process_request``, the hook of ``websockets``: asked before a handshake or a plain request is answered."""

import asyncio
import inspect
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, TypeAlias
from uuid import UUID

from websockets.http11 import Request, Response

from edges.net.visitor import Visitor
from edges.transport.framing import WebSocket

__all__ = ["Applicant", "ProcessRequest", "screened"]

ProcessRequest: TypeAlias = Callable[[Any, Request], Any]
"""Called with an ``Applicant`` and the request, may be async; returns the answer, or None to let the request pass."""
_WRONG: Final = "process_request returns None or a websockets.http11.Response of another status than 101"


class Applicant:
    """A socket before its handshake, as far as hooks use the connection of ``websockets``.

    Attributes:
        request: the handshake, or the plain request.
        remote_address: the client's address, as listed proxies tell it; the port is not kept.

    """

    def __init__(self, websocket: WebSocket, request: Request, visitor: Visitor) -> None:
        self._websocket, self.request = websocket, request
        self.remote_address = (visitor.address, 0)

    @property
    def id(self) -> UUID:
        """Id of the connection, if there comes one of this."""
        return UUID(self._websocket.name)

    def respond(self, status: HTTPStatus | int, text: str) -> Response:
        """Return an answer of plain text."""
        return self._websocket.library.reject(status, text)


async def screened(hook: ProcessRequest, applicant: Applicant, timeout_s: float) -> Response | None:
    """Return the answer of ``hook``, None to let the request pass.

    Raises:
        Exception: the hook's; or TimeoutError, or TypeError for an answer that is none.

    """
    async with asyncio.timeout(timeout_s):
        answer = hook(applicant, applicant.request)
        if inspect.isawaitable(answer):
            answer = await answer
    if answer is None:
        return None
    if not isinstance(answer, Response) or answer.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
        raise TypeError(_WRONG)
    if applicant.request.method == "HEAD":  # the head tells the body's length, and no body follows (RFC 9110, 9.3.2)
        answer.body = b""
    return answer
