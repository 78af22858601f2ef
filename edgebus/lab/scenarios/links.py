"""Faults on the way between edges and Redis: the link is cut, goes deaf, or Redis drops it for being too slow."""

from edgebus.lab.judge.records import Demands
from edgebus.lab.stage.site import Site

__all__ = ["big_message", "black_hole", "link_cut"]

BUSY = ("lab:one", "lab:two")
QUIET = "lab:quiet"
_LARGE_EVENTS = 60
_PATIENT_S = 5.0
"""Between two probes, where Redis and not the probe is to end the link, however busy the machine is."""


async def link_cut(site: Site) -> None:
    """Cut the subscriptions (``CLIENT KILL TYPE pubsub``) while 1,000 events a second flow."""
    site.demands = Demands(no_gaps=True, all_acknowledged=True, keeps_connections=True)
    redis = await site.redis()
    proxy = await site.proxy(redis.port)
    edge_url = await site.edge(f"redis://127.0.0.1:{proxy.port}")
    publisher = await site.publisher(redis.url)
    await site.listen(site.size.of(5, 20), [edge_url], [*BUSY, QUIET])
    began_s, killed = site.now_s, 0
    async with publisher.steadily(BUSY, 1_000):
        await site.last(0.3)
        for _ in range(site.size.of(3, 10)):
            while not await redis.links():  # a link that is still being made would not be killed, and hear it all
                await site.last(0.05)
            proxy.refuse()  # so that what is published next finds nobody
            killed += await redis.ask("CLIENT", "KILL", "TYPE", "pubsub")
            await publisher.publish(QUIET, 2)
            proxy.accept()
            await site.last(0.3)
        site.heal()
    rate = len(site.attempts) / (site.now_s - began_s)
    site.require(f"{killed} links were killed", killed > 0)
    site.require(f"{rate:.0f} events a second were published", rate > site.size.of(50, 500))
    await site.conclude(redis)


async def black_hole(site: Site) -> None:
    """Swallow every byte between the edge and Redis, while each side keeps its connections open."""
    site.demands = Demands(whole_within_s=10.0, no_gaps=True, all_acknowledged=True, keeps_connections=True)
    redis = await site.redis()
    proxy = await site.proxy(redis.port)
    edge_url = await site.edge(f"redis://127.0.0.1:{proxy.port}")
    publisher = await site.publisher(redis.url)
    await site.listen(site.size.of(5, 20), [edge_url], [*BUSY, QUIET])
    site.sample()
    async with publisher.steadily(BUSY, site.size.of(200, 500)):
        await site.last(0.3)
        async with site.away():
            proxy.swallow()  # no FIN, no RST: only a probe that does not come back can tell
            await site.last(0.2)
            site.require(f"{proxy.connections} connections stay open, and deaf", proxy.connections > 0)
            await site.last(site.notice_s + 0.2)
            await publisher.publish(QUIET, 3)
            site.require("the quiet room's events did not get through", not site.all_have(QUIET))
            proxy.heal()
        site.heal()
        await site.last(0.5)
    await site.conclude(redis)


async def big_message(site: Site) -> None:
    """Publish large events faster than the edge reads: Redis drops its link by the output limit for subscribers."""
    site.demands = Demands(no_gaps=True, all_acknowledged=True, keeps_connections=True)
    redis = await site.redis(extra=("--client-output-buffer-limit", "pubsub 128kb 0 0"))
    proxy = await site.proxy(redis.port)
    edge_url = await site.edge(f"redis://127.0.0.1:{proxy.port}", probe_interval_s=_PATIENT_S)
    publisher = await site.publisher(redis.url)
    await site.listen(3, [edge_url], [*BUSY])
    await publisher.publish(BUSY[0], 5)
    before = await redis.links()
    proxy.stall()
    sent = 0
    # Redis counts its own buffer, behind those of two kernels and the proxy: how many events fit is not known before.
    while sent < _LARGE_EVENTS and before <= await redis.links():
        await publisher.publish(BUSY[sent % 2], padding=200_000)  # by turns: one replay holds 4 MiB of a room
        sent += 1
    gone = before - await redis.links()
    site.require(f"Redis dropped {len(gone)} link after {sent} large events", bool(gone))
    await publisher.publish(BUSY[1], 2)  # nobody hears these
    proxy.go_on()
    site.heal()
    await site.settle()
    await publisher.publish(BUSY[0], 5)
    await site.conclude(redis)
