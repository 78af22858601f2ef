"""The cost of a publish: rates beside plain PUBLISH, and the script's parts beside each other, in one run.

    python -m benchmarks.publish [--seconds 1.0] [--rounds 5] [--json]

A server is started for the run. Figures are medians of rounds that take turns, so that a noisy machine disturbs all
alike; ratios mean more than rates. Client, server and benchmark share the machine.
"""

import argparse
import asyncio
import functools
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from bus.channel import Family
from bus.envelope import compose
from bus.event import Event
from bus.log.appender import Appender
from bus.log.appending import SCRIPT, Entry
from producers import OutboxSettings, Producer

ROOM: Final = Family("bench:{room}")
TEXT: Final = "x" * 100
"""Makes a line of about 330 bytes."""
TOGETHER: Final = 100
CALLS: Final = 500

_TAIL: Final = """
redis.call('PEXPIRE', KEYS[1], ARGV[6])
local spliced = '{"position":"' .. position .. '","previous":"' .. previous .. '",' .. string.sub(ARGV[3], 2)
return {position, redis.call('PUBLISH', string.sub(KEYS[1], 10, -2), spliced)}
"""
_FIELDS: Final = "'previous', previous, 'id', ARGV[1], 'event', ARGV[2], 'line', ARGV[3])"
PARTS: Final = {
    "publish only": "return redis.call('PUBLISH', string.sub(KEYS[1], 10, -2), ARGV[3])",
    "and XADD *": f"""
local previous = '0-0'
local position = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[5], '*', {_FIELDS}{_TAIL}""",
    "and the chain": f"""
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
local previous = newest[1] and newest[1][1] or '0-0'
local position = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[5], '*', {_FIELDS}{_TAIL}""",
    "and the salt: ours": SCRIPT,
}


class Sample(Event, event="bench.sample", channels=(ROOM,)):
    """The published events."""

    room: str
    text: str = TEXT


async def rate(seconds: float, step: Callable[[], Awaitable[int]]) -> float:
    """Return the events per second of ``step``, a function that returns its number of events."""
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        done += await step()
    return done / (time.perf_counter() - began)


def client_steps(producer: Producer, redis: Redis, line: bytes) -> dict[str, dict[str, Callable[[], Awaitable[int]]]]:
    """Return, for each way to publish, our step and the plain step."""
    event = Sample(room="rates")

    async def plain_one() -> int:
        await redis.publish("bench:rates", line)
        return 1

    async def plain_together() -> int:
        pipeline = redis.pipeline(transaction=False)
        for _ in range(TOGETHER):
            pipeline.publish("bench:rates", line)
        await pipeline.execute()
        return TOGETHER

    async def one() -> int:
        await producer.publish(event)
        return 1

    async def concurrent() -> int:
        await asyncio.gather(*(producer.publish(event) for _ in range(TOGETHER)))
        return TOGETHER

    async def emitted() -> int:
        for _ in range(1_000):
            producer.emit(event)
        assert await producer.flush(30)
        return 1_000

    async def batched() -> int:
        async with producer.batch() as batch:
            for _ in range(TOGETHER):
                batch.add(event)
        return TOGETHER

    return {
        "one awaited at a time": {"edgebus": one, "plain": plain_one},
        "100 concurrent": {"edgebus": concurrent, "plain": plain_together},
        "emit": {"edgebus": emitted, "plain": plain_together},
        "batch of 100": {"edgebus": batched, "plain": plain_together},
    }


async def measure_rates(url: str, seconds: float, rounds: int) -> dict[str, dict[str, float]]:
    line = compose(Sample(room="rates")).lines[0][1]
    outbox = OutboxSettings(max_events=100_000)
    async with Producer(url, outbox=outbox) as producer, Redis.from_url(url, protocol=2) as redis:
        steps = client_steps(producer, redis, line)
        found: dict[str, dict[str, list[float]]] = {way: {kind: [] for kind in both} for way, both in steps.items()}
        for _ in range(rounds):
            for way, both in steps.items():
                for kind, step in both.items():
                    found[way][kind].append(await rate(seconds / rounds, step))
    return {way: {kind: statistics.median(it) for kind, it in both.items()} for way, both in found.items()}


async def usec_per_call(redis: Redis, run: Callable[[], Awaitable[None]]) -> float:
    """Return the server's own time for one script, inner commands included."""
    await redis.config_resetstat()
    await run()
    stats: Any = await redis.info("commandstats")
    return float(stats["cmdstat_evalsha"]["usec_per_call"])


async def run_part(redis: Redis, sha: str, room: str, line: bytes) -> None:
    channel = ROOM.fill(room)
    pipeline = redis.pipeline(transaction=False)
    for number in range(CALLS):
        arguments: Any = (str(number), "bench.sample", line, 1 + number, 1_000, 86_400_000)
        pipeline.evalsha(sha, 1, channel.log_key, *arguments)
    await pipeline.execute()


async def run_repeats(log: Appender, ids: list[str], line: bytes, since_ms: int) -> None:
    """Repeat events of the log: the cost of a lost answer to a pipeline."""
    channel = ROOM.fill("repeats")
    entries = [Entry(channel, it, "bench.sample", line, since_ms) for it in ids]
    await log.append(entries)


async def measure_parts(url: str, rounds: int) -> dict[str, float]:
    line = compose(Sample(room="parts")).lines[0][1]
    found: dict[str, list[float]] = {name: [] for name in (*PARTS, *_REPEATS)}
    async with Redis.from_url(url, protocol=2) as redis, Appender(url, name="bench") as log:
        shas = {name: await redis.script_load(text) for name, text in PARTS.items()}
        for _ in range(rounds):
            for number, (name, sha) in enumerate(shas.items()):
                run = functools.partial(run_part, redis, sha, f"parts-{number}", line)  # each has a log of its own
                found[name].append(await usec_per_call(redis, run))
            for name, behind in _REPEATS.items():
                found[name].append(await measure_repeats(redis, log, line, behind))
    return {name: statistics.median(it) for name, it in found.items()}


_REPEATS: Final = {"a repeat, found at once": 0, "a repeat, 100 events on": 100, "a repeat, 900 events on": 900}


async def measure_repeats(redis: Redis, log: Appender, line: bytes, behind: int) -> float:
    """Return the cost of finding an event behind ``behind`` others in the searched part of the log."""
    channel = ROOM.fill("repeats")
    await redis.delete(channel.log_key)
    ids = [f"id-{number}" for number in range(behind + 20)]
    await log.append([Entry(channel, it, "bench.sample", line) for it in ids])
    seconds, _ = await redis.time()
    return await usec_per_call(redis, lambda: run_repeats(log, ids[-20:] * 5, line, seconds * 1000))


def show(rates: dict[str, dict[str, float]], parts: dict[str, float]) -> None:
    print(f"{'events per second, one client':32}{'edgebus':>10}{'plain PUBLISH':>15}{'ratio':>8}")
    for way, both in rates.items():
        ratio = both["edgebus"] / both["plain"]
        print(f"{way:32}{both['edgebus']:>10,.0f}{both['plain']:>15,.0f}{ratio:>8.2f}")
    ours = parts["and the salt: ours"]
    print(f"\n{'microseconds in the server':32}{'per call':>10}{'of ours':>15}")
    for name, usec in parts.items():
        print(f"{name:32}{usec:>10.1f}{usec / ours:>15.2f}")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each row and kind, over all rounds")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    async with asyncio.timeout(60 + 10 * given.seconds), EmbeddedBroker(port=0) as server:
        rates = await measure_rates(server.url, given.seconds, given.rounds)
        parts = await measure_parts(server.url, given.rounds)
    if given.json:
        print(json.dumps({"rates": rates, "usec_per_call": parts}))
    else:
        show(rates, parts)


if __name__ == "__main__":
    asyncio.run(main())
