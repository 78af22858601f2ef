"""Ports for the servers of tests: of each worker of pytest its own, so that two of them never take the same."""

import itertools
import os
import random
import socket
from collections.abc import Iterable, Sequence
from typing import Final

__all__ = ["DEMO", "free_port", "free_ports", "free_shift", "is_free"]

_BELOW_EPHEMERAL: Final = range(10_000, 20_000)
"""Ports that no kernel hands out by itself, so none of them is gone between looking and listening."""
DEMO: Final = (6390, 8690, 8692, 8686, 8765, 8693, 3042, 8684, 8600)
"""The ports of the demo: the broker's, those of the services, and the page's."""
_SHIFTS: Final = range(17_000, 20_000)
"""They keep every port of the demo above ours, and below those that a kernel hands out by itself."""


def free_port() -> int:
    """Return a port on which nobody listens, and which no other worker is given."""
    return next(filter(is_free, _shuffled(_own(_BELOW_EPHEMERAL))))


def free_ports(count: int) -> list[int]:
    """Return so many of those ports, each another: where some are bound only later, two looks may find the same one."""
    return list(itertools.islice(filter(is_free, _shuffled(_own(_BELOW_EPHEMERAL))), count))


def free_shift() -> int:
    """Return a shift with which every port of the demo is free."""
    return next(shift for shift in _shuffled(_own(_apart())) if all(is_free(port + shift) for port in DEMO))


def is_free(port: int) -> bool:
    """Tell whether a server can have ``port`` on 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _apart() -> list[int]:
    """Return shifts of which no two have a port in common: with most others, one service's is another's."""
    taken, apart = set[int](), list[int]()
    for shift in _SHIFTS:
        ports = {port + shift for port in DEMO}
        if taken.isdisjoint(ports):
            taken |= ports
            apart.append(shift)
    return apart


def _own(ports: Sequence[int]) -> Sequence[int]:
    """Return the part of ``ports`` that is this worker's (pytest-xdist tells a worker its number: "gw1")."""
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    return ports[number::count]


def _shuffled(ports: Iterable[int]) -> list[int]:
    """Return ``ports`` in a random order: another run of the tests may be under way on this machine."""
    found = list(ports)
    random.shuffle(found)
    return found
