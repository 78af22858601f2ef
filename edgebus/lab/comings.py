"""How clients came and went: who was refused, and how many came back at once. Part of the checker, without the bus."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from edgebus.lab.records import ClientLog

__all__ = ["Comings", "comings"]


@dataclass(frozen=True, slots=True)
class Comings:
    """What a run's clients met at the door.

    Attributes:
        refusals: attempts to connect that failed, each with whose it was and why.
        returned: connections that were not a client's first.
        busiest: the most of those within any second.
        closes: connections that the client did not end itself, each with whose it was and what the edge said.

    """

    refusals: tuple[str, ...]
    returned: int
    busiest: int
    closes: tuple[str, ...] = ()


def comings(clients: Iterable[ClientLog]) -> Comings:
    """Count the comings of clients."""
    refusals: list[str] = []
    returns: list[float] = []
    closes: list[str] = []
    for log in clients:
        refusals += [f"{log.name}: {it.text.decode()}" for it in log.marks if it.kind == "refused"]
        returns += [it.at_s for it in log.marks if it.kind == "opened"][1:]
        closes += [f"{log.name}: {text or 'without a word'}" for text in _closes(log)]
    return Comings(tuple(refusals), len(returns), _busiest(sorted(returns)), tuple(closes))


def _closes(log: ClientLog) -> Iterator[str]:
    """Return what was said at the end of each connection that was opened, and that the client did not leave."""
    is_open = False
    for mark in log.marks:
        if mark.kind == "closed" and is_open:
            yield mark.text.decode()
        is_open = mark.kind == "opened" or (is_open and mark.kind not in {"left", "closed"})


def _busiest(times: Sequence[float]) -> int:
    """Return the most of ``times``, which are sorted, within any second."""
    most = start = 0
    for index, at_s in enumerate(times):
        while at_s - times[start] >= 1.0:
            start += 1
        most = max(most, index - start + 1)
    return most
