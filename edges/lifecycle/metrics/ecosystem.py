"""The names by which the ecosystem's dashboards and alerts ask, read from the same numbers. Pure.

Where those names had a time series per channel, the family stands: a chart of a workflow each has no end.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from edges.lifecycle.metrics.rows import Read, Row, events
from edges.lifecycle.metrics.skills import Skill, Skills
from edges.lifecycle.metrics.sources import Seen
from edges.limits.buckets import Buckets

__all__ = ["ECOSYSTEM_ROWS", "SKILL_ROWS", "TEXTS"]

_SERVER: Final = ("server",)
_FAILURES: Final = ("refused", "limited", "unavailable", "failed")


def _of_server(read: Callable[[Seen], float | Buckets]) -> Callable[[Seen], Read]:
    return lambda it: {(it.sources.service.name,): read(it)}


def _by(read: Callable[[Seen], Mapping[str, float | Buckets]]) -> Callable[[Seen], Read]:
    return lambda it: {(it.sources.service.name, label): value for label, value in read(it).items()}


def _accepted(it: Seen) -> Read:
    mode = "wss" if it.sources.settings.tls_certificate is not None else "ws"
    return {(it.sources.service.name, mode): it.clients.accepted}


def _answers(it: Seen, outcomes: Iterable[str]) -> int:
    return sum(tally.outcomes[outcome] for tally in it.sources.requests.by_verb.values() for outcome in outcomes)


def _messages(it: Seen) -> Read:
    server, asked = it.sources.service.name, _answers(it, ("ok", *_FAILURES))
    return {
        (server, "request", "received"): asked,
        (server, "response", "sent"): _answers(it, ("ok",)),
        (server, "error", "sent"): _answers(it, _FAILURES),
        (server, "event", "sent"): it.rooms.deliveries,
    }


def _connection_errors(it: Seen) -> dict[str, float | Buckets]:
    return {"refused": it.clients.refused, "origin": it.clients.strangers, "slow": it.clients.slow}


def _message_errors(it: Seen) -> dict[str, float | Buckets]:
    return {outcome: _answers(it, (outcome,)) for outcome in _FAILURES}


def _errors(it: Seen) -> float:
    return it.clients.refused + it.clients.strangers + it.clients.slow + _answers(it, _FAILURES)


def _latency(it: Seen) -> Mapping[str, float | Buckets]:
    return {verb: tally.duration for verb, tally in it.sources.requests.by_verb.items()}


ECOSYSTEM_ROWS: Final = (
    Row(
        "websocket_health",
        "gauge",
        "1 while the edge is ready, else 0.",
        _of_server(lambda it: float(it.sources.health.not_ready() is None)),
        _SERVER,
    ),
    Row(
        "websocket_connections",
        "gauge",
        "As `edgebus_connections`.",
        _of_server(lambda it: it.clients.connections),
        _SERVER,
    ),
    Row(
        "websocket_connections_active",
        "gauge",
        "As `edgebus_connections`.",
        _of_server(lambda it: it.clients.connections),
        _SERVER,
    ),
    Row(
        "websocket_connections_total",
        "counter",
        "Clients that were given a place; `tls_mode` is `wss` or `ws`.",
        _accepted,
        (*_SERVER, "tls_mode"),
    ),
    Row(
        "websocket_messages_total",
        "counter",
        "`received`: requests; `sent`: responses, errors, and events times the clients that they were written to.",
        _messages,
        (*_SERVER, "message_type", "direction"),
    ),
    Row(
        "websocket_broadcast_total",
        "counter",
        "As `edgebus_events_received_total`; the channel is the family.",
        _by(lambda it: dict(events(it))),
        (*_SERVER, "channel"),
    ),
    Row(
        "websocket_broadcast_duration_seconds",
        "histogram",
        "As `edgebus_delivery_latency_seconds`; the channel is the family.",
        _by(lambda it: {head: tally.latency for head, tally in it.sources.tallies.by_family.items()}),
        (*_SERVER, "channel"),
    ),
    Row(
        "websocket_connection_errors_total",
        "counter",
        "`refused` (no place, or over a quota), `origin`, `slow` (closed with 3008).",
        _by(_connection_errors),
        (*_SERVER, "error_type"),
    ),
    Row(
        "websocket_message_errors_total",
        "counter",
        "Requests that were not answered with data, by the outcomes of `edgebus_requests_total`.",
        _by(_message_errors),
        (*_SERVER, "error_type"),
    ),
    Row("websocket_errors_total", "counter", "The two above together.", _of_server(_errors), _SERVER),
    Row(
        "websocket_latency_seconds",
        "histogram",
        "As `edgebus_request_duration_seconds`; the message type is the verb.",
        _by(_latency),
        (*_SERVER, "message_type"),
    ),
)

TEXTS: Final = {row.name: row.text for row in ECOSYSTEM_ROWS}
"""What each name tells."""


def _of_skills(read: Callable[[Skill], float | Buckets]) -> Callable[[Seen], Read]:
    def found(it: Seen) -> Read:
        skills = it.sources.skills
        return None if skills is None else {(name,): read(skill) for name, skill in skills.by_name().items()}

    return found


def _invocations(it: Seen) -> Read:
    if (skills := it.sources.skills) is None:
        return None
    counts: dict[tuple[str, ...], float | Buckets] = {}
    for name, skill in skills.by_name().items():
        counts[name, "", "true"], counts[name, "", "false"] = skill.completed, skill.failed
    return counts


def _of_all(read: Callable[[Skills], float | None]) -> Callable[[Seen], Read]:
    return lambda it: None if it.sources.skills is None else read(it.sources.skills)


SKILL_ROWS: Final = (
    Row(
        "skill_invocations_total",
        "counter",
        "Invocations of a skill, by session-buddy's count; `workflow_phase` is empty, since no event says it.",
        _invocations,
        ("skill_name", "workflow_phase", "completed"),
    ),
    Row(
        "skill_completion_rate",
        "gauge",
        "Invocations that were completed, in percent.",
        _of_skills(lambda it: it.completion_rate),
        ("skill_name",),
    ),
    Row(
        "skill_duration_seconds",
        "histogram",
        "How long invocations took: those between two updates count with their average.",
        _of_skills(lambda it: it.duration),
        ("skill_name",),
    ),
    Row(
        "active_sessions_total",
        "gauge",
        "Sessions with an event within a day and no end, since the edge started.",
        _of_all(lambda it: it.sessions(time.time())),
    ),
    Row("anomalies_detected_total", "counter", "Different anomalies.", _of_all(lambda it: it.anomalies)),
    Row(
        "skill_metrics_cache_last_update",
        "gauge",
        "When figures came last, seconds since 1970; missing before.",
        _of_all(lambda it: it.updated_s),
    ),
)
"""Of session-buddy's edge, from its events."""
