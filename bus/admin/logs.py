"""One channel's log, as an operator sees the log: length, bytes, and the last entry."""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from bus.admin.registry import Registry
from bus.admin.values import LastEvent
from bus.values import frozen

__all__ = ["LogSight", "log_of"]

_TEXT_LIMIT: Final = 256


@frozen
class LogSight:
    """A log.

    Attributes:
        first: the position of the oldest entry.
        last: the newest entry; None for a log without entries.
        size_bytes: as Redis counts, with everything around; None where the user may not ask.
        expires_ms: until the log goes.

    """

    length: int
    first: str | None
    last: LastEvent | None
    size_bytes: int | None
    expires_ms: int | None


async def log_of(registry: Registry, key: str, senders: Mapping[str, str]) -> LogSight | None:
    """Return the log under a key; None where no log is.

    ``senders``: of events that clients publish, the field of ``data`` with the user, by the event's name.
    """
    async with registry.connected() as redis:
        pipeline = redis.pipeline(transaction=False)
        pipeline.xinfo_stream(key)
        # MEMORY USAGE of a stream looks at some of its nodes, and costs the same for any length.
        pipeline.execute_command("MEMORY USAGE", key)
        pipeline.pttl(key)
        info, size, life = await pipeline.execute(raise_on_error=False)
    if not isinstance(info, dict):
        return None
    first, last = info.get("first-entry"), info.get("last-entry")
    return LogSight(
        int(info.get("length", 0)),
        first[0].decode() if first else None,
        _last(last[0], last[1], senders) if last else None,
        size if isinstance(size, int) else None,
        life if isinstance(life, int) and life >= 0 else None,
    )


def _last(position: bytes, fields: Any, senders: Mapping[str, str]) -> LastEvent:
    """Read the last entry; an entry typed by hand is shown as far as readable."""
    said = fields if isinstance(fields, dict) else {}
    try:
        line = orjson.loads(said.get(b"line", b"{}"))
    except orjson.JSONDecodeError:
        line = {}
    line = line if isinstance(line, dict) else {}
    event, data, at = said.get(b"event", b"").decode(errors="replace"), line.get("data"), line.get("timestamp")
    user = data.get(senders[event]) if isinstance(data, dict) and event in senders else None
    return LastEvent(
        position.decode(),
        said.get(b"id", b"").decode(errors="replace")[:_TEXT_LIMIT],
        event[:_TEXT_LIMIT],
        at[:_TEXT_LIMIT] if isinstance(at, str) else "",
        user[:_TEXT_LIMIT] if isinstance(user, str) else None,
    )
