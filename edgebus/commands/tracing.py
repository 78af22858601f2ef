"""``edgebus trace``: the stages of an event, by the edges' words, each with the time since the event was made."""

import dataclasses
import re
from datetime import UTC, datetime
from typing import Final

from bus.errors import BusError, EventError
from bus.position import is_position, milliseconds
from bus.redis.connection import Connection
from bus.traces.stages import Handover, Stages
from bus.traces.store import TraceStore
from edgebus.terminal import note, show, show_json

__all__ = ["event_ids", "show_trace"]

_ID_LIMIT: Final = 128
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_TRACE_ID: Final = re.compile(r"[0-9a-f]{32}")


async def show_trace(url: str, wanted: str | None, *, count: int, as_json: bool) -> None:
    """Print the stages of one event, or the newest ``count`` events with stages.

    Raises:
        EventError: ``wanted`` is no id.
        BusError: no stages of the event are kept.
        BusUnavailable: Redis cannot be reached.

    """
    ids = [] if wanted is None else event_ids(wanted)
    async with Connection(url, name="edgebus-cli") as connection:
        store = TraceStore(connection)
        if wanted is None:
            _show_newest(await store.newest(count), as_json=as_json)
            return
        for event_id in ids:
            stages = await store.read(event_id)
            if stages is not None:
                _show(stages, as_json=as_json)
                return
    raise BusError(
        f"no stages of {wanted} are kept: they are of one event in 1,000 and of each that asks for it "
        "(publish(…, trace=True), a sampled traceparent), for an hour, and only where an edge has a client in the room"
    )


def event_ids(wanted: str) -> list[str]:
    """Return the ids of events that ``wanted`` may mean: an event's id, or a trace named after the event.

    Raises:
        EventError: the text can be none.

    """
    if not wanted.isprintable() or not 1 <= len(wanted) <= _ID_LIMIT:
        raise EventError(f"an id is at most {_ID_LIMIT} printable characters")
    whole = _TRACEPARENT.fullmatch(wanted)
    trace = whole[1] if whole is not None else wanted
    if _TRACE_ID.fullmatch(trace) is None:
        return [wanted]
    # `trace=True` names the trace after the event, whose id is a UUID.
    return [wanted, f"{trace[:8]}-{trace[8:12]}-{trace[12:16]}-{trace[16:20]}-{trace[20:]}"]


def _show_newest(newest: list[Stages], *, as_json: bool) -> None:
    if not newest and not as_json:
        note("no stages are kept: one event in 1,000 is drawn, and those that ask for it")
    for stages in newest:
        if as_json:
            show_json(dataclasses.asdict(stages))
            continue
        channels = ", ".join(dict.fromkeys(it.channel for it in stages.handovers))
        clients = sum(it.clients for it in stages.handovers)
        show(f"{stages.made[11:23] or '?':<12}  {stages.id}  {stages.event}  {channels}  {clients} client(s)")


def _show(stages: Stages, *, as_json: bool) -> None:
    if as_json:
        show_json(dataclasses.asdict(stages))
        return
    made = _time_ms(stages.made)
    show(f"{stages.event}  {stages.id}" + (f"  {stages.traceparent}" if stages.traceparent else ""))
    show(f"made      {stages.made or '?'}")
    for channel, position in stages.appended.items():
        at = float(milliseconds(position)) if is_position(position) else None
        show(f"appended  {_since(at, made)}  {channel}  {position}")
    for handover in stages.handovers:
        _show_handover(handover, made)


def _show_handover(handover: Handover, made: float | None) -> None:
    where = f"{handover.channel}  {handover.edge}"
    show(f"read      {_since(_time_ms(handover.read), made)}  {where}")
    if handover.is_held:
        show(f"held      {'':>12}  {where}  events before it were missing")
    else:
        show(f"written   {_since(_time_ms(handover.written), made)}  {where}  {handover.clients} client(s)")


def _since(at_ms: float | None, made_ms: float | None) -> str:
    """Return a time as milliseconds since the event was made; the two clocks may be of two machines."""
    return f"{'?':>12}" if at_ms is None or made_ms is None else f"{at_ms - made_ms:+9.3f} ms"


def _time_ms(text: str) -> float | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (time if time.tzinfo is not None else time.replace(tzinfo=UTC)).timestamp() * 1000
