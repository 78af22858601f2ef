"""What goes wrong in work that an edge repeats anyway: told once per reason, and when it is over.

None of it is the end of an edge that still delivers: a Redis that is away or takes no writes, a process without a
descriptor, memory or a thread to spare.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from bus.errors import BusError, BusUnavailable
from bus.shortage import shortage

__all__ = ["Mishaps"]

_REFUSED: Final = "Redis refused a part of what the edge does by itself"
_FAILED: Final = "the edge cannot do a part of what it does by itself"

_logger = logging.getLogger("edgebus.edges")


class Mishaps:
    """Which works fail at present, and why."""

    def __init__(self) -> None:
        self._standing: dict[str, str] = {}

    @property
    def reason(self) -> str | None:
        """Why some work fails at present, None while all goes well."""
        return next(iter(self._standing.values()), None)

    @contextmanager
    def spared(self, work: str) -> Iterator[None]:
        """Let one round of ``work`` fail; what nobody foresaw is raised."""
        try:
            yield
        except BusUnavailable as error:  # the link tells of that
            _logger.debug("Redis is away", extra={"work": work, "reason": str(error)})
        except BusError as error:
            self.note(work, str(error), _REFUSED)
        except (OSError, MemoryError) as error:
            self.note(work, shortage(error) or str(error))
        except RuntimeError as error:
            if (lack := shortage(error)) is None:
                raise
            self.note(work, lack)
        else:
            self.end(work)

    def note(self, work: str, reason: str, text: str = _FAILED, level: int = logging.WARNING) -> None:
        """Take note that ``work`` fails for ``reason``, which is told unless another work has failed for it already."""
        level = logging.DEBUG if reason in self._standing.values() else level
        self._standing[work] = reason
        _logger.log(level, text, extra={"work": work, "reason": reason})

    def end(self, work: str) -> None:
        """Take note that ``work`` is done again, which is told when nothing fails for its reason any more."""
        reason = self._standing.pop(work, None)
        if reason is not None and reason not in self._standing.values():
            _logger.info("it goes on: nothing stands against it any more", extra={"work": work, "was": reason})
