"""Errors of all packages go through a process pool: what comes out of it is what was put in."""

import copy
import importlib
import inspect
import pickle
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest

from bus.broker.embedded import PortTakenError
from bus.errors import BusTimeout, PublishHeld, PublishIncomplete, PublishUnreplicated, ShapeError
from clients.errors import AuthenticationFailed, Dismissed, Refused
from edges.limits.rates import LimitReached
from edges.protocol import messages as protocol

PACKAGES = ("bus", "producers", "clients", "edges", "edgebus")
ARGUMENTS: dict[type[BaseException], tuple[tuple[Any, ...], dict[str, Any]]] = {
    PublishHeld: (("diagram:d", "bob"), {}),
    PublishIncomplete: (({"a:1": "1-1"}, {"b:1": BusTimeout("later")}), {}),
    PublishUnreplicated: (({"a:1": None},), {"replicas": 1, "wanted": 2}),
    ShapeError: (("is too deep", "depth"), {}),
    PortTakenError: ((6390,), {}),
    Refused: (("RATE_LIMITED", "too fast", 500), {}),
    Dismissed: ((4003, "go away"), {}),
    AuthenticationFailed: ((3000, ""), {}),
    LimitReached: (("max_rooms", "no more rooms"), {}),
    protocol.Refused: ((protocol.Refusal(protocol.Code.INVALID_REQUEST, "no"), "max_rooms"), {}),
}
"""What those are made with that take more than one text."""


def errors() -> Iterator[type[BaseException]]:
    for package in PACKAGES:
        names = [package, *(it.name for it in pkgutil.walk_packages([package], f"{package}."))]
        for name in names:
            if not name.endswith("__main__"):
                yield from defined_in(name)


def defined_in(name: str) -> Iterator[type[BaseException]]:
    module = importlib.import_module(name)
    for _, value in inspect.getmembers(module, inspect.isclass):
        if issubclass(value, BaseException) and value.__module__ == name:
            yield value


def state(error: BaseException) -> tuple[Any, ...]:
    return type(error), str(error), error.args, {key: repr(value) for key, value in vars(error).items()}


@pytest.mark.parametrize("kind", list(errors()), ids=lambda kind: f"{kind.__module__}.{kind.__qualname__}")
def test_error_survives_pickling(kind: type[BaseException]) -> None:
    """Type, text and every attribute are the same behind the pool, and in a copy."""
    args, options = ARGUMENTS.get(kind, (("what went wrong",), {}))
    error = kind(*args, **options)
    error.add_note("seen in a worker")
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301 (our own)
        assert state(other) == state(error)


def test_all_packages_were_searched() -> None:
    """The control: errors of each package are among those above."""
    assert {kind.__module__.partition(".")[0] for kind in errors()} >= {"bus", "clients", "edges", "edgebus"}
