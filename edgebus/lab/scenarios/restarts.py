"""No fault at all, and the most frequent event: a new version, one replica after another."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bus.values import frozen
from edgebus.lab.judge.records import Demands
from edgebus.lab.stage.haproxy import Haproxy, find_haproxy
from edgebus.lab.stage.servers import EdgeProcess
from edgebus.lab.stage.site import Site

__all__ = ["rolling_restart"]

_REPLICAS: Final = 3
_UP_DEADLINE_S: Final = 10.0
_JOIN_S: Final = 10.0
_UNEVEN: Final = 1.5
"""The busiest second may have so many times the average."""


@frozen
class _Pace:
    """The balancer's checks, and an edge's times of leaving; ``notice_s`` outlasts the checks (decisions/0027)."""

    checks: str
    notice_s: float
    window_s: float


_QUICK: Final = _Pace("inter 200ms fastinter 100ms downinter 100ms fall 2 rise 1", 1.0, 2.0)
_DEPLOYED: Final = _Pace("inter 2s fastinter 500ms downinter 1s fall 2 rise 1", 3.0, 5.0)
"""The checks of deploy/haproxy.cfg and the defaults of the edge."""


async def rolling_restart(site: Site) -> None:
    """Restart three replicas behind haproxy, one after another: no door is closed, nothing is missing, no rush."""
    pace = _QUICK if site.size.name == "small" else _DEPLOYED
    count = site.size.of(100, 1_000)
    at_most = count / (_REPLICAS - 1)  # those that the first one sent away are all on the other two
    site.demands = Demands(
        no_gaps=True,
        all_acknowledged=True,
        no_refusals=True,
        returns_per_s=at_most / pace.window_s * _UNEVEN * min(2.0, site.size.patience),
    )
    binary = _required(site)
    redis = await site.redis()
    edges = await site.edge_processes(
        redis.url, _REPLICAS, drain_notice_s=pace.notice_s, drain_window_s=pace.window_s, trusted_proxies="127.0.0.1"
    )
    balancer = await _balancer(site, binary, edges, pace, count)
    publisher = await site.publisher(redis.url)
    rooms = [f"lab:room{index}" for index in range(20)]
    listeners = await site.listen(count, [balancer.url], rooms, each=1)
    async with publisher.steadily(rooms, site.size.of(200, 100)):
        await site.last(0.3)
        for edge in edges:
            await edge.drain()
            await edge.start()  # the next one waits for it: two replicas away would double every count below
            site.require(
                "haproxy takes the restarted one back", await _is_whole(site, balancer), is_worth_telling=False
            )
        site.heal()
        await site.until(lambda: all(listener.is_joined for listener in listeners), _JOIN_S)
        await site.last(0.2)
    await site.conclude(redis)
    site.retries = await balancer.retries()
    moved = sum(sum(mark.kind == "opened" for mark in it.log.marks) > 1 for it in listeners)
    site.require(f"{moved} of {count} clients had to move", moved > count / 2)


def _required(site: Site) -> Path:
    binary = find_haproxy()
    site.require("haproxy is here (else: apt-get install haproxy)", binary is not None, is_worth_telling=False)
    return binary or Path()


async def _balancer(site: Site, binary: Path, edges: Sequence[EdgeProcess], pace: _Pace, count: int) -> Haproxy:
    ports = [edge.port for edge in edges]
    made = Haproxy(binary, site.directory(), ports, checks=pace.checks, connections=count + 100)
    balancer = await site.start(made)
    site.require("haproxy finds all replicas ready", await _is_whole(site, balancer))
    return balancer


async def _is_whole(site: Site, balancer: Haproxy) -> bool:
    return await site.until_true(balancer.has_all, _UP_DEADLINE_S)
