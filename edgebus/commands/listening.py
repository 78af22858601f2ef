"""``edgebus listen``: a client of the channels' edges."""

import asyncio
import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

from bus.channel import Channel
from bus.envelope import envelope
from bus.errors import BusError, BusTimeout, BusUnavailable, ChannelError
from bus.position import Reason
from bus.redis.address import without_password
from bus.service import Service
from bus.tasks import end
from bus.words import Code
from clients import (
    AuthenticationFailed,
    Client,
    Dismissed,
    Gap,
    Interrupted,
    Received,
    Recovered,
    Refused,
    State,
    Unreachable,
    Untrusted,
    Value,
    WrongAddress,
    connect,
)
from edgebus.commands.events import show_line
from edgebus.terminal import show, show_json

__all__ = ["listen"]


_HINT: Final = "; no token was shown: give one with --token or EDGEBUS_TOKEN"


class _Forbidden(BusError):
    """The edge refused a channel for want of a permission."""


class _Countdown:
    """How many events are still to be shown; None for no end."""

    def __init__(self, count: int | None) -> None:
        self._left = count
        self.done = asyncio.Event()

    def show(self, value: Value, *, as_json: bool) -> None:
        if self.done.is_set():
            return
        if not isinstance(value, Received):
            _show_status(value, as_json=as_json)
            return
        show_line(_message(value), as_json=as_json)
        if self._left is not None:
            self._left -= 1
            if self._left <= 0:
                self.done.set()


async def listen(
    wanted: Sequence[tuple[Service | None, Channel]],
    *,
    url: str | None,
    token: str | None = None,
    since: str | None,
    last: int | None,
    count: int | None,
    timeout_s: float | None,
    as_json: bool,
) -> None:
    """Show the events of the channels until ``count`` were shown, or for ever.

    An edge that goes away later is waited for; interruptions and gaps are shown in their place in the stream.

    Raises:
        BusUnavailable: an edge cannot be reached at the start, or dismissed the client for good.
        BusError: an edge wants a token, or another token.
        BusTimeout: ``timeout_s`` ran out first.
        ChannelError: an edge refused a channel or its beginning.

    """
    # One client per edge, and each channel once: a client has one subscription of a channel.
    channels: dict[tuple[str, str], list[str]] = defaultdict(list)
    for service, channel in wanted:
        # Without a service there is a URL: the edge knows its channels.
        name, port = (service.name, service.port) if service is not None else ("SERVICE", 0)
        names = channels[name, url or f"ws://127.0.0.1:{port}"]
        names += [] if channel.name in names else [channel.name]
    countdown = _Countdown(count)
    tasks = [
        asyncio.create_task(_listen_to(service_name, edge, token, names, (since, last), countdown, as_json=as_json))
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


async def _listen_to(
    service: str,
    edge: str,
    token: str | None,
    names: Sequence[str],
    start: tuple[str | None, int | None],
    countdown: _Countdown,
    *,
    as_json: bool,
) -> None:
    at = without_password(edge)
    try:
        async with connect(edge, token=token) as client:
            await _show_all(client, names, start, countdown, as_json=as_json)
    except Untrusted as error:
        raise BusUnavailable(str(error)) from None
    except Unreachable as error:
        raise BusUnavailable(f"{error}; start one with: edgebus edge {service}") from None
    except (AuthenticationFailed, _Forbidden) as error:
        raise BusError(f"{at}: {error}{_HINT if token is None else ''}") from None
    except Dismissed as error:
        raise BusUnavailable(f"{at}: {error}") from None
    except WrongAddress as error:
        raise ChannelError(f"--url: {error}") from None


async def _show_all(
    client: Client,
    names: Sequence[str],
    start: tuple[str | None, int | None],
    countdown: _Countdown,
    *,
    as_json: bool,
) -> None:
    """Show every channel of one edge until a channel fails."""
    since, last = start
    tasks = [asyncio.create_task(_show_one(client, name, since, last, countdown, as_json=as_json)) for name in names]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        await end(tasks)
    for task in done:
        task.result()


async def _show_one(
    client: Client, name: str, since: str | None, last: int | None, countdown: _Countdown, *, as_json: bool
) -> None:
    try:
        async for value in client.subscribe(name, since=since, last=last):
            countdown.show(value, as_json=as_json)
    except Refused as error:
        raise (_Forbidden if error.code == Code.FORBIDDEN else ChannelError)(f"{name}: {error}") from None


def _message(event: Received) -> dict[str, Any]:
    """Return the message in the edge's form."""
    # With the wire's keys, so that the output can be held against any other client's.
    front = {"position": event.position, "previous": event.previous}
    if event.traceparent is not None:
        front["traceparent"] = event.traceparent
    return front | envelope(
        "event",
        event=event.event,
        data=event.data,
        room=event.channel,
        message_id=event.id,
        timestamp=event.timestamp,
    )


def _show_status(value: Value, *, as_json: bool) -> None:
    """Print a stream's interruption, recovery or gap, unlike any event."""
    if as_json:
        show_json({"type": type(value).__name__.lower(), **dataclasses.asdict(value)})
        return
    show(f"--            {value.channel}  {_sentence(value)}")


def _sentence(value: Value) -> str:
    match value:
        case Gap(after=after, until=until, reason=reason):
            why = f"{reason}: what this Redis holds began later than that" if reason == Reason.UNKNOWN else reason
            return f"GAP ({why}): events may be missing after {after or '?'} and before {until or '?'}"
        case Recovered(replayed=replayed, began=began) if began is not None:
            return f"this Redis began at {began}; {replayed} event(s) replayed from there"
        case Recovered(replayed=replayed):
            return f"goes on, nothing was missed; {replayed} event(s) replayed"
        case Interrupted(cause=cause, detail=detail):
            return f"interrupted ({cause}): {detail}"
        case Received():
            return value.event
    # Users in a room, or its state: only for a caller that asked.
    return type(value).__name__.lower() + (f" of {len(value.events)} event(s)" if isinstance(value, State) else "")
