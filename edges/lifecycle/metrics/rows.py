"""The table of an edge's metrics: name, type, label, sentence, and where the number is read. Pure.

A label has few values, known when the edge starts; never an id, a channel, a user, or a word that a client chooses.
"""

from collections.abc import Callable, Mapping
from typing import Final, Literal, NamedTuple, TypeAlias

from bus.position import Reason
from bus.version import own_version
from edges.lifecycle.metrics.sources import Seen
from edges.limits.buckets import Buckets

__all__ = ["ROWS", "Read", "Row", "events"]

Read: TypeAlias = float | Buckets | Mapping[tuple[str, ...], float | Buckets] | None
"""A number, or numbers by the values of the labels; None: nothing to say at present."""


class Row(NamedTuple):
    """A metric.

    Attributes:
        name: with the suffix that Prometheus wants.
        kind: as Prometheus has it.
        text: what the number tells, as an operator reads it.
        read: returns the number.
        labels: the names of the labels.

    """

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    text: str
    read: Callable[[Seen], Read]
    labels: tuple[str, ...] = ()


def _each(counts: Mapping[str, float]) -> dict[tuple[str, ...], float | Buckets]:
    return {(str(name),): count for name, count in counts.items()}


def _info(it: Seen) -> Read:
    return {(it.sources.service.name, own_version(), it.sources.catalogue): 1}


def events(it: Seen) -> dict[str, int]:
    """Return the events of each family, also of those without any yet."""
    return {head: it.rooms.events.get(head, 0) for head in it.sources.tallies.by_family}


def _slow(it: Seen) -> Read:
    return _each({"close": it.clients.slow, **_policies(it.rooms.slowed)})


def _lagging(it: Seen) -> Read:
    return _each({"close": it.clients.lagging, **_policies(it.rooms.lagging)})


def _policies(counts: Mapping[str, int]) -> dict[str, int]:
    return {policy: counts.get(policy, 0) for policy in ("skip", "conflate")}


def _told(it: Seen) -> Read:
    return _each({reason: it.rooms.told.get(reason, 0) for reason in Reason})


def _requests(it: Seen) -> Read:
    by_verb = it.sources.requests.by_verb
    return {(verb, outcome): n for verb, tally in by_verb.items() for outcome, n in tally.outcomes.items()}


# A label of each policy, reason and outcome from the first scrape on: `rate` does not see a series that begins at 1.


def _questions(it: Seen) -> Read:
    if (live := it.sources.live) is None:
        return None
    found = live.statistics()
    return _each({"answered": found.answered, "refused": sum(found.refused.values()), "late": found.late})


def _certificate(it: Seen) -> Read:
    ends = it.sources.observed.certificate_ends
    return None if ends is None else ends.timestamp()


def _redis_memory(index: int) -> Callable[[Seen], Read]:
    def read(it: Seen) -> Read:
        memory = it.sources.observed.redis_memory
        return None if memory is None else memory[index]

    return read


ROWS: Final = (
    Row(
        "edgebus_edge_info",
        "gauge",
        "1; the labels say what runs: the service's name, the edge's version, and a "
        "digest of families, events and requests, which all edges of a service should share.",
        _info,
        ("service", "version", "catalogue"),
    ),
    Row(
        "edgebus_edge_ready",
        "gauge",
        "1 while `/readyz` is 200, else 0.",
        lambda it: float(it.sources.health.not_ready() is None),
    ),
    Row(
        "edgebus_edge_draining",
        "gauge",
        "1 from the beginning of a drain or a stop on, until an operator takes the drain back; else 0.",
        lambda it: float(it.sources.health.is_draining),
    ),
    Row(
        "edgebus_edge_start_time_seconds",
        "gauge",
        "When the edge started, seconds since 1970.",
        lambda it: it.sources.started_s,
    ),
    Row(
        "edgebus_connections",
        "gauge",
        "Clients, with opening handshakes under way and clients that owe a token.",
        lambda it: it.clients.connections,
    ),
    Row(
        "edgebus_connections_limit",
        "gauge",
        "The setting `max_connections`.",
        lambda it: it.sources.settings.max_connections,
    ),
    Row(
        "edgebus_connections_accepted_total",
        "counter",
        "Clients that were given a place.",
        lambda it: it.clients.accepted,
    ),
    Row(
        "edgebus_connections_refused_total",
        "counter",
        "Clients refused for lack of a place, or over a quota.",
        lambda it: it.clients.refused,
    ),
    Row(
        "edgebus_strangers_refused_total",
        "counter",
        "Handshakes and requests refused for their origin or host.",
        lambda it: it.clients.strangers,
    ),
    Row(
        "edgebus_hook_failures_total",
        "counter",
        "Handshakes and requests at which `process_request` failed.",
        lambda it: it.clients.failed_hooks,
    ),
    Row("edgebus_rooms", "gauge", "Rooms with members.", lambda it: it.rooms.rooms),
    Row(
        "edgebus_subscriptions",
        "gauge",
        "Members of rooms; a client in two rooms counts twice.",
        lambda it: it.rooms.subscriptions,
    ),
    Row(
        "edgebus_lines_received_total",
        "counter",
        "Lines that came from Redis, also those that no client was given.",
        lambda it: it.rooms.lines,
    ),
    Row(
        "edgebus_events_received_total",
        "counter",
        "Events that were given to rooms, each once however many members there are; with notices of gaps.",
        lambda it: {(head,): count for head, count in events(it).items()},
        ("family",),
    ),
    Row(
        "edgebus_deliveries_total",
        "counter",
        "Events in rooms, times the members that they were written to.",
        lambda it: it.rooms.deliveries,
    ),
    Row(
        "edgebus_sent_bytes_total",
        "counter",
        "Bytes written to clients: deliveries, replays, answers, notices; without TLS and control frames.",
        lambda it: it.rooms.sent_bytes + it.sources.counters.answered_bytes,
    ),
    Row(
        "edgebus_writes_total",
        "counter",
        "Pieces in which these bytes were written. Deliveries per write say how well events are joined.",
        lambda it: it.rooms.writes + it.sources.counters.answer_writes,
    ),
    Row(
        "edgebus_waiting_bytes",
        "gauge",
        "Bytes that wait for clients slower than the edge writes.",
        lambda it: it.clients.waiting_bytes,
    ),
    Row(
        "edgebus_lagging_clients",
        "gauge",
        "`close`: clients slower than the edge writes, which are closed if they go "
        "on so; `skip`, `conflate`: clients left out of a room for now, once per room.",
        _lagging,
        ("policy",),
    ),
    Row(
        "edgebus_slow_clients_total",
        "counter",
        "`close`: clients closed with 3008; `skip`, `conflate`: how often a client was left out of a room for a while.",
        _slow,
        ("policy",),
    ),
    Row(
        "edgebus_cut_clients_total",
        "counter",
        "Slow clients that did not even take the close frame.",
        lambda it: it.clients.cut,
    ),
    Row(
        "edgebus_left_out_total",
        "counter",
        "Deliveries left out for slow clients.",
        lambda it: _each({"skip": it.rooms.skipped, "conflate": it.rooms.conflated}),
        ("policy",),
    ),
    Row(
        "edgebus_dropped_total",
        "counter",
        "Lines from Redis that no client was given: `no_room` (the room had just "
        "closed), `unreadable`, `too_large` (over `max_line_bytes`), `bug`.",
        lambda it: _each(it.rooms.drops),
        ("reason",),
    ),
    Row(
        "edgebus_unreadable_entries_total",
        "counter",
        "Entries of logs, marks and events of an older model that were passed over.",
        lambda it: it.rooms.unreadable,
    ),
    Row(
        "edgebus_gaps_found_total",
        "counter",
        "Events that did not follow the event before; most are made up for.",
        lambda it: it.rooms.gaps,
    ),
    Row(
        "edgebus_events_repaired_total",
        "counter",
        "Events that were missed and made up for from the log.",
        lambda it: it.rooms.repaired,
    ),
    Row(
        "edgebus_gaps_told_total",
        "counter",
        "Gaps that clients were told: once per room for its members, once per "
        "client that comes back. The reasons are those of the wire.",
        _told,
        ("reason",),
    ),
    Row("edgebus_log_reads_total", "counter", "Reads of the newest part of a log.", lambda it: it.rooms.reads),
    Row(
        "edgebus_replays_total",
        "counter",
        "Replays that began; a long one counts once per turn.",
        lambda it: it.sources.replay_slots.waits.count,
    ),
    Row(
        "edgebus_replays_running",
        "gauge",
        "Replays that hold one of `max_replays` turns.",
        lambda it: it.sources.replay_slots.held,
    ),
    Row(
        "edgebus_replays_waiting", "gauge", "Replays that wait for a turn.", lambda it: it.sources.replay_slots.waiting
    ),
    Row(
        "edgebus_replay_wait_seconds",
        "histogram",
        "How long replays waited for a turn.",
        lambda it: it.sources.replay_slots.waits,
    ),
    Row(
        "edgebus_link_up",
        "gauge",
        "1 while the link to Redis is up and hears its own probes, else 0.",
        lambda it: float(it.sources.subscriber.is_up and it.sources.subscriber.is_heard),
    ),
    Row(
        "edgebus_link_generation",
        "gauge",
        "How often the link came up since the start.",
        lambda it: it.sources.subscriber.statistics().generation,
    ),
    Row(
        "edgebus_link_lost_total",
        "counter",
        "How often the link was lost.",
        lambda it: it.sources.subscriber.statistics().lost,
    ),
    Row(
        "edgebus_link_probe_age_seconds",
        "gauge",
        "How long ago a probe came back by the link; missing before the first.",
        lambda it: it.sources.subscriber.probe_age_s,
    ),
    Row(
        "edgebus_limited_total",
        "counter",
        "How often a limit hit a client; the label is the setting.",
        lambda it: _each(it.clients.limited),
        ("limit",),
    ),
    Row(
        "edgebus_requests_total",
        "counter",
        "Requests of clients: `ok`, `refused` (wrong or forbidden), `limited`, "
        "`unavailable` (Redis or a responder away), `failed` (a bug of the edge). The verb `other` stands for every "
        "name that the edge does not know.",
        _requests,
        ("verb", "outcome"),
    ),
    Row(
        "edgebus_request_duration_seconds",
        "histogram",
        "From a request's turn to its first answer.",
        lambda it: {(verb,): tally.duration for verb, tally in it.sources.requests.by_verb.items()},
        ("verb",),
    ),
    Row(
        "edgebus_questions_total",
        "counter",
        "Questions to responders, by their end: `answered`, `refused`, `late` "
        "(an answer behind the deadline, or a second one).",
        _questions,
        ("outcome",),
    ),
    Row(
        "edgebus_delivery_latency_seconds",
        "histogram",
        "From an event's timestamp to its hand-over to clients, of a sample: at most one event per read from Redis. "
        "Without events made up for from logs, and as true as the clocks of both hosts.",
        lambda it: {(head,): tally.latency for head, tally in it.sources.tallies.by_family.items()},
        ("family",),
    ),
    Row(
        "edgebus_odd_timestamps_total",
        "counter",
        "Sampled timestamps that the latency leaves out: `ahead` of this "
        "host's clock, `old` (over an hour), `unreadable`.",
        lambda it: _each(it.sources.tallies.odd),
        ("reason",),
    ),
    Row(
        "edgebus_event_loop_lag_seconds",
        "histogram",
        "How much later than asked for the event loop woke a task, four times a second.",
        lambda it: it.sources.observed.lag,
    ),
    Row(
        "edgebus_certificate_expires_timestamp_seconds",
        "gauge",
        "When the TLS certificate ends, seconds since 1970; missing without a certificate of the settings.",
        _certificate,
    ),
    Row(
        "edgebus_redis_memory_used_bytes",
        "gauge",
        "Memory that Redis uses, as of some seconds ago; missing while Redis is away.",
        _redis_memory(0),
    ),
    Row("edgebus_redis_memory_limit_bytes", "gauge", "`maxmemory` of Redis; 0 for no limit.", _redis_memory(1)),
)
