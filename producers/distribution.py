"""Acknowledged distribution: adapters go to a repository, and its agents say that they have them.

Agents are clients of dhruva's edges: each joins the repository (``join_repository``), and acknowledges an adapter by
publishing ``adapter.acknowledged``. Presence and the channel's state tell the rest; Redis is read at changes alone.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from bus.channel import Channel
from bus.errors import BusError
from bus.log.log import Log
from bus.position import order
from bus.presence.store import PresenceStore
from bus.redis.address import check_url, default_url
from bus.redis.subscriber import Subscriber
from bus.values import frozen
from producers.producer import Producer
from producers.services.dhruva import (
    DISTRIBUTION_OF,
    SERVICE,
    AdapterDistributed,
    DistributionCompleted,
    DistributionOverdue,
)

__all__ = ["Distributed", "Distributor"]

_AGENTS: Final = 10_000
_AGAIN_S: Final = 0.5
"""Between two looks, where Redis did not answer the first."""

_logger: Final = logging.getLogger("edgebus.producers")


@frozen
class Distributed:
    """The end of a distribution.

    Attributes:
        repo: the repository.
        adapters: the ids.
        acknowledged: agents that have all adapters.
        missing: agents that were there at the deadline and lack some, each with the adapters.
        duration_s: from the first event to the end.

    """

    repo: str
    adapters: tuple[str, ...]
    acknowledged: frozenset[str]
    missing: Mapping[str, tuple[str, ...]]
    duration_s: float

    @property
    def is_complete(self) -> bool:
        """Whether every agent present has all adapters, and there was one."""
        return bool(self.acknowledged) and not self.missing


class Distributor:
    """Distributes adapters, and waits for the agents of the repository.

    Args:
        producer: publishes.
        url: of Redis, as the producer's; None takes ``EDGEBUS_REDIS_URL``. The user of Redis reads presence and states.

    """

    # decisions/0114: the agents that are present count, not a list that somebody keeps: a dead agent says nothing.

    def __init__(self, producer: Producer, url: str | None = None) -> None:
        self._producer, self._url = producer, url or default_url()
        import bus.redis.pooled  # noqa: F401 (see producers.sender)

        check_url(self._url)

    async def distribute(
        self, repo: str, adapters: Mapping[str, Mapping[str, Any]] | Sequence[str], *, deadline_s: float = 30.0
    ) -> Distributed:
        """Publish ``adapter.distributed`` for each adapter, and wait until every agent present has acknowledged all.

        Then ``distribution.completed`` is published; at the deadline ``distribution.overdue``, with the missing agents.
        ``adapters`` are ids, each with metadata for the event, or ids alone. Without an agent the repository is waited
        for. Agents that come meanwhile count, and agents that leave do not.

        Raises:
            ValueError: there is no adapter.
            TimeoutError: Redis was not there before the deadline.
            BusError: Redis does not take the events; or the end of the distribution cannot be told.

        """
        wanted = adapters if isinstance(adapters, Mapping) else {it: {} for it in adapters}
        if not wanted:
            raise ValueError("distribute needs an adapter")
        began_s = asyncio.get_running_loop().time()
        ends_s = began_s + deadline_s
        woken = asyncio.Event()
        channel, name = DISTRIBUTION_OF.fill(repo), "edgebus-distributor"
        async with (
            Subscriber(self._url, name=name, deliver=lambda _: woken.set(), on_up=woken.set) as link,
            Log(self._url, name=f"{name}-log") as log,
            PresenceStore(self._url, name=f"{name}-presence", service=SERVICE.name) as store,
        ):
            async with asyncio.timeout_at(ends_s):
                await woken.wait()  # the link is up
            # Before the first event: no acknowledgement comes unheard.
            for heard in (channel.redis, channel.presence_key):
                await link.subscribe(heard)
            sent = [await self._send(repo, adapter, metadata, channel) for adapter, metadata in wanted.items()]
            look = _Look(channel, dict(zip(wanted, sent, strict=True)), log, store)
            await look.until_complete(woken, ends_s)
        duration_s = asyncio.get_running_loop().time() - began_s
        found = Distributed(repo, tuple(wanted), look.acknowledged, look.missing, duration_s)
        await self._tell(found)
        return found

    async def _send(self, repo: str, adapter: str, metadata: Mapping[str, Any], channel: Channel) -> str | None:
        event = AdapterDistributed.model_validate({**metadata, "adapter_id": adapter, "repo": repo})
        return (await self._producer.publish(event)).positions[channel.name]

    async def _tell(self, found: Distributed) -> None:
        adapters, duration = list(found.adapters), found.duration_s
        if found.is_complete:
            count = len(adapters)
            await self._producer.publish(
                DistributionCompleted(repo=found.repo, adapters=adapters, adapters_count=count, duration=duration)
            )
            return
        missing = sorted(found.missing)
        _logger.warning("a distribution is overdue", extra={"repo": found.repo, "missing": missing})
        await self._producer.publish(
            DistributionOverdue(repo=found.repo, adapters=adapters, missing=missing, duration=duration)
        )


class _Look:
    """Who is there, and who has what."""

    def __init__(self, channel: Channel, sent: Mapping[str, str | None], log: Log, store: PresenceStore) -> None:
        self._channel, self._sent, self._log, self._store = channel, sent, log, store
        self.acknowledged: frozenset[str] = frozenset()
        self.missing: Mapping[str, tuple[str, ...]] = {}

    async def until_complete(self, woken: asyncio.Event, ends_s: float) -> None:
        """Look at every change, until all present have all, or the deadline."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(ends_s):
                while not await self._is_complete():
                    await woken.wait()
                    woken.clear()

    async def _is_complete(self) -> bool:
        while True:
            try:
                return await self._once()
            except BusError as error:
                _logger.warning("the agents cannot be seen", extra={"reason": str(error)})
                await asyncio.sleep(_AGAIN_S)

    async def _once(self) -> bool:
        present = (await self._store.read(self._channel, limit=_AGENTS)).members.keys()
        has: dict[str, set[str]] = {agent: set() for agent in present}
        for it in (await self._log.past_of_state(self._channel)).events:
            if (
                it.event == "adapter.acknowledged"
                and it.data["agent_id"] in has
                and self._is_behind(it.data, it.position)
            ):
                has[it.data["agent_id"]].add(it.data["adapter_id"])
        lacks = {agent: tuple(it for it in self._sent if it not in adapters) for agent, adapters in has.items()}
        self.acknowledged = frozenset(agent for agent, adapters in lacks.items() if not adapters)
        self.missing = {agent: adapters for agent, adapters in lacks.items() if adapters}
        return bool(present) and not self.missing

    def _is_behind(self, data: Mapping[str, Any], position: str) -> bool:
        """Tell whether an acknowledgement is of this distribution, not of one before."""
        sent = self._sent.get(data["adapter_id"])
        return sent is not None and order(position) > order(sent)
