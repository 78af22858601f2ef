"""Reads session-buddy's events for its metrics, whether or not a client watches."""

import asyncio
import logging
import time
from typing import Final

import orjson

from bus.errors import BusError, BusUnavailable
from bus.redis.keys import FIGURES
from bus.redis.overhearing import overhear
from bus.service import Service
from edges.lifecycle.metrics.skills import PATTERNS, Skills
from edges.limits.mishaps import Mishaps

__all__ = ["read_skills", "skills_of"]

_WORK: Final = "skills"
_AGAIN_S: Final = 1.0
_REFUSED_S: Final = 60.0
"""After a refusal, which fills Redis' ACL LOG each time."""

_logger = logging.getLogger("edgebus.edges")


def skills_of(service: Service) -> Skills | None:
    """Return empty numbers for the catalogue of session-buddy, None for others."""
    return Skills() if service.event(FIGURES) is not None else None


async def read_skills(url: str, name: str, skills: Skills, mishaps: Mishaps) -> None:
    """Read until cancelled, again after each loss of the connection."""
    while True:
        wait_s = await _read(url, name, skills, mishaps)
        await asyncio.sleep(wait_s)


async def _read(url: str, name: str, skills: Skills, mishaps: Mishaps) -> float:
    """Read for as long as possible; return the seconds before another attempt."""
    # decisions/0117: by pattern, on a connection of its own. A channel per session is known to nobody before.
    try:
        await overhear(url, name, PATTERNS, lambda line: _take(skills, line), begun=lambda: mishaps.end(_WORK))
    except BusUnavailable as error:
        _logger.debug("Redis is away", extra={"work": _WORK, "reason": str(error)})
        return _AGAIN_S
    except BusError as error:
        mishaps.note(_WORK, str(error), "Redis does not let the edge read what session-buddy's metrics are made of")
        return _REFUSED_S


def _take(skills: Skills, line: bytes) -> None:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return
    match value:
        case {"event": str(event), "data": dict(data)}:
            skills.take(event, data, time.time())
