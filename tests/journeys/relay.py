"""A way to Redis that can be made deaf: stopped by a signal, the relay keeps its connections and carries nothing.

``python -m tests.journeys.relay PORT`` prints the port that leads to ``PORT``.
"""

import asyncio
import sys

from edgebus.lab.stage.proxy import Proxy


async def main(port: int) -> None:
    """Carry bytes until the end of the process."""
    async with Proxy(port) as proxy:
        print(proxy.port, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
