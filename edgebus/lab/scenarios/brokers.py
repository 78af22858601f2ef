"""Faults of Redis itself: it restarts with nothing or with everything, stands still, is full, is slow."""

from redis.exceptions import OutOfMemoryError

from edgebus.lab.judge.records import Demands
from edgebus.lab.stage.proxy import Proxy
from edgebus.lab.stage.publisher import Publisher
from edgebus.lab.stage.servers import RedisServer
from edgebus.lab.stage.site import Site

__all__ = ["idle_expiry", "out_of_memory", "redis_pause", "redis_restart_aof", "redis_restart_empty", "slow_redis"]

BUSY = ("lab:one", "lab:two")
QUIET = "lab:quiet"
_LONGER_S = 0.4
"""An outage outlasts the notice by this: long enough for samples to show an edge that is not red."""
_JOIN_S = 10.0


async def redis_restart_empty(site: Site) -> None:
    """Crash Redis and start it with nothing: what is gone is told, what is new is delivered."""
    site.demands = Demands(keeps_connections=True)
    redis = await site.redis()
    began_s = await _restart(site, redis)
    await site.conclude(redis, from_s=began_s)


async def redis_restart_aof(site: Site) -> None:
    """Crash a Redis that writes every event to its disk, and start it again: nothing is missing, nobody is told so."""
    site.demands = Demands(no_gaps=True, keeps_connections=True)
    redis = await site.redis(directory=site.directory(), extra=("--appendfsync", "always"))
    await _restart(site, redis)
    await site.conclude(redis)


async def _restart(site: Site, redis: RedisServer) -> float:
    """Crash and start; the edge comes back after three events of the quiet room, the last of that room."""
    proxy = await site.proxy(redis.port)
    edge_url = await site.edge(f"redis://127.0.0.1:{proxy.port}")
    publisher = await site.publisher(redis.url)
    await site.listen(site.size.of(5, 20), [edge_url], [*BUSY, QUIET])
    await publisher.publish(QUIET, 2)
    epoch = await redis.ask("GET", "bus:epoch")
    site.sample()
    async with publisher.steadily(BUSY, site.size.of(200, 500)):
        await site.last(0.4)
        async with site.away():
            proxy.refuse()  # or the edge could be back before the quiet room's events, and hear them live
            await redis.kill()
            await site.last(site.notice_s + _LONGER_S)
            began_s = site.now_s
            await redis.start_again()
            await _publish_quietly(site, publisher)
        proxy.accept()
        site.heal()
        await site.last(0.8)
    is_another = epoch != await redis.ask("GET", "bus:epoch")
    # A kept epoch is the promise that positions still mean the same: decisions/0067.
    site.require(f"the server is {'another' if is_another else 'the same'} one", is_another or site.demands.no_gaps)
    return began_s


async def _publish_quietly(site: Site, publisher: Publisher) -> None:
    """Publish while the edge is away, and no event later: only a comparison can find such events."""
    taken = await publisher.publish(QUIET, 3)
    good = sum(it.outcome == "acknowledged" for it in taken)
    site.require(f"{good} events were published while the edge was away", good > 0)


async def redis_pause(site: Site) -> None:
    """Stop Redis where it stands (SIGSTOP), and let it go on: late is not lost."""
    site.demands = Demands(no_gaps=True, all_acknowledged=True, keeps_connections=True)
    redis = await site.redis()
    edge_url = await site.edge(redis.url)
    publisher = await site.publisher(redis.url)
    await site.listen(site.size.of(5, 20), [edge_url], [*BUSY, QUIET])
    await publisher.publish(QUIET, 2)
    site.sample()
    async with publisher.steadily(BUSY, site.size.of(200, 500)):
        await site.last(0.3)
        async with site.away():
            redis.pause()
            await site.last(site.notice_s + _LONGER_S)
            redis.resume()
        site.heal()
        await publisher.publish(QUIET, 2)
        await site.last(0.3)
    await site.conclude(redis)


async def out_of_memory(site: Site) -> None:
    """Fill Redis up to ``maxmemory``: publish raises, and what was refused is stored and delivered nowhere."""
    site.demands = Demands(no_gaps=True)
    redis = await site.redis(extra=("--maxmemory-policy", "noeviction"))
    edge_url = await site.edge(redis.url)
    publisher = await site.publisher(redis.url)
    await site.listen(5, [edge_url], [*BUSY])
    await publisher.publish(BUSY[0], 10)
    used = (await redis.ask("INFO", "memory"))["used_memory"]
    await redis.ask("CONFIG", "SET", "maxmemory", int(used) + 2 * 1024 * 1024)
    site.sample()
    for _ in range(6):  # three times the room there is: the limit is met by publishing itself, as in life
        await publisher.publish(BUSY[0], 10, padding=100_000)
    await redis.ask("CONFIG", "SET", "maxmemory", 1)
    site.require("Redis refuses what takes memory", await _is_full(redis))
    await publisher.publish(BUSY[1], 10)
    await site.last(3.3)  # an edge writes its heartbeat every 3 s, and must survive that too
    await redis.ask("CONFIG", "SET", "maxmemory", 0)
    site.heal()
    await publisher.publish(BUSY[0], 10)
    await publisher.publish(BUSY[1], 10)
    await site.conclude(redis)


async def _is_full(redis: RedisServer) -> bool:
    try:
        await redis.ask("SET", "lab:is-full", "no")
    except OutOfMemoryError:
        return True
    return False


async def slow_redis(site: Site) -> None:
    """Hold up every byte to and from Redis for 150 ms while clients come and go."""
    site.demands = Demands(no_gaps=True, all_acknowledged=True)
    redis = await site.redis()
    edges_path, producers_path = await site.proxy(redis.port), await site.proxy(redis.port)
    edge_url = await site.edge(f"redis://127.0.0.1:{edges_path.port}")
    publisher = await site.publisher(f"redis://127.0.0.1:{producers_path.port}")
    listeners = await site.listen(site.size.of(6, 20), [edge_url], [*BUSY])
    async with publisher.steadily(BUSY, site.size.of(200, 500)):
        for proxy in (edges_path, producers_path):
            proxy.delay(0.15)
        before_s = site.now_s
        await publisher.publish(BUSY[0])
        took_ms = (site.now_s - before_s) * 1000
        site.require(f"a publish takes {took_ms:.0f} ms", took_ms > 290)  # there and back, 150 ms each
        for listener in listeners[::2]:
            listener.leave()
            await site.last(0.8)  # at this pace some publishes' worth
            listener.come_back()
        newcomers = await site.listen_soon(2, [edge_url], ["lab:new", *BUSY])
        await site.until(lambda: all(it.is_joined for it in newcomers), _JOIN_S)
        await publisher.publish("lab:new", 3)
        _heal(edges_path, producers_path)
        site.heal()
    await site.conclude(redis)


def _heal(*proxies: Proxy) -> None:
    for proxy in proxies:
        proxy.delay(0)


async def idle_expiry(site: Site) -> None:
    """Let a watched room be idle for longer than its log lives: somebody watches, so the log stays."""
    site.demands = Demands(no_gaps=True, all_acknowledged=True)
    room = "brief:idle"
    redis = await site.redis()
    edge_url = await site.edge(redis.url)
    publisher = await site.publisher(redis.url)
    listeners = await site.listen(3, [edge_url], [room])
    await publisher.publish(room, 3)
    await site.until(lambda: site.all_have(room), 2.0)
    life_ms = await redis.ask("PTTL", f"bus:log:{{{room}}}")
    site.require(f"the log has {life_ms} ms to live", 0 < life_ms <= 2_000)
    listeners[0].leave()
    await site.last(life_ms / 1000 + 1.0)  # Redis' own clock: an expiry cannot be hurried
    listeners[0].come_back()
    site.heal()
    await site.until(lambda: listeners[0].is_joined, 5.0)
    await publisher.publish(room, 2)
    await site.conclude(redis)
