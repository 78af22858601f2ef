"""Channel names, and the families of channels.

A family is a pattern such as ``workflow:{workflow_id}``; a family filled with an id gives a channel. A channel has
the name that lines and clients use, and the name that Redis uses; the two differ only where services share a name.
"""

import re
from dataclasses import field
from types import NoneType
from typing import Final, Literal, cast

from bus.errors import ChannelError
from bus.keyed import Keyed
from bus.parts import check_part, is_text_of
from bus.spelling import ID_LIMIT, decode_id, encode_id, spell
from bus.values import frozen

__all__ = [
    "CLOSE",
    "HISTORY",
    "LATEST",
    "LIVE",
    "SKIP",
    "Channel",
    "Family",
    "Presence",
    "Retention",
    "Route",
    "WhenSlow",
    "check_channel_name",
    "conflate",
]

_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}(?::[A-Za-z0-9:._@/+=~%-]{1,128})?")
_PATTERN: Final = re.compile(r"([a-z][a-z0-9_-]{0,31})(?::\{([a-z_]+)\})?")


def check_channel_name(name: str) -> None:
    """Check a name that clients or Redis gave.

    Raises:
        ChannelError: the name is not of the grammar, or is reserved.

    """
    if _NAME.fullmatch(name) is None or name.startswith("bus:"):
        raise ChannelError(
            f"{_shorten(name)} is not a channel name: expected a small letter, up to 31 more of [a-z0-9_-], "
            "then optionally ':' and an id of 1 to 128 characters of [A-Za-z0-9:._@/+=~%-]; 'bus:' is reserved"
        )


_LONG_LIFE_MS: Final = 10_000_000
"""From here on a life is long for ``publish.lua``: eight digits."""


@frozen
class Retention:
    """How much of a channel Redis keeps, and for how long.

    Attributes:
        kind: ``live`` keeps nothing and has no positions; ``latest`` keeps the last event and sends it to every
            newcomer; ``history`` keeps the last ``max_events``.
        max_events: how many events a log holds; a trim is approximate (some dozens more may stay), but exact for 1.
        expires_s: seconds from a log's last event to the end of the whole log.

    """

    # delivery.md: the whole log expires, and no single entry. A workflow of three hours must still know its beginning.

    kind: Literal["live", "latest", "history"] = "history"
    max_events: int = 1_000
    expires_s: int = 24 * 60 * 60

    def __post_init__(self) -> None:
        """Refuse a retention that Redis could not keep.

        Raises:
            ChannelError: the kind is unknown, or a number is none of that kind.

        """
        if self.kind not in ("live", "latest", "history"):
            raise ChannelError(f"{self.kind!r} is no kind of retention: live, latest or history")
        least = 0 if self.kind == "live" else 1
        for part, number, lowest in (("max_events", self.max_events, least), ("expires_s", self.expires_s, 1)):
            if type(number) is not int or number < lowest:
                raise ChannelError(f"{part} is {number!r}, and is to be a whole number of at least {lowest}")

    @property
    def life_ms(self) -> int:
        """Return how long Redis is told to keep a log.

        A life of hours is begun anew by the first event of a second, for all events of that second, and so has a second
        more: a log outlives its last event by ``expires_s`` for certain.
        """
        life_ms = self.expires_s * 1000
        return life_ms if life_ms < _LONG_LIFE_MS else life_ms + 1_000


HISTORY: Final = Retention()
LATEST: Final = Retention("latest", max_events=1)
LIVE: Final = Retention("live", max_events=0)


@frozen
class WhenSlow:
    """The policy for a slow consumer, which reads slower than a channel's events come.

    Attributes:
        kind: ``close`` closes the connection (3008), and the client comes back for the missed events; ``skip`` leaves
            events out, tells so (``room.gap``) and goes on with the newest; ``conflate`` goes on with the newest event
            of each name and key.
        key: with ``conflate``, the field of an event's data whose value the newer event replaces.

    """

    kind: Literal["close", "skip", "conflate"] = "close"
    key: str | None = None

    def __post_init__(self) -> None:
        """Refuse an unknown policy.

        Raises:
            ChannelError: the kind is none of the three.

        """
        if self.kind not in ("close", "skip", "conflate"):
            raise ChannelError(f"{self.kind!r} is no policy for slow clients: close, skip or conflate")


CLOSE: Final = WhenSlow()
SKIP: Final = WhenSlow("skip")


def conflate(key: str) -> WhenSlow:
    """Return the policy that keeps the newest event of each value of the field ``key``."""
    return WhenSlow("conflate", key)


@frozen
class Presence:
    """The presence of a family's channels: the users in a channel's rooms, over all edges.

    Attributes:
        kind: ``members`` names the users, and counts connections; ``count`` counts connections alone.
        by_request: a user comes and leaves by a request of the service (``bus.effects``); subscribing only watches.
        joined: name of the event to publish when a user has come, None for none: once for all connections and replicas.
        left: likewise when a user has left, however.
        user: the field of these events, and of such requests, with the user's id.
        info: likewise with what the user's client told of the user.

    """

    kind: Literal["members", "count"] = "members"
    by_request: bool = False
    joined: str | None = None
    left: str | None = None
    user: str = "user_id"
    info: str = "user_info"

    def __post_init__(self) -> None:
        """Refuse an unknown kind.

        Raises:
            ChannelError: the kind is none of the two.

        """
        if self.kind not in ("members", "count"):
            raise ChannelError(f"{self.kind!r} is no kind of presence: members or count")
        if self.kind == "count" and (self.by_request or self.events):
            raise ChannelError("a presence that counts names no user: no by_request, joined or left")

    @property
    def events(self) -> tuple[str, ...]:
        """The names of the events to publish."""
        return tuple(it for it in (self.joined, self.left) if it is not None)


@frozen
class Channel:
    """A channel.

    Attributes:
        name: as lines and clients have the name.
        redis: the name in Redis.
        retention: how much Redis keeps.
        permission: the claim that opens the channel beside the service-wide claims; None for no other.
        when_slow: the policy for slow consumers.
        presence: None where no edge notes the users in the channel's rooms.
        keyed: which events are the channel's state; None for a channel without a state.

    """

    name: str
    redis: str
    retention: Retention = HISTORY
    permission: str | None = None
    when_slow: WhenSlow = CLOSE
    presence: Presence | None = None
    keyed: Keyed | None = field(default=None, compare=False)

    @property
    def log_key(self) -> str:
        """Key of the stream. The braces are a hash tag: log and channel share a slot in a cluster."""
        return f"bus:log:{{{self.redis}}}"

    def once_key(self, name: str) -> str:
        """Return the key of the memory of a client's publish; in the log's slot, too."""
        return f"bus:once:{{{self.redis}}}:{name}"

    @property
    def forks_key(self) -> str:
        """Key of the marks of lost events, a sorted set; in the log's slot, too."""
        return f"bus:forks:{{{self.redis}}}"

    @property
    def state_key(self) -> str:
        """Key of the state, a hash: the newest line of each key (``Keyed``)."""
        return f"bus:state:{{{self.redis}}}"

    @property
    def state_keys(self) -> tuple[str, str, str]:
        """The keys of a state: the lines; the keys by age, tombstones first; and the keys by name."""
        return self.state_key, f"bus:ages:{{{self.redis}}}", f"bus:keys:{{{self.redis}}}"

    @property
    def presence_key(self) -> str:
        """Key of the edges with connections in the channel's rooms, a hash; and the name of the changes' channel."""
        return f"bus:presence:{{{self.redis}}}"

    @property
    def members_key(self) -> str:
        """Key of the users in the channel's rooms, a hash; in the slot of ``presence_key``, too."""
        return f"bus:members:{{{self.redis}}}"

    @property
    def owed_key(self) -> str:
        """Key of users that came or left, with an event still to be published; a hash in the same slot."""
        return f"bus:owed:{{{self.redis}}}"


_FILLED: Final = 1_024
"""The most channels that a family keeps, to hand them out again."""


@frozen
class Family:
    """A pattern of channels with one retention and one permission.

    Attributes:
        pattern: a bare name (``adapters``) or a name and one field (``workflow:{workflow_id}``).
        retention: how much Redis keeps of each channel.
        permission: the claim that opens the family beside the service-wide claims; None for no other.
        shared_by: the service's name, where several services use this pattern; the name is then the id on Redis.
        when_slow: the policy for slow consumers. Only ``live`` channels may conflate: elsewhere each event names the
            event before, and a client would take events left out for lost events.
        presence: whether edges note the users in the rooms: a ``Presence`` or the kind alone; None for not, at no cost.
        keyed: which events are state, with the newest of each key kept beside the log; of ``history`` channels only.
        head: the name of the pattern.
        field: the field of the pattern, None for a bare name. A family with the field ``user_id`` is per user: each
            channel is for the user with the id in the channel's name.

    """

    pattern: str
    retention: Retention = HISTORY
    permission: str | None = None
    shared_by: str | None = None
    when_slow: WhenSlow = CLOSE
    presence: Presence | Literal["members", "count"] | None = None
    keyed: Keyed | None = None
    _filled: dict[str | None, Channel] = field(init=False, repr=False, compare=False, default_factory=dict)
    head: str = field(init=False)
    field: str | None = field(init=False)

    def __post_init__(self) -> None:
        """Refuse a pattern that could not be filled, and parts of other types.

        Raises:
            ChannelError: the message names the part.

        """
        # decisions/0066: checked here, where a catalogue is written. A wrong part would else fail at the first publish,
        # or in a task of an edge.
        match = _PATTERN.fullmatch(self.pattern) if is_text_of(_PATTERN, self.pattern) else None
        if match is None or match[1] == "bus":
            raise ChannelError(f"{self.pattern!r} is no channel pattern: write 'name' or 'name:{{field}}'")
        self._check_parts()
        if self.when_slow.kind == "conflate" and (self.retention.kind != "live" or self.when_slow.key is None):
            raise ChannelError(f"{self.pattern}: only a live channel may conflate, and by a key; take SKIP or CLOSE")
        if isinstance(self.presence, str):
            object.__setattr__(self, "presence", Presence(self.presence))
        if self.keyed is not None and self.retention.kind != "history":
            raise ChannelError(f"{self.pattern}: only a channel with history has a state; leave out keyed")
        object.__setattr__(self, "head", match[1])
        object.__setattr__(self, "field", match[2])

    def _check_parts(self) -> None:
        try:
            check_part("retention", self.retention, Retention, "a Retention")
            check_part("when_slow", self.when_slow, WhenSlow, "a WhenSlow")
            check_part("keyed", self.keyed, (Keyed, NoneType), "a Keyed")
            check_part("presence", self.presence, (Presence, str, NoneType), "a Presence, 'members' or 'count'")
            for part, text in (("permission", self.permission), ("shared_by", self.shared_by)):
                check_part(part, text if text != "" else b"", (str, NoneType), "a text of at least a letter")
        except TypeError as error:
            raise ChannelError(f"{self.pattern}: {error}") from None

    @property
    def is_per_user(self) -> bool:
        """Whether each channel is a single user's own."""
        return self.field == "user_id"

    def by(self, source: str) -> "Route":
        """Return a route that fills this family from an event's field of another name than the pattern's."""
        return Route(self, source)

    def fill(self, value: str | None = None) -> Channel:
        """Return the channel of the id ``value``, percent-encoding what an id may not hold.

        Raises:
            ChannelError: ``value`` is empty, or longer than 128 characters once encoded.

        """
        # decisions/0157: a producer fills a pattern with few ids, again and again; a channel takes 2 us to make.
        found = self._filled.get(value)
        if found is None:
            found = self._channel(self.head) if self.field is None else self._of_id(encode_id(value or ""))
            if len(self._filled) >= _FILLED:
                self._filled.clear()
            self._filled[value] = found
        return found

    def called(self, name: str) -> Channel:
        """Return the channel called ``name``, in any spelling of the id (decisions/0088).

        Raises:
            ChannelError: the name is of another family, or the id none; the message ends with the right spelling.

        """
        head, colon, _ = name.partition(":")
        if head != self.head or bool(colon) != (self.field is not None):
            raise ChannelError(f"not of the form {self.pattern}")
        return self._of_id(spell(name).partition(":")[2]) if colon else self._channel(head)

    def parse(self, name: str) -> Channel | None:
        """Return the channel called ``name``, or None for a name of no channel of this family."""
        try:
            return self.called(name)
        except ChannelError:
            return None

    def value(self, channel: Channel) -> str | None:
        """Return the id that ``channel`` was filled with, decoded; None for a bare name."""
        return None if self.field is None else decode_id(channel.name.partition(":")[2])

    def _of_id(self, spelled: str) -> Channel:
        if not 1 <= len(spelled) <= ID_LIMIT:
            count = len(spelled) if len(spelled) <= 3 * ID_LIMIT else f"more than {ID_LIMIT}"
            raise ChannelError(f"{self.field} must give 1 to {ID_LIMIT} characters, encoded it gives {count}")
        return self._channel(f"{self.head}:{spelled}")

    def _channel(self, name: str) -> Channel:
        redis = f"{name}:{self.shared_by}" if self.shared_by else name
        presence = cast(Presence | None, self.presence)  # a kind alone was made a Presence
        return Channel(name, redis, self.retention, self.permission, self.when_slow, presence, self.keyed)


@frozen
class Route:
    """An event's way to a channel: the family, and the event's field for the id (None for a bare name)."""

    family: Family
    source: str | None


def _shorten(text: str, limit: int = 80) -> str:
    return ascii(text if len(text) <= limit else f"{text[:limit]}…")
