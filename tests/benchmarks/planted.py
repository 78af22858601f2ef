"""A slowdown for the guard to find. The counted process imports this first; ``plant`` begins the slowdown."""

from collections.abc import Callable
from typing import Any, Final

from benchmarks.guard.counted import floor
from bus.redis.link import Link
from edges.transport.connection import Connection
from producers import Producer

_PLANTED: Final[list[int]] = []
_STEPS: Final = 200


def plant() -> None:
    """From now on what comes from Redis, who connects and who publishes costs 200 steps of the floor more."""
    _PLANTED.append(_STEPS)


def slowed(function: Callable[..., Any]) -> Callable[..., Any]:
    def slow(*arguments: Any, **named: Any) -> Any:
        for steps in _PLANTED:
            floor(steps)
        return function(*arguments, **named)

    return slow


for kind, name in ((Link, "data_received"), (Connection, "connection_made"), (Producer, "publish")):
    setattr(kind, name, slowed(getattr(kind, name)))
