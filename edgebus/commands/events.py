"""``edgebus publish``, ``edgebus history`` and ``edgebus state``: one event in, past events out."""

import sys
from dataclasses import replace
from typing import Any

import orjson

from bus.channel import Channel
from bus.encoding import decode
from bus.errors import ChannelError, EventError
from bus.event import Event
from bus.keyed import Keyed
from bus.log.log import Log
from bus.log.replay import State
from edgebus.terminal import note, show, show_json
from producers import Producer

__all__ = ["publish", "read_data", "read_line", "show_history", "show_line", "show_state", "tell_unreadable"]

_STDIN_LIMIT_BYTES = 1024 * 1024


def read_data(text: str) -> bytes:
    """Return the JSON given on the command line, or standard input for ``-`` (at most 1 MiB)."""
    if text != "-":
        return text.encode(errors="surrogateescape")
    data = sys.stdin.buffer.read(_STDIN_LIMIT_BYTES + 1)
    if len(data) > _STDIN_LIMIT_BYTES:
        raise EventError(f"standard input is over {_STDIN_LIMIT_BYTES} bytes")
    return data


async def publish(url: str, model: type[Event], data: bytes, *, as_json: bool) -> None:
    """Validate and publish one event, and print the event's positions."""
    # decisions/0064: read as JSON, the mode in which strict types take a typed time or enumeration.
    event = decode(model, data)
    # One attempt: a person is waiting, and sees at once that Redis is away.
    async with Producer(url, name="cli", deadline_s=0) as producer:
        published = await producer.publish(event)
    if as_json:
        show_json({"id": published.id, "positions": published.positions, "receivers": published.receivers})
        return
    for channel, position in published.positions.items():
        show(f"{channel}  {position or 'live, no position'}")
    show(f"id {published.id}, sent to {published.receivers} subscriber(s)")


async def show_history(
    url: str, channel: Channel, *, count: int, as_json: bool, stranger: ChannelError | None = None
) -> None:
    """Print the past events of a channel, oldest first.

    Raises:
        ChannelError: ``stranger``, of a channel that no service at hand has, where Redis has no log of it either.

    """
    if channel.retention.kind == "live":
        note(f"{channel.name} is live: nothing of it is kept")
        return
    # decisions/0028: a log that only reads loads no script, so the operator's user needs no right to.
    async with Log(url, name="edgebus-cli") as log:
        lines = await log.lines(channel, count=count)
    messages = [message for line in lines if (message := read_line(line)) is not None]
    tell_unreadable(len(lines) - len(messages) + log.unreadable)
    if not lines and stranger is not None:
        raise stranger
    if not lines:
        note(f"{channel.name} has no log: nothing was published in its life time")
    for message in messages:
        show_line(message, as_json=as_json)


async def show_state(url: str, channel: Channel, *, as_json: bool, stranger: ChannelError | None = None) -> None:
    """Print the newest event of each key of a channel, oldest first.

    Raises:
        ChannelError: ``stranger``, of a channel that no service at hand has, where Redis has no state of it either.

    """
    # A channel of no service at hand may have a state: how much of one is read then, a family's bounds say.
    asked = channel if channel.keyed is not None else replace(channel, keyed=Keyed({}))
    async with Log(url, name="edgebus-cli") as log:
        tail = await log.tail(asked, limit_events=1, with_state=True)
    state = tail.state or State(())
    messages = [message for line in state.lines if (message := read_line(line.line)) is not None]
    tell_unreadable(len(state.lines) - len(messages) + log.unreadable)
    if not state.lines and stranger is not None:
        raise stranger
    if not state.lines:
        note(f"{channel.name} has no state" + ("" if channel.keyed is not None else ": its family keeps none"))
    elif state.truncated:
        note(f"the state of {channel.name} is truncated: keys may be missing")
    for message in messages:
        show_line(message, as_json=as_json)


def read_line(line: bytes) -> dict[str, Any] | None:
    """Return the message in a line of a log, None for a line that is no message."""
    # decisions/0019: a log may hold entries typed by hand.
    try:
        value = orjson.loads(line)
        orjson.dumps(value)  # what nests 400 deep can be read, and not written
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return None
    return value if isinstance(value, dict) else None


def tell_unreadable(count: int) -> None:
    """Print the number of entries that cannot be shown; for 0, print no line."""
    if count:
        note(f"passed over {count} entr{'y' if count == 1 else 'ies'} of the log that the bus did not write so")


def show_line(message: dict[str, Any], *, as_json: bool) -> None:
    """Print one message of an edge, or one line of a log."""
    try:
        data = orjson.dumps(message.get("data")).decode()
    except orjson.JSONEncodeError:  # what nests 400 deep can be read, and not written
        tell_unreadable(1)
        return
    if as_json:
        show_json(message)
        return
    time = str(message.get("timestamp"))[11:23]
    show(f"{time}  {message.get('room') or '-'}  {message.get('event')}  {data}")
