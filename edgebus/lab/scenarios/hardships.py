"""What an edge must live through without a fault of its own: odd contents of Redis, no descriptors to spare."""

import os
import resource
from contextlib import suppress
from pathlib import Path
from typing import Final

from edgebus.lab.judge.records import Demands
from edgebus.lab.stage.servers import EdgeProcess, RedisServer
from edgebus.lab.stage.site import Site

__all__ = ["descriptors", "odd_redis"]

BUSY: Final = ("lab:one", "lab:two")
QUIET: Final = "lab:quiet"
FOREIGN: Final = "lab:foreign"
"""A room without a publisher; the log has entries that the bus did not write."""
HEARTBEATS_S: Final = 3.3
"""An edge writes its heartbeat every 3 s."""
LINES: Final = (
    "no JSON",
    '{"position":null,"previous":null,oops',
    '{"position":null,"previous":null,"id":"x",oops,"room":"lab:one","error_code":null,"error_message":null}',
    '{"position":"1-1","previous":"0-0","id":"x"}',
    '{"position":"1-1","previous":"0-0","event":"lab.event","data":{"n":1},"room":"lab:another"}',
    '{"event":"room.left","data":{}}',
    '{"event":"lab.event","data":{"n":1e999}}',
    '{"event":"lab.event","data":' + "[" * 3_000 + "]" * 3_000 + "}",
    "\udcff".encode("utf-8", "surrogateescape").decode("latin-1"),
)


async def odd_redis(site: Site) -> None:
    """Put what the bus never writes wherever the bus reads, and cut the link: all of it costs itself only."""
    site.demands = Demands(all_acknowledged=True, keeps_connections=True)
    redis = await site.redis()
    proxy = await site.proxy(redis.port)
    edge_url = await site.edge(f"redis://127.0.0.1:{proxy.port}")
    publisher = await site.publisher(redis.url)
    await site.listen(site.size.of(5, 20), [edge_url], [*BUSY, QUIET, FOREIGN])
    await publisher.publish(QUIET, 2)
    site.sample()
    async with publisher.steadily(BUSY, site.size.of(200, 500)):
        await site.last(0.3)
        heard = await _type_lines(redis)
        await _spoil(redis)
        proxy.cut()  # an edge that compares its rooms reads all of them: decisions/0049
        await publisher.publish(QUIET, 2)
        await site.last(0.5)
        await _type_lines(redis)
        site.heal()
        site.require_ready(site.now_s, within_s=5.0)
        await site.last(0.3)
    site.require(f"{heard} links heard what was typed", heard > 0)
    await site.conclude(redis)


async def _type_lines(redis: RedisServer) -> int:
    """Publish lines that no producer writes; return the number of links that heard them."""
    return sum([await redis.ask("PUBLISH", room, line) for room in (*BUSY, QUIET, FOREIGN) for line in LINES])


async def _spoil(redis: RedisServer) -> None:
    """Write unreadable values beside the logs, and unreadable entries into the foreign room's log."""
    await redis.ask("ZADD", "bus:revoked", "+inf", "user:eve")
    for room in (*BUSY, QUIET):
        await redis.ask("ZADD", f"bus:forks:{{{room}}}", "+inf", "no position", "-inf", "1-1")
    for fields in (("a", "b"), ("line", "no JSON"), ("previous", "x", "id", "", "event", "", "line", "{}")):
        await redis.ask("XADD", f"bus:log:{{{FOREIGN}}}", "*", *fields)
    await redis.ask("XADD", f"bus:log:{{{QUIET}}}", "18446744073709551615-18446744073709551615", "note", "typed")
    await redis.ask("SET", "bus:edge:somebody", "a text where a hash should be")


async def descriptors(site: Site) -> None:
    """Leave an edge no descriptor to spare: who is inside gets everything, who comes waits, and is let in later."""
    site.demands = Demands(no_gaps=True, all_acknowledged=True, returns_per_s=0)
    redis = await site.redis()
    (edge,) = await site.edge_processes(redis.url, 1)
    publisher = await site.publisher(redis.url)
    await site.listen(site.size.of(5, 50), [edge.url], [*BUSY, QUIET])
    async with publisher.steadily(BUSY, site.size.of(200, 500)):
        await site.last(0.3)
        most = _exhaust(edge)
        newcomers = await site.listen_soon(site.size.of(3, 20), [edge.url], [*BUSY, QUIET])
        await site.last(HEARTBEATS_S)
        await publisher.publish(QUIET, 2)
        let_in = sum(newcomer.is_joined for newcomer in newcomers)
        site.require(f"{let_in} of {len(newcomers)} who came meanwhile were let in", let_in == 0)
        _allow(edge, most)
        site.heal()
        await site.until(lambda: all(newcomer.is_joined for newcomer in newcomers), 10.0)
    await publisher.publish(QUIET, 2)
    await site.conclude(redis)


def _exhaust(edge: EdgeProcess) -> tuple[int, int]:
    """Set the limit of open files to the number in use; return the limit of before."""
    before = resource.prlimit(edge.pid, resource.RLIMIT_NOFILE)
    used = {int(name) for name in os.listdir(Path(f"/proc/{edge.pid}/fd"))}
    # The limit is on the number of a descriptor, not on how many there are: gaps below it could still be filled.
    free = next(number for number in range(len(used) + 1) if number not in used)
    resource.prlimit(edge.pid, resource.RLIMIT_NOFILE, (free, before[1]))
    return before


def _allow(edge: EdgeProcess, most: tuple[int, int]) -> None:
    with suppress(ProcessLookupError):  # what follows finds that it has ended
        resource.prlimit(edge.pid, resource.RLIMIT_NOFILE, most)
