"""A client of the laboratory that asks: each request with an id, each answer kept; events, too."""

import asyncio
from types import TracebackType
from typing import Any, Self

import orjson

from edgebus.lab.stage.wire import Wire, dial

__all__ = ["Asker", "Gone"]


class Gone(Exception):
    """The connection ended before the answer."""


class Asker:
    """A raw client; every answer is kept, so that a second answer to one request is seen.

    Attributes:
        answers: id of a request to all answers.
        events: every event in the order of coming.

    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._wire: Wire | None = None
        self._came = asyncio.Event()
        self.answers: dict[str, list[dict[str, Any]]] = {}
        self.events: list[dict[str, Any]] = []

    async def __aenter__(self) -> Self:
        """Connect."""
        self._wire = await dial(self._url, self._take)
        await self._wire.opened
        self._wire.closed.add_done_callback(lambda _: self._came.set())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drop the connection."""
        self.abort()

    @property
    def is_gone(self) -> bool:
        """Whether the connection has ended."""
        return self._wire is None or self._wire.closed.done()

    def abort(self) -> None:
        """Drop the connection, as a network does."""
        if self._wire is not None:
            self._wire.abort()

    def _take(self, text: bytes) -> None:
        message = orjson.loads(text)
        if message["type"] == "event":
            self.events.append(message)
        else:
            self.answers.setdefault(str(message["correlation_id"]), []).append(message)
        self._came.set()

    def send(self, verb: str, request_id: str, **data: Any) -> None:
        """Send a request, and wait for nothing."""
        if self._wire is None or self._wire.closed.done():
            raise Gone(verb)
        message = {"type": "request", "event": verb, "data": data, "id": request_id}
        self._wire.send(orjson.dumps(message))

    async def ask(self, verb: str, request_id: str, **data: Any) -> dict[str, Any]:
        """Send a request, and return the answer.

        Raises:
            Gone: the connection ended.

        """
        self.send(verb, request_id, **data)
        return await self.answer(request_id)

    async def answer(self, request_id: str) -> dict[str, Any]:
        """Return the first answer to a request.

        Raises:
            Gone: the connection ended.

        """
        while request_id not in self.answers:
            if self._wire is None or self._wire.closed.done():
                raise Gone(request_id)
            self._came.clear()
            await self._came.wait()
        return self.answers[request_id][0]
