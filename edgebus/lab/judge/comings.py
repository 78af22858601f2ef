"""How clients came and went: refusals, and returns within a second. Part of the checker, without the bus."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from edgebus.lab.judge.records import ClientLog

__all__ = ["Comings", "comings"]


@dataclass(frozen=True, slots=True)
class Comings:
    """The connections of a run's clients, counted.

    Attributes:
        refusals: failed attempts to connect, each with the client and the reason.
        returned: connections but a client's first.
        busiest: the most returns within any second.
        closes: connections ended by an edge, each with the client, the code and the reason.

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
    """Return code and reason of each connection that an edge ended after letting the client in."""
    is_open = False
    for mark in log.marks:
        if mark.kind == "closed" and is_open:
            yield mark.text.decode()
        is_open = mark.kind == "opened" or (is_open and mark.kind not in {"left", "closed"})


def _busiest(times: Sequence[float]) -> int:
    """Return the most of ``times``, a sorted list, within any second."""
    most = start = 0  # a window that slides, not seconds of the clock: a rush across a full second counts whole
    for index, at_s in enumerate(times):
        while at_s - times[start] >= 1.0:
            start += 1
        most = max(most, index - start + 1)
    return most
