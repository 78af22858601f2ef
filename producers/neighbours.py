"""Whether the ``bus`` on Python's path is ours: every way into this package asks before the first import of ``bus``."""

import os
import runpy

__all__ = ["check_neighbours"]


def check_neighbours() -> None:
    """Check Python's ``bus`` before the first import from ``bus``.

    Raises:
        ImportError: another package or module ``bus`` comes first on the path.

    """
    # decisions/0058: not when the package is imported. The pytest plugin lies here, and must harm no project with a
    # `bus` of its own.
    house = os.path.dirname(os.path.dirname(__file__))
    runpy.run_path(os.path.join(house, "bus", "neighbours.py"))["check"](house, "bus")
