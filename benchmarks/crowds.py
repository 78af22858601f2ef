"""Works with a crowd that stays: all servers of a shape are up at once, and take turns."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

from benchmarks.generator import LoadError
from benchmarks.peers.ours.peer import Ours
from benchmarks.results import Sample
from benchmarks.session import Session, say
from benchmarks.stand import Stand, Turn
from benchmarks.works import Work

__all__ = ["STORM_SHAPE", "crowds", "guarded", "until"]

STORM_SHAPE: Final = "hundreds"
_ALWAYS_LOG = ("centrifugo-history", "nchan")
_STORMS_S = 20.0
_LATE_S = 2.0
"""After the last publish at a rate: a server that has not delivered then does not carry the rate."""


def until(work: Callable[[Session], None], session: Session) -> None:
    """Do a work; an error of the load ends the work, and not the run."""
    try:
        work(session)
    except LoadError as error:
        say(f"{work.__name__}: {error}")


@contextmanager
def guarded(session: Session, row: str, peer: str) -> Iterator[None]:
    """Note the failure of one peer at one work, and go on with the others."""
    try:
        yield
    except (LoadError, TimeoutError, OSError) as error:
        session.result.rows[row].refused[peer] = str(error)
        say(f"{peer} at {row}: {error}")


def crowds(session: Session, works: Sequence[Work], *, storms: bool) -> None:
    """Do the works, shape by shape."""
    for work in works:
        session.result.row(work.name, work.title, work.unit, is_more_better=work.way == "burst")
    if storms:
        clients = session.length.shapes[STORM_SHAPE].clients
        session.result.row("connect", f"connect + subscribe, {clients:,} clients", "us of CPU", is_more_better=False)
        session.result.row("memory", "memory per idle subscribed client", "KB", is_more_better=False)
    shapes = dict.fromkeys(it.shape for it in works)
    for shape in shapes if not storms else dict.fromkeys([*shapes, STORM_SHAPE]):
        with ExitStack() as stack:
            is_storm = storms and shape == STORM_SHAPE
            own = [it for it in works if it.shape == shape]
            rows = [it.name for it in own] + (["connect", "memory"] if is_storm else [])
            with session.result.timed(f"crowd of {shape}"):
                stands = _filled(session, stack, shape, rows, is_storm=is_storm)
            for work in own:
                with session.result.timed(work.name), ExitStack() as more:
                    _take_turns(session, stands if work.has_log else _without_log(session, more, stands), work)


def _filled(session: Session, stack: ExitStack, shape: str, rows: Sequence[str], *, is_storm: bool) -> list[Stand]:
    """Start all servers with crowds; a server that fails has failed in all ``rows`` of the shape."""
    stands = []
    for peer in session.peers:
        try:
            with ExitStack() as own:
                stand = Stand.start(own, peer, session.cores)
                if is_storm:
                    stand.settle()  # what a server loads once it listens is no price of a client
                stand.fill(session.length.shapes[shape])
                if is_storm:
                    _storm(session, stand)
                stack.push(own.pop_all())
        except (LoadError, TimeoutError, OSError) as error:
            say(f"{peer.name} with the crowd of {shape}: {error}")
            for row in rows:
                session.result.rows[row].refused[peer.name] = str(error)
            continue
        clients = session.length.shapes[shape].clients
        say(
            f"{shape}: {peer.name} has {clients:,} clients, {stand.connect_cpu_s / clients * 1e6:.0f} us and "
            f"{stand.memory_kb / clients:.1f} KB each"
        )
        stands.append(stand)
    return stands


def _without_log(session: Session, stack: ExitStack, stands: Sequence[Stand]) -> list[Stand]:
    """Return the servers that keep no events, ours with a crowd in live channels."""
    found = [it for it in stands if not isinstance(it.peer, Ours) and it.peer.name not in _ALWAYS_LOG]
    for peer in [it.peer for it in stands if isinstance(it.peer, Ours)]:
        with guarded(session, "live", peer.name), ExitStack() as own:
            other = Stand.start(own, peer.without_log(), session.cores)
            other.fill(session.length.shapes["rooms"])
            found.append(other)
            stack.push(own.pop_all())
    return found


def _storm(session: Session, stand: Stand) -> None:
    """Note the price of the first connects, and let all clients go and come again."""
    clients = session.length.shapes[STORM_SHAPE].clients
    rows = session.result.rows
    rows["memory"].add(stand.peer.name, Sample(stand.memory_kb / clients))
    rows["connect"].add(stand.peer.name, Sample(stand.connect_cpu_s / clients * 1e6, 0, stand.connects))
    give_up = time.monotonic() + _STORMS_S
    for _ in range(session.length.storms - 1):
        if stand.connects["seconds"] > _STORMS_S / 2 or time.monotonic() > give_up:
            return  # 10,000 clients take python-socketio 35 s
        turn = stand.come_again()
        rows["connect"].add(stand.peer.name, Sample.of(turn, turn.cpu_s / clients * 1e6))


def _take_turns(session: Session, stands: Sequence[Stand], work: Work) -> None:
    row, length = session.result.rows[work.name], session.length
    say(f"{work.title}, {length.rounds} rounds")
    for number in range(length.rounds + 1):
        for stand in stands:
            if stand.peer.name in row.refused:
                continue
            with guarded(session, work.name, stand.peer.name):
                turn = _turn(stand, work, length.seconds if number else length.seconds / 2)
                if number:  # the first warms up
                    row.add(stand.peer.name, Sample.of(turn, _value(work, turn)))


def _turn(stand: Stand, work: Work, seconds: float) -> Turn:
    if work.way == "burst":
        turn = stand.watched("burst", seconds, work.amount)
    else:
        turn = stand.watched("pace", seconds, work.amount, _LATE_S)
        if late := turn.answer["lost"]:
            expected = turn.answer["expected"]
            raise LoadError(f"{late} of {expected} deliveries had not come {_LATE_S:g} s after the last publish")
    turn.check()
    return turn


def _value(work: Work, turn: Turn) -> float:
    return turn.per_cpu_s / 1000 if work.way == "burst" else float(turn.answer["p99_ms"])
