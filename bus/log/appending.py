"""One publish as commands: what is sent for an entry, what the answers mean, and the time by Redis' clock.

Knows ``publish.lua``; knows no connection. ``bus.log.log`` sends.
"""

import hashlib
import importlib.resources
import secrets
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from redis.exceptions import RedisError, ResponseError

from bus.channel import Channel
from bus.envelope import splice
from bus.errors import BusError, BusNotReady, BusUnavailable, PublishError, PublishUncertain
from bus.position import is_position
from bus.redis.refusals import is_passing, meaning, said

__all__ = ["LIBRARY", "SCRIPT", "Appended", "Clock", "Entry", "Replicas", "command", "outcome"]

SCRIPT: Final = importlib.resources.files("bus.log").joinpath("publish.lua").read_text("utf-8")
_SHA: Final = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()
"""What Redis calls the script once it was loaded."""
_FUNCTION: Final = f"edgebus_publish_{_SHA[:12]}"
LIBRARY: Final = (
    f"#!lua name=edgebus_{_SHA[:12]}\nredis.register_function('{_FUNCTION}', function(KEYS, ARGV)\n{SCRIPT}\nend)\n"
)
"""The script as a library of Redis' functions, which an administrator loads once; each version has names of its own."""
_SALT_LIMIT: Final = 2**32
_SEARCH_MARGIN_MS: Final = 10_000
"""A search begins so long before the first attempt: a clock that was set back since gives lower ids. It costs time."""
_DRIFT: Final = 0.0005
"""What a second of our clock may differ from one of Redis': the most that NTP corrects."""
_FRESH_S: Final = 1.0

Reply: TypeAlias = Any
"""What the client library hands back for one command: typed here, because it cannot be typed there."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line to append to one channel.

    Attributes:
        since_ms: None on a first attempt; on a repeated one the time before the first was sent, by Redis' clock.
        after: on a ``latest`` channel the id of the event that the same producer sent there before this one.

    """

    channel: Channel
    id: str
    event: str
    line: bytes
    since_ms: int | None = None
    after: str = ""


@dataclass(frozen=True, slots=True)
class Appended:
    """Where an entry came to stand (None on a ``live`` channel), and how many subscribers Redis sent it to.

    ``receivers`` is 0 where a repeated attempt found the entry; ``replicas`` have confirmed it, None: nobody asked.
    """

    position: str | None
    receivers: int
    replicas: int | None = None


@dataclass(frozen=True, slots=True)
class Replicas:
    """How many replicas are to confirm what is appended, and for how long that is waited for."""

    count: int
    timeout_ms: int


class Clock:
    """What Redis' clock says at least, from an answer to ``TIME`` on this connection and our own clock.

    The estimate is low by the time the answer took, and by what the two clocks may have drifted apart since.
    """

    def __init__(self) -> None:
        self._redis_ms = 0.0
        self._taken_s: float | None = None

    def take(self, redis_ms: float, now_s: float) -> None:
        """Take the answer to ``TIME`` that arrived at ``now_s``."""
        self._redis_ms, self._taken_s = redis_ms, now_s

    def forget(self) -> None:
        """Forget the answer: another server may be asked from now on."""
        self._taken_s = None

    def is_stale(self, now_s: float) -> bool:
        """Tell whether ``TIME`` is worth asking for along with something else."""
        return self._taken_s is None or now_s - self._taken_s > _FRESH_S

    def floor_ms(self, now_s: float) -> int:
        """Return a time that Redis' clock has reached; 0 when nothing is known of it."""
        if self._taken_s is None:
            return 0
        return int(self._redis_ms + (now_s - self._taken_s) * 1000 * (1 - _DRIFT))


def command(entry: Entry, *, by_function: bool = False) -> tuple[Any, ...]:
    """Return the command for ``entry``; ``by_function``: this user may call what was loaded, and load nothing."""
    channel = entry.channel
    if channel.retention.kind == "live":
        return ("PUBLISH", channel.redis, splice(entry.line, None, None))
    salt = 1 + secrets.randbelow(_SALT_LIMIT)
    keep, life_ms = channel.retention.max_events, channel.retention.expires_s * 1000
    text = (entry.id, entry.event, entry.line, salt, keep, life_ms, channel.redis)
    called = ("FCALL", _FUNCTION) if by_function else ("EVALSHA", _SHA)
    return (*called, 1, channel.log_key, *text, *_repeated(entry))


def _repeated(entry: Entry) -> tuple[int, int, str] | tuple[()]:
    """Return what only a repeated attempt sends."""
    if entry.since_ms is None:
        return ()
    return (entry.since_ms, max(0, entry.since_ms - _SEARCH_MARGIN_MS), entry.after)


def outcome(entry: Entry, reply: Reply, replicas: int | None) -> Appended | BusError:
    """Return what Redis' answer for ``entry`` means."""
    name = entry.channel.name
    if isinstance(reply, RedisError) and is_passing(reply):
        return BusNotReady(f"Redis does not take the event on {name} now: {meaning(said(reply))}")
    if isinstance(reply, ResponseError):
        return PublishError(f"Redis did not take the event on {name}: {meaning(said(reply))}")
    if isinstance(reply, Exception):
        return BusUnavailable(f"Redis did not answer for {name}: {said(reply)}")
    return _placed(entry, reply, replicas)


def _placed(entry: Entry, reply: Reply, replicas: int | None) -> Appended | BusError:
    match reply:
        case int(receivers) if entry.channel.retention.kind == "live":
            return Appended(None, receivers, replicas)
        case [bytes(word), _] if word in _UNSURE:
            return PublishUncertain(_UNSURE[word].format(entry.channel.name))
        case [bytes(word), int(receivers)] if is_position(position := word.decode("latin-1")):
            return Appended(position, receivers, replicas)
    return PublishError(f"what answers for {entry.channel.name} is no Redis: its answer to a publish has another form")


_UNSURE: Final = {
    b"uncertain": "whether {} has the event cannot be told any more: its log was trimmed past the first attempt",
    b"newer": "{} has a newer value, which a repeated attempt does not overwrite",
}
