"""How much one pipeline of publishes carries, by how those before it fared. Pure: knows neither Redis nor a clock."""

from typing import Final

__all__ = ["PIPELINE_BYTES", "PIPELINE_EVENTS", "Pace"]

PIPELINE_EVENTS: Final = 200
PIPELINE_BYTES: Final = 4 * 1024 * 1024
"""Past this no further event is added: all of a pipeline shares one deadline."""

_FIRST_BYTES: Final = 256 * 1024
_LEAST_BYTES: Final = 4 * 1024
_STEP_BYTES: Final = 16 * 1024
_LONG_S: Final = 1.0
"""What is answered is told when its pipeline is done, so a pipeline is to be done soon."""


class Pace:
    """Bytes of one pipeline: twice as many as long as that goes well, half as many when it took long or was cut.

    After a cut they grow twofold only to half of what was cut, and by steps behind that. One event goes in any case.
    """

    def __init__(self) -> None:
        self.limit_bytes = _FIRST_BYTES
        self._good_bytes = PIPELINE_BYTES

    def done(self, size_bytes: int, took_s: float) -> None:
        """Take note of a pipeline of ``size_bytes`` that was answered whole."""
        if took_s > _LONG_S:
            self._shrink(size_bytes)
        elif size_bytes >= self.limit_bytes:
            faster = min(2 * self.limit_bytes, max(self._good_bytes, self.limit_bytes + _STEP_BYTES))
            self.limit_bytes = min(faster, PIPELINE_BYTES)

    def cut(self, size_bytes: int) -> None:
        """Take note of a pipeline of ``size_bytes`` that was sent and not answered whole."""
        self._shrink(size_bytes)
        self._good_bytes = self.limit_bytes

    def _shrink(self, size_bytes: int) -> None:
        self.limit_bytes = max(_LEAST_BYTES, min(self.limit_bytes, size_bytes) // 2)
