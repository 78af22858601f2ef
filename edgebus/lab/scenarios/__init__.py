"""The scenarios by name: each starts servers and clients, applies one fault, and states demands."""

from collections.abc import Awaitable, Callable
from typing import Final

from bus.values import frozen
from edgebus.lab.scenarios.brokers import (
    idle_expiry,
    out_of_memory,
    redis_pause,
    redis_restart_aof,
    redis_restart_empty,
    slow_redis,
)
from edgebus.lab.scenarios.bulk import large_repair, slow_reader
from edgebus.lab.scenarios.clients import client_flap, edge_kill, edge_restart_all
from edgebus.lab.scenarios.failover import failover_lag, failover_lag_clock_behind, sentinel_failover
from edgebus.lab.scenarios.hardships import descriptors, odd_redis
from edgebus.lab.scenarios.links import big_message, black_hole, link_cut
from edgebus.lab.scenarios.producing import producer_partition, reply_lost
from edgebus.lab.scenarios.restarts import rolling_restart
from edgebus.lab.scenarios.together import (
    client_publish_retry,
    keyed_resume,
    presence_edge_kill,
    responder_kill,
)
from edgebus.lab.stage.site import Site

__all__ = ["SCENARIOS", "Scenario"]


@frozen
class Scenario:
    """One fault."""

    name: str
    run: Callable[[Site], Awaitable[None]]

    @property
    def sentence(self) -> str:
        """The story of the fault, for people."""
        return (self.run.__doc__ or "").partition("\n")[0]


_ALL: Final = (
    edge_kill,
    edge_restart_all,
    rolling_restart,
    redis_restart_empty,
    redis_restart_aof,
    redis_pause,
    link_cut,
    black_hole,
    reply_lost,
    big_message,
    failover_lag,
    failover_lag_clock_behind,
    sentinel_failover,
    out_of_memory,
    slow_redis,
    producer_partition,
    client_flap,
    idle_expiry,
    odd_redis,
    descriptors,
    large_repair,
    slow_reader,
    responder_kill,
    presence_edge_kill,
    client_publish_retry,
    keyed_resume,
)

SCENARIOS: Final = {name: Scenario(name, run) for run in _ALL if (name := run.__name__.replace("_", "-"))}
