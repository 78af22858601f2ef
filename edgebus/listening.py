"""``edgebus listen``: a WebSocket client of the edges that own the channels."""

import asyncio
import uuid
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Literal

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.uri import parse_uri

from bus.channel import Channel
from bus.errors import BusTimeout, BusUnavailable, ChannelError
from bus.service import Service
from bus.tasks import end
from edgebus.events import show_line

__all__ = ["listen"]

_ANSWER_DEADLINE_S = 5.0


class _Countdown:
    """How many events are still to be shown; None for no end."""

    def __init__(self, count: int | None) -> None:
        self._left = count
        self.done = asyncio.Event()

    def show(self, message: dict[str, Any], *, as_json: bool) -> None:
        if self.done.is_set():
            return
        show_line(message, as_json=as_json)
        if self._left is not None:
            self._left -= 1
            if self._left <= 0:
                self.done.set()


async def listen(
    wanted: Sequence[tuple[Service, Channel]],
    *,
    url: str | None,
    count: int | None,
    timeout_s: float | None,
    as_json: bool,
) -> None:
    """Show the events of the channels until ``count`` were shown, or for ever.

    Raises:
        BusUnavailable: an edge cannot be reached, or closed the connection.
        BusTimeout: ``timeout_s`` ran out first.
        ChannelError: an edge refused a channel.

    """
    channels: dict[tuple[str, str], list[str]] = defaultdict(list)
    for service, channel in wanted:
        channels[service.name, url or f"ws://127.0.0.1:{service.port}"].append(channel.name)
    countdown = _Countdown(count)
    tasks = [
        asyncio.create_task(_listen_to(service_name, edge, names, countdown, as_json=as_json))
        for (service_name, edge), names in channels.items()
    ]
    tasks.append(asyncio.create_task(_finished(countdown)))
    try:
        async with asyncio.timeout(timeout_s):
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    except TimeoutError:
        raise BusTimeout(f"nothing more came within {timeout_s:g} s") from None
    finally:
        await end(tasks)
    for task in done:
        task.result()


async def _finished(countdown: _Countdown) -> None:
    await countdown.done.wait()


async def _listen_to(service: str, edge: str, names: Sequence[str], countdown: _Countdown, *, as_json: bool) -> None:
    try:
        async with connect(edge, proxy=_proxy(edge), max_size=None, open_timeout=_ANSWER_DEADLINE_S) as websocket:
            for name in names:
                await _subscribe(websocket, name, countdown, as_json)
            while True:
                message = orjson.loads(await websocket.recv())
                if _is_of_a_room(message):
                    countdown.show(message, as_json=as_json)
    except ConnectionClosed as error:
        raise BusUnavailable(f"the edge at {edge} closed the connection: {error}") from None
    except (OSError, InvalidHandshake, TimeoutError) as error:
        raise BusUnavailable(f"no edge answers at {edge} ({error}); start one with: edgebus edge {service}") from None


def _proxy(edge: str) -> Literal[True] | None:
    """Leave out the proxy that the environment names for an edge on this machine; another machine may need it."""
    try:
        host = parse_uri(edge).host
    except (InvalidURI, ValueError) as error:
        raise ChannelError(f"--url: {error}") from None
    return None if host in ("127.0.0.1", "localhost", "::1") else True


async def _subscribe(websocket: ClientConnection, name: str, countdown: _Countdown, as_json: bool) -> None:
    asked = str(uuid.uuid4())
    request = {"type": "request", "event": "subscribe", "data": {"channel": name}, "id": asked}
    await websocket.send(orjson.dumps(request).decode())
    async with asyncio.timeout(_ANSWER_DEADLINE_S):
        while True:
            message = orjson.loads(await websocket.recv())
            if message.get("correlation_id") == asked:
                break
            if _is_of_a_room(message):
                countdown.show(message, as_json=as_json)
    if message["type"] == "error":
        code, sentence = message["error_code"], message["error_message"]
        raise (BusUnavailable if code == "UNAVAILABLE" else ChannelError)(f"{name}: {code}: {sentence}")


def _is_of_a_room(message: dict[str, Any]) -> bool:
    return message.get("type") == "event" and message.get("room") is not None
