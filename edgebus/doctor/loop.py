"""A probe through Redis: published on a connection, heard on another, as an event is."""

import asyncio
import secrets
import time
from typing import Any, Final

from redis.exceptions import RedisError

from bus.errors import BusError
from bus.redis import address
from bus.redis.failures import converted
from bus.redis.keys import LOOP
from edgebus.doctor.facts import Loop
from edgebus.doctor.questions import NAME, asking

__all__ = ["run_loop"]

_TIMES: Final = 5
_DEADLINE_S: Final = 2.0


async def run_loop(url: str) -> Loop | None:
    """Publish some probes and wait for each; None: the user may not."""
    channel = f"{LOOP}{secrets.token_hex(8)}"
    try:
        # Asked first: a refusal in the middle would look like a Redis that hands nothing on.
        async with asking(url) as questions:
            await questions.ask("PUBLISH", channel, "", rule=f"&{LOOP}*")
        if questions.refused:
            return None
        with converted(url):
            return await _probed(url, channel)
    except BusError as error:
        return Loop(trouble=str(error))


async def _probed(url: str, channel: str) -> Loop:
    took_ms: list[float] = []
    async with address.client(url, NAME) as ear, address.client(url, NAME) as mouth, ear.pubsub() as heard:
        await heard.subscribe(channel)
        await _next(heard, "subscribe")
        for _ in range(_TIMES):
            token, began_s = secrets.token_hex(8), time.perf_counter()
            await mouth.publish(channel, token)
            if await _next(heard, "message") != token.encode():
                return Loop(took_ms, trouble=f"a probe did not come back within {_DEADLINE_S:g} s")
            took_ms.append((time.perf_counter() - began_s) * 1000)
    return Loop(took_ms)


async def _next(heard: Any, kind: str) -> bytes | None:
    """Return the data of the next message of a kind; None: no message came in time."""
    try:
        async with asyncio.timeout(_DEADLINE_S):
            while True:
                message = await heard.get_message(timeout=None)
                if message is not None and message["type"] == kind:
                    return bytes(message["data"]) if kind == "message" else b""
    except (RedisError, TimeoutError):
        return None
