"""Users of Redis: the least rights for a producer, an edge and an operator, as lines of Redis' own ACL.

Pure text (https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/); no server is asked.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final, Literal, Self, TypeAlias, cast, get_args

from bus.channel import Channel, Family, Presence
from bus.errors import AclError
from bus.event import Event
from bus.redis.acl_dashboard import dashboard
from bus.redis.keys import (
    EDGES_KEY,
    EPOCH_KEY,
    FIGURES,
    FORMER_KEY,
    LAG,
    LOOP,
    REVOKED,
    TRACES_KEY,
    alive_key,
    trace_key,
)
from bus.service import Service
from bus.values import frozen

__all__ = ["NEWER", "ROLES", "Role", "User", "is_shared", "parse_hash", "role_of", "users"]

Role: TypeAlias = Literal["producer", "edge", "operator", "responder", "dashboard"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)

NEWER: Final[Mapping[Role, Sequence[str]]] = {
    "producer": ("ZRANGE bus:edges 0 -1",),
    "edge": ("ZADD bus:edges 1 id", "PUBLISH bus:told:nonce answer", "HLEN bus:trace:id"),
    "operator": ("SUBSCRIBE bus:told:nonce", "ACL USERS", "ZRANGE bus:traces 0 -1"),
}
"""Commands that users made by an earlier edgebus may not: samples, for a dry run. With a new rule comes a line here."""
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_EPOCH: Final = f"(+setnx %W~{EPOCH_KEY}) (+get %R~{FORMER_KEY})"
"""``SETNX`` alone sets the epoch once and never anew; the value may come from an older version's key."""

# decisions/0028: commands by name, never by category. @read holds KEYS, @pubsub holds PSUBSCRIBE, and a category's
# members change with the server. CLIENT SETINFO is in no list, since Redis 7.0 does not know the command.
_SCRIPTED: Final = "+script|load +evalsha"
_CALLING: Final = "+fcall"
_PRODUCER: Final = (
    "+client|setname +client|info +client|kill +time +wait +publish "
    "+xadd +xrange +xrevrange +xinfo|stream +exists +pexpire"  # what publish.lua calls: Redis checks it call by call
)
_KEEPING: Final = (
    "+hget +hmget +hstrlen +hset +hdel +zcard +zrange +zrangebylex +zadd +zrem +pexpire"  # what keyed.lua calls
)
_APPENDING: Final = "+xadd +xrange +xrevrange +xinfo|stream +exists +pexpire"  # what publish.lua calls on the log
_EDGE: Final = (
    "+client|setname +role +time +info +multi +exec +subscribe +unsubscribe +xrevrange +xinfo|stream +pexpire"
)
_TELLING: Final = "(resetchannels +publish &bus:told:*)"
_IN_ROOMS: Final = "+evalsha +hset +hdel +hexists +hkeys +hvals +hlen +hscan +hgetall +hincrby +pexpire"
_BEATS: Final = "+evalsha +zadd +zscore +zrange +zremrangebyscore +pexpire"
_TRACING: Final = (
    f"(+hlen +hset +pexpire +unlink ~{trace_key('*')}) "
    f"(+zadd +zcard +zrange +zrem +zremrangebyscore +pexpire ~{TRACES_KEY})"
)
_OPERATOR: Final = (
    "+client|setname +client|info +client|list +acl|whoami +command|docs +ping +time +info +role +multi +exec "
    "+pubsub|channels +pubsub|numsub +pubsub|numpat +subscribe +unsubscribe +psubscribe +punsubscribe +publish "
    "+scan +exists +type +ttl +pttl +get +hgetall +zrange +xlen +xrange +xrevrange +xinfo|stream +memory|usage "
    # decisions/0125: looks of `edgebus doctor`. CONFIG GET is in no list, since passwords are among its answers.
    "+acl|users +acl|dryrun +slowlog|get +latency|latest"
)


# What ask.lua and answer.lua call, and what is sent beside.
_ASKING: Final = "+evalsha +xadd +xlen +xack +xdel +xpending +xrange +zcount +get +exists +unlink"
_RESPONDER: Final = (
    "+client|setname +time +script|load +evalsha +publish +xreadgroup +xgroup|create +xgroup|delconsumer +xinfo|groups "
    "+xrange +xack +xdel +xpending +hset +del +pexpire +zadd +zrem +zremrangebyscore +exists +set"
)


@frozen
class User:
    """A user of Redis.

    Attributes:
        role: the part of the bus that logs in.
        name: ``edgebus-<role>``, and ``-<service>`` for the user of a single service.
        rules: all rights, without the password.

    """

    role: Role
    name: str
    rules: str

    def command(self, password_hash: str) -> str:
        """Return the line for ``redis-cli``, which replaces a user of this name. The hash is SHA-256, 64 hex digits."""
        return f"ACL SETUSER {self.name} reset on #{password_hash} {self.rules}"

    def entry(self, password_hash: str) -> str:
        """Return the line for the file of ``aclfile``."""
        return f"user {self.name} on #{password_hash} {self.rules}"


def users(services: Sequence[Service], *, narrowed: bool = False, by_function: bool = False) -> list[User]:
    """Return a producer, an edge and an operator for ``services``, and a responder, where a request is live.

    A dashboard shows all services, and so is no user of a single one.

    Args:
        services: whose channels and logs the users reach; all others stay closed.
        by_function: producers bring no script of their own, and call a function loaded by an administrator.
        narrowed: there is a single service; the users carry its name and see no edge of another service.

    """
    only = services[0].name if narrowed else None
    own = f"{only}-*" if only else "*"
    names = list(dict.fromkeys(_pattern(family) for service in services for family in service.families))
    keyed = [_pattern(family) for service in services for family in service.families if family.keyed is not None]
    publishing, rooms = _CALLING if by_function else _SCRIPTED, _Rooms.of(services)
    asked, opened = _Asked.of(services), _opened(services, publishing)
    rules: dict[Role, str] = {
        "producer": _joined(_producer(names, publishing, own), keeping(keyed, publishing.split()[-1])),
        "edge": _joined(
            _edge(names, own), *rooms.edge(), _reading(keyed), *asked.edge(own), *opened, *_overhearing(services)
        ),
        "operator": _joined(
            _operator(names, own),
            _measuring(names, publishing),
            *rooms.operator(),
            _looking(keyed),
            *asked.operator(own),
            *_remembered(services),
        ),
    }
    if asked.questions:
        rules["responder"] = asked.responder(own)
    if only is None:
        shown = dashboard(publishing, _logs("~", names), _channels(names))
        rules["dashboard"] = _joined(shown, _EPOCH, keeping(keyed, publishing.split()[-1]))
    return [
        User(role, f"edgebus-{role}-{only}" if only else f"edgebus-{role}", rules[role])
        for role in ROLES
        if role in rules
    ]


def role_of(name: str) -> tuple[Role, str] | None:
    """Return the role and the service of a user's name; no service for a user of all, None for a user of no role."""
    begin, _, rest = name.partition("-")
    text, _, service = rest.partition("-")
    role = next((role for role in ROLES if role == text), None)
    return (role, service) if begin == "edgebus" and role is not None else None


def parse_hash(text: str) -> tuple[Role, str]:
    """Return role and hash of ``ROLE=SHA256``.

    Raises:
        AclError: the text has another form.

    """
    name, _, digits = text.partition("=")
    role = next((role for role in ROLES if role == name), None)
    if role is None or _HASH.fullmatch(digits) is None:
        raise AclError(
            f"a hash is written ROLE=SHA256 with ROLE one of {', '.join(ROLES)} and 64 small hex digits, "
            'as from: printf %s "$PASSWORD" | sha256sum'
        )
    return role, digits


def _producer(names: Iterable[str], publishing: str, own: str) -> str:
    # Services ask how their edges are, by `producers.health`.
    health = f"(+zrange +hgetall %R~{EDGES_KEY} %R~bus:edge:{own})"
    return " ".join(("resetchannels", _PRODUCER, publishing, *_logs("~", names), *_channels(names), _EPOCH, health))


def _edge(names: Iterable[str], own: str) -> str:
    """Return the rules of an edge, which publishes probes alone and appends to no log.

    ``PEXPIRE`` on logs keeps watched logs from expiring; ``PEXPIRE`` is also the harm that an edge could do.
    """
    # decisions/0056: PEXPIRE deletes, too, and Redis checks no arguments. Nothing else keeps a log alive: PERSIST would
    # leave unwatched logs for ever, and a function is checked like its caller.
    channels = (*_channels(names), f"&bus:probe:{own}", f"&bus:admin:{own}", f"&{REVOKED}")
    reads = (f"(+get %R~{EPOCH_KEY})", f"(+zrange %R~{REVOKED})")
    marks = f"(+zrange +zadd +zremrangebyrank +pexpire {' '.join(_forks('~', names))})"
    # decisions/0028: selectors (Redis 7), since an edge subscribes to channels and publishes on its probe's alone, and
    # may DEL its entry and no log.
    own_only = (f"(+hset +pexpire +del ~bus:edge:{own} ~bus:look:{own})", f"(resetchannels +publish &bus:probe:{own})")
    shown = (f"(+zadd +zrem +zremrangebyscore ~{EDGES_KEY})", _TELLING, _TRACING)
    return " ".join(("resetchannels", _EDGE, *_logs("~", names), *channels, *reads, _EPOCH, marks, *own_only, *shown))


def _operator(names: Iterable[str], own: str) -> str:
    """Return the rules of an operator: reads all, publishes by hand, and revokes tokens (of any service)."""
    own_keys = (f"bus:edge:{own}", f"bus:look:{own}", EDGES_KEY, EPOCH_KEY, REVOKED)
    keys = (*_logs("%R~", names), *_forks("%R~", names), *(f"%R~{key}" for key in own_keys))
    traces = f"(+hgetall +zrange %R~{trace_key('*')} %R~{TRACES_KEY})"
    revokes = f"(+zadd +zremrangebyscore +expire ~{REVOKED})"
    # decisions/0120: who may publish here is an operator, and an edge asks for no other proof.
    commands = f"(resetchannels +publish &bus:admin:{own}) (resetchannels +subscribe +unsubscribe &bus:told:*)"
    channels = (*_channels(names), f"&{REVOKED}", f"&{LOOP}*")
    return " ".join(("resetchannels", _OPERATOR, *keys, *channels, _EPOCH, revokes, traces, commands))


def _measuring(names: Sequence[str], publishing: str) -> str:
    """Return the rules for an operator who measures the way of events: logs of made-up channels, and no others."""
    # decisions/0124: an operator appends to no log that anybody reads, so the id's beginning is in the rule.
    logs = " ".join(_logs("~", (name.replace(":*", f":{LAG}*") for name in names if name.endswith(":*"))))
    return f"({publishing} {_APPENDING} {logs})" if logs else ""


@frozen
class _Rooms:
    """The keys of users in rooms, as globs; none without a family with presence, and then no rule (decisions/0111)."""

    rooms: Sequence[str]
    members: Sequence[str]
    beats: Sequence[str]

    @classmethod
    def of(cls, services: Sequence[Service]) -> Self:
        """Return the keys of the families with presence."""
        pairs = [(it.name, family) for it in services for family in it.families if family.presence is not None]
        names = list(dict.fromkeys(_pattern(family) for _, family in pairs))
        beats = list(dict.fromkeys(alive_key(service) for service, _ in pairs))
        told = [_pattern(family) for it in services for family in _telling(it)]
        members = [*(f"bus:members:{{{it}}}" for it in names), *(f"bus:owed:{{{it}}}" for it in told)]
        return cls([f"bus:presence:{{{it}}}" for it in names], members, beats)

    def edge(self) -> list[str]:
        """Return the further rules of an edge, which brings a script of its own."""
        if not self.rooms:
            return []
        keys = " ".join(f"~{it}" for it in (*self.rooms, *self.members))
        channels = " ".join(_channels(self.rooms))
        return [
            channels,  # to subscribe to the changes
            f"({_IN_ROOMS} {keys})",
            f"({_BEATS} {' '.join(f'~{it}' for it in self.beats)})",
            f"(resetchannels +publish {channels})",
            "(+script|load)",
        ]

    def operator(self) -> list[str]:
        """Return the further rules of an operator, who reads and listens."""
        if not self.rooms:
            return []
        keys = [f"%R~{it}" for it in (*self.rooms, *self.members, *self.beats)]
        return [*keys, f"(resetchannels +subscribe {' '.join(_channels(self.rooms))})"]


@frozen
class _Asked:
    """The keys of questions, as globs; none without a live request, and then no rule (decisions/0103)."""

    questions: Sequence[str]
    responders: Sequence[str]
    hashes: Sequence[str]
    answers: Sequence[str]

    @classmethod
    def of(cls, services: Sequence[Service]) -> Self:
        """Return the keys of the services with live requests."""
        names = [f"{{{it.name}}}" for it in services if any(request.live for request in it.requests)]
        kinds = ("questions", "responders", "responder", "answer")
        return cls(*([f"bus:{kind}:{name}:*" for name in names] for kind in kinds))

    def edge(self, own: str) -> list[str]:
        """Return the further rules of an edge, which asks by a script of its own, and is told the answers."""
        if not self.questions:
            return []
        whole = " ".join(f"~{it}" for it in (*self.questions, *self.responders, *self.answers))
        lives = " ".join(f"%R~{it}" for it in self.hashes)
        return [f"&bus:answers:{own}", f"({_ASKING} {whole} {lives})", "(+script|load)"]

    def responder(self, own: str) -> str:
        """Return the rules of a responder, which publishes no event, and answers on edges' channels alone."""
        keys = (f"~{it}" for it in (*self.questions, *self.responders, *self.hashes, *self.answers))
        return " ".join(("resetchannels", _RESPONDER, *keys, f"&bus:answers:{own}", _EPOCH))

    def operator(self, own: str) -> list[str]:
        """Return the further rules of an operator, who reads, and listens to answers."""
        if not self.questions:
            return []
        keys = [f"%R~{it}" for it in (*self.questions, *self.responders, *self.hashes, *self.answers)]
        looks = f"(+xpending +xinfo|groups +xinfo|consumers {' '.join(keys)})"
        return [*keys, looks, f"(resetchannels +subscribe &bus:answers:{own})"]


def keeping(names: Sequence[str], calling: str = "+evalsha") -> str:
    """Return the rules for whoever publishes on channels with a state, called ``names``; none for no such channel."""
    if not names:
        return ""
    states = " ".join(_states("~", names))
    # Selectors, since Redis checks the keys of a script together, and each call of the script for itself: what is for
    # states is for no log.
    return f"({calling} {' '.join(_logs('~', names))} {states}) ({_KEEPING} {states})"


def _open_families(services: Sequence[Service]) -> list[Family]:
    """Return the families of events that edges publish."""
    return list(
        dict.fromkeys(
            service.family(route) if isinstance(route, Channel) else route.family
            for service in services
            for event in _of_edges(service)
            for route in event.event_routes
        )
    )


def _of_edges(service: Service) -> list[type[Event]]:
    """Return the events that edges publish: of clients, and of users in rooms."""
    names = [name for family in _telling(service) for name in cast(Presence, family.presence).events]
    told = [event for event in map(service.event, names) if event is not None]
    return [*(opened.event for opened in service.client_events), *told]


def _telling(service: Service) -> list[Family]:
    """Return the families with events of users who come and leave."""
    return [it for it in service.families if isinstance(it.presence, Presence) and it.presence.events]


def _opened(services: Sequence[Service], calling: str) -> list[str]:
    """Return the further rules of an edge where clients publish: of the families of these events alone."""
    families = _open_families(services)
    logged = [_pattern(it) for it in families if it.retention.kind != "live"]
    keyed = [_pattern(it) for it in families if it.keyed is not None]
    published = " ".join(_channels(dict.fromkeys(map(_pattern, families))))
    if not logged:
        return [f"(resetchannels +publish {published})"] if families else []
    logs, onces = " ".join(_logs("~", logged)), " ".join(f"~bus:once:{{{name}}}:*" for name in logged)
    states = _states("~", keyed)
    # Selectors: keys of a script are checked together, and each call of the script for itself, as with `keeping`.
    return [
        " ".join((f"({calling} {logs} {onces}", *states)) + ")",
        f"({_APPENDING} {logs})",
        f"(+get +set {onces})",
        *([f"({_KEEPING} {' '.join(states)})"] if keyed else []),
        f"(resetchannels +publish {published})",
    ]


def _remembered(services: Sequence[Service]) -> list[str]:
    """Return the rules for an operator, who reads which publishes of clients are known."""
    return [f"%R~bus:once:{{{name}}}:*" for name in map(_pattern, _open_families(services))]


def _reading(names: Sequence[str]) -> str:
    """Return the rules for an edge, which reads states, and keeps them alive as it does logs."""
    return f"(+hrandfield +pexpire {' '.join(_states('~', names))})" if names else ""


def _overhearing(services: Sequence[Service]) -> list[str]:
    """Return the rules for an edge that hears its service's events by pattern: where figures make metrics."""
    families = [family for it in services if it.event(FIGURES) is not None for family in it.families]
    names = " ".join(_channels(dict.fromkeys(map(_pattern, families))))
    # A selector: of all patterns that an edge may read, these alone.
    return [f"(resetchannels +psubscribe +punsubscribe {names})"] if families else []


def _looking(names: Sequence[str]) -> str:
    return (
        f"(+hget +hgetall +hrandfield +hkeys +hlen +zrange +type +ttl {' '.join(_states('%R~', names))})"
        if names
        else ""
    )


def _joined(*rules: str) -> str:
    return " ".join(rule for rule in rules if rule)


def _states(permission: str, names: Iterable[str]) -> list[str]:
    """Return the rules for the keys of states, ``Channel.state_keys``."""
    return [f"{permission}bus:{part}:{{{name}}}" for name in names for part in ("state", "ages", "keys")]


def _logs(permission: str, names: Iterable[str]) -> list[str]:
    return [f"{permission}bus:log:{{{name}}}" for name in names]


def _forks(permission: str, names: Iterable[str]) -> list[str]:
    """Return the rules for the marks of lost events, which edges leave beside a log."""
    return [f"{permission}bus:forks:{{{name}}}" for name in names]


def _channels(names: Iterable[str]) -> list[str]:
    return [f"&{name}" for name in names]


def is_shared(one: Family, other: Family) -> bool:
    """Tell whether two families have channels of the same name in Redis, and so a shared log."""
    names = [_pattern(family) for family in (one, other)]
    filled = [name.replace("*", "x") for name in names]
    return fnmatchcase(filled[0], names[1]) or fnmatchcase(filled[1], names[0])


def _pattern(family: Family) -> str:
    """Return the names of the channels of ``family`` in Redis, as a glob; names hold no special character of globs."""
    name = family.head if family.field is None else f"{family.head}:*"
    return f"{name}:{family.shared_by}" if family.shared_by else name
