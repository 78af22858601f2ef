"""``edgebus get``: one event out of the logs, by position or by id."""

from collections.abc import Sequence
from typing import Any, Final

import orjson

from bus.channel import Channel
from bus.errors import BusError, EventError
from bus.log.log import Log
from bus.position import is_position
from bus.service import Service
from edgebus.commands.events import read_line
from edgebus.terminal import show, show_json

__all__ = ["bare_channels", "show_event"]

_ID_LIMIT: Final = 128
_HEAD: Final = ("event", "room", "position", "previous", "id", "timestamp", "correlation_id")


def bare_channels(services: Sequence[Service]) -> list[Channel]:
    """Return the channels with a log and without an id: few, and many an event goes on such a channel, too."""
    # decisions/0123: an event's channel cannot be told from its id or position, and a walk over all logs is no answer.
    families = [family for service in services for family in service.families if family.field is None]
    return list(dict.fromkeys(it.fill() for it in families if it.retention.kind != "live"))


async def show_event(url: str, wanted: str, channels: Sequence[Channel], *, as_json: bool) -> None:
    """Print the event called ``wanted``, an id or a position, from the first of the logs that has the event.

    Raises:
        EventError: ``wanted`` is neither.
        BusError: no log has the event; the message says where was looked.
        BusUnavailable: Redis cannot be reached.

    """
    if not wanted.isprintable() or not 1 <= len(wanted) <= _ID_LIMIT:
        raise EventError(f"a position is <ms>-<n>, an id at most {_ID_LIMIT} printable characters")
    async with Log(url, name="edgebus-cli") as log:
        for channel in channels:
            line = await (log.line_at if is_position(wanted) else log.line_of)(channel, wanted)
            message = None if line is None else read_line(line)
            if message is not None:
                _show(message, as_json=as_json)
                return
    raise BusError(_nowhere(wanted, channels))


def _nowhere(wanted: str, channels: Sequence[Channel]) -> str:
    kind = "at the position" if is_position(wanted) else "with the id"
    if len(channels) == 1:
        why = (
            "a live channel has no log" if channels[0].retention.kind == "live" else "trimmed, expired, or never there"
        )
        return f"no event {kind} {wanted} in {channels[0].log_key} ({why})"
    looked = ", ".join(it.redis for it in channels)
    return f"no event {kind} {wanted} in the logs of {looked}; name its channel: edgebus get {wanted} CHANNEL"


def _show(message: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        show_json(message)
        return
    for name in _HEAD:
        if message.get(name) is not None:
            show(f"{name:<15}{message[name]}")
    for text in orjson.dumps(message.get("data"), option=orjson.OPT_INDENT_2).decode().splitlines():
        show(text)
