"""A Chromium that is driven step by step, by ``node/page.mjs``; needs the tools of clients/javascript."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from tests.journeys.processes import DEADLINE_S, environment, program
from tests.npm import tools

_DRIVER: Final = Path(__file__).with_name("node") / "page.mjs"


class Page:
    """One page."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def __call__(self, name: str, **order: Any) -> Any:
        """Have one thing done.

        Raises:
            AssertionError: it could not be done.

        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": name, **order}).encode() + b"\n")
        async with asyncio.timeout(2 * DEADLINE_S):
            answer = json.loads(await self._process.stdout.readline())
        assert "error" not in answer, (name, order, answer["error"])
        return answer["ok"]

    async def status(self, text: str) -> None:
        """Wait until the sentence that comes first has ``text``."""
        await self("has", selector="#status", text=text)


@asynccontextmanager
async def page() -> AsyncIterator[Page]:
    """Open a browser with an empty page."""
    await asyncio.to_thread(tools)
    node, chromium = program("node", "nodejs"), program("chromium", "chromium")
    process = await asyncio.create_subprocess_exec(
        node,
        _DRIVER,
        chromium,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=environment(),
        limit=16 * 1024 * 1024,
    )
    try:
        yield Page(process)
        assert process.stdin is not None
        process.stdin.close()  # the browser ends in order
        async with asyncio.timeout(DEADLINE_S):
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
