"""Clients that come back, and get what they have missed, from the peers that keep it for them."""

from contextlib import ExitStack
from statistics import median
from typing import Final

from redis import Redis

from benchmarks.crowds import guarded
from benchmarks.results import Sample
from benchmarks.session import Session
from benchmarks.stand import Stand, Turn
from benchmarks.works import Shape

__all__ = ["comeback"]

_SHAPE: Final = Shape(5_000, 50)
_MISSED: Final = 100


def comeback(session: Session) -> None:
    """Let 5,000 clients resume 100 events each; the price of plain connects is taken off."""
    title = f"comeback: {_SHAPE.clients:,} clients resume {_MISSED} events each"
    row = session.result.row("comeback", title, "k/CPU-s")
    for peer in session.peers:
        with guarded(session, row.name, peer.name), ExitStack() as stack:
            stand = Stand.start(stack, peer, session.cores)
            if not stand.running.wire.resume:
                continue
            stand.fill(_SHAPE)
            stand.generator.do("burst", 0.1, _SHAPE.rooms)
            turns = [(stand.come_again(), _resumed(stand)) for _ in range(session.length.storms)]
            # The median of all connects: one that was disturbed alone would leave less than nothing for the replay.
            connects_s = median(plain.cpu_s for plain, _ in turns)
            for _, turn in turns:
                row.add(peer.name, Sample.of(turn, turn.answer["received"] / (turn.cpu_s - connects_s) / 1000))


def _resumed(stand: Stand) -> Turn:
    """Let all clients go, publish, and let all resume at the positions of before."""
    assert stand.running.end_of is not None, f"{stand.peer.name} says no positions"
    with Redis(port=stand.redis.port, protocol=2, decode_responses=True) as redis:
        for number in range(_SHAPE.rooms):
            stand.generator.do("since", number, stand.running.end_of(redis, f"{number:06}"))
    stand.generator.do("close")
    stand.settle()
    stand.generator.do("publish", _MISSED * _SHAPE.rooms)
    stand.settle()
    turn = stand.resume()
    turn.check()
    return turn
