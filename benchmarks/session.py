"""What all works of a run share: the peers, the cores, the lengths, and where figures go."""

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
    """How long it all takes.

    Attributes:
        rounds: turns of each server at each work.
        seconds: of a turn.
        storms: how often all clients connect.
        shapes: the crowds.
        publishes: how many events are published where Redis' time for them is measured.

    """

    rounds: int
    seconds: float
    storms: int
    shapes: Mapping[str, Shape]
    publishes: int

    def with_(self, rounds: int | None, seconds: float | None) -> "Length":
        """Return the same with other numbers, where they are given."""
        return replace(self, rounds=rounds or self.rounds, seconds=seconds or self.seconds)


@dataclass(frozen=True, slots=True)
class Session:
    """One run."""

    peers: Sequence[Peer]
    cores: Cores
    length: Length
    result: Result


def say(text: str) -> None:
    """Tell whoever waits; standard output is the table's."""
    print(f"  {text}", file=sys.stderr, flush=True)
