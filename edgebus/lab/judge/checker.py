"""The independent checker: recorded logs against the promises P1 to P7 of delivery.md.

Shares no code with the bus, and asks no server: the records of a run are all there is. Events are told apart by room
and number, both of the laboratory's making; their order is the logs', or that of publishing where no log has both.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from edgebus.lab.judge.comings import comings
from edgebus.lab.judge.records import Attempt, Evidence, Snapshot
from edgebus.lab.judge.sightings import Sightings
from edgebus.lab.judge.transcript import Closed, Got, Item, Joined, Told, read, read_line

__all__ = ["Broken", "Findings", "check"]

LATE_S: Final = 0.1
"""A delivery later than this after publish returned came from a repair, not live."""


@dataclass(frozen=True, slots=True)
class Broken:
    """One promise that did not hold, how often, and the first case."""

    promise: str
    times: int
    example: str


@dataclass(slots=True)
class Findings:
    """The checker's counts.

    Attributes:
        published: calls of publish that returned.
        delivered: events received, over all clients; ``repaired``: the late ones among the delivered.
        told: deliveries missing and reported as a gap; ``lost``: the same, in silence.
        with_primary: events that a dead primary took with itself, and an edge that died as well (the limits of P3).
        doubled: events received or stored twice.
        refused: failed attempts of clients to connect; ``retries``: the same of a balancer.
        returned: second and later connections; ``returned_per_s``: in the busiest second.
        closed: connections ended by an edge.
        prompt_s: the delay of 99 of 100 events, for clients in ``Demands.prompt``.
        whole_s: from the end of the fault until the last owed event or gap had arrived.
        broken: promises that did not hold.

    """

    published: int = 0
    delivered: int = 0
    repaired: int = 0
    told: int = 0
    lost: int = 0
    with_primary: int = 0
    doubled: int = 0
    refused: int = 0
    retries: int = 0
    returned: int = 0
    returned_per_s: int = 0
    closed: int = 0
    prompt_s: float = 0.0
    whole_s: float = 0.0
    broken: list[Broken] = field(default_factory=list)


def check(evidence: Evidence) -> Findings:
    """Judge one run."""
    return _Checker(evidence).findings()


class _Checker:
    """One run under judgement."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._found = Findings()
        self._times: Counter[str] = Counter()
        self._examples: dict[str, str] = {}
        self._attempts = {(one.channel, one.n): one for one in evidence.attempts}
        self._ranks = [_ranks(snapshot) for snapshot in evidence.snapshots]
        self._numbers = self._numbers_by_position()
        self._stored = {
            (it.channel, n) for it, ranks in zip(evidence.snapshots, self._ranks, strict=True) for n in ranks
        }
        self._lasting = {
            (it.channel, n)
            for it, ranks in zip(evidence.snapshots, self._ranks, strict=True)
            if it.until_s == float("inf")
            for n in ranks
        }
        self._seen: set[tuple[str, int | None]] = set()
        self._sightings = Sightings(evidence)
        self._late_until_s = evidence.healed_s or 0.0

    def findings(self) -> Findings:
        transcripts = [(log.name, room, items) for log in self._evidence.clients for room, items in read(log).items()]
        for name, room, items in transcripts:
            self._seen |= {(room, it.n) for it in items if isinstance(it, Got) and self._is_sighting(name, room, it)}
        self._found.published = sum(1 for one in self._evidence.attempts if one.outcome == "acknowledged")
        for name, room, items in transcripts:
            self._check_client(f"{name} in {room}", room, items)
        for snapshot, ranks in zip(self._evidence.snapshots, self._ranks, strict=True):
            self._check_log(snapshot, ranks)
        self._check_readiness()
        self._check_comings()
        self._check_promptness(transcripts)
        self._check_demands()
        for text, holds in self._evidence.promises:
            if not holds:
                self._break("its own", text)
        self._found.broken = [Broken(it, times, self._examples[it]) for it, times in sorted(self._times.items())]
        return self._found

    def _is_sighting(self, client: str, room: str, got: Got) -> bool:
        """Tell whether an edge that lived to tell others of an event's loss had the event."""
        attempt = self._attempts.get((room, -1 if got.n is None else got.n))
        return attempt is not None and self._sightings.counts(attempt, client, got.at_s)

    def _break(self, promise: str, example: str, times: int = 1) -> None:
        self._times[promise] += times
        self._examples.setdefault(promise, example)

    def _numbers_by_position(self) -> dict[tuple[str, str], int]:
        """Return the event at each position, as far as producers and logs know."""
        numbers: dict[tuple[str, str], int] = {}
        for one in self._evidence.attempts:
            if one.position is not None:
                numbers[one.channel, one.position] = one.n
        for snapshot in self._evidence.snapshots:
            for entry in snapshot.entries:
                n = read_line(entry.line)
                if n is not None:
                    numbers[snapshot.channel, entry.position] = n
        return numbers

    # Clients: P1, P2, P3, P6.

    def _check_client(self, who: str, room: str, items: Sequence[Item]) -> None:
        for part in _subscriptions(items):  # a client that begins anew without a position may be shown events again
            self._check_order(who, room, part)
            self._check_doubles(who, room, part)
        for item in items:
            if isinstance(item, Got):
                self._check_known(who, room, item)
        self._check_losses(who, room, items)

    def _check_doubles(self, who: str, room: str, part: Sequence[Got]) -> None:
        # Copies of a publish across a takeover have one id and two positions: decisions/0059. From one position, never.
        times = Counter((it.n, it.id, it.position if self._is_ambiguous(room, it.n) else None) for it in part)
        for (n, *_), count in times.items():
            if count > 1:
                self._found.doubled += count - 1
                self._break("P2", f"{who}: event {n} came {count} times", count - 1)

    def _is_ambiguous(self, room: str, n: int | None) -> bool:
        """Tell whether the publish of an event was under way while another server became the primary."""
        attempt = self._attempts.get((room, -1 if n is None else n))
        return attempt is not None and any(
            attempt.began_s <= at_s <= attempt.ended_s for at_s in self._evidence.takeovers
        )

    def _check_order(self, who: str, room: str, part: Sequence[Got]) -> None:
        for snapshot in self._evidence.snapshots:
            if snapshot.channel != room:
                continue  # each log for itself: ids of two servers' logs have no common order (decisions/0055)
            places = {entry.position: place for place, entry in enumerate(snapshot.entries)}
            order = [(places[it.position], it.n) for it in part if it.position in places]
            for (one, n), (two, m) in itertools.pairwise(order):
                if two < one:
                    self._break("P1", f"{who}: event {m} came after {n}, and stands before it in the log")

    def _check_known(self, who: str, room: str, got: Got) -> None:
        self._found.delivered += 1
        attempt = self._attempts.get((room, got.n if got.n is not None else -1))
        if attempt is None:
            self._break("P2", f"{who}: nobody published event {got.n}")
        elif attempt.outcome == "refused":  # stored and published, or neither: decisions/0060
            self._break("P4", f"{who}: event {got.n} came, and publish had said that Redis refused it")
        elif attempt.id not in {None, got.id}:
            self._break("P2", f"{who}: event {got.n} has another id than publish returned")
        elif attempt.position not in {None, got.position} and not self._is_ambiguous(room, got.n):
            self._break("P2", f"{who}: event {got.n} came with position {got.position}, stored at {attempt.position}")
        elif got.at_s > attempt.ended_s + LATE_S:
            self._found.repaired += 1

    def _check_losses(self, who: str, room: str, items: Sequence[Item]) -> None:
        """Look for each event owed to the client: received, or reported as missing."""
        joined_s = next((it.at_s for it in items if isinstance(it, Joined)), None)
        if joined_s is None:  # would make every loss below invisible: a client outside is owed no event
            self._break("P3", f"{who}: no edge ever let it in")
            return
        # Reversed, so that the first of several deliveries stands: the later ones are P2's, and were not waited for.
        came = {it.n: it.at_s for it in reversed(items) if isinstance(it, Got)}
        told = self._told_ranges(room, items)
        for attempt in self._evidence.attempts:
            if attempt.channel != room or attempt.began_s <= joined_s or not self._is_owed(attempt):
                continue
            at_s = came.get(attempt.n)
            if at_s is None:
                at_s = next((it.at_s for it in told if it.covers(attempt, self._logs_at(room, it.at_s))), None)
                self._missing(who, attempt, is_told=at_s is not None)
            if at_s is not None and at_s > attempt.ended_s + LATE_S:
                self._late_until_s = max(self._late_until_s, at_s)

    def _is_owed(self, attempt: Attempt) -> bool:
        # A publish with an unknown outcome is owed where a log has the event: stored events are announced.
        return attempt.outcome == "acknowledged" or (attempt.channel, attempt.n) in self._stored

    def _missing(self, who: str, attempt: Attempt, *, is_told: bool) -> None:
        key = (attempt.channel, attempt.n)
        if is_told:  # P3 has two halves: whole, or told; a gap is no loss in silence
            self._found.told += 1
        elif key not in self._lasting and key not in self._seen:  # decisions/0059, decisions/0087
            self._found.with_primary += 1
        else:
            self._found.lost += 1
            self._break("P3", f"{who}: event {attempt.n} is missing, and nobody said so")

    def _logs_at(self, room: str, at_s: float) -> "list[dict[int, int]]":
        """Return the logs of a room within an edge's reach at some time; a dead primary's log is out of reach."""
        pairs = zip(self._evidence.snapshots, self._ranks, strict=True)
        return [ranks for snapshot, ranks in pairs if snapshot.channel == room and at_s <= snapshot.until_s]

    def _told_ranges(self, room: str, items: Sequence[Item]) -> "list[_Range]":
        ranges: list[_Range] = []
        before = -1
        for index, item in enumerate(items):
            match item:
                case Got(n=int(n)):
                    before = n
                case Told(at_s, start, end):
                    after = _next_got(items[index + 1 :])
                    start_n = self._numbers.get((room, start or ""), before)
                    end_n = self._numbers.get((room, end or ""), after)
                    is_open = end_n is not None and end_n <= start_n  # where the log stood: nothing had followed yet
                    ranges.append(_Range(at_s, start_n, None if is_open else end_n, after))
                case Joined(at_s, _, False):  # without a place: any event since the last may be gone
                    ranges.append(_Range(at_s, before, None, _next_got(items[index + 1 :])))
        return ranges

    # Logs: P4.

    def _check_log(self, snapshot: Snapshot, ranks: dict[int, int]) -> None:
        where = f"{snapshot.channel} on {snapshot.server}"
        times = Counter(read_line(entry.line) for entry in snapshot.entries)
        for n, count in times.items():
            if n is None or (snapshot.channel, n) not in self._attempts:
                self._break("P2", f"{where}: holds an event that nobody published")
            elif count > 1:
                self._found.doubled += count - 1
                self._break("P4", f"{where}: event {n} stands in the log {count} times", count - 1)
        for attempt in self._evidence.attempts:
            if attempt.channel == snapshot.channel:
                self._check_stored(where, snapshot, attempt, ranks)
        self._check_sequence(where, snapshot)
        for one, two in itertools.pairwise(snapshot.entries):  # the chain by which clients notice a gap
            if two.previous != one.position:
                self._break("P4", f"{where}: {two.position} names {two.previous} before it, and {one.position} is")

    def _check_stored(self, where: str, snapshot: Snapshot, attempt: Attempt, ranks: dict[int, int]) -> None:
        if attempt.outcome == "refused" and attempt.n in ranks:
            self._break("P4", f"{where}: event {attempt.n} was refused, and is stored")
        # A server answers for the time of its reign only: a new primary may lack what the old one acknowledged.
        due = snapshot.from_s <= attempt.began_s and attempt.ended_s <= snapshot.until_s
        if attempt.outcome == "acknowledged" and due:
            if attempt.n not in ranks:
                self._break("P4", f"{where}: event {attempt.n} was acknowledged, and is not in the log")
            elif snapshot.entries[ranks[attempt.n]].position != attempt.position:
                self._break("P4", f"{where}: event {attempt.n} stands elsewhere than publish returned")

    def _check_sequence(self, where: str, snapshot: Snapshot) -> None:
        """See that the log has publishes that did not overlap in the order of time."""
        # Backwards: the earliest return among all later entries is then one number, and the log is read once.
        earliest_end = float("inf")
        for entry in reversed(snapshot.entries):
            attempt = self._attempts.get((snapshot.channel, read_line(entry.line) or 0))
            if attempt is None or attempt.outcome != "acknowledged":
                continue
            if earliest_end < attempt.began_s:
                self._break("P1", f"{where}: event {attempt.n} stands before one that was there already")
            earliest_end = min(earliest_end, attempt.ended_s)

    # Edges: P7. And what a scenario demands.

    def _check_readiness(self) -> None:
        for away in self._evidence.away:
            for sample in self._evidence.samples:
                if away.from_s <= sample.at_s <= away.until_s and sample.path == "/healthz" and sample.status != 200:
                    self._break("P7", f"{sample.edge}: down while Redis is away ({sample.status})")
                if sample.path != "/readyz":
                    continue  # health stays green while Redis is away: a restart of the edge would mend nothing
                if away.from_s + away.notice_s < sample.at_s <= away.until_s and sample.status == 200:
                    late_s = sample.at_s - away.from_s
                    self._break("P7", f"{sample.edge}: said to be ready {late_s:.2f} s after Redis went away")
            if not self._is_ready_again(away.until_s, away.ready_again_s):
                self._break("P7", f"no edge was ready {away.ready_again_s:g} s after Redis came back")

    def _is_ready_again(self, from_s: float, within_s: float) -> bool:
        later = [it for it in self._evidence.samples if it.path == "/readyz" and it.at_s > from_s]
        edges = {it.edge for it in later}
        ready = {it.edge for it in later if it.status == 200 and it.at_s <= from_s + within_s}
        return bool(edges) and ready == edges  # without any sample nobody looked: silence is no readiness

    def _check_comings(self) -> None:
        demands, found = self._evidence.demands, comings(self._evidence.clients)
        self._found.refused, self._found.returned = len(found.refusals), found.returned
        self._found.returned_per_s, self._found.retries = found.busiest, self._evidence.retries
        self._found.closed = len(found.closes)
        if demands.no_closes and found.closes:
            self._break("staying", f"closed: {found.closes[0]}", len(found.closes))
        if demands.no_refusals and found.refusals:
            self._break("leaving", f"refused: {found.refusals[0]}", len(found.refusals))
        if demands.no_refusals and self._evidence.retries:
            self._break("leaving", "the balancer took an edge for ready that was gone", self._evidence.retries)
        if demands.returns_per_s is not None and found.busiest > demands.returns_per_s:
            self._break("leaving", f"{found.busiest} clients came back within one second")

    def _check_promptness(self, transcripts: Iterable[tuple[str, str, Sequence[Item]]]) -> None:
        """See that a slow client costs others no time: 99 of 100 events come soon."""
        demands = self._evidence.demands
        delays = [
            item.at_s - attempt.ended_s
            for who, room, items in transcripts
            for item in (items if who in demands.prompt else ())
            if isinstance(item, Got) and (attempt := self._attempts.get((room, -1 if item.n is None else item.n)))
        ]
        if not delays:
            return
        # One of a hundred may be late: a run shares its machine, and a promise of the maximum would judge that.
        self._found.prompt_s = max(0.0, sorted(delays)[len(delays) * 99 // 100])
        if self._found.prompt_s > demands.prompt_s:
            self._break("P5", f"one of 100 events took others {self._found.prompt_s:.3f} s and more")

    def _check_demands(self) -> None:
        demands, healed_s = self._evidence.demands, self._evidence.healed_s
        if healed_s is not None:
            self._found.whole_s = max(0.0, self._late_until_s - healed_s)
            if self._found.whole_s > demands.whole_within_s:
                self._break("P6", f"clients were whole again after {self._found.whole_s:.1f} s")
        if demands.all_acknowledged:
            for one in self._evidence.attempts:
                if one.outcome != "acknowledged":
                    self._break("P4", f"publish of event {one.n} on {one.channel} did not return: {one.error}")
        for log in self._evidence.clients if demands.no_gaps or demands.keeps_connections else ():
            for room, items in read(log).items():
                self._check_calm(f"{log.name} in {room}", items)

    def _check_calm(self, who: str, items: Iterable[Item]) -> None:
        demands = self._evidence.demands
        for item in items:
            if demands.no_gaps and (isinstance(item, Told) or (isinstance(item, Joined) and item.recovered is False)):
                self._break("P3", f"{who}: was told that events are missing, and none are")
            is_away = any(it.from_s <= item.at_s <= it.until_s for it in self._evidence.away)
            if demands.keeps_connections and isinstance(item, Closed) and is_away:
                self._break("P7", f"{who}: lost its connection while Redis was away")


@dataclass(frozen=True, slots=True)
class _Range:
    """A gap that was reported to a client: events after ``start``, up to ``end`` (None: up to the moment)."""

    at_s: float
    start: int
    end: int | None
    resumed: int | None
    """The first event after the gap; events behind that one in a log are owed all the same."""

    def covers(self, attempt: Attempt, logs: "Iterable[dict[int, int]]") -> bool:
        if not self.start < attempt.n <= (self.end if self.end is not None else attempt.n):
            return False
        if attempt.began_s > self.at_s:
            return False
        return not any(
            self.resumed in ranks and attempt.n in ranks and ranks[attempt.n] > ranks[self.resumed] for ranks in logs
        )


def _ranks(snapshot: Snapshot) -> dict[int, int]:
    """Return the first place of each event in a log."""
    ranks: dict[int, int] = {}
    for index, entry in enumerate(snapshot.entries):
        n = read_line(entry.line)
        if n is not None:
            ranks.setdefault(n, index)
    return ranks


def _subscriptions(items: Sequence[Item]) -> list[list[Got]]:
    """Cut a client's record where the client began anew: without a position, or from a position unknown to the edge."""
    parts: list[list[Got]] = [[]]
    for item in items:
        if isinstance(item, Joined) and item.recovered is not True:
            parts.append([])
        elif isinstance(item, Got):
            parts[-1].append(item)
    return parts


def _next_got(items: Iterable[Item]) -> int | None:
    return next((it.n for it in items if isinstance(it, Got)), None)
