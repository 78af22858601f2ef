"""How long events take, by clients of edges: events on a channel of our own, or the events of a channel in use.

Decisions/0124: no event is ever published on a channel of others.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from bus.channel import Channel, Family, Retention
from bus.errors import BusError
from bus.log.log import Log
from bus.position import milliseconds
from bus.redis.clock import redis_ms
from bus.redis.keys import LAG
from bus.service import Service
from bus.tasks import end
from bus.values import frozen, mutable
from bus.words import Code
from clients import AuthenticationFailed, Client, Received, Refused, connect
from clients.settings import ClientSettings
from producers import Producer

__all__ = ["Lag", "Target", "probe", "watch"]

_EVENT: Final = "lag.probe"
_ARRIVES_S: Final = 2.0
"""How long a probe is waited for, and an edge's answer to a client that comes."""
_PAUSE_S: Final = 0.005
_KEPT: Final = Retention(expires_s=60)
"""Of a probe's own log: nobody comes back to the log."""
_LOOKS: Final = 5
_TOKENS: Final = frozenset({Code.AUTH_REQUIRED, Code.AUTH_FAILED, Code.FORBIDDEN})
_SETTINGS: Final = ClientSettings(open_timeout_s=_ARRIVES_S, request_timeout_s=_ARRIVES_S, close_timeout_s=0.2)


@frozen
class Target:
    """An edge to measure.

    Attributes:
        name: for people.
        url: of the edge, for clients.

    """

    name: str
    url: str


@mutable
class Lag:
    """The measure of a client at an edge; times in milliseconds.

    Attributes:
        target: the edge.
        channel: of the events; empty where the edge took no client.
        to_redis: publish to Redis' answer; of a watched channel: made, to the time in the event's position.
        to_client: from there to the client.
        whole: both together.
        missing: events without an arrival within two seconds.
        trouble: why there is no measure, or no whole one; empty for none.

    """

    target: Target
    channel: str = ""
    to_redis: list[float] = field(default_factory=list)
    to_client: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    missing: int = 0
    trouble: str = ""


@dataclass(slots=True, eq=False)
class _Watcher:
    """A client of an edge, and the moments of events' arrivals."""

    lag: Lag
    client: Client
    seen: dict[str, tuple[float, Received]] = field(default_factory=dict)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    async def follow(self, channel: str, joined: asyncio.Event) -> None:
        """Note each event of ``channel``, and the moment of arrival by our own clock."""
        async with self.client.subscribe(channel) as values:
            joined.set()
            async for value in values:
                if isinstance(value, Received):
                    self.seen[value.id] = (time.perf_counter(), value)
                    self.came.set()

    async def wait(self, event_id: str) -> bool:
        """Wait until the event has come; False after two seconds without."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_ARRIVES_S):
                while event_id not in self.seen:
                    self.came.clear()
                    await self.came.wait()
        return event_id in self.seen


async def probe(
    redis_url: str, targets: Sequence[Target], *, token: str | None, count: int, services: Sequence[Service]
) -> list[Lag]:
    """Publish ``count`` events in a row for each service, and measure at all edges of the service.

    Raises:
        BusUnavailable: Redis does not take the events.
        BusError: Redis refuses the events.

    """
    lags = [Lag(target) for target in targets]
    async with AsyncExitStack() as stack, Producer(redis_url, name="lag", deadline_s=_ARRIVES_S) as producer:
        opened = await asyncio.gather(*(_opened(stack, lag, token) for lag in lags))
        by_service: dict[str, list[tuple[_Watcher, Mapping[str, Any]]]] = {}
        for watcher, catalogue in filter(None, opened):
            by_service.setdefault(str(catalogue.get("name")), []).append((watcher, catalogue))
        for pairs in by_service.values():
            channel = _own_channel(pairs[0][1], services)
            await _measure(producer, channel, [watcher for watcher, _ in pairs], count)
    return lags


async def _opened(stack: AsyncExitStack, lag: Lag, token: str | None) -> tuple[_Watcher, Mapping[str, Any]] | None:
    """Return a client of the edge, and the edge's catalogue; None, and the trouble noted, where there is no way in."""
    try:
        async with asyncio.timeout(_ARRIVES_S):
            client = await stack.enter_async_context(connect(lag.target.url, token=token, settings=_SETTINGS))
            return _Watcher(lag, client), await client.services()
    except (BusError, TimeoutError) as error:
        lag.trouble = _sentence(error) or f"no answer within {_ARRIVES_S:g} s"
        return None


def _own_channel(catalogue: Mapping[str, Any], services: Sequence[Service]) -> Channel | None:
    """Return an unwatched channel of the service, with a log of short life; None without a fitting family."""
    known = {family.pattern: family for service in services for family in service.families}
    forms = [it for it in catalogue.get("channels", ()) if str(it.get("pattern", "")).endswith("}")]
    kinds = ("history", "latest", "live")
    for form in sorted(forms, key=lambda it: (bool(it["state"] or it["presence"]), kinds.index(it["retention"]))):
        family = known.get(form["pattern"]) or Family(form["pattern"], retention=_of(form["retention"]))
        channel = family.fill(f"{LAG}{secrets.token_hex(6)}")
        kept = replace(channel.retention, expires_s=_KEPT.expires_s)
        return replace(channel, retention=kept, keyed=None, presence=None)
    return None


def _of(kind: Any) -> Retention:
    return _KEPT if kind == "history" else Retention(kind, max_events=int(kind == "latest"), expires_s=60)


@asynccontextmanager
async def _following(watchers: Sequence[_Watcher], channel: str) -> AsyncIterator[list[_Watcher]]:
    """Have the watchers follow ``channel``, and give the watchers in the room."""
    joined = [asyncio.Event() for _ in watchers]
    tasks = [asyncio.create_task(it.follow(channel, at)) for it, at in zip(watchers, joined, strict=True)]
    try:
        yield [it for it, task, at in zip(watchers, tasks, joined, strict=True) if await _is_in(it.lag, task, at)]
    finally:
        await end([task for task in tasks if not task.done()])


async def _is_in(lag: Lag, task: "asyncio.Task[None]", joined: asyncio.Event) -> bool:
    waiting = asyncio.create_task(joined.wait())
    await asyncio.wait([waiting, task], timeout=_ARRIVES_S, return_when=asyncio.FIRST_COMPLETED)
    await end([waiting])
    if joined.is_set():
        return True
    error = task.exception() if task.done() and not task.cancelled() else None
    lag.trouble = f"the room was not opened within {_ARRIVES_S:g} s" if error is None else _sentence(error)
    return False


def _sentence(error: BaseException) -> str:
    wants_token = isinstance(error, AuthenticationFailed) or (isinstance(error, Refused) and error.code in _TOKENS)
    return f"{error}; give a token that may: --token or EDGEBUS_TOKEN" if wants_token else str(error)


async def _measure(producer: Producer, channel: Channel | None, watchers: Sequence[_Watcher], count: int) -> None:
    if channel is None:
        for watcher in watchers:
            watcher.lag.trouble = "its service has no channel with an id: name one, edgebus lag CHANNEL"
        return
    async with _following(watchers, channel.name) as inside:
        for watcher in inside:
            watcher.lag.channel = channel.name
        for number in range(count):
            await _one(producer, channel, inside, number)
            await asyncio.sleep(_PAUSE_S)  # one event at a time: a queue of our own is not what is asked for


async def _one(producer: Producer, channel: Channel, watchers: Sequence[_Watcher], number: int) -> None:
    """Publish an event, and note the legs for each watcher; a watcher that missed an event is waited for no more."""
    began = time.perf_counter()
    published = await producer.publish_raw(channel, _EVENT, {"number": number})
    stored = time.perf_counter()
    await asyncio.gather(*(it.wait(published.id) for it in watchers if not it.lag.missing))
    for watcher in watchers:
        lag, seen = watcher.lag, watcher.seen.pop(published.id, None)
        if seen is None:
            lag.missing += 1
            lag.trouble = f"{lag.missing} event(s) did not come within {_ARRIVES_S:g} s"
            continue
        lag.to_redis.append((stored - began) * 1000)
        # Redis publishes before it answers, so the client may have the event before the producer has the answer.
        lag.to_client.append(max(0.0, seen[0] - stored) * 1000)
        lag.whole.append((seen[0] - began) * 1000)


async def watch(
    redis_url: str, targets: Sequence[Target], channel: str, *, token: str | None, count: int, timeout_s: float
) -> list[Lag]:
    """Measure the events of others on ``channel``, at most ``count`` at each edge and for ``timeout_s``.

    Times are the event's own (the producer's clock), the position's (Redis' clock, in whole milliseconds), and the
    arrival's (our clock, set by Redis').

    Raises:
        BusUnavailable: Redis does not tell the time.

    """
    lags = [Lag(target) for target in targets]
    ahead_ms = await _ahead_ms(redis_url)
    async with AsyncExitStack() as stack:
        opened = await asyncio.gather(*(_opened(stack, lag, token) for lag in lags))
        watchers = [found[0] for found in opened if found is not None]
        async with _following(watchers, channel) as inside:
            await asyncio.gather(*(_enough(it, count, timeout_s) for it in inside))
        for watcher in inside:
            watcher.lag.channel = channel
            for at, event in list(watcher.seen.values())[:count]:
                _note(watcher.lag, event, at * 1000 + ahead_ms)
    return lags


async def _enough(watcher: _Watcher, count: int, timeout_s: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            while len(watcher.seen) < count:
                watcher.came.clear()
                await watcher.came.wait()
    if not watcher.seen:
        watcher.lag.trouble = f"no event came within {timeout_s:g} s"


def _note(lag: Lag, event: Received, came_ms: float) -> None:
    with suppress(ValueError):
        made_ms = datetime.fromisoformat(event.timestamp).timestamp() * 1000
        lag.whole.append(came_ms - made_ms)
        if event.position is not None:
            stored_ms = milliseconds(event.position) + 0.5  # whole milliseconds, rounded down: the middle is nearest
            lag.to_redis.append(stored_ms - made_ms)
            lag.to_client.append(came_ms - stored_ms)


async def _ahead_ms(redis_url: str) -> float:
    """Return how far Redis' clock is ahead of our monotonic clock, by the quickest of a few answers."""
    found: list[tuple[float, float]] = []
    async with Log(redis_url, name="edgebus-cli") as log, log.connected() as redis:
        for _ in range(_LOOKS):
            began = time.perf_counter()
            told_ms = redis_ms(*await redis.time())
            took = time.perf_counter() - began
            found.append((took, told_ms - (began + took / 2) * 1000))
    return min(found)[1]
