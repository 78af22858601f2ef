"""The events per second that a server carries into a room of 1,000, sent without waiting for answers (open loop)."""

from contextlib import ExitStack
from typing import Final

from benchmarks.crowds import guarded
from benchmarks.generator import LoadError
from benchmarks.peer import Peer
from benchmarks.results import OURS, Sample
from benchmarks.session import Session, say
from benchmarks.stand import Stand, Turn

__all__ = ["steady", "sustained"]

_FIRST: Final = 10
_MOST: Final = 51_200
_HALVINGS: Final = 3
_P99_MS: Final = 250.0
_DELIVERED: Final = 0.98
_SECONDS: Final = 2.0
_STEADY: Final = 8_000
_STEADY_SECONDS: Final = 5.0


def sustained(session: Session) -> None:
    """Double the rate until the server fails, then search between the last two rates for the highest rate carried."""
    row = session.result.row("sustained", "sustained into 1 x 1,000, p99 under 250 ms", "events/s")
    for peer in session.peers:
        with guarded(session, row.name, peer.name):
            rate, turn = _highest(session, peer)
            row.add(peer.name, Sample.of(turn, rate) if turn else Sample(rate))
            said = f", p99 {turn.answer['p99_ms']:.0f} ms, load core {_load(turn):.0%}" if turn else ""
            say(f"sustained: {peer.name} {rate:,}/s{said}")


def _load(turn: Turn) -> float:
    return float(turn.redis_cpu_s / turn.answer["seconds"])


def _highest(session: Session, peer: Peer) -> tuple[int, Turn | None]:
    """Return the highest rate carried, with the turn; 0 and None where the first rate is too much."""
    good, best, rate = 0, None, _FIRST
    bad: int | None = None
    with ExitStack() as stack:
        stand = _fresh(session, stack, peer)
        for _ in range(_HALVINGS + 12):
            turn = _tried(stand, rate)
            if turn is None:
                stack.close()  # a server that is behind would be behind at the next rate, too
                stand = _fresh(session, stack, peer)
                turn = _tried(stand, rate)  # a pause of the machine is no verdict on the server
            if turn is not None:
                good, best = rate, turn
            else:
                bad = rate
                stack.close()
                stand = _fresh(session, stack, peer)
            if (bad is None and rate >= _MOST) or (bad is not None and bad - good <= good / 2**_HALVINGS):
                break
            if bad is not None and good == 0:
                break
            rate = 2 * rate if bad is None else (good + bad) // 2
    return good, best


def _fresh(session: Session, stack: ExitStack, peer: Peer) -> Stand:
    stand = Stand.start(stack, peer, session.cores)
    stand.fill(session.length.shapes["one"])
    stand.watched("burst", 1.0, 4)  # Node compiles its hot path: at 10 events/s p99 was 490 ms before, 50 ms after
    return stand


def _tried(stand: Stand, rate: int, seconds: float = _SECONDS) -> Turn | None:
    """Return the turn if the server carried the rate."""
    try:
        turn = stand.watched("pace", seconds, rate)
    except LoadError:
        return None
    answer = turn.answer
    if answer["doubled"] or answer["out_of_order"] or answer["foreign"] or answer["bad_frames"]:
        turn.check()
    is_carried = answer["received"] >= _DELIVERED * answer["expected"] and answer["p99_ms"] <= _P99_MS
    return turn if is_carried and not answer["closed"] else None


def steady(session: Session) -> None:
    """Count how often our edge carries a high rate, and note the latency."""
    rounds = session.length.rounds
    row = session.result.row("steady", f"ours at {_STEADY:,}/s into 1 x 1,000", "p99 ms", is_more_better=False)
    for peer in (it for it in session.peers if it.name == OURS):
        for _ in range(rounds):
            with guarded(session, row.name, peer.name), ExitStack() as stack:
                turn = _tried(_fresh(session, stack, peer), _STEADY, _STEADY_SECONDS)
                if turn is not None:
                    row.add(peer.name, Sample.of(turn, turn.answer["p99_ms"]))
        carried = len(row.samples.get(peer.name, ()))
        say(f"steady: {carried} of {rounds} runs at {_STEADY:,}/s were carried")
        if carried < rounds:
            row.refused.setdefault(peer.name, f"carried {_STEADY:,}/s in {carried} of {rounds} runs")
