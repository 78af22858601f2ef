"""Checks of edges: hearing, agreement, and resources that run out. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from edgebus.doctor.facts import Edge, Facts
from edgebus.doctor.finding import Finding, fail, ok, warn
from edgebus.doctor.units import days, milliseconds, seconds

__all__ = ["EDGE_CHECKS"]

_SILENT_MS: Final = 7_000
"""Two heartbeats and a moment."""
_DEAF_MS: Final = 15_000
_FDS_FULL: Final = 0.95
_FDS_NEARLY: Final = 0.8
_FDS_SPARE: Final = 64
"""Descriptors of an edge without clients: its links, its files, and what its libraries keep."""
_APART_MS: Final = 500.0
_FAR_APART_MS: Final = 5_000.0
"""As far as an edge lets the clock of a token's maker be ahead (``auth_leeway_s``)."""
_DAY_S: Final = 86_400
_NOTICE_S: Final = 30 * _DAY_S
_SHORT_S: Final = 3 * _DAY_S


def presence(facts: Facts) -> Iterator[Finding]:
    """Say how many edges announce themselves."""
    if facts.edges is None:
        return
    edges = _present(facts)
    services = sorted({edge.service for edge in edges})
    if not services:
        yield warn("edges", "no edge announces itself here", "edgebus edge SERVICE")
    else:
        yield ok("edges", f"{_many(len(edges), 'edge')} of {_many(len(services), 'service')}: {', '.join(services)}")
    for edge in facts.edges:
        if edge.gone_ms is not None and not any(_is_successor(it, edge) for it in edges):
            text = f"is gone without a farewell, for {milliseconds(edge.gone_ms)}, and none took its place"
            forget = f"{facts.server.cli} ZREM bus:edges {edge.id}{_comment('where none is to')}"
            yield warn("edges", text, _start(edge, facts), forget, where=edge.id)


def _present(facts: Facts) -> list[Edge]:
    """Return the edges with an entry."""
    return [edge for edge in facts.edges or () if edge.gone_ms is None]


def _is_successor(edge: Edge, before: Edge) -> bool:
    return edge.host == before.host and edge.port == before.port


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def hearing(facts: Facts) -> Iterator[Finding]:
    """Compare the claims of each edge with the listeners of the edge's probe."""
    edges = _present(facts)
    found = [finding for edge in edges if (finding := _heard(edge, facts)) is not None]
    yield from found
    if well := len(edges) - len(found):
        yield ok("hearing", f"the probe of {_many(well, 'edge')} is heard by one link each")


def _heard(edge: Edge, facts: Facts) -> Finding | None:
    """Return the worst fault of an edge, None for a healthy edge."""
    if (found := _dead(edge, facts)) is not None:
        return found
    if edge.is_draining:
        text = "is drained, or sends its clients away: new ones are refused"
        return warn("hearing", text, f"edgebus undrain {edge.id}", where=edge.id)
    found = _deaf(edge, facts) or _unready(edge, facts)
    if found is not None and edge.age_ms is not None and edge.age_ms < _SILENT_MS:
        # The entry is from before the first link, and the next heartbeat knows more.
        return warn("hearing", f"started a moment ago, and {found.text}", "edgebus doctor", where=edge.id)
    return found


def _dead(edge: Edge, facts: Facts) -> Finding | None:
    if edge.runs is False:
        text = "is dead: its process ended without a farewell, and its entry is still there"
        gone = f"{facts.server.cli} DEL bus:edge:{edge.id}"
        return fail("hearing", text, _start(edge, facts), gone, where=edge.id)
    if edge.silent_ms is not None and edge.silent_ms > _SILENT_MS:
        text = f"is dead or hangs: nothing was heard of it for {milliseconds(edge.silent_ms)}"
        return fail("hearing", text, f"kill -KILL {edge.pid}{_on(edge, facts)}", _start(edge, facts), where=edge.id)
    return None


def _deaf(edge: Edge, facts: Facts) -> Finding | None:
    text = ""
    if edge.listeners == 0:
        claim = "claims a link" if edge.link == "up" else f"has no link ({edge.link})"
        text = f"is deaf or dead: it {claim}, and nobody hears bus:probe:{edge.id}"
    elif edge.link != "up":
        text = f"is deaf: {edge.link}"
    elif edge.probe_age_ms is not None and edge.probe_age_ms > _DEAF_MS:
        text = f"is deaf: its last probe came back {milliseconds(edge.probe_age_ms)} ago"
    if not text:
        return None
    # A deaf edge would not hear `edgebus drain`; SIGTERM sends clients to other replicas as well.
    end = f"kill -TERM {edge.pid}{_on(edge, facts)}"
    return fail("hearing", text, end, _start(edge, facts), where=edge.id)


def _unready(edge: Edge, facts: Facts) -> Finding | None:
    if edge.listeners is not None and edge.listeners > 1:
        text = f"has {edge.listeners} links, and one was left behind"
        return warn("hearing", text, f"{facts.server.cli} CLIENT LIST TYPE pubsub", where=edge.id)
    if edge.ready != "yes":
        look = f"curl http://{edge.host}:{edge.port}/readyz"
        return warn("hearing", f"hears, and is not ready: {edge.ready}", look, where=edge.id)
    return None


def agreement(facts: Facts) -> Iterator[Finding]:
    """Compare the edges of a service: where replicas differ, clients get another answer from each."""
    services: dict[str, list[Edge]] = defaultdict(list)
    for edge in _present(facts):
        if not edge.is_draining and edge.runs is not False:
            services[edge.service].append(edge)
    for service, edges in services.items():
        yield from _agreed(service, sorted(edges, key=lambda edge: (edge.started, edge.id)))


def _agreed(service: str, edges: Sequence[Edge]) -> Iterator[Finding]:
    # In an upgrade the newest is right; after a rollback, too, since the older version was started last.
    newest = edges[-1]
    others = [edge for edge in edges if edge.catalogue != newest.catalogue]
    older = [edge for edge in edges if edge.version != newest.version]
    if others:
        text = f"edges serve different catalogues: {len(others)} of {len(edges)} another than {newest.id}, the newest; "
        text += "a client is refused by one what another serves"
        yield fail("agreement", text, *(f"edgebus drain {edge.id}" for edge in others), where=service)
    elif older:
        versions = ", ".join(sorted({edge.version for edge in edges}))
        text = f"edges are of different versions ({versions}), as in an upgrade; the newest is {newest.id}"
        yield warn("agreement", text, *(f"edgebus drain {edge.id}" for edge in older), where=service)
    elif len(edges) > 1:
        yield ok("agreement", f"{len(edges)} edges, one catalogue, version {newest.version}", where=service)


def descriptors(facts: Facts) -> Iterator[Finding]:
    """Judge open descriptors against the limit, and the limit against the clients to be taken."""
    edges = [edge for edge in _present(facts) if edge.fds_limit]
    found = [finding for edge in edges if (finding := _descriptors(edge, facts)) is not None]
    yield from found
    if well := len(edges) - len(found):
        yield ok("descriptors", f"{_many(well, 'edge')} with descriptors for all the clients that may come")


def _descriptors(edge: Edge, facts: Facts) -> Finding | None:
    limit, used = edge.fds_limit or 1, edge.fds or 0
    wanted = max(2 * limit if used >= _FDS_NEARLY * limit else 0, (edge.max_connections or 0) + _FDS_SPARE)
    # The soft limit alone, else both as root: an edge has raised the soft one as far as it may.
    keep = _on(edge, facts, f"kept by LimitNOFILE={wanted} in the unit, or by ulimit -n {wanted}")
    raise_it = f"prlimit --pid {edge.pid} --nofile={wanted}"
    fix = f"{raise_it}: || sudo {raise_it}{keep}"
    if used >= _FDS_NEARLY * limit:
        say = fail if used >= _FDS_FULL * limit else warn
        text = f"{used} of {limit} descriptors are open; with none left, clients wait"
        return say("descriptors", text, fix, where=edge.id)
    if limit < wanted:
        text = f"may open {limit} descriptors, and is to take {edge.max_connections} clients (max_connections)"
        return warn("descriptors", text, fix, where=edge.id)
    return None


def clocks(facts: Facts) -> Iterator[Finding]:
    """Judge how far the clocks of hosts are from Redis'."""
    if facts.server.clock_ms is not None:
        error_ms = min(facts.server.took_ms, default=0) / 2
        yield _clock("this host", -facts.server.clock_ms, error_ms, "timedatectl set-ntp true")
    hosts = {edge.host: edge for edge in _present(facts) if edge.clock_ms is not None and edge.host != facts.host}
    for host, edge in sorted(hosts.items()):
        yield _clock(f"the host {host}", edge.clock_ms or 0, 0, f"timedatectl set-ntp true{_on(edge, facts)}")


def _clock(whose: str, ahead_ms: float, error_ms: float, fix: str) -> Finding:
    apart_ms = max(0, abs(ahead_ms) - error_ms)
    text = f"{whose} is {milliseconds(abs(ahead_ms))} {'ahead of' if ahead_ms > 0 else 'behind'} Redis"
    if apart_ms >= _FAR_APART_MS:
        return fail("clock", f"{text}: tokens made by one are refused by the other", fix)
    if apart_ms >= _APART_MS:
        return warn("clock", f"{text}: times of delivery are wrong by as much", fix)
    return ok("clock", text)


def certificates(facts: Facts) -> Iterator[Finding]:
    """Judge how long certificates of edges, and of Redis, are good for."""
    ends = [(edge.id, edge.certificate_ends_s) for edge in _present(facts) if edge.certificate_ends_s]
    if facts.certificate_ends_s is not None:
        ends.append((facts.server.place, facts.certificate_ends_s))
    ports = {edge.id: (edge.host, edge.port) for edge in _present(facts)}
    for name, ends_s in ends:
        host, port = ports.get(name) or name.rpartition(":")[::2]
        look = f"openssl s_client -connect {host}:{port} </dev/null | openssl x509 -noout -subject -enddate"
        yield _certificate(name, ends_s - facts.now_s, look)


def _certificate(name: str, left_s: float, look: str) -> Finding:
    if left_s <= 0:
        text = f"the certificate ended {seconds(-left_s)} ago, and clients refuse it: renew it and restart"
        return fail("certificate", text, look, where=name)
    text = f"the certificate is good for {days(left_s) if left_s > _DAY_S else seconds(left_s)}"
    if left_s < _NOTICE_S:
        say = fail if left_s < _SHORT_S else warn
        return say("certificate", f"{text}: renew it and restart", look, where=name)
    return ok("certificate", text, where=name)


def _start(edge: Edge, facts: Facts) -> str:
    where = _on(edge, facts, "or its unit: systemctl restart edgebus-edge@NAME")
    return f"edgebus edge {edge.service or 'SERVICE'} --port {edge.port}{where}"


def _on(edge: Edge, facts: Facts, more: str = "") -> str:
    """Return the comment behind a line for another machine."""
    at = f"on {edge.host}" if edge.host and edge.host != facts.host else ""
    return _comment("; ".join(filter(None, (at, more))))


def _comment(text: str) -> str:
    return f"  # {text}" if text else ""


EDGE_CHECKS: Final = (presence, hearing, agreement, descriptors, clocks, certificates)
