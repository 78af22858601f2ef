"""Faults between clients and edges: edges die, connections are cut."""

import asyncio

from edgebus.lab.judge.records import Demands
from edgebus.lab.stage.site import Site

__all__ = ["client_flap", "edge_kill", "edge_restart_all"]

BUSY = ("lab:one", "lab:two")
QUIET = "lab:quiet"


async def edge_kill(site: Site) -> None:
    """Kill one of two edges; its clients go to the other one, and lack nothing."""
    site.demands = Demands(no_gaps=True, all_acknowledged=True)
    redis = await site.redis()
    first, second = await site.edge_processes(redis.url, 2)
    publisher = await site.publisher(redis.url)
    listeners = await site.listen(site.size.of(10, 60), [first.url, second.url], [*BUSY, QUIET])
    await publisher.publish(QUIET, 2)
    async with publisher.steadily(BUSY, site.size.of(200, 500)):
        await site.last(0.3)
        await first.kill()
        site.heal()  # at once: the other edge is there all the time
        lost = [listener for listener in listeners if not listener.is_joined]
        await publisher.publish(QUIET, 3)
        site.require(f"{len(listeners) // 2} clients were on it", await site.until(lambda: _any_away(lost, site), 0.5))
        await site.until(lambda: all(listener.is_joined for listener in listeners), 5.0)
        await site.last(0.2)
    await site.conclude(redis)


def _any_away(_: object, site: Site) -> bool:
    return sum(not listener.is_joined for listener in site.listeners) > 0


async def edge_restart_all(site: Site) -> None:
    """Kill every edge at once and start them again; all clients come back together."""
    site.demands = Demands(no_gaps=True, all_acknowledged=True)
    redis = await site.redis()
    edges = await site.edge_processes(redis.url, 2)
    publisher = await site.publisher(redis.url)
    rooms = [f"lab:room{index}" for index in range(20)]
    count = site.size.of(100, 1_000)
    listeners = await site.listen(count, [edge.url for edge in edges], rooms, each=1)
    async with publisher.steadily(rooms, site.size.of(200, 400)):
        await site.last(0.3)
        await asyncio.gather(*(edge.kill() for edge in edges))  # one after the other, clients would find the second
        away = await site.until(lambda: not any(listener.is_joined for listener in listeners), 5.0)
        site.require(f"all {count} clients lost their connection", away)
        await asyncio.gather(*(edge.start() for edge in edges))
        site.heal()
        await site.until(lambda: all(listener.is_joined for listener in listeners), 10.0)
        await site.last(0.2)
    await site.conclude(redis)


async def client_flap(site: Site) -> None:
    """Cut every client's connection again and again while events flow."""
    site.demands = Demands(no_gaps=True, all_acknowledged=True)
    redis = await site.redis()
    edge_url = await site.edge(redis.url)
    proxy = await site.proxy(int(edge_url.rpartition(":")[2].rstrip("/")))
    publisher = await site.publisher(redis.url)
    listeners = await site.listen(site.size.of(10, 50), [f"ws://127.0.0.1:{proxy.port}/"], [*BUSY, QUIET])
    cut = 0
    async with publisher.steadily(BUSY, site.size.of(300, 500)):
        for _ in range(site.size.of(4, 12)):
            cut += proxy.cut()
            await publisher.publish(QUIET)
            await site.last(0.25)
        site.heal()
    site.require(f"{cut} connections were cut", cut >= len(listeners))
    await site.conclude(redis)
