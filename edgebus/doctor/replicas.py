"""Replicas of a server, asked with the log-in of the primary; and the sentinels."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from redis.exceptions import RedisError

from bus.errors import BusError, LoginRefused
from bus.redis import address
from bus.redis.refusals import said
from bus.redis.sentinel import Sentinels
from edgebus.doctor.facts import Replica, SentinelWord, Server
from edgebus.doctor.servers import look

__all__ = ["look_at_replicas", "look_at_sentinels", "replicas_of"]

_DEADLINE_S: Final = 5.0
_MOST: Final = 32
"""Replicas asked; a primary has a few."""


async def look_at_replicas(url: str, primary: Server, words: Sequence[SentinelWord]) -> list[Replica]:
    """Ask the replicas of the primary, and further ones of a sentinel's, at once."""
    known = {replica.place: replica for replica in replicas_of(primary)}
    # Only sentinels remember a replica that is away; the primary drops the line.
    told = dict.fromkeys(place for word in words for place in word.replicas)
    unknown = [Replica(place, state="unknown", lag_s=None) for place in told if place not in known]
    return await asyncio.gather(*(_look_at(url, it) for it in [*known.values(), *unknown][:_MOST]))


async def _look_at(url: str, replica: Replica) -> Replica:
    host, _, port = replica.place.rpartition(":")
    there = address.elsewhere(url, host, int(port))
    replica = replace(replica, cli=await address.redis_cli(there))
    try:
        async with asyncio.timeout(_DEADLINE_S):
            return replace(replica, server=await look(there))
    except BusError as error:
        return replace(replica, trouble=str(error), is_login=isinstance(error, LoginRefused))
    except TimeoutError:
        return replace(replica, trouble=f"no answer came within {_DEADLINE_S:g} s")


def replicas_of(primary: Server) -> Iterator[Replica]:
    """Yield the replicas in the primary's ``INFO``; a line of another form is passed over."""
    offset = primary.number("master_repl_offset")
    for number in range(primary.number("connected_slaves")):
        line = dict(pair.partition("=")[::2] for pair in primary.info.get(f"slave{number}", "").split(","))
        if "ip" in line and line.get("port", "").isdecimal():
            lag, behind = line.get("lag", ""), line.get("offset", "")
            yield Replica(
                f"{line['ip']}:{line['port']}",
                state=line.get("state", ""),
                lag_s=int(lag) if lag.isdecimal() else None,
                behind_bytes=max(0, offset - int(behind)) if behind.isdecimal() else 0,
            )


async def look_at_sentinels(sentinels: Sentinels | None) -> list[SentinelWord]:
    """Ask every sentinel of the URL, all at once; none for a URL without."""
    places: Iterable[tuple[str, int]] = () if sentinels is None else sentinels.places
    return await asyncio.gather(*(_word(sentinels, *place) for place in places if sentinels is not None))


async def _word(sentinels: Sentinels, host: str, port: int) -> SentinelWord:
    place = f"{host}:{port}"
    try:
        primary, replicas = await sentinels.word(host, port)
    except (RedisError, OSError, LookupError, ValueError) as error:
        reason = said(error) or type(error).__name__
        return SentinelWord(place, trouble="no healthy primary" if isinstance(error, LookupError) else reason)
    return SentinelWord(place, _place(primary), replicas=tuple(map(_place, replicas)))


def _place(pair: tuple[str, int]) -> str:
    return f"{pair[0]}:{pair[1]}"
