"""Checks of replicas and sentinels: the state of the bus behind the next failover. Pure."""

from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

from edgebus.doctor.facts import Facts, Replica, Server
from edgebus.doctor.finding import Finding, fail, ok, warn
from edgebus.doctor.server_checks import kept, settings
from edgebus.doctor.units import seconds, size

__all__ = ["REPLICA_CHECKS"]

_Rules: TypeAlias = Mapping[str, frozenset[str]]

_LAG_S: Final = 5
_LONG_LAG_S: Final = 30
_BEHIND_BYTES: Final = 8 * 1024 * 1024
_SHOWN: Final = 5


def replication(facts: Facts) -> Iterator[Finding]:
    """Judge whether each replica follows, and whether sentinels have a replica to promote."""
    if not facts.replicas:
        yield _alone(facts)
    for replica in facts.replicas:
        yield _following(replica)


def _alone(facts: Facts) -> Finding:
    if not facts.is_sentinel:
        return ok("replication", "no replica: with this Redis the bus stands and falls")
    host, _, port = facts.server.place.rpartition(":")
    text = "sentinels watch, and there is no replica: nothing could be promoted"
    return fail("replication", text, f"redis-server --port PORT --replicaof {host} {port}")


def _following(replica: Replica) -> Finding:
    look = f"{replica.cli} INFO replication"
    if replica.state != "online":
        text = f"the replica does not follow ({replica.state or 'no state'}): a failover to it loses events"
        return fail("replication", text, look, where=replica.place)
    lag_s, behind = replica.lag_s or 0, replica.behind_bytes
    text = f"follows, {seconds(lag_s)} and {size(behind)} behind"
    if lag_s >= _LONG_LAG_S:
        return fail("replication", f"{text}: a failover now loses as much", look, where=replica.place)
    if lag_s >= _LAG_S or behind >= _BEHIND_BYTES:
        return warn("replication", f"{text}: a failover now loses as much", look, where=replica.place)
    return ok("replication", text, where=replica.place)


def users(facts: Facts) -> Iterator[Finding]:
    """Judge whether a promoted replica would let the same users in: Redis replicates data and no users."""
    for replica in facts.replicas:
        yield from _users(facts.server, replica)


def _users(primary: Server, replica: Replica) -> Iterator[Finding]:
    others, default = _copies(primary, replica)
    keep = kept(replica.server) if replica.server is not None else ()
    if replica.is_login:
        text = f"refuses the log-in that the primary takes ({replica.trouble}): promoted, it would let nobody in"
        copy = default if primary.user == "default" else others
        yield fail("users", text, copy, *keep, where=replica.place)
    elif replica.server is None:
        text = f"cannot be asked from here ({replica.trouble}), so its users are not compared"
        yield warn("users", text, f"{replica.cli} ACL USERS", where=replica.place)
    elif primary.users is not None and replica.server.users is not None:
        yield _compared(primary, replica.server, (others, *keep))
        if primary.rules is not None and replica.server.rules is not None:
            yield from _default(primary.rules, replica.server.rules, (default, *keep), replica.place)


def _compared(primary: Server, there: Server, copy: tuple[str, ...]) -> Finding:
    missing = sorted((primary.users or frozenset()) - (there.users or frozenset()))
    if missing:
        text = f"has no user {_list(missing)}: Redis does not replicate users, and once promoted it refuses them"
        return fail("users", text, *copy, where=there.place)
    # Names are an operator's to see, rules an administrator's: there are hashes of passwords among them.
    if primary.rules is None or there.rules is None:
        return ok("users", "takes this log-in, and has users of the same names", where=there.place)
    known = there.rules
    others = [name for name, rules in primary.rules.items() if known.get(name) != rules and name != "default"]
    if others:
        text = f"knows {_list(sorted(others))} by another password or other rights: once promoted it refuses them"
        return fail("users", text, *copy, where=there.place)
    return ok("users", f"has the same users ({len(primary.rules)})", where=there.place)


def _default(here: _Rules, there: _Rules, copy: tuple[str, ...], place: str) -> Iterator[Finding]:
    """Judge the user without a name, let in everywhere until an administrator closes the door."""
    if here.get("default") == there.get("default"):
        return
    if "off" in here.get("default", ()) and "off" not in there.get("default", ()):
        text = "lets in whoever gives no name (user default), which the primary does not"
        yield fail("users", text, *copy, where=place)
    else:
        text = "treats whoever gives no name (user default) otherwise than the primary"
        yield fail("users", text, *copy, where=place)


def _copies(primary: Server, replica: Replica) -> tuple[str, str]:
    """Return the lines to copy the named users, and the user ``default``.

    In a pipe ``redis-cli`` asks for no password, and reads REDISCLI_AUTH.
    """
    # Two lines: to change the user whom the second redis-cli is would end the copy in the middle.
    there, here = (cli.removesuffix(" --askpass") for cli in (replica.cli, primary.cli))
    named = r"'/^user default /!s/^user \([^ ]*\)/ACL SETUSER \1 reset/p'"
    default = "'s/^user default /ACL SETUSER default reset /p'"
    return f"{here} ACL LIST | sed -n {named} | {there}", f"{here} ACL LIST | sed -n {default} | {there}"


def _list(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def replica_settings(facts: Facts) -> Iterator[Finding]:
    """Judge the settings of replicas, and tell faults alone."""
    for replica in facts.replicas:
        if replica.server is not None:
            found = settings(replica.server, facts.event_limit_bytes, where=replica.place)
            yield from (finding for finding in found if finding.fix)


def sentinels(facts: Facts) -> Iterator[Finding]:
    """Judge whether every sentinel answers, and whether sentinels agree on the primary."""
    if not facts.sentinels:
        return
    for word in facts.sentinels:
        if word.trouble:
            text = f"the sentinel does not help: {word.trouble}; with too few, no failover is decided"
            host, _, port = word.place.rpartition(":")
            yield warn("sentinels", text, f"redis-cli -h {host} -p {port} SENTINEL MASTERS", where=word.place)
    primaries = sorted({word.primary for word in facts.sentinels if word.primary})
    if len(primaries) > 1:
        host, _, port = facts.sentinels[0].place.rpartition(":")
        text = f"sentinels name different primaries: {', '.join(primaries)}; in a failover, or a net that is split"
        yield fail("sentinels", text, f"redis-cli -h {host} -p {port} SENTINEL MASTERS")
    elif primaries:
        answering = sum(not word.trouble for word in facts.sentinels)
        yield ok("sentinels", f"{answering} of {len(facts.sentinels)} answer, and agree on {primaries[0]}")


REPLICA_CHECKS: Final = (sentinels, replication, users, replica_settings)
