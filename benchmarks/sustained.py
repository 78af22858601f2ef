"""The events per second that a server carries into a room of 1,000, sent without waiting for answers (open loop)."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final

from benchmarks.crowds import guarded
from benchmarks.generator import LoadError
from benchmarks.peer import Peer
from benchmarks.results import OURS, Sample
from benchmarks.session import Session, say
from benchmarks.stand import Stand, Turn

__all__ = ["first_rate", "highest", "is_carried", "steady", "sustained"]

_LEAST: Final = 10
_MOST: Final = 51_200
_HALVINGS: Final = 3
_P99_MS: Final = 250.0
_DELIVERED: Final = 0.98
_SECONDS: Final = 2.0
_DRAIN_S: Final = 1.0
"""After the last publish of a rate; what comes later is far later than the bound of p99."""
_SEARCH_S: Final = 50.0
"""For one server: a search that is not done then ends with what was carried so far, and says so."""
_FOREIGN: Final = 0.05
_WARM_UP_S: Final = 1.0
_STEADY: Final = 8_000
_STEADY_SECONDS: Final = 5.0


def sustained(session: Session) -> None:
    """Search the highest rate that each server carries."""
    row = session.result.row("sustained", "sustained into 1 x 1,000, p99 under 250 ms", "events/s")
    busy = []
    for peer in session.peers:
        with guarded(session, row.name, peer.name), ExitStack() as stack:
            trial = Trial(session, stack, peer)
            rate, turn, is_done = highest(trial.carried, first_rate(trial.closed_loop), _SEARCH_S)
            row.add(peer.name, Sample.of(turn, rate) if turn else Sample(rate))
            if not is_done:
                row.notes.append(f"the search for {peer.name} was ended after {_SEARCH_S:g} s")
            if turn:
                busy.append(f"{peer.name} {_busy(turn)}")
            said = f", p99 {turn.answer['p99_ms']:.0f} ms, busy {_busy(turn)}" if turn else ""
            say(f"sustained: {peer.name} {rate:,}/s{said}")
    if busy:
        row.notes.append(f"busy at that rate, server's core and core of load and Redis: {', '.join(busy)}")


def _busy(turn: Turn) -> str:
    """Return the shares of server and load, each in the own core, and what others had of the cores."""
    seconds = turn.answer["seconds"]
    shares = f"{turn.cpu_s / seconds:.0%} and {(turn.load_cpu_s + turn.redis_cpu_s) / seconds:.0%}"
    others = f" (others {turn.foreign:.0%} and {turn.load_foreign:.0%})"
    return shares + others * (max(turn.foreign, turn.load_foreign) > _FOREIGN)


def first_rate(closed_loop: float) -> int:
    """Return a rate that a server probably carries: at most half of its events per second in a closed loop."""
    rate = _LEAST
    while 4 * rate <= closed_loop and 2 * rate <= _MOST:
        rate *= 2
    return rate


def highest(carried: Callable[[int], Any], first: int, seconds: float) -> tuple[int, Any, bool]:
    """Double the rate until one is not carried, then search between the last two.

    A first rate that is too much is halved.

    Returns:
        The highest rate carried (0: none was), what ``carried`` returned for that rate, and whether the search came to
        its end within ``seconds``.

    """
    give_up = time.monotonic() + seconds
    good, best, bad, rate = 0, None, _MOST + 1, first
    while rate and bad - good > max(1, good // 2**_HALVINGS):
        if time.monotonic() > give_up:
            return good, best, False
        found = carried(rate)
        if found is None:
            bad = rate
        else:
            good, best = rate, found
        rate = _next(good, bad)
    return good, best, True


def _next(good: int, bad: int) -> int:
    if bad > _MOST:
        return min(2 * good, _MOST)
    return (good + bad) // 2 if good else bad // 2 if bad > _LEAST else 0


class Trial:
    """A server with a crowd, made anew after a rate that was too much: what is behind would be behind at the next rate.

    Args:
        session: the run.
        stack: ends the server.
        peer: the server's.

    Attributes:
        closed_loop: events per second with four in flight.

    """

    def __init__(self, session: Session, stack: ExitStack, peer: Peer) -> None:
        self._session, self._peer = session, peer
        self._stack = stack.enter_context(ExitStack())
        self._stand: Stand | None = None
        self.closed_loop = 0.0
        self._ready()

    def _ready(self) -> Stand:
        if self._stand is None:
            self._stand = Stand.start(self._stack, self._peer, self._session.cores)
            self._stand.fill(self._session.length.shapes["one"])
            # Node compiles its hot path: at 10 events/s p99 was 490 ms before, 50 ms after.
            answer = self._stand.watched("burst", _WARM_UP_S, 4).answer
            self.closed_loop = answer["events"] / answer["seconds"]
        return self._stand

    def _end(self) -> None:
        self._stand = None
        self._stack.close()

    def carried(self, rate: int) -> Turn | None:
        """Return the turn if the server carried the rate, at the second try if the first was near."""
        for _ in range(2):
            turn = self._tried(rate)
            if turn is not None and is_carried(turn):
                return turn
            self._end()
            if turn is None or turn.answer["received"] < turn.answer["expected"] / 2:
                break  # no pause of the machine explains this
        return None

    def _tried(self, rate: int) -> Turn | None:
        try:
            turn = self._paced(rate, _SECONDS)
        except LoadError as error:
            say(f"{self._peer.name} at {rate}/s: {error}")
            return None
        return checked(turn)

    def run(self, rate: int, seconds: float) -> Turn:
        """Let events come at the rate.

        Raises:
            LoadError: an event came twice, out of order, or into another room; or the generator gave up.

        """
        return checked(self._paced(rate, seconds))

    def _paced(self, rate: int, seconds: float) -> Turn:
        return self._ready().watched("pace", seconds, rate, _DRAIN_S)


def checked(turn: Turn) -> Turn:
    """Return the turn unless an event came wrongly; what is late is no fault here."""
    if any(turn.answer[it] for it in ("doubled", "out_of_order", "foreign", "bad_frames")):
        turn.check()
    return turn


def is_carried(turn: Turn) -> bool:
    """Tell whether 98 % arrived, with p99 under 250 ms, and no client was closed."""
    answer = turn.answer
    is_there = answer["received"] >= _DELIVERED * answer["expected"] and not answer["closed"]
    return bool(is_there and answer["p99_ms"] <= _P99_MS)


def steady(session: Session) -> None:
    """Count how often our edge carries a high rate, and note the latency."""
    rounds = session.length.rounds
    row = session.result.row("steady", f"ours at {_STEADY:,}/s into 1 x 1,000", "p99 ms", is_more_better=False)
    for peer in (it for it in session.peers if it.name == OURS):
        for number in range(rounds):
            with guarded(session, row.name, peer.name), ExitStack() as stack:
                turn = Trial(session, stack, peer).run(_STEADY, _STEADY_SECONDS)
                say(f"steady: {_said(turn)}")
                row.notes.append(f"run {number + 1}: {_said(turn)}")
                if is_carried(turn):
                    row.add(peer.name, Sample.of(turn, turn.answer["p99_ms"]))
        carried = len(row.samples.get(peer.name, ()))
        if carried < rounds:
            row.refused.setdefault(peer.name, f"carried {_STEADY:,}/s in {carried} of {rounds} runs")


def _said(turn: Turn) -> str:
    answer = turn.answer
    share = answer["received"] / answer["expected"]
    times = ", ".join(f"{name} {answer[f'{name}_ms']:.0f}" for name in ("p50", "p99", "max"))
    return f"{share:.1%} came, {times} ms, busy {_busy(turn)}"
