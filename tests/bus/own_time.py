"""An event loop with a clock of its own, for tests of what depends on time alone: no machine is too slow for these."""

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

__all__ = ["in_own_time"]

P = ParamSpec("P")


class _Jumping(selectors.DefaultSelector):
    """A selector that lets the loop's time pass instead of waiting."""

    passed_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("the test waits for what never comes")
        self.passed_s += timeout
        found: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        return found


class _OwnTime(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.passed_s


def in_own_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test in a loop whose time passes only where all tasks wait, and then at once."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=_OwnTime) as runner:
            runner.run(test(*args, **kwargs))

    return run
