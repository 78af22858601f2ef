"""All facts of an edge, a room, a client, as names and texts. Pure."""

import time
from collections.abc import Sequence
from typing import TypeAlias

from bus.admin.values import ClientInfo, RoomInfo
from edgebus.figures import age, amount, clock_time, count, rate
from edgebus.top.frames import EdgeNow
from edgebus.top.sheets import state_of

__all__ = ["Facts", "client_facts", "edge_facts", "room_facts"]

Facts: TypeAlias = Sequence[tuple[str, str]]


def edge_facts(edge: EdgeNow) -> Facts:
    """Return the facts of an edge."""
    entry = edge.entry
    link = entry.link if entry.probe_age_ms is None else f"{entry.link}, probe {entry.probe_age_ms:,} ms ago"
    rates = edge.look.rates if edge.look is not None else None
    return (
        ("edge", entry.id),
        ("state", state_of(edge) if entry.ready in ("", "yes") else f"{state_of(edge)}: {entry.ready}"),
        ("link to Redis", f"{link}, generation {count(entry.generation)}"),
        ("clients", f"{count(entry.connections)} of {count(entry.max_connections)}"),
        ("events a second", "-" if rates is None else f"{rate(rates.events_in)} in, {rate(rates.deliveries)} out"),
        ("events in all", f"{count(entry.events_in)} in, {count(entry.deliveries)} out, {count(entry.writes)} writes"),
        ("bytes out", amount(entry.bytes_out)),
        ("gaps", f"{count(entry.gaps)} found, {count(entry.repaired)} events repaired, {count(entry.told)} told"),
        ("slow clients", f"{count(entry.slow)} in all, {amount(entry.waiting_bytes)} wait now"),
        ("process", f"pid {entry.pid} on {entry.host}, {amount(entry.memory_bytes)}"),
        ("descriptors", f"{count(entry.fds)} of {count(entry.fds_limit)}"),
        ("version", f"{entry.version or '-'}, catalogue {entry.catalogue[:12] or '-'}"),
        ("started", _since(entry.started)),
        ("certificate", clock_time(entry.certificate_expires) if entry.certificate_expires else "none"),
    )


def room_facts(room: RoomInfo) -> Facts:
    """Return the facts of a room."""
    kept = room.retention or "no edge serves the channel"
    if room.max_events and room.retention == "history":
        kept += f", the newest {count(room.max_events)} events, for {age(room.keeps_s)} after the last"
    last = room.last
    return (
        ("room", room.channel),
        ("in Redis", room.redis),
        ("members", f"{count(room.members)} on {count(len(room.edges))} edge(s)"),
        ("kept", kept),
        ("log", f"{count(room.length)} entries, {amount(room.log_bytes)}, expires in {_left(room.expires_ms)}"),
        ("position", f"{room.position or '-'}, the log begins at {room.first_position or '-'}"),
        ("last event", "-" if last is None else f"{last.event}, {last.at}, id {last.id}"),
        ("published by", "-" if last is None else f"client {last.user}" if last.user else "a service"),
        *([("did not answer", ", ".join(room.silent))] if room.silent else []),
    )


def client_facts(client: ClientInfo) -> Facts:
    """Return the facts of a client."""
    more = f" and {count(client.rooms_count - len(client.rooms))} more" * (client.rooms_count > len(client.rooms))
    state = client.state if client.lagging_since is None else f"{client.state}, since {_since(client.lagging_since)}"
    return (
        ("client", client.id),
        ("user", client.user or "none: no token"),
        ("address", client.address or "-"),
        ("edge", client.edge),
        ("connected", _since(client.connected)),
        ("state", state),
        ("waiting", amount(client.waiting_bytes)),
        ("rooms", f"{count(client.rooms_count)}: {', '.join(client.rooms)}{more}" if client.rooms else "none"),
        ("token ends", "never" if client.token_ends is None else _until(client.token_ends)),
        ("messages sent", count(client.messages)),
        ("dialect", client.dialect or "-"),
    )


def _since(ms: int | None) -> str:
    return "-" if ms is None else f"{clock_time(ms)}, {age(time.time() - ms / 1000)} ago"


def _until(ms: int) -> str:
    return f"{clock_time(ms)}, in {age(ms / 1000 - time.time())}"


def _left(ms: int | None) -> str:
    return "-" if ms is None else age(ms / 1000)
