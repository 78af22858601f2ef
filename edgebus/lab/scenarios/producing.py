"""Faults between producers and Redis: an answer is lost, or all of them."""

from edgebus.lab.judge.records import Demands
from edgebus.lab.stage.site import Site

__all__ = ["producer_partition", "reply_lost"]

ROOM = "lab:one"
_AHEAD_S = 10.0


async def reply_lost(site: Site) -> None:
    """Lose Redis' answers to some publishes, and the connection with them: each event is stored once all the same."""
    site.demands = Demands(no_gaps=True, all_acknowledged=True)
    redis = await site.redis()
    proxy = await site.proxy(redis.port)
    edge_url = await site.edge(redis.url)
    publisher = await site.publisher(f"redis://127.0.0.1:{proxy.port}")
    await site.listen(5, [edge_url], [ROOM])
    await publisher.publish(ROOM, 10)
    losses = site.size.of(5, 30)
    for _ in range(losses):
        proxy.lose_answer(b'"room":')  # an event's line, not the producer's questions about time and role
        await publisher.publish(ROOM)
        await publisher.publish(ROOM, 5)
    site.heal()
    site.require(f"{proxy.lost_answers} answers were lost", proxy.lost_answers == losses)
    await site.conclude(redis)


async def producer_partition(site: Site) -> None:
    """Swallow Redis' answers to the producer for a while: events arrive there, and the producer does not know."""
    site.demands = Demands(no_gaps=True)
    redis = await site.redis()
    proxy = await site.proxy(redis.port)
    edge_url = await site.edge(redis.url)
    publisher = await site.publisher(f"redis://127.0.0.1:{proxy.port}")
    await site.listen(5, [edge_url], [ROOM])

    async def is_ahead() -> bool:
        return bool(await redis.ask("XLEN", f"bus:log:{{{ROOM}}}") > len(site.attempts))

    async with publisher.steadily([ROOM], 100):
        await site.last(0.3)
        proxy.swallow(up=False)  # commands are carried out: a repetition must find its event (decisions/0020)
        await site.last(0.5)
        is_so = await site.until_true(is_ahead, _AHEAD_S)
        site.require(f"stored events are unknown to their producer, which knows of {len(site.attempts)}", is_so)
        proxy.heal()
        site.heal()
        await site.last(0.5)
    await publisher.publish(ROOM, 10)
    await site.conclude(redis)
