"""Channel names, and the families that they belong to.

A family is a pattern such as ``workflow:{workflow_id}``; filling it with an id gives a channel. A channel has
the name that lines and clients use, and the name that Redis uses; the two differ only where services share a name.
"""

import re
from dataclasses import dataclass, field
from types import NoneType
from typing import Final, Literal
from urllib.parse import quote, unquote_to_bytes

from bus.errors import ChannelError
from bus.parts import check_part, is_text_of

__all__ = [
    "CLOSE",
    "HISTORY",
    "LATEST",
    "LIVE",
    "SKIP",
    "Channel",
    "Family",
    "Retention",
    "Route",
    "WhenSlow",
    "check_channel_name",
    "conflate",
]

_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}(?::[A-Za-z0-9._@/+=~%-]{1,128})?")
_PATTERN: Final = re.compile(r"([a-z][a-z0-9_-]{0,31})(?::\{([a-z_]+)\})?")
_ID_LIMIT: Final = 128
_ID_SAFE: Final = "._@/+=~-"
"""What an id may hold beside letters and digits. ``%`` is left out on purpose: it begins an escape, so an id that
contains one must escape it, or two ids would share a channel."""


def check_channel_name(name: str) -> None:
    """Raise ``ChannelError`` unless the whole of ``name`` is of the grammar and not reserved."""
    if _NAME.fullmatch(name) is None or name.startswith("bus:"):
        raise ChannelError(
            f"{_shorten(name)} is not a channel name: expected a small letter, up to 31 more of [a-z0-9_-], "
            "then optionally ':' and an id of 1 to 128 characters of [A-Za-z0-9._@/+=~%-]; 'bus:' is reserved"
        )


@dataclass(frozen=True, slots=True)
class Retention:
    """What Redis keeps of a channel.

    Attributes:
        kind: ``live`` keeps nothing and has no positions; ``latest`` keeps the last event and sends it to every
            newcomer; ``history`` keeps the last ``max_events``.
        max_events: how many events a log holds; a trim is approximate (some dozens more may stay) except for one.
        expires_s: seconds after its last event at which the whole log goes.

    """

    kind: Literal["live", "latest", "history"] = "history"
    max_events: int = 1_000
    expires_s: int = 24 * 60 * 60

    def __post_init__(self) -> None:
        """Refuse what Redis could not keep."""
        if self.kind not in ("live", "latest", "history"):
            raise ChannelError(f"{self.kind!r} is no kind of retention: live, latest or history")
        least = 0 if self.kind == "live" else 1
        for part, number, lowest in (("max_events", self.max_events, least), ("expires_s", self.expires_s, 1)):
            if type(number) is not int or number < lowest:
                raise ChannelError(f"{part} is {number!r}, and is to be a whole number of at least {lowest}")


HISTORY: Final = Retention()
LATEST: Final = Retention("latest", max_events=1)
LIVE: Final = Retention("live", max_events=0)


@dataclass(frozen=True, slots=True)
class WhenSlow:
    """What becomes of a client that reads slower than a channel's events come.

    Attributes:
        kind: ``close`` closes it (3008), and it comes back for what it missed; ``skip`` leaves events out, tells so
            (``room.gap``) and goes on with the newest; ``conflate`` goes on with the newest of each name and key.
        key: with ``conflate``, the field of an event's data that tells apart what replaces what.

    """

    kind: Literal["close", "skip", "conflate"] = "close"
    key: str | None = None

    def __post_init__(self) -> None:
        """Refuse a policy that there is not."""
        if self.kind not in ("close", "skip", "conflate"):
            raise ChannelError(f"{self.kind!r} is no policy for slow clients: close, skip or conflate")


CLOSE: Final = WhenSlow()
SKIP: Final = WhenSlow("skip")


def conflate(key: str) -> WhenSlow:
    """Return the policy that keeps the newest event for each value of the field ``key``."""
    return WhenSlow("conflate", key)


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel: the name that clients see, the name that Redis knows, what is kept, and who waits for whom."""

    name: str
    redis: str
    retention: Retention = HISTORY
    permission: str | None = None
    when_slow: WhenSlow = CLOSE

    @property
    def log_key(self) -> str:
        """Key of the stream. The braces are a hash tag, so log and channel share a slot in a cluster."""
        return f"bus:log:{{{self.redis}}}"

    @property
    def forks_key(self) -> str:
        """Key of the marks where the log lost events, a sorted set; in the log's slot, too."""
        return f"bus:forks:{{{self.redis}}}"


@dataclass(frozen=True, slots=True)
class Family:
    """A pattern of channels with one retention and one permission.

    Attributes:
        pattern: a bare name (``adapters``) or a name and one field (``workflow:{workflow_id}``).
        retention: what Redis keeps of each channel.
        permission: the claim that opens the family beside the service-wide ones; None when there is no other.
        shared_by: the service's name, when several services use this pattern; it then becomes the id on Redis.
        when_slow: what becomes of a client that reads too slowly. Only ``live`` channels may conflate: elsewhere each
            event names the one before it, and a client would take what was left out for lost.
        field: the field of the pattern, None for a bare name. A family whose field is ``user_id`` is per user: each
            of its channels is for the user whose id it is filled with.

    """

    pattern: str
    retention: Retention = HISTORY
    permission: str | None = None
    shared_by: str | None = None
    when_slow: WhenSlow = CLOSE
    head: str = field(init=False)
    field: str | None = field(init=False)

    def __post_init__(self) -> None:
        """Refuse a pattern that could not be filled in."""
        match = _PATTERN.fullmatch(self.pattern) if is_text_of(_PATTERN, self.pattern) else None
        if match is None or match[1] == "bus":
            raise ChannelError(f"{self.pattern!r} is no channel pattern: write 'name' or 'name:{{field}}'")
        self._check_parts()
        if self.when_slow.kind == "conflate" and (self.retention.kind != "live" or self.when_slow.key is None):
            raise ChannelError(f"{self.pattern}: only a live channel may conflate, and by a key; take SKIP or CLOSE")
        object.__setattr__(self, "head", match[1])
        object.__setattr__(self, "field", match[2])

    def _check_parts(self) -> None:
        try:
            check_part("retention", self.retention, Retention, "a Retention")
            check_part("when_slow", self.when_slow, WhenSlow, "a WhenSlow")
            for part, text in (("permission", self.permission), ("shared_by", self.shared_by)):
                check_part(part, text if text != "" else b"", (str, NoneType), "a text of at least a letter")
        except TypeError as error:
            raise ChannelError(f"{self.pattern}: {error}") from None

    @property
    def is_per_user(self) -> bool:
        """Whether each channel is one user's own."""
        return self.field == "user_id"

    def by(self, source: str) -> "Route":
        """Return this family filled from an event's field of another name than the pattern's."""
        return Route(self, source)

    def fill(self, value: str | None = None) -> Channel:
        """Return the channel of ``value``, percent-encoding what an id may not hold.

        Raises:
            ChannelError: ``value`` is empty, or longer than 128 characters once encoded.

        """
        if self.field is None:
            return self._channel(self.head)
        encoded = quote(value or "", safe=_ID_SAFE, errors="surrogatepass")
        if not 1 <= len(encoded) <= _ID_LIMIT:
            raise ChannelError(f"{self.field} must give 1 to {_ID_LIMIT} characters, encoded it gives {len(encoded)}")
        return self._channel(f"{self.head}:{encoded}")

    def parse(self, name: str) -> Channel | None:
        """Return the channel called ``name``, or None when it is not of this family."""
        head, colon, _ = name.partition(":")
        if head != self.head or bool(colon) != (self.field is not None):
            return None
        return self._channel(name) if _NAME.fullmatch(name) else None

    def value(self, channel: Channel) -> str | None:
        """Return the id that ``channel`` was filled with, decoded; None for a bare name."""
        if self.field is None:
            return None
        return unquote_to_bytes(channel.name.partition(":")[2]).decode(errors="surrogateescape")

    def _channel(self, name: str) -> Channel:
        redis = f"{name}:{self.shared_by}" if self.shared_by else name
        return Channel(name, redis, self.retention, self.permission, self.when_slow)


@dataclass(frozen=True, slots=True)
class Route:
    """How an event finds one of its channels: the family, and the event's field that fills it (None: no field)."""

    family: Family
    source: str | None


def _shorten(text: str, limit: int = 80) -> str:
    return ascii(text if len(text) <= limit else f"{text[:limit]}…")
