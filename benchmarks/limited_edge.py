"""An edge of a service with one room per policy for slow clients; prints the counters on SIGUSR1.

``python -m benchmarks.limited_edge --redis URL [--set NAME=VALUE …]``, for ``benchmarks.slow`` and ``.loris``.
"""

import argparse
import asyncio
import resource
import signal
import sys
from dataclasses import asdict

import orjson
import uvloop

from bus.channel import LIVE, SKIP, Channel, Family, conflate
from bus.service import Service
from edges import Edge, EdgeSettings

__all__ = ["CHANNELS", "SERVICE"]

_FILES = 20_000
_FAMILIES = {
    "close": Family("close"),
    "skip": Family("skip", when_slow=SKIP),
    "conflate": Family("conflate", LIVE, when_slow=conflate("user_id")),
}

SERVICE = Service("limits", 0, "Connected to a benchmark", tuple(_FAMILIES.values()), ())
CHANNELS: dict[str, Channel] = {policy: family.fill() for policy, family in _FAMILIES.items()}


def report(edge: Edge) -> None:
    registry, hub = edge.statistics()
    sys.stdout.buffer.write(orjson.dumps({**asdict(registry), **asdict(hub)}) + b"\n")
    sys.stdout.buffer.flush()


async def serve(settings: EdgeSettings) -> None:
    async with Edge(SERVICE, settings) as edge:
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, report, edge)
        while edge.not_ready() is not None:  # noqa: ASYNC110 (nothing tells)
            await asyncio.sleep(0.02)
        print(f"listens on ws://127.0.0.1:{edge.port}", flush=True)
        await edge.wait()


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.limited_edge", description=__doc__)
    arguments.add_argument("--redis", required=True)
    arguments.add_argument("--set", action="append", default=[])
    given = arguments.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES if most == resource.RLIM_INFINITY else min(_FILES, most), most))
    settings = dict(each.split("=", 1) for each in given.set)
    uvloop.run(serve(EdgeSettings(port=0, redis_url=given.redis, **settings)))


if __name__ == "__main__":
    main()
