"""A responder in a process of its own: writes down each question carried out. ``python -m … REDIS_URL FILE``."""

import asyncio
import os
import sys

from edgebus.lab.stage.service import SERVICE, Carried, Work
from producers import Responder

__all__: list[str] = []


async def _main(url: str, file: str) -> None:
    log = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    async with Responder(url, SERVICE) as responder:

        @responder.answers(Work)
        async def carry_out(work: Work) -> Carried:
            os.write(log, b"%d\n" % work.n)  # before the work: a killed process has carried this one out, or begun to
            await asyncio.sleep(work.takes_s)
            return Carried(n=work.n)

        print("answers", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:3]))
