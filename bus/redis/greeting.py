"""The first commands on each new connection, whoever made the connection: a restarted Redis has no script, no epoch.

Knows neither the client library nor a link of our own: commands go by ``ask``.
"""

import secrets
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from bus.redis import library
from bus.redis.clock import Clock, now, redis_ms
from bus.redis.epoch import epoch_ms
from bus.redis.keys import EPOCH_KEY, FORMER_KEY

__all__ = ["Ask", "Greeting"]

Ask: TypeAlias = Callable[..., Awaitable[Any]]
"""Sends a command, and returns Redis' answer; an error of Redis' is raised, as the client library's exception."""


class Greeting:
    """Begins connections of one kind, and knows the clock of the Redis that answered last.

    Args:
        scripts: loaded before any other command.
        ends_predecessor: whether a connection with a script ends the connection before at Redis' end.

    Attributes:
        clock: Redis'.
        calls_function: whether this user calls functions, since the user may load no script.

    """

    def __init__(self, scripts: Sequence[str], *, ends_predecessor: bool) -> None:
        self._scripts, self._ends_predecessor = scripts, ends_predecessor
        self._predecessor: tuple[str, str] | None = None
        self.clock = Clock()
        self.calls_function = False

    async def greet(self, ask: Ask) -> None:
        """Begin a new connection, before any other command."""
        self.clock.forget()
        if self._scripts and self._ends_predecessor:
            await self._replace(ask)
        # A script found missing half way through a pipeline would cost the order: refused events would come last.
        with _refusals_passed_over():  # the caller's own command will tell of the refusal
            await self.begin(ask)

    async def _replace(self, ask: Ask) -> None:
        """End the connection before ours at Redis' end, too, by id and address there."""
        # decisions/0020: commands still under way on the old connection (in a proxy, a stopped Redis, asyncio's
        # buffers) would be carried out after their repetition, without the check that only repetitions make.
        if self._predecessor is not None:
            with _refusals_passed_over():  # a user without CLIENT KILL has to trust the network
                await ask("CLIENT", "KILL", "ID", self._predecessor[0], "ADDR", self._predecessor[1])
        self._predecessor = None
        with _refusals_passed_over():
            info = dict(pair.split("=", 1) for pair in (await ask("CLIENT", "INFO")).decode().split() if "=" in pair)
            self._predecessor = (info["id"], info["addr"]) if "id" in info and "addr" in info else None

    async def begin(self, ask: Ask) -> None:
        """Ask for the time, load the scripts, and set the epoch of this Redis if no process has."""
        time_ms = redis_ms(*await ask("TIME"))
        self.clock.take(time_ms, now())
        if self._scripts:
            self.calls_function = not await _may_load(ask, self._scripts)
        # decisions/0051: a Redis that is full, or cannot save, refuses SETNX, and can be read all the same.
        with _refusals_passed_over():
            # decisions/0028: SETNX, and not SET … NX. A user permitted no more than SETNX can never set the epoch anew.
            await ask("SETNX", EPOCH_KEY, await _former(ask) or f"{int(time_ms)}-{secrets.token_hex(8)}")


@contextmanager
def _refusals_passed_over() -> Iterator[None]:
    # Not `suppress`: its argument would load the client library where Redis refuses nothing.
    try:
        yield
    except library.ResponseError:
        return


async def _may_load(ask: Ask, scripts: Sequence[str]) -> bool:
    """Load scripts; tell whether this user may: a user who may not calls functions (docs/acl.md)."""
    # decisions/0056: learned from the refusal; a setting for "calls the function" could contradict the user's rules.
    try:
        for script in scripts:
            await ask("SCRIPT LOAD", script)
    except library.NoPermissionError:
        return False
    return True


async def _former(ask: Ask) -> bytes | None:
    """Return the epoch under the key of older versions; None where no readable value stands.

    Raises:
        ResponseError: this user may not look, and so must not set a new epoch over an old.

    """
    # decisions/0067: asked before each SETNX, and not after a GET of the new key found no value. An epoch, once set, is
    # never set anew, so clients that come back over an upgrade are answered from the same logs.
    try:
        answer = await ask("GET", FORMER_KEY)
    except library.ResponseError as error:
        answer = error
    return None if epoch_ms(answer) is None else answer
