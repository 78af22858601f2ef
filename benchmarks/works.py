"""Works for a crowd that stays; works of a shape share the crowd."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["FULL_SHAPES", "QUICK_SHAPES", "WORKS", "Shape", "Work"]


@dataclass(frozen=True, slots=True)
class Shape:
    """A crowd: clients, rooms, and rooms of each client."""

    clients: int
    rooms: int
    rooms_each: int = 1


@dataclass(frozen=True, slots=True)
class Work:
    """One row of the table.

    Attributes:
        name: for the command line.
        title: for the table.
        shape: the name of the crowd.
        way: ``burst``: so many events in flight, and the next when all have all; ``pace``: so many events per second.
        amount: events in flight, or per second.
        has_log: false where no server keeps events; peers that always do take no part.

    """

    name: str
    title: str
    shape: str
    way: Literal["burst", "pace"]
    amount: int
    has_log: bool = True

    @property
    def unit(self) -> str:
        """Of the figure: thousands of deliveries per second of the server's processor time, or a latency."""
        return "k/CPU-s" if self.way == "burst" else "p99 ms"


FULL_SHAPES: Final[Mapping[str, Shape]] = {
    "one": Shape(1_000, 1),
    "rooms": Shape(1_000, 1_000),
    "mixed": Shape(1_000, 200, 5),
    "twenty": Shape(1_000, 20),
    "hundreds": Shape(10_000, 100),
}
QUICK_SHAPES: Final[Mapping[str, Shape]] = {**FULL_SHAPES, "hundreds": Shape(2_000, 100)}
WORKS: Final = (
    Work("burst", "burst: 1 room x 1,000, 32 in flight", "one", "burst", 32),
    Work("single", "one at a time: 1 x 1,000", "one", "burst", 1),
    Work("rooms", "1,000 rooms x 1", "rooms", "burst", 32),
    Work("live", "the same on channels without a log", "rooms", "burst", 32, has_log=False),
    Work("hundreds", "100 rooms x 100 (quick: x 20)", "hundreds", "burst", 32),
    Work("mixed", "mixed: 1,000 clients in 5 of 200 rooms", "mixed", "burst", 32),
    Work("latency", "latency: 1 x 1,000 at 50/s", "one", "pace", 50),
    Work("latency20", "latency: 20 x 50 at 2,000/s", "twenty", "pace", 2_000),
)
