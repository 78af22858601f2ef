"""Whether the ``bus`` that this package needs is ours: its ways in ask before they import anything of it."""

import os
import runpy

__all__ = ["check_neighbours"]


def check_neighbours() -> None:
    """See that the ``bus`` that Python finds is ours, before anything here needs it.

    Not at once: the pytest plugin lies in this package, and must harm no project that has a ``bus`` of its own.

    Raises:
        ImportError: another one is found first.

    """
    house = os.path.dirname(os.path.dirname(__file__))
    runpy.run_path(os.path.join(house, "bus", "neighbours.py"))["check"](house, "bus")
