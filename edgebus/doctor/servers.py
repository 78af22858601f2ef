"""A server of Redis, asked for its version, settings and history."""

import asyncio
import ssl
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from bus.redis import address
from bus.redis.acl import NEWER, role_of
from bus.redis.clock import redis_ms
from edgebus.doctor.facts import Server, Slow, Spike
from edgebus.doctor.questions import Questions, asking, pairs, text

__all__ = ["certificate_end", "info_of", "look", "slow_log", "spikes", "users_of"]

_SETTINGS: Final = (
    "aclfile",
    "appendfsync",
    "appendonly",
    "client-output-buffer-limit",
    "dir",
    "latency-monitor-threshold",
    "save",
    "slowlog-log-slower-than",
)
_SLOW_ENTRIES: Final = 128
_TIMES: Final = 5


async def look(url: str) -> Server:
    """Ask the server at ``url``, a URL without sentinels.

    Raises:
        BusError: the server cannot be reached, or refuses the log-in.

    """
    async with asking(url) as questions:
        took_ms, clock_ms = await _times(questions)
        server = Server(_place(url), await address.redis_cli(url), questions.user, took_ms=took_ms, clock_ms=clock_ms)
        server = await _asked(questions, server)
        return replace(server, refused=tuple(questions.refused))


async def _asked(questions: Questions, server: Server) -> Server:
    slow = await questions.ask("SLOWLOG", "GET", _SLOW_ENTRIES, rule="+slowlog|get")
    latest = await questions.ask("LATENCY", "LATEST", rule="+latency|latest")
    names, rules = await _acl(questions)
    return replace(
        server,
        info=info_of(await questions.ask("INFO", rule="+info")),
        config=pairs(await questions.ask("CONFIG", "GET", *_SETTINGS, rule="+config|get")) or None,
        slow=None if slow is None else slow_log(slow),
        spikes=None if latest is None else spikes(latest),
        users=names,
        rules=rules,
        lacking={name: lack for name in sorted(names or ()) if (lack := await _lack(questions, name))},
        without_scripts=frozenset(
            [name for name in names or () if role_of(name) and not await questions.may(name, "SCRIPT LOAD return")]
        ),
    )


async def _acl(questions: Questions) -> tuple[frozenset[str] | None, Mapping[str, frozenset[str]] | None]:
    """Ask for names and rules of users; to lack the rules, an administrator's, is no gap in the report."""
    named = await questions.ask("ACL", "USERS", rule="+acl|users")
    before = dict(questions.refused)
    lines = await questions.ask("ACL", "LIST", rule="+acl|list")
    questions.refused = before
    names = frozenset(map(text, named)) if isinstance(named, list) else None
    return names, users_of(lines) if isinstance(lines, list) else None


async def _lack(questions: Questions, name: str) -> str:
    """Return a command of this version that a user of ``edgebus acl`` may not; empty for a user with all rights."""
    role = role_of(name)
    for command in NEWER.get(role[0], ()) if role else ():
        if not await questions.may(name, command):
            return command
    return ""


async def _times(questions: Questions) -> tuple[list[float], float | None]:
    """Return how long answers took, and Redis' clock less the host's, by the quickest answer."""
    samples: list[tuple[float, float | None]] = []
    for _ in range(_TIMES):
        before, began_s = time.time(), time.perf_counter()
        answer = await questions.answer("TIME")
        took_s = time.perf_counter() - began_s
        # The clock was read somewhere on the way: taken as the middle, the error is half of the way.
        samples.append((took_s * 1000, _offset_ms(answer, before + took_s / 2)))
    return [took for took, _ in samples], min(samples)[1]


def _offset_ms(answer: Any, here_s: float) -> float | None:
    match answer:
        case [bytes() as seconds, bytes() as micros] if seconds.isdigit() and micros.isdigit():
            return redis_ms(seconds, micros) - here_s * 1000
    return None


def info_of(answer: Any) -> Mapping[str, str]:
    """Return the lines of ``INFO`` by name."""
    lines = (line.partition(":") for line in text(answer).splitlines() if not line.startswith("#"))
    return {name: value for name, colon, value in lines if colon}


def slow_log(answer: Any) -> list[Slow]:
    """Return the entries of ``SLOWLOG GET``; an entry of another form is passed over."""
    found = []
    for entry in answer if isinstance(answer, list) else ():
        match entry:
            case [int(), int(at_s), int(micros), [command, *_], address_, name, *_]:
                found.append(Slow(at_s, micros, text(command).upper(), text(name) or text(address_)))
    return found


def spikes(answer: Any) -> list[Spike]:
    """Return the rows of ``LATENCY LATEST``; a row of another form is passed over."""
    found = []
    for row in answer if isinstance(answer, list) else ():
        match row:
            case [event, int(at_s), int(), int(longest_ms), *_]:
                found.append(Spike(text(event), at_s, longest_ms))
    return found


def users_of(lines: list[Any]) -> Mapping[str, frozenset[str]]:
    """Return the rules of each user in ``ACL LIST``; the order, also in a selector, is the server's affair."""
    found = {}
    for line in map(text, lines):
        root, *selectors = line.replace(")", "").split("(")
        _, name, *words = (*root.split(), "", "")
        whole = {" ".join(sorted(selector.split())) for selector in selectors}
        found[name] = frozenset({*words, *(f"({selector})" for selector in whole)}) - {"", "sanitize-payload"}
    return found


def _place(url: str) -> str:
    arguments = address.read_url(url)
    return arguments.get("path") or f"{arguments['host']}:{arguments['port']}"


class _Look(asyncio.Protocol):
    """Keeps the transport, to be asked for the certificate."""

    transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport


async def certificate_end(url: str) -> float | None:
    """Return the end of the server's certificate, seconds since 1970; None without TLS or without a check."""
    if not url.startswith("rediss:"):
        return None
    transport = (await address.open_link(url, _Look)).transport
    if transport is None:
        return None
    try:
        shown = transport.get_extra_info("peercert") or {}
        return float(ssl.cert_time_to_seconds(shown["notAfter"])) if "notAfter" in shown else None
    finally:
        transport.close()
