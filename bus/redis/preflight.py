"""A look at the settings of a Redis: each setting that could cost the bus events is told, with the line that mends it.

Never more than a warning: the owner of that Redis may know better, or not let us look.
"""

import logging
from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any, Final

from bus.redis import address, library
from bus.redis.loading import loaded
from bus.values import frozen

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["OLDEST_MAJOR", "Facts", "Finding", "eviction", "inspect", "judge", "output", "pubsub_limit", "version"]

OLDEST_MAJOR: Final = 7
_LIMIT: Final = "client-output-buffer-limit"
_IN_FLIGHT: Final = 32
"""Events of the largest size that may wait in Redis for a busy edge: Redis' own limit of 8 MiB has room for 32."""

_logger = logging.getLogger("edgebus.bus")


@frozen
class Facts:
    """The settings of a Redis; None: no answer, or we may not ask.

    Attributes:
        version: as Redis counts; Valkey gives the version of a compatible Redis.
        maxmemory_bytes: 0 is no bound.
        policy: which keys go when memory is full.
        pubsub_limit: of a subscriber's output, bytes: at once, and for how many seconds how much. 0 is no bound.
        has_file: whether Redis was started with a configuration file, for ``CONFIG REWRITE`` to write to.

    """

    version: str | None = None
    maxmemory_bytes: int = 0
    policy: str | None = None
    pubsub_limit: tuple[int, int, int] | None = None
    has_file: bool = False


@frozen
class Finding:
    """A setting that could cost events.

    Attributes:
        text: the sentence of the warning.
        run: the command line that mends the setting.
        facts: the values found.
        keep: the command line that keeps the change over a restart; None where there is no file to write to.

    """

    text: str
    run: str
    facts: Mapping[str, str | int] = field(default_factory=dict)
    keep: str | None = None


def judge(facts: Facts, *, line_limit_bytes: int, cli: str = "redis-cli") -> list[Finding]:
    """Return the findings for lines of up to ``line_limit_bytes``; ``cli`` begins the lines to run. Pure."""
    found = [version(facts), eviction(facts, cli), output(facts, cli, line_limit_bytes)]
    return [finding for finding in found if finding is not None]


def _change(text: str, cli: str, setting: str, facts: Facts, found: Mapping[str, str | int]) -> Finding:
    return Finding(text, f"{cli} CONFIG SET {setting}", found, f"{cli} CONFIG REWRITE" if facts.has_file else None)


def version(facts: Facts) -> Finding | None:
    """Look for a Redis older than those the bus was tried on."""
    major = (facts.version or "").partition(".")[0]
    if not major.isdecimal() or int(major) >= OLDEST_MAJOR:
        return None
    text = "this Redis is older than the bus was tried on; take version 7 or later, or Valkey"
    return Finding(text, "edgebus broker", {"version": facts.version or ""})


def eviction(facts: Facts, cli: str) -> Finding | None:
    """Look for a policy other than ``noeviction``: every log has a time to live, so volatile policies take logs."""
    if facts.policy in (None, "noeviction") or facts.maxmemory_bytes == 0:
        return None
    text = "this Redis drops logs when its memory is full, and with them what clients come back to"
    return _change(text, cli, "maxmemory-policy noeviction", facts, {"policy": facts.policy or ""})


def output(facts: Facts, cli: str, line_limit_bytes: int) -> Finding | None:
    """Look for a bound at which Redis would cut off an edge with only a few large events to read."""
    wanted_bytes = line_limit_bytes * _IN_FLIGHT
    hard, soft, soft_s = facts.pubsub_limit or (0, 0, 0)
    if all(bound == 0 or bound >= wanted_bytes for bound in (hard, soft if soft_s else 0)):
        return None
    hard, soft = (max(bound, wanted_bytes) if bound else 0 for bound in (hard, soft))
    text = "this Redis cuts off an edge that has a few of the largest events to read"
    return _change(text, cli, f"{_LIMIT} 'pubsub {hard} {soft} {soft_s}'", facts, {"wanted_bytes": wanted_bytes})


async def inspect(url: str, *, name: str, line_limit_bytes: int) -> None:
    """Look once, and warn of each finding; without an answer, or without the right to look, no warning.

    Args:
        url: of Redis, see ``bus.redis.address``.
        name: for ``CLIENT LIST``.
        line_limit_bytes: the largest event as a line.

    """
    # decisions/0029: edges look, producers do not. There are many producers, some live for a single event, and all
    # would say the same.
    try:
        await loaded()
        async with address.client(url, name) as redis:
            facts = await _read(redis, may_configure=len(words := address.login(url)) < 2 or words[0] == "default")
        cli = await address.redis_cli(url)
    except (library.RedisError, OSError, TimeoutError) as error:
        _logger.debug("Redis was not looked at", extra={"reason": str(error)})
        return
    for finding in judge(facts, line_limit_bytes=line_limit_bytes, cli=cli):
        keep = {} if finding.keep is None else {"keep": finding.keep}
        _logger.warning(finding.text, extra={**finding.facts, "run": finding.run, **keep})
    if facts.pubsub_limit is None:
        wanted = {"wanted_bytes": line_limit_bytes * _IN_FLIGHT, "run": f"{cli} CONFIG GET {_LIMIT}"}
        _logger.info("Redis was not asked how much it holds for an edge: an administrator can", extra=wanted)


async def _read(redis: "Redis", *, may_configure: bool) -> Facts:
    """Ask Redis for its settings, for ``CONFIG GET`` only where this user ``may_configure``."""
    # decisions/0029: CONFIG GET shows passwords as well, so `edgebus acl` grants it to no user. A named user does not
    # ask: a refusal at each start would fill ACL LOG, where every entry should mean trouble.
    info = await _asked(redis, "INFO")
    config = await _asked(redis, "CONFIG GET", _LIMIT) if may_configure else {}
    return Facts(
        version=info.get("redis_version"),
        maxmemory_bytes=_bytes(info.get("maxmemory")),
        policy=info.get("maxmemory_policy"),
        pubsub_limit=pubsub_limit(config.get(_LIMIT, "")),
        has_file=bool(info.get("config_file")),
    )


async def _asked(redis: "Redis", *command: str) -> Mapping[str, Any]:
    """Return the answer to a command, empty if this user may not ask (https://redis.io/commands/config-get)."""
    try:
        said: Any = await redis.execute_command(*command)  # type: ignore[no-untyped-call, unused-ignore]
    except library.ResponseError as error:
        _logger.debug("Redis does not let us look", extra={"command": command[0], "reason": str(error)})
        return {}
    return {_text(key): _text(value) for key, value in said.items()} if isinstance(said, Mapping) else {}


def _text(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def pubsub_limit(limits: Any) -> tuple[int, int, int] | None:
    """Return the part for subscribers of ``normal 0 0 0 … pubsub 33554432 8388608 60``."""
    words = str(limits).split()
    if "pubsub" not in words:
        return None
    match words[words.index("pubsub") + 1 :][:3]:
        case [hard, soft, soft_s] if hard.isdecimal() and soft.isdecimal() and soft_s.isdecimal():
            return int(hard), int(soft), int(soft_s)
    return None


def _bytes(said: Any) -> int:
    """Return a number of bytes, 0 for any other text, as from a proxy in front of Redis."""
    return int(said) if str(said).isdecimal() else 0
