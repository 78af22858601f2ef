"""The size of the next pipeline of publishes, from the fate of earlier pipelines. Pure."""

from typing import Final

__all__ = ["PIPELINE_BYTES", "PIPELINE_EVENTS", "PipelinePace"]

PIPELINE_EVENTS: Final = 200
PIPELINE_BYTES: Final = 4 * 1024 * 1024
"""Past this size no further event is added: all events of a pipeline wait for its last answer."""

_FIRST_BYTES: Final = 256 * 1024
_LEAST_BYTES: Final = 4 * 1024
_STEP_BYTES: Final = 16 * 1024
_LONG_S: Final = 1.0
"""Callers are told when their pipeline is done, so a pipeline is to be done soon."""


class PipelinePace:
    """Bytes of a pipeline: doubled after each good pipeline, halved after a long or cut pipeline.

    After a cut the bytes double only up to half of the cut pipeline, and grow by steps beyond. A pipeline of a single
    event goes in any case.
    """

    # decisions/0063: a line that never carried a whole pipeline of 4 MiB never got on. A window of unanswered commands
    # was rejected: two speeds to keep in step, and no gain on a good line.

    def __init__(self) -> None:
        self.limit_bytes = _FIRST_BYTES
        self._good_bytes = PIPELINE_BYTES

    def done(self, size_bytes: int, took_s: float) -> None:
        """Take note of a pipeline of ``size_bytes``, answered whole."""
        if took_s > _LONG_S:
            self._shrink(size_bytes)
        elif size_bytes >= self.limit_bytes:
            faster = min(2 * self.limit_bytes, max(self._good_bytes, self.limit_bytes + _STEP_BYTES))
            self.limit_bytes = min(faster, PIPELINE_BYTES)

    def cut(self, size_bytes: int) -> None:
        """Take note of a pipeline of ``size_bytes``, sent and not answered whole."""
        self._shrink(size_bytes)
        self._good_bytes = self.limit_bytes

    def _shrink(self, size_bytes: int) -> None:
        self.limit_bytes = max(_LEAST_BYTES, min(self.limit_bytes, size_bytes) // 2)
