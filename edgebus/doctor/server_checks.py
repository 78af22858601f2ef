"""Checks of the primary. Pure."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from bus.redis import preflight
from bus.redis.acl import role_of
from edgebus.doctor.facts import Facts, Server
from edgebus.doctor.finding import Finding, fail, ok, warn
from edgebus.doctor.units import median, milliseconds, seconds, size

__all__ = ["SERVER_CHECKS", "kept", "preflight_facts", "settings"]

_FULL: Final = 0.95
_NEARLY: Final = 0.8
"""Shares of memory, and of connections."""
_SLOW_WINDOW_S: Final = 900
_SLOW_US: Final = 50_000
"""P5's bound: while Redis carries out a slow command, every event waits."""
_SPIKE_WINDOW_S: Final = 3_600
_SPIKE_MS: Final = 100
_FAR_MS: Final = 20.0
_TOO_FAR_MS: Final = 500.0
_EMBEDDED: Final = "edgebus-broker-"
"""In the folder of ``edgebus broker`` without ``--dir``, and of the demo."""


def reach(facts: Facts) -> Iterator[Finding]:
    """Name the server, and refuse a replica and a node of a cluster."""
    server, shown = facts.server, facts.shown
    kind = _name(server)
    if server.info.get("role") == "slave":
        primary = f"{server.info.get('master_host', '')}:{server.info.get('master_port', '')}"
        text = f"{shown} is a replica of {primary}: events go to the primary"
        yield fail("reach", text, f"edgebus doctor --redis redis://{primary}")
        return
    if server.info.get("cluster_enabled") == "1":
        yield fail("reach", f"{shown} is a node of a cluster, which edgebus does not use", "edgebus broker --dir DATA")
        return
    up = f", up {seconds(server.number('uptime_in_seconds'))}" if server.info else ""
    at = f"{shown} ({server.place})" if facts.is_sentinel else shown
    yield ok("reach", f"{kind} at {at}{up}, asked as user {server.user}")


def settings(server: Server, event_limit_bytes: int, *, where: str = "") -> Iterator[Finding]:
    """Judge settings of a primary and of a replica, since the next failover makes a primary of a replica."""
    facts = preflight_facts(server)
    for findings in (_version(server, facts), _eviction(server, facts), _output(server, facts, event_limit_bytes)):
        yield from (replace(finding, where=where) for finding in findings)


def primary_settings(facts: Facts) -> Iterator[Finding]:
    """Judge the settings of the primary."""
    return settings(facts.server, facts.event_limit_bytes)


def preflight_facts(server: Server) -> preflight.Facts:
    """Return the same facts as an edge looks at when the edge's link first comes up."""
    config = server.config or {}
    return preflight.Facts(
        version=server.info.get("redis_version"),
        maxmemory_bytes=server.number("maxmemory"),
        policy=server.info.get("maxmemory_policy"),
        pubsub_limit=preflight.pubsub_limit(config.get("client-output-buffer-limit", "")),
        has_file=bool(server.info.get("config_file")),
    )


def _version(server: Server, facts: preflight.Facts) -> Iterator[Finding]:
    if not facts.version:
        return
    if preflight.version(facts) is not None:
        text = f"{_name(server)} is older than {preflight.OLDEST_MAJOR}, the oldest that the bus was tried on"
        yield fail("version", text, "apt-get install redis-server")
    else:
        yield ok("version", f"{_name(server)}; {preflight.OLDEST_MAJOR} or newer is needed")


def _eviction(server: Server, facts: preflight.Facts) -> Iterator[Finding]:
    evicted = server.number("evicted_keys")
    if facts.policy is None:
        return
    # An edge warns of the policy; here the loss is a fail, since clients are told of gaps that nobody had to have.
    if (found := preflight.eviction(facts, server.cli)) is not None:
        lost = f" (it has dropped {evicted} keys)" if evicted else ""
        text = f"policy {facts.policy}: when memory is full, logs are dropped{lost}; with noeviction a publish fails"
        yield fail("eviction", text, *_lines(found))
    elif facts.policy != "noeviction":
        text = f"policy {facts.policy}: once a maxmemory is set, logs are dropped when it is full"
        yield warn("eviction", text, *_set(server, "maxmemory-policy noeviction"))
    else:
        yield ok("eviction", "policy noeviction: when memory is full, a publish fails and says so")


def _output(server: Server, facts: preflight.Facts, event_limit_bytes: int) -> Iterator[Finding]:
    if facts.pubsub_limit is None:
        return
    hard, soft, soft_s = facts.pubsub_limit
    found = preflight.output(facts, server.cli, event_limit_bytes)
    shown = f"client-output-buffer-limit pubsub {hard} {soft} {soft_s}"
    if found is None:
        text = f"{shown} holds a burst of the largest events ({size(event_limit_bytes)})"
        yield ok("output", text)
    elif 0 < hard < event_limit_bytes:
        text = f"{shown}: one event of the largest size ({size(event_limit_bytes)}) cuts every edge off that watches"
        yield fail("output", text, *_lines(found))
    else:
        text = f"{shown}: a burst of the largest events ({size(event_limit_bytes)}) cuts an edge off"
        yield warn("output", text, *_lines(found))


def persistence(facts: Facts) -> Iterator[Finding]:
    """Judge how much survives a restart, and whether the last write to disk worked."""
    server = facts.server
    if "aof_enabled" not in server.info:
        return
    writes = ("rdb_last_bgsave_status", "aof_last_write_status", "aof_last_bgrewrite_status")
    if failed := [name for name in writes if server.info.get(name, "ok") != "ok"]:
        folder = (server.config or {}).get("dir", "its folder")
        text = f"Redis could not write to its disk ({', '.join(failed)}): see its log, and the room in {folder}"
        command = "BGREWRITEAOF" if failed[0].startswith("aof") else "BGSAVE"
        yield fail("persistence", text, *([f"df -h {folder}"] if server.config else []), f"{server.cli} {command}")
    else:
        yield _kept(server)


def _kept(server: Server) -> Finding:
    config, text = server.config or {}, ""
    if server.info.get("aof_enabled") == "1":
        if config.get("appendfsync") == "no":
            text = "the append-only file is written when the system likes: a crash of the machine loses half a minute"
            return warn("persistence", text, *_set(server, "appendfsync everysec"))
        return ok("persistence", "append-only file: a crash loses about a second")
    if config.get("save"):
        text = f"snapshots (save {config['save']}): a crash loses what came since; appendonly yes, a second"
        return ok("persistence", text)
    text = "nothing is kept: after a restart of Redis logs are gone, and clients that come back are told so (unknown)"
    # Its folder goes with the process, so a file in there would keep nothing.
    if _EMBEDDED in config.get("dir", ""):
        return warn("persistence", text, f"edgebus broker --port {server.place.rpartition(':')[2]} --dir DATA")
    if server.config is None:
        text = "no append-only file; whether snapshots are made, CONFIG GET would say"
    return warn("persistence", text, *_set(server, "appendonly yes"))


def memory(facts: Facts) -> Iterator[Finding]:
    """Judge memory in use against the bound, else against the machine's."""
    server = facts.server
    used, bound, whole = (server.number(it) for it in ("used_memory", "maxmemory", "total_system_memory"))
    if "maxmemory" not in server.info:
        return
    # Logs are bounded each, and their number is not: whoever may publish may name a channel.
    if bound == 0:
        given = max(whole // 2, 2 * used)
        text = f"no maxmemory, {size(used)} in use" + (f" of the machine's {size(whole)}" if whole else "")
        text += ": Redis grows until the system ends it; with a bound, publishes fail and say so"
        yield warn("memory", text, *_set(server, f"maxmemory {given or 2**30}"))
        return
    share, text = used / bound, f"{size(used)} of maxmemory {size(bound)} in use"
    fix = _set(server, f"maxmemory {2 * max(used, bound)}")
    if share >= _FULL:
        yield fail("memory", f"{text}: publishes fail, or are about to", *fix)
    elif share >= _NEARLY:
        yield warn("memory", f"{text}: from there on publishes fail", *fix)
    else:
        yield ok("memory", text)


def clients(facts: Facts) -> Iterator[Finding]:
    """Judge connections against the limit of Redis."""
    server = facts.server
    used, most = server.number("connected_clients"), server.number("maxclients")
    if most == 0:
        return
    text = f"{used} of {most} connections (maxclients) in use"
    fix = _set(server, f"maxclients {2 * most}")
    if used / most >= _FULL:
        yield fail("clients", f"{text}: the next edge or producer is refused", *fix)
    elif used / most >= _NEARLY:
        yield warn("clients", text, *fix)
    else:
        yield ok("clients", text)


def slow_log(facts: Facts) -> Iterator[Finding]:
    """Judge slow commands of the last quarter of an hour: every event waited meanwhile."""
    server = facts.server
    if server.slow is None:
        return
    recent = [it for it in server.slow if it.at_s >= _now_s(facts) - _SLOW_WINDOW_S]
    worst = max(recent, key=lambda it: it.micros, default=None)
    if worst is None or worst.micros < _SLOW_US:
        shown = f", the longest {milliseconds(worst.micros / 1000)}" if worst else ""
        yield ok("slowlog", f"{len(recent)} slow commands in the last 15 min{shown}")
        return
    text = (
        f"{len(recent)} slow commands in the last 15 min; the longest, {worst.command} of {worst.client or 'a client'}"
    )
    text += f", took {milliseconds(worst.micros / 1000)}, and every event waited for its end"
    yield warn("slowlog", text, f"{server.cli} SLOWLOG GET 10", f"{server.cli} SLOWLOG RESET")


def latency(facts: Facts) -> Iterator[Finding]:
    """Judge the way to Redis, and the last hour of Redis' latency monitor."""
    server, way = facts.server, median(facts.server.took_ms)
    if way >= _FAR_MS:
        say = fail if way >= _TOO_FAR_MS else warn
        text = f"an answer takes {milliseconds(way)}: the network, or a Redis that is busy"
        yield say("latency", text, f"{server.cli} --latency-history", f"{server.cli} INFO commandstats")
    else:
        yield ok("latency", f"an answer takes {milliseconds(way)}")
    recent = [it for it in server.spikes or () if it.at_s >= _now_s(facts) - _SPIKE_WINDOW_S]
    worst = max(recent, key=lambda it: it.longest_ms, default=None)
    if worst is not None and worst.longest_ms >= _SPIKE_MS:
        text = f"Redis stood still for up to {milliseconds(worst.longest_ms)} in the last hour ({worst.event})"
        yield warn("latency", text, f"{server.cli} LATENCY DOCTOR", f"{server.cli} LATENCY RESET")


def loop(facts: Facts) -> Iterator[Finding]:
    """Judge the way of an event: published on a connection, heard on another."""
    if facts.loop is None:
        return
    if facts.loop.trouble:
        text = f"a probe was published and not heard on a second connection: {facts.loop.trouble}"
        cli = facts.server.cli
        yield fail("loop", text, f"{cli} CLIENT LIST TYPE pubsub", f"{cli} CONFIG GET client-output-buffer-limit")
    else:
        took = milliseconds(median(facts.loop.took_ms))
        yield ok("loop", f"a probe is published and heard on a second connection in {took}")


def own_users(facts: Facts) -> Iterator[Finding]:
    """Judge whether the users of ``edgebus acl`` have the rights that this version of edgebus needs."""
    server = facts.server
    for name, command in server.lacking.items():
        text = f"was made by an older edgebus: it may not {command.rpartition(' ')[0]}"
        yield warn("users", text, _made_anew(server, name), *kept(server), where=name)


def _made_anew(server: Server, name: str) -> str:
    """Return the line that makes the users of a service, or of all, anew with the passwords of before."""
    # In a pipe redis-cli asks for no password, and reads REDISCLI_AUTH.
    cli, (_, service) = server.cli.removesuffix(" --askpass"), role_of(name) or ("", "")
    hashes = rf"s/^user edgebus-([a-z]+){service and '-'}{service} .*#([0-9a-f]{{64}}) .*/--hash \1=\2/p"
    producer = f"edgebus-producer{service and '-'}{service}"
    options = (f" --service {service}" if service else "") + (
        " --function" if producer in server.without_scripts else ""
    )
    return f"edgebus acl{options} $({cli} ACL LIST | sed -nE '{hashes}') | {cli}"


def kept(server: Server) -> tuple[str, ...]:
    """Return the line to keep users over a restart; none for a server without a file."""
    if (server.config or {}).get("aclfile"):
        return (f"{server.cli} ACL SAVE",)
    return (f"{server.cli} CONFIG REWRITE",) if server.info.get("config_file") else ()


def _now_s(facts: Facts) -> float:
    return facts.now_s + (facts.server.clock_ms or 0) / 1000


def _name(server: Server) -> str:
    if "valkey_version" in server.info:
        return f"Valkey {server.info['valkey_version']}"
    return f"Redis {server.info['redis_version']}" if "redis_version" in server.info else "a Redis of no version"


def _lines(found: preflight.Finding) -> tuple[str, ...]:
    return (found.run,) if found.keep is None else (found.run, found.keep)


def _set(server: Server, setting: str) -> tuple[str, ...]:
    """Return the line for a setting, and the line to keep the change where there is a file to write to."""
    keep = (f"{server.cli} CONFIG REWRITE",) if server.info.get("config_file") else ()
    return (f"{server.cli} CONFIG SET {setting}", *keep)


SERVER_CHECKS: Final = (reach, primary_settings, persistence, memory, clients, slow_log, latency, loop, own_users)
