"""The checker on recorded logs: each kind of damage is found, and an undamaged record is not."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from edgebus.lab.judge.checker import check
from edgebus.lab.judge.records import (
    Attempt,
    Away,
    ClientLog,
    Demands,
    EdgeEnd,
    Evidence,
    Mark,
    Sample,
    Snapshot,
    Stored,
)

ROOM = "lab:one"
EVENTS = 10


def position(n: int) -> str:
    return f"{1_000 + n}-7" if n >= 0 else "0-0"


def attempt(n: int) -> Attempt:
    return Attempt(ROOM, n, 10.0 + n, 10.1 + n, "acknowledged", f"id-{n}", position(n))


def frame(n: int, *, at_s: float | None = None, place: str | None = None) -> Mark:
    text = {
        "position": place or position(n),
        "previous": position(n - 1),
        "id": f"id-{n}",
        "type": "event",
        "event": "lab.event",
        "data": {"n": n},
        "room": ROOM,
    }
    return Mark(10.15 + n if at_s is None else at_s, "frame", json.dumps(text).encode())


def joined(at_s: float = 1.0, **data: object) -> Mark:
    text = {"type": "response", "event": "subscribe", "data": {"status": "subscribed", "channel": ROOM, **data}}
    return Mark(at_s, "frame", json.dumps(text).encode())


def gap(start: int, end: int, at_s: float) -> Mark:
    data = {"from": position(start), "to": position(end), "reason": "trimmed"}
    text = {"type": "event", "event": "room.gap", "room": ROOM, "data": data}
    return Mark(at_s, "frame", json.dumps(text).encode())


def stored(n: int) -> Stored:
    return Stored(position(n), position(n - 1), f"id-{n}", json.dumps({"data": {"n": n}}).encode())


def evidence(marks: list[Mark] | None = None, **changes: object) -> Evidence:
    seen = [joined(), *(frame(n) for n in range(EVENTS))] if marks is None else marks
    whole = Evidence(
        tuple(attempt(n) for n in range(EVENTS)),
        (ClientLog("client", seen), ClientLog("other", [joined(), *(frame(n) for n in range(EVENTS))])),
        (Snapshot("redis", ROOM, tuple(stored(n) for n in range(EVENTS)), 0.0, 1e9),),
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


def promises(record: Evidence) -> list[str]:
    return [broken.promise for broken in check(record).broken]


def frames_but(change: Callable[[list[Mark]], object]) -> list[Mark]:
    marks = [frame(n) for n in range(EVENTS)]
    change(marks)
    return [joined(), *marks]


def test_undamaged_record_keeps_every_promise() -> None:
    """What was published came once, in order, and stands in the log: nothing is broken."""
    found = check(evidence())
    assert found.broken == []
    assert (found.published, found.delivered, found.lost, found.doubled) == (10, 20, 0, 0)


def test_removed_event_is_a_loss_in_silence() -> None:
    """An event that did not come and that nobody spoke of breaks P3."""
    found = check(evidence(frames_but(lambda marks: marks.pop(4))))
    assert [(it.promise, it.times) for it in found.broken] == [("P3", 1)]
    assert found.lost == 1
    assert "event 4" in found.broken[0].example


def test_client_that_no_edge_let_in_is_found() -> None:
    """Who asked for a room and never got an answer has lost everything in silence."""
    asked = Mark(1.0, "sent", json.dumps({"event": "subscribe", "data": {"channel": ROOM}}).encode())
    assert promises(evidence([asked])) == ["P3"]


def test_last_event_removed_is_a_loss_too() -> None:
    """Nothing after it shows that the last event is missing; the producer's log does."""
    assert promises(evidence(frames_but(lambda marks: marks.pop()))) == ["P3"]


def test_doubled_event_is_found() -> None:
    """An event that comes twice to one subscription breaks P2, and P1 when others came between."""
    assert promises(evidence(frames_but(lambda marks: marks.insert(5, frame(4))))) == ["P2"]
    assert promises(evidence(frames_but(lambda marks: marks.append(frame(4, at_s=30.0))))) == ["P1", "P2"]


def test_event_replayed_after_the_client_was_told_is_no_double() -> None:
    """``recovered:false`` is followed by what there is, whether the client had it or not."""
    again = [joined(25.0, recovered=False, reason="unknown"), frame(8, at_s=25.1), frame(9, at_s=25.2)]
    assert promises(evidence(frames_but(lambda marks: marks.extend(again)))) == []


def test_event_replayed_after_a_recovery_is_a_double() -> None:
    """``recovered:true`` goes on where the client stood."""
    again = [joined(25.0, recovered=True), frame(9, at_s=25.2)]
    assert promises(evidence(frames_but(lambda marks: marks.extend(again)))) == ["P2"]


def test_swapped_events_are_found() -> None:
    """Two events in another order than in the log break P1."""
    marks = frames_but(lambda marks: marks.insert(3, marks.pop(4)))
    assert promises(evidence(marks)) == ["P1"]


def test_invented_event_is_found() -> None:
    """An event that nobody published breaks P2, and so does one with the id or position of another."""
    assert promises(evidence(frames_but(lambda marks: marks.append(frame(77, at_s=30.0))))) == ["P2"]
    assert promises(evidence(frames_but(lambda marks: marks.insert(0, replace_at(marks, 0))))) == ["P2"]


def replace_at(marks: list[Mark], index: int) -> Mark:
    del marks[index]
    return frame(index, place="9999-9")


def test_told_gap_covers_what_it_names_and_nothing_else() -> None:
    """Events in the range of a ``room.gap`` count as told; one outside of it is lost."""
    kept = [frame(n) for n in range(EVENTS) if n not in {3, 4}]
    found = check(evidence([joined(), *kept[:3], gap(2, 5, 15.0), *kept[3:]]))
    assert (found.told, found.lost, found.broken) == (2, 0, [])
    kept = [frame(n) for n in range(EVENTS) if n not in {3, 7}]
    found = check(evidence([joined(), *kept[:3], gap(2, 4, 14.0), *kept[3:]]))
    assert (found.told, found.lost) == (1, 1)


def test_gap_up_to_where_the_log_stood_covers_what_was_published_until_then() -> None:
    """A log that had nothing after a client's place ends the range there: what was lost behind it is told."""
    seen = [joined(), *(frame(n) for n in range(5)), gap(4, 4, 17.0), *(frame(n) for n in range(7, EVENTS))]
    found = check(evidence(seen))
    assert (found.told, found.lost) == (2, 0)
    seen[6] = gap(4, 4, 15.0)
    assert check(evidence(seen)).lost == 1, "event 6 was published after that was said"


def test_recovered_false_covers_what_came_before_it_and_is_gone() -> None:
    """What the log still holds behind the first replayed event is owed even then."""
    resumed = [joined(25.0, recovered=False, reason="limit"), frame(6, at_s=25.1), frame(8, at_s=25.2)]
    found = check(evidence([joined(), *(frame(n) for n in range(3)), *resumed, frame(9, at_s=25.3)]))
    assert (found.told, found.lost) == (3, 1)
    assert "event 7" in found.broken[0].example


def test_event_that_only_its_producer_knows_is_the_stated_limit() -> None:
    """Neither a log nor a client has it: that is counted, and breaks no promise to clients."""
    logs = (Snapshot("redis", ROOM, tuple(stored(n) for n in range(EVENTS - 1)), 1e9, 1e9),)
    clients = (ClientLog("client", [joined(), *(frame(n) for n in range(EVENTS - 1))]),)
    found = check(evidence(snapshots=logs, clients=clients))
    assert (found.with_primary, found.lost, found.broken) == (1, 0, [])


def test_event_that_only_a_dead_primary_had_is_the_stated_limit() -> None:
    """A primary took the event and died before anybody heard: its producer alone knows. What lasts counts."""
    clients = (ClientLog("client", [joined(), *(frame(n) for n in range(EVENTS - 1))]),)
    for until_s, found in ((25.0, (1, 0)), (float("inf"), (0, 1))):
        log = Snapshot("primary", ROOM, tuple(stored(n) for n in range(EVENTS)), 0.0, until_s)
        findings = check(evidence(snapshots=(log,), clients=clients))
        assert (findings.with_primary, findings.lost) == found


@pytest.mark.parametrize(
    ("ends", "ready_s", "is_owed"),
    [
        pytest.param((), (), True, id="alive"),
        pytest.param((EdgeEnd(15.5, "edge 1", is_killed=True),), (), False, id="killed before it had compared"),
        pytest.param((EdgeEnd(14.5, "edge 1", is_killed=True),), (), False, id="killed before the takeover"),
        pytest.param((EdgeEnd(18.0, "edge 1", is_killed=True),), (17.0,), True, id="killed when it had compared"),
        pytest.param((EdgeEnd(18.0, "edge 1", is_killed=True),), (15.0, 19.0), False, id="ready at the old primary"),
        pytest.param((EdgeEnd(15.5, "edge 1", is_killed=False),), (), True, id="sent away after the takeover"),
        pytest.param((EdgeEnd(14.5, "edge 1", is_killed=False),), (), False, id="sent away before it"),
        pytest.param((EdgeEnd(15.5, "edge 2", is_killed=True),), (), True, id="another edge"),
        pytest.param((EdgeEnd(14.0, "edge 1", is_killed=True),), (), True, id="its process before"),
    ],
)
def test_event_that_only_a_dead_edge_had_is_a_limit_too(
    ends: tuple[EdgeEnd, ...], ready_s: tuple[float, ...], is_owed: bool
) -> None:
    """The primary took event 4 with itself at 14.9, and one edge alone had sent it on: who can tell the others?"""
    lacks = frames_but(lambda marks: marks.pop(4))
    saw = [Mark(0.5, "opened", b"edge 1"), joined(), *(frame(n) for n in range(EVENTS))]
    entries = [stored(n) for n in range(EVENTS) if n != 4]
    entries[4] = replace(entries[4], previous=position(3))
    record = evidence(
        clients=(ClientLog("client", lacks), ClientLog("other", saw)),
        snapshots=(Snapshot("redis", ROOM, tuple(entries), 14.9, float("inf")),),
        samples=tuple(Sample(at_s, "edge 1", "/readyz", 200) for at_s in ready_s),
        takeovers=(14.9,),
        ends=ends,
    )
    assert promises(record) == (["P3"] if is_owed else [])
    assert check(record).with_primary == (not is_owed)


def test_repeat_over_a_takeover_may_come_twice_with_one_id() -> None:
    """Both primaries may have stored what was under way between them; without a takeover it is a double."""
    again = frame(4, at_s=30.0, place="9-9")
    marks = frames_but(lambda marks: marks.append(again))
    assert "P2" in promises(evidence(marks))
    assert promises(evidence(marks, takeovers=(14.05,))) == []


@pytest.mark.parametrize(
    ("entries", "promise"),
    [
        ([0, 1, 2, 3, 5, 6, 7, 8, 9], "acknowledged, and is not in the log"),
        ([0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 9], "stands in the log 2 times"),
        ([0, 1, 3, 2, 4, 5, 6, 7, 8, 9], "names"),
    ],
)
def test_damaged_log_is_found(entries: list[int], promise: str) -> None:
    """An acknowledged event stands in its log once, and every entry names the one before it."""
    broken = check(evidence(snapshots=(Snapshot("redis", ROOM, tuple(map(stored, entries)), 0.0, 1e9),))).broken
    assert any(promise in it.example for it in broken if it.promise == "P4")


def test_refused_event_that_came_is_found() -> None:
    """What publish said Redis refused is stored and delivered nowhere."""
    attempts = tuple(replace(attempt(n), outcome="refused" if n == 4 else "acknowledged") for n in range(EVENTS))
    assert promises(evidence(attempts=attempts)) == ["P4"]


def test_unknown_outcome_that_stands_in_the_log_is_owed() -> None:
    """An event whose publish failed may be there; if it is, clients get it like any other."""
    attempts = tuple(replace(attempt(n), outcome="unknown" if n == 4 else "acknowledged") for n in range(EVENTS))
    assert promises(evidence(attempts=attempts)) == []
    assert promises(evidence(frames_but(lambda marks: marks.pop(4)), attempts=attempts)) == ["P3"]


def test_late_clients_break_the_time_of_p6() -> None:
    """Clients are whole within the time that the scenario demands."""
    marks = [joined(), *(frame(n, at_s=max(10.15 + n, 18.0)) for n in range(EVENTS))]
    found = check(evidence(marks, healed_s=12.0, demands=Demands(whole_within_s=5.0)))
    assert found.whole_s == pytest.approx(6.0)
    assert [it.promise for it in found.broken] == ["P6"]


@pytest.mark.parametrize(
    ("samples", "example"),
    [
        ([(2.0, "/readyz", 503), (3.0, "/readyz", 503), (4.5, "/readyz", 200)], ""),
        ([(2.0, "/readyz", 200), (3.0, "/readyz", 200), (4.5, "/readyz", 200)], "said to be ready"),
        ([(2.0, "/readyz", 503), (3.0, "/healthz", 0), (4.5, "/readyz", 200)], "down while"),
        ([(2.0, "/readyz", 503), (3.0, "/readyz", 503), (9.5, "/readyz", 200)], "no edge was ready"),
    ],
)
def test_readiness_is_judged(samples: list[tuple[float, str, int]], example: str) -> None:
    """While Redis is away an edge is up and not ready, and soon after it is ready again."""
    taken = tuple(Sample(at_s, "edge", path, status) for at_s, path, status in samples)
    away = (Away(1.0, 4.0, notice_s=1.5, ready_again_s=2.0),)
    broken = check(evidence(samples=taken, away=away)).broken
    assert [it.promise for it in broken] == (["P7"] if example else [])
    assert all(example in it.example for it in broken)


def test_demands_of_a_scenario_are_judged() -> None:
    """Where nothing was lost nobody may be told so; where publish must return it must; where clients stay they stay."""
    told = frames_but(lambda marks: marks.append(gap(4, 4, 30.0)))
    assert promises(evidence(told, demands=Demands(no_gaps=True))) == ["P3"]
    failed = tuple(replace(attempt(n), outcome="unknown") if n == 9 else attempt(n) for n in range(EVENTS))
    assert promises(evidence(attempts=failed, demands=Demands(all_acknowledged=True))) == ["P4"]
    left = frames_but(lambda marks: marks.append(Mark(30.0, "closed")))
    away = (Away(29.0, 31.0, 5.0, 5.0),)
    ready = (Sample(32.0, "edge", "/readyz", 200),)
    stays = evidence(left, away=away, samples=ready, demands=Demands(keeps_connections=True))
    assert promises(stays) == ["P7"]


@pytest.mark.parametrize(
    ("delay_s", "names", "found"), [(0.5, {"other"}, []), (2.0, {"other"}, ["P5"]), (2.0, {"client"}, [])]
)
def test_delay_of_others_is_found(delay_s: float, names: set[str], found: list[str]) -> None:
    """Events that come late to a client that nobody may delay break P5; to the slow one itself they may."""
    late = ClientLog("other", [joined(), *(frame(n, at_s=10.1 + n + delay_s) for n in range(EVENTS))])
    record = evidence(demands=Demands(prompt=frozenset(names), prompt_s=1.0))
    assert promises(replace(record, clients=(record.clients[0], late))) == found


@pytest.mark.parametrize(("before", "found"), [([], ["staying"]), ([Mark(29.0, "left")], [])])
def test_connection_that_an_edge_ends_is_found(before: list[Mark], found: list[str]) -> None:
    """Where no edge may end a connection, one that ended breaks that, unless the client left by itself."""
    marks = [
        Mark(0.5, "opened"),
        joined(),
        *(frame(n) for n in range(EVENTS)),
        *before,
        Mark(30.0, "closed", b"3008 slow"),
    ]
    record = evidence(marks, demands=Demands(no_closes=True))
    assert promises(record) == found
    assert check(record).closed == len(found)
    assert promises(replace(record, demands=Demands())) == []
