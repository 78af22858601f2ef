"""Publishes numbers, and counts what clients lack of them; run on a machine of the page by the release's own Python.

``publish`` goes on until its input ends, and prints how many there were. ``watch`` goes on until the end is heard, and
prints what is missing, what came twice, and what was told as a gap.
"""

import asyncio
import importlib
import json
import sys

from bus.errors import BusError
from bus.event import Event
from clients import Gap, Received, connect
from producers import Producer

WEATHER = importlib.import_module("weather")
END = -1.0
STATION = sys.argv[2]
CLIENTS = 5
PACE_S = 0.02
ATTEMPTS = 30


async def tell(producer: Producer, event: Event) -> None:
    """Publish one event, as often as that takes: the repeated event is the same one, and is stored once."""
    for attempt in range(ATTEMPTS):
        try:
            await producer.publish(event, repeated=attempt > 0)
        except BusError as error:
            print(error, file=sys.stderr)
        else:
            return
    raise SystemExit(f"not published in {ATTEMPTS} attempts")


async def publish() -> None:
    ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    async with Producer(wait_replicas=1) as producer:
        count = 0
        while not ended.done():
            await tell(producer, WEATHER.Measured(station_id=STATION, celsius=float(count)))
            count += 1
            await asyncio.sleep(PACE_S)  # a pace, and no wait for anything
        await tell(producer, WEATHER.Measured(station_id=STATION, celsius=END))
    print(json.dumps({"published": count}))


async def watch_one(url: str, numbers: list[float], gaps: list[str]) -> None:
    async with connect(url, service=WEATHER.SERVICE) as client:
        async for value in client.subscribe(f"station:{STATION}", last=1):
            match value:
                case Received(data=data):
                    numbers.append(data["celsius"])
                    if numbers[0] == numbers[-1]:
                        print("watching", flush=True)
                    if data["celsius"] == END:
                        return
                case Gap(reason=reason):
                    gaps.append(str(reason))


async def watch(url: str) -> None:
    found: list[tuple[list[float], list[str]]] = [([], []) for _ in range(CLIENTS)]
    await asyncio.gather(*(watch_one(url, *it) for it in found))
    lost = twice = 0
    for numbers, _ in found:
        expected = set(range(int(numbers[0]), int(numbers[-2]) + 1))
        lost += len(expected - set(numbers))
        twice += len(numbers) - len(set(numbers))
    in_order = all(numbers[:-1] == sorted(numbers[:-1]) for numbers, _ in found)
    last = min(int(numbers[-2]) for numbers, _ in found)
    gaps = [gap for _, several in found for gap in several]
    print(json.dumps({"lost": lost, "twice": twice, "in_order": in_order, "gaps": gaps, "last": last}))


if __name__ == "__main__":
    asyncio.run(watch(sys.argv[3]) if sys.argv[1] == "watch" else publish())
