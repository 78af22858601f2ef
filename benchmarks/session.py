"""A run: peers, cores, lengths, and the result that all works write into."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from benchmarks.machine import Cores
from benchmarks.peer import Peer
from benchmarks.results import Result
from benchmarks.works import Shape

__all__ = ["Length", "Session", "say"]


@dataclass(frozen=True, slots=True)
class Length:
    """The length of a run.

    Attributes:
        rounds: turns of each server at each work.
        seconds: of a turn.
        storms: how often all clients connect.
        shapes: the crowds.
        publishes: how many events are published for a figure of Redis' time.

    """

    rounds: int
    seconds: float
    storms: int
    shapes: Mapping[str, Shape]
    publishes: int

    def with_(self, rounds: int | None, seconds: float | None) -> "Length":
        """Return the same length with other numbers, where given."""
        return replace(self, rounds=rounds or self.rounds, seconds=seconds or self.seconds)


@dataclass(frozen=True, slots=True)
class Session:
    """One run."""

    peers: Sequence[Peer]
    cores: Cores
    length: Length
    result: Result


def say(text: str) -> None:
    """Tell the waiting user; standard output is for the table."""
    print(f"  {text}", file=sys.stderr, flush=True)
