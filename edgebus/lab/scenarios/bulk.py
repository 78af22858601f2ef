"""What an edge has to say at length: much that a room lacked, and a replay for a client that reads slowly."""

from collections.abc import Sequence
from typing import Final

from edgebus.lab.judge.records import Demands
from edgebus.lab.stage.listener import Listener
from edgebus.lab.stage.site import Site

__all__ = ["large_repair", "slow_reader"]

BUSY: Final = "lab:busy"
LONG: Final = ("lab:long", "lab:longer", "lab:longest")
_LARGE_EVENTS: Final = 190
_LARGE_BYTES: Final = 16_000
"""Three megabytes together: more than what may wait for a client, and less than what one replay holds."""
_SMALL_BOUND_BYTES: Final = 64 * 1024
_USUAL_BOUND_BYTES: Final = 1024 * 1024
_PATIENT_S: Final = 5.0
"""Between two probes: 90 MB for clients in this very process must not look like a link that is deaf."""
_REPLAYED_EVENTS: Final = 150
_REPLAYED_BYTES: Final = 4_000
_PORTIONS: Final = 5
_SHARES: Final = (LONG[0], *[BUSY] * 29)
"""A replay of half a minute stays below a thousand events of the long room: one replay holds no more."""
_BYTES_PER_S: Final = (6_000, 2_000, 500)
_SEND_BUFFER_BYTES: Final = 64 * 1024
"""Of the kernel; a third of its double leaves before asyncio's buffer gets less: seven seconds at 6,000 bytes/s."""


async def large_repair(site: Site) -> None:
    """Publish 3 MB while an edge's link is away for a second: members that read at once get all, none is closed."""
    site.demands = Demands(whole_within_s=10.0, no_gaps=True, all_acknowledged=True, no_closes=True)
    redis = await site.redis()
    proxy = await site.proxy(redis.port)
    bound = site.size.of(_SMALL_BOUND_BYTES, _USUAL_BOUND_BYTES)
    edge_url = await site.edge(f"redis://127.0.0.1:{proxy.port}", max_waiting_bytes=bound, probe_interval_s=_PATIENT_S)
    publisher = await site.publisher(redis.url)
    rooms = LONG[: site.size.of(1, 3)]
    subscribers = await site.listen(site.size.of(5, 10), [edge_url], [*rooms, BUSY])
    for room in rooms:
        await publisher.publish(room, 2)
    async with publisher.steadily([BUSY], site.size.of(100, 300)):
        await site.last(0.3)
        proxy.refuse()
        cut = proxy.cut()  # 3 MB to repair at once: more than may wait for a client, so written at its pace
        for room in rooms:
            await publisher.publish(room, _LARGE_EVENTS, padding=_LARGE_BYTES)
        await site.last(1.0)
        lacking = min(site.count(room) - len(it.have[room]) for it in subscribers for room in rooms)
        bytes_lacked = lacking * _LARGE_BYTES * len(rooms)
        site.require(f"{cut} links were cut, and each member lacks {bytes_lacked} bytes", bytes_lacked > 3_000_000)
        proxy.accept()
        site.heal()
        await site.until(lambda: all(site.all_have(room) for room in rooms), site.size.settle_s)
    await site.conclude(redis)


async def slow_reader(site: Site) -> None:
    """Read a few KB a second without a pause, in a replay longer than any buffer: who does stays, and gets all."""
    redis = await site.redis()
    deadline_s = site.size.of(1, 10)
    edge_url = await site.edge(redis.url, send_buffer_bytes=_SEND_BUFFER_BYTES, slow_deadline_s=deadline_s)
    publisher = await site.publisher(redis.url)
    neighbours = await site.listen(site.size.of(5, 20), [edge_url], [LONG[0], BUSY])
    readers = await site.listen(site.size.of(1, len(_BYTES_PER_S)), [edge_url], [LONG[0]])
    site.demands = _demands(site, neighbours)
    await publisher.publish(LONG[0], 2)
    for reader, bytes_per_s in zip(readers, _BYTES_PER_S, strict=False):
        reader.leave()
        reader.bytes_per_s = bytes_per_s  # slow, and never still: progress is what keeps a client (decisions/0046)
    # In portions that the neighbours take: the publisher is faster than twenty listeners of one process.
    for _ in range(site.size.of(1, 4)):
        for _ in range(_PORTIONS):
            await publisher.publish(LONG[0], _REPLAYED_EVENTS // _PORTIONS, padding=_REPLAYED_BYTES)
            await site.until(lambda: all(len(it.have[LONG[0]]) == site.count(LONG[0]) for it in neighbours), 10.0)
    async with publisher.steadily(_SHARES, site.size.of(60, 300)):
        for reader in readers:
            reader.come_back()
        are_back = await site.until(lambda: all(reader.is_joined for reader in readers), 10.0)
        site.require(f"{len(readers)} clients are back, and read slowly", are_back)
        await site.last(3 * deadline_s)
        came, count = [len(reader.have[LONG[0]]) for reader in readers], site.count(LONG[0])
        site.require(f"after {3 * deadline_s} s they have {came} of {count} events", 2 < min(came) <= max(came) < count)
        for reader in readers:
            reader.hurry()
        site.heal()
    await site.conclude(redis)


def _demands(site: Site, neighbours: Sequence[Listener]) -> Demands:
    """Return the demands beside the promises; a small run is no measurement, and allows others more time."""
    return Demands(
        whole_within_s=10.0,
        no_gaps=True,
        all_acknowledged=True,
        no_closes=True,
        prompt=frozenset(it.log.name for it in neighbours),
        prompt_s=0.05 if site.size.name == "full" else 1.0,
    )
