"""A replica takes over that lacks the newest events, with its clock behind or not; by hand and by a sentinel."""

import socket
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from bus.broker.server import find_server
from bus.errors import AddressError
from bus.redis.address import check_url
from bus.values import frozen
from edgebus.lab.judge.records import Demands
from edgebus.lab.stage.listener import Listener
from edgebus.lab.stage.proxy import Proxy
from edgebus.lab.stage.publisher import Publisher
from edgebus.lab.stage.servers import RedisServer, Sentinel
from edgebus.lab.stage.site import Site

__all__ = ["failover_lag", "failover_lag_clock_behind", "sentinel_failover"]

ROOM: Final = "lab:one"
QUIET: Final = "lab:quiet"
LIVE_EVENTS: Final = 100
LAG_EVENTS: Final = 10
NEW_EVENTS: Final = 15
BEHIND_MS: Final = 30_000
"""Longer than a run on a busy machine: the clock is behind the log until the end."""
_SYNC_DEADLINE_S: Final = 10.0
_AT_ONCE: Final = ("--repl-diskless-sync-delay", "0")


@frozen
class _Pair:
    """A primary and its replica, and the three paths that can be broken."""

    primary: RedisServer
    replica: RedisServer
    replication: Proxy
    to_edges: Proxy
    to_producers: Proxy


async def failover_lag(site: Site) -> None:
    """Promote a replica that is 10 events short, and publish 15 new ones before the edge is back."""
    await _failover(site, await _pair(site, await site.redis(extra=_AT_ONCE)))


async def failover_lag_clock_behind(site: Site) -> None:
    """Do the same with a new primary whose clock is 30 s behind what the old one wrote."""
    binary = _ahead(site.directory())
    primary = await site.redis(binary=binary, extra=_AT_ONCE)
    pair = await _pair(site, primary)
    if binary is None:
        await _write_ahead(site, primary)
    await _failover(site, pair, is_behind=True)


async def _pair(site: Site, primary: RedisServer) -> _Pair:
    replication = await site.proxy(primary.port)
    replica = await site.redis(extra=("--replicaof", "127.0.0.1", str(replication.port)))
    await _linked(site, replica)
    return _Pair(primary, replica, replication, await site.proxy(primary.port), await site.proxy(primary.port))


async def _linked(site: Site, replica: RedisServer) -> None:
    async def is_up() -> bool:
        return bool((await replica.ask("INFO", "replication"))["master_link_status"] == "up")

    site.require("the replica has found its primary", await site.until_true(is_up, _SYNC_DEADLINE_S))


def _ahead(directory: Path) -> Path | None:
    """Return a server that runs 30 s ahead, where libfaketime is installed (Debian: ``faketime``)."""
    libraries = [
        *Path("/usr/lib").glob("*/faketime/libfaketime.so.1"),
        *Path("/usr/lib/faketime").glob("libfaketime.so.1"),
    ]
    if (
        not libraries or find_server().path.name != "valkey-server"
    ):  # redis-server's allocator and it do not go together
        return None
    script = directory / "server-ahead"
    script.write_text(
        f'#!/bin/sh\nLD_PRELOAD={libraries[0]} FAKETIME="+{BEHIND_MS / 1000:g}s" exec "{find_server().path}" "$@"\n'
    )
    script.chmod(0o700)
    return script


async def _write_ahead(site: Site, primary: RedisServer) -> None:
    """Without libfaketime: begin the log with an entry from a clock that was ahead."""
    publisher = await site.publisher(primary.url)
    for room in (ROOM, QUIET):
        (attempt,) = await publisher.publish(room)
        key = f"bus:log:{{{room}}}"
        ((position, fields),) = await primary.ask("XRANGE", key, "-", "+")
        ahead = f"{int(position.partition('-')[0]) + BEHIND_MS + 500}-1"
        words = [it for pair in (fields.items() if isinstance(fields, dict) else [fields]) for it in pair]
        await primary.ask("DEL", key)
        await primary.ask("XADD", key, ahead, *words)
        site.attempts[site.attempts.index(attempt)] = replace(attempt, position=ahead)


async def _failover(site: Site, pair: _Pair, *, is_behind: bool = False) -> None:
    """Fail over while some clients are there, and others come back from before, within and behind the lost ten."""
    site.demands = Demands(all_acknowledged=True)
    edge_url = await site.edge(f"redis://127.0.0.1:{pair.to_edges.port}")
    publisher = await site.publisher(f"redis://127.0.0.1:{pair.to_producers.port}")
    listeners = await site.listen(site.size.of(7, 20), [edge_url], [ROOM, QUIET])
    before, late, within, after = listeners[:4]
    await _lag(site, pair, publisher, listeners)
    await _promote(site, pair, is_behind=is_behind)
    promoted_s = site.now_s
    pair.to_producers.lead_to(pair.replica.port)
    pair.to_producers.accept()  # producers first: the new log goes on before any edge has compared rooms with it
    await _publish_anew(site, publisher)
    pair.to_edges.lead_to(pair.replica.port)
    pair.to_edges.accept()
    site.heal()
    for listener in (before, within, after):
        listener.come_back()
    await site.until(lambda: all(ROOM in it.told for it in listeners[4:]), 5.0)
    late.come_back()  # to an edge that has compared its rooms, and remembers what this Redis never had
    await site.until(lambda: all(it.is_joined for it in listeners), 5.0)
    await publisher.publish(ROOM, 10)
    await site.settle()
    await site.record(pair.replica, "new primary", from_s=promoted_s)


async def _lag(site: Site, pair: _Pair, publisher: Publisher, listeners: Sequence[Listener]) -> None:
    """Publish, the last ten without the replica; on the way let four clients go, one after another."""
    before, late, within, after = listeners[:4]
    await publisher.publish(QUIET, 5)
    await publisher.publish(ROOM, LIVE_EVENTS - 5 - site.count(ROOM))
    await _rest(site, before)
    await _rest(site, late)
    await publisher.publish(ROOM, 5)
    await _in_sync(site, pair)
    pair.replication.swallow()  # a cut would be seen, and mended by a new replication link
    await publisher.publish(ROOM, LAG_EVENTS // 2)
    await _rest(site, within)
    await publisher.publish(ROOM, LAG_EVENTS - LAG_EVENTS // 2)
    await _rest(site, after)
    await site.until(lambda: site.all_have(ROOM, listeners[4:]), 2.0)


async def _rest(site: Site, listener: Listener) -> None:
    """Let a client go once all events have come."""
    await site.until(lambda: site.all_have(ROOM, [listener]), 2.0)
    listener.leave()


async def _in_sync(site: Site, pair: _Pair) -> None:
    async def has_all() -> bool:
        return bool(await pair.replica.ask("XLEN", f"bus:log:{{{ROOM}}}") == LIVE_EVENTS)

    in_sync = await site.until_true(has_all, _SYNC_DEADLINE_S)
    site.require(f"the replica has {LIVE_EVENTS} events before the lag", in_sync)


async def _promote(site: Site, pair: _Pair, *, is_behind: bool) -> None:
    """Kill the primary and promote the replica, after a look at both logs."""
    old = (await site.record(pair.primary, "old primary", until_s=site.now_s))[ROOM]
    ahead_ms = int(old.entries[-1].position.partition("-")[0]) - await pair.replica.clock_ms()
    for proxy in (pair.to_edges, pair.to_producers):  # the time of a takeover, in which no server can be reached
        proxy.refuse()
        proxy.cut()
    await pair.primary.kill()
    await pair.replica.ask("REPLICAOF", "NO", "ONE")
    has = {it.position for it in (await pair.replica.snapshot("", ROOM, 0, 0)).entries}
    short = [it for it in old.entries if it.position not in has]
    site.require(f"the promoted replica lacks {len(short)} events", len(short) == LAG_EVENTS)
    if is_behind:
        site.require(f"the old log ends {ahead_ms} ms ahead of the new primary's clock", ahead_ms > 1_500)


async def _publish_anew(site: Site, publisher: Publisher) -> None:
    new = await publisher.publish(ROOM, NEW_EVENTS)
    quiet = await publisher.publish(QUIET, 3)
    good = sum(it.outcome == "acknowledged" for it in new + quiet)
    site.require(f"{good} new events before the edge is back", good == NEW_EVENTS + 3)


async def sentinel_failover(site: Site) -> None:
    """Kill the primary under a sentinel's eyes: edges and producers find the new one by themselves."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    url = f"redis+sentinel://127.0.0.1:{port}/lab"
    site.require("bus.redis.address reads redis+sentinel:// URLs (else: not supported)", _is_supported(url))
    primary = await site.redis()
    replica = await site.redis(extra=("--replicaof", "127.0.0.1", str(primary.port)))
    await site.start(Sentinel(primary.port, port, site.directory()))
    edge_url = await site.edge(url)
    publisher = await site.publisher(url)
    await site.listen(5, [edge_url], [ROOM, QUIET])
    await publisher.publish(ROOM, 20)
    await publisher.publish(QUIET, 5)
    site.sample()
    await site.record(primary, "old primary", until_s=site.now_s)

    async def is_promoted() -> bool:
        return bool((await replica.ask("ROLE"))[0] == "master")

    async with publisher.steadily([ROOM], 100):
        async with site.away():
            await primary.kill()
            promoted = await site.until_true(is_promoted, _SYNC_DEADLINE_S)
        site.require("the sentinel promoted the replica", promoted)
        site.heal()
        promoted_s = site.now_s
        await site.last(2.0)
    await publisher.publish(QUIET, 3)
    await site.settle()
    # A sentinel needs a while to lead clients over; what the old primary took before that is with it (decisions/0059).
    await site.record(replica, "new primary", from_s=promoted_s + 5)


def _is_supported(url: str) -> bool:
    try:
        check_url(url)
    except AddressError:
        return False
    return True
